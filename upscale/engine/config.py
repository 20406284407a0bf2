"""RUN.yaml: the whole of a run in one checked model."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from upscale.calendar import day_number
from upscale.grid import Grid
from upscale.product.layout import Sums

M = TypeVar("M", bound=BaseModel)


class ConfigError(ValueError):
    """A RUN.yaml that cannot be run; the message names the key and the remedy."""


class Strict(BaseModel):
    """A section of a file of keys: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Period(Strict):
    """First and last day, both included."""

    start: dt.date
    end: dt.date

    @model_validator(mode="after")
    def _in_order(self) -> Period:
        if self.end < self.start:
            raise ValueError(f"end {self.end} lies before start {self.start}: swap them")
        return self

    @property
    def first(self) -> int:
        """Day number of the first day."""
        return day_number(self.start)

    @property
    def count(self) -> int:
        """Number of days."""
        return (self.end - self.start).days + 1


class Region(Strict):
    """A part of the globe, in degrees; cells whose centres lie inside are produced."""

    south: float = Field(ge=-90, le=90)
    north: float = Field(ge=-90, le=90)
    west: float = Field(ge=-180, le=180)
    east: float = Field(ge=-180, le=180)

    @model_validator(mode="after")
    def _in_order(self) -> Region:
        if self.south >= self.north or self.west >= self.east:
            raise ValueError("expected south < north and west < east; split a region at 180")
        return self

    def of(self, grid: Grid) -> Grid:
        """The part of a grid that lies in it; ConfigError where no cell does."""
        rows = np.flatnonzero((grid.lat > self.south) & (grid.lat < self.north))
        cols = np.flatnonzero((grid.lon > self.west) & (grid.lon < self.east))
        if not rows.size or not cols.size:
            raise ConfigError(f"region: no cell of grid {grid.name} lies in it; make it larger")
        return grid.crop(slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))


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
    attributes: dict[str, str] = {}

    @field_validator("store")
    @classmethod
    def _at_home(cls, place: str) -> str:
        return at_home(place.rstrip("/"))

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


class Cluster(Strict):
    """Where the work is done.

    address: of a Dask scheduler that stands elsewhere; without it a cluster is started here.
    workers: processes (`auto`: one for each GPU, or for each core); threads: torch threads of
    a worker; memory: limit of a worker in GiB (`auto`: what is there, shared evenly).
    """

    address: str | None = None
    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    threads: int = Field(default=1, ge=1)
    memory: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    wait: float = Field(default=120, gt=0, description="seconds to wait for the first worker")


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
        return at_home(place)

    def science(self) -> dict[str, Any]:
        """What decides the numbers: everything but the machines and the way of the work."""
        ignored = {"cluster", "retries", "interval"}
        kept = self.model_dump(mode="json", exclude=ignored)
        del kept["context"]["store"]
        del kept["output"]["store"]
        return kept


def at_home(place: str) -> str:
    """A path with `~` expanded; a URL as it is."""
    return place if "://" in place else str(Path(place).expanduser())


def absolute(place: str) -> str:
    """A path that workers with another working directory understand; a URL as it is."""
    return place if "://" in place else str(Path(place).expanduser().absolute())


def digest_of(content: Any) -> str:
    """sha256 of plain values as canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def load_run(path: Path, overrides: Sequence[str] = ()) -> Run:
    """Read RUN.yaml and apply `key=value` overrides (`output.store=x.zarr`).

    Raises ConfigError naming every key that is missing, unknown or wrong.
    """
    return parse_run(read_yaml(path, overrides, "a RUN.yaml"), str(path))


def read_yaml(path: Path, overrides: Sequence[str], kind: str) -> dict[str, Any]:
    """The keys of a YAML file with `key=value` overrides; ConfigError where it is none.

    kind: what the file should be, in words.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give the path of {kind}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected the keys of {kind}, found none")
    for override in overrides:
        _override(content, override)
    return content


def parse_run(content: dict[str, Any], where: str) -> Run:
    """A checked run from plain values."""
    return parse(Run, content, f"{where} cannot be run")


def parse(model: type[M], content: dict[str, Any], failing: str) -> M:
    """A model of plain values; ConfigError names every fault after the words of `failing`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = "\n".join(
            f"  {'.'.join(map(str, fault['loc'])) or model.__name__.lower()}: {_advice(fault)}"
            for fault in error.errors()
        )
        raise ConfigError(f"{failing}:\n{faults}") from None


def _advice(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        return "unknown key; remove it or correct its spelling"
    if fault["type"] == "missing":
        return "this key is required; add it"
    return f"{fault['msg']} (found {fault['input']!r})"


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"expected key=value, found {override!r}")
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise ConfigError(f"{override!r}: {parent} holds a value, not keys")
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{override!r}: the value is not YAML: {error}") from None
