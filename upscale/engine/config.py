"""RUN.yaml: the whole of a run in one checked model."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from upscale.jobs.sections import Cluster, Period, Region
from upscale.jobs.settings import Strict, expand_user, parse, read_yaml
from upscale.product.layout import Sums
from upscale.stores.location import check_store_place


class Output(Strict):
    """Where the flux cube goes and what is in it."""

    store: str = Field(min_length=1)
    """The flux cube to write. Its ledger and its embeddings lie beside it: `fluxes.zarr` has
    `fluxes.ledger` and `fluxes.context.zarr`."""
    members: Sums = "annual"
    """Period of the sums that are kept for each member: `annual`, `monthly` or `none`. The spread
    of any total is made from them."""
    tile: Annotated[int, Field(ge=1, le=1000)] | Literal["auto"] = "auto"
    """Edge of a tile in cells. A tile of one block is a shard and a work item. `auto` takes the
    tile that its store has already, or that the driver cube is stored in, or 2 to 4 of these on a
    side where a decade would be 120,000 objects or more. It is read and computed in pieces of at
    most 100 x 100 cells."""
    keep_bits: Annotated[int, Field(ge=7, le=22)] | None = None
    """Bits of the mantissa, of 23, that daily fluxes and spreads keep: n of them change a value by
    at most a part in 2 to the power n + 1, and pack better. Left out: all. Sums of the members keep
    all."""
    region: Region | None = None
    """Make only the cells whose centres lie inside it. Left out: all cells."""
    title: str | None = None
    """Title of the store. A synthetic planet says so in front of it, whatever the title is."""
    attributes: dict[str, str] = Field(default_factory=dict)
    """Global attributes to add, such as `institution`, `creator_name`, `license`."""

    @field_validator("store")
    @classmethod
    def _expand_user(cls, place: str) -> str:
        return expand_user(check_store_place(place.rstrip("/")))

    @field_validator("tile")
    @classmethod
    def _can_be_cut(cls, tile: int | str) -> int | str:
        """A large tile is stored in chunks of 20 to 100 cells, so one of them must divide it."""
        if isinstance(tile, int) and tile > 100 and all(tile % n for n in range(20, 101)):
            raise ValueError(f"no chunk of 20 to 100 cells divides {tile}: take a multiple of 100")
        return tile


class Context(Strict):
    """Which years form the support set, in place of what the release says."""

    years: tuple[int, ...] | Literal["auto"] | None = None
    """Years of the support set: a list, or `auto` (up to three full years spread over the record of
    a cell). Left out: what the release says."""
    strict_past: bool = False
    """Use only support years that end before the block that is predicted. Costs new embeddings for
    every block."""
    until: dt.date | None = None
    """Last day of the record that support sets are chosen from. Left out: the last day of the
    driver cube when the store is made; it is written into the store, so that a longer record does
    not move values that are there already."""
    store: str | None = None
    """Where embeddings are kept. Runs that share it share the embeddings that fit. Left out: beside
    the flux cube."""

    @field_validator("store")
    @classmethod
    def _is_a_place(cls, place: str | None) -> str | None:
        return None if place is None else check_store_place(place)


class Run(Strict):
    """RUN.yaml."""

    model: str
    """A model release: a folder with `release.yaml`, the name of a shipped one, or a URL (then kept
    in a cache; `UPSCALE_CACHE` moves it)."""
    drivers: str
    """The driver cube. Its static layers set the grid of the result."""
    period: Period
    """The days to map."""
    output: Output
    """Where the flux cube goes and what is in it."""
    context: Context = Context()
    """Which years form the support set, in place of what the release says."""
    cluster: Cluster = Cluster()
    """Where the work is done."""
    retries: int = Field(default=2, ge=0)
    """More attempts at a tile that failed, where another attempt can help."""
    interval: float = Field(default=30, gt=0)
    """Seconds between log lines where there is no terminal."""

    @field_validator("model", "drivers")
    @classmethod
    def _expand_user(cls, place: str) -> str:
        return expand_user(check_store_place(place))

    def science(self) -> dict[str, Any]:
        """What decides the numbers: everything except where and how the work is done."""
        ignored = {"cluster", "retries", "interval"}
        kept = self.model_dump(mode="json", exclude=ignored)
        del kept["context"]["store"]
        del kept["output"]["store"]
        return kept


def load_run(path: Path, overrides: Sequence[str] = ()) -> Run:
    """Read RUN.yaml and apply `key=value` overrides (`output.store=x.zarr`).

    Raises ConfigError naming every key that is missing, unknown or wrong.
    """
    return parse_run(read_yaml(path, overrides, "a RUN.yaml"), str(path))


def parse_run(content: dict[str, Any], where: str) -> Run:
    """A checked run from plain values."""
    return parse(Run, content, f"{where} cannot be run")
