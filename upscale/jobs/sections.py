"""Sections that RUN.yaml and INGEST.yaml share: the period, the region, the cluster."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from upscale.calendar import day_number, days_between
from upscale.grid import Grid
from upscale.jobs.settings import ConfigError, Strict


class Period(Strict):
    """First and last day, both included."""

    start: dt.date
    """First day. A run reads 30 days before it as spin-up, where the driver cube has them."""
    end: dt.date
    """Last day, included. A later one lets the driver cube of an ingest grow."""

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
        return days_between(self.start, self.end)


class Region(Strict):
    """A part of the globe, in degrees; the cells whose centres lie inside are worked on."""

    south: float = Field(ge=-90, le=90)
    """Degrees, -90 to 90."""
    north: float = Field(ge=-90, le=90)
    """Larger than `south`."""
    west: float = Field(ge=-180, le=180)
    """Degrees, -180 to 180."""
    east: float = Field(ge=-180, le=180)
    """Larger than `west`: a region across 180 degrees is two runs."""

    @model_validator(mode="after")
    def _in_order(self) -> Region:
        if self.south >= self.north or self.west >= self.east:
            raise ValueError(
                f"expected south < north and west < east, found {self.south:g} to {self.north:g} N "
                f"and {self.west:g} to {self.east:g} E; split a region at 180"
            )
        return self

    def of(self, grid: Grid) -> Grid:
        """The part of a grid that lies in the region; ConfigError where no cell does."""
        rows = np.flatnonzero((grid.lat > self.south) & (grid.lat < self.north))
        cols = np.flatnonzero((grid.lon > self.west) & (grid.lon < self.east))
        if not rows.size or not cols.size:
            raise ConfigError(f"region: no cell of grid {grid.name} lies in it; make it larger")
        return grid.crop(slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))


class Cluster(Strict):
    """Where the work is done."""

    address: str | None = None
    """A Dask scheduler that runs elsewhere, such as `tcp://10.0.0.5:8786`. Left out: a cluster is
    started here, and ended with the run."""
    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Worker processes. `auto`: one for each GPU that a run may use, else one for each core (or for
    each `threads` of them). An ingest uses no GPU."""
    threads: int = Field(default=1, ge=1)
    """Torch threads of a worker. Processes fill a machine better than threads do."""
    memory: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """Limit of a worker in GiB. `auto` shares what the machine (or the container) has."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`cpu`, `cuda`, or `auto`: a GPU where there is one."""
    wait: float = Field(default=120, gt=0)
    """Seconds to wait for the first worker."""
