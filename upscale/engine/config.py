"""RUN.yaml: the whole of a run in one checked model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from upscale.jobs.sections import Cluster, Period, Region
from upscale.jobs.settings import Strict, expand_user, parse, read_yaml
from upscale.product.layout import Sums


class Output(Strict):
    """Where the flux cube goes and what is in it.

    members: period of the sums kept for each member; tile: edge of a tile in cells (one
    shard), `auto` takes the one that suits the driver cube; attributes: global attributes to
    add (institution, creator_name, license, ...).
    """

    store: str = Field(min_length=1)
    members: Sums = "annual"
    tile: Annotated[int, Field(ge=1, le=1000)] | Literal["auto"] = "auto"
    region: Region | None = None
    title: str | None = None
    attributes: dict[str, str] = Field(default_factory=dict)

    @field_validator("store")
    @classmethod
    def _at_home(cls, place: str) -> str:
        return expand_user(place.rstrip("/"))

    @field_validator("tile")
    @classmethod
    def _can_be_cut(cls, tile: int | str) -> int | str:
        """A large tile is stored in chunks of 20 to 100 cells, so one of them must divide it."""
        if isinstance(tile, int) and tile > 100 and all(tile % n for n in range(20, 101)):
            raise ValueError(f"no chunk of 20 to 100 cells divides {tile}: take a multiple of 100")
        return tile


class Context(Strict):
    """Which years form the support set, in place of what the release says.

    years: a list of years or `auto`; strict_past: use only years that end before the block
    that is predicted; store: where embeddings are kept, by default beside the flux cube.
    """

    years: tuple[int, ...] | Literal["auto"] | None = None
    strict_past: bool = False
    store: str | None = None


class Run(Strict):
    """RUN.yaml."""

    model: str
    drivers: str
    period: Period
    output: Output
    context: Context = Context()
    cluster: Cluster = Cluster()
    retries: int = Field(default=2, ge=0, description="more attempts at a tile that failed")
    interval: float = Field(default=30, gt=0, description="seconds between log lines")

    @field_validator("model", "drivers")
    @classmethod
    def _at_home(cls, place: str) -> str:
        return expand_user(place)

    def science(self) -> dict[str, Any]:
        """What decides the numbers: everything but the machines and the way of the work."""
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
