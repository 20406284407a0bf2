"""Reading a flux cube piece by piece, in bounded memory, from any URL that fsspec opens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from upscale import prediction_interval as formula
from upscale.calendar import date_of, day_numbers
from upscale.grid import Grid
from upscale.product.cube import layout_of, open_flux_group
from upscale.product.layout import FluxLayout
from upscale.product.uncertainty import CALIBRATION_KEYS
from upscale.stores.broken import refusing
from upscale.variables import FLUXES


@dataclass(frozen=True)
class CellSlices:
    """A rectangle of cells of the grid, as slices."""

    rows: slice
    cols: slice

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start


@dataclass(frozen=True)
class FluxCube:
    """An open flux cube: its Zarr group and the layout that it was created with."""

    url: str
    group: zarr.Group
    layout: FluxLayout

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        """Global attributes."""
        return dict(self.group.attrs)

    @cached_property
    def _opened(self) -> dict[str, Any]:
        return {}

    def array(self, name: str) -> Any:
        """The Zarr array `name`, opened once: on an object store each opening is a request."""
        if name not in self._opened:
            where = f"{self.url}/{name}"
            with refusing(where, "an array of a flux cube", ValueError, passing=(OSError,)):
                found = self.group[name]
                if not isinstance(found, zarr.Array):
                    raise ValueError("a group")
            self._opened[name] = found
        return self._opened[name]

    def has(self, name: str) -> bool:
        """Whether there is an array of this name that can be opened."""
        try:
            self.array(name)
        except ValueError:
            return False
        return True

    @property
    def grid(self) -> Grid:
        return self.layout.grid

    @property
    def synthetic(self) -> bool:
        """True where the fluxes belong to a synthetic planet."""
        return bool(self.attributes.get("synthetic", False))

    @property
    def has_sums(self) -> bool:
        """True where sums of each member are kept."""
        return self.layout.sums != "none"

    @property
    def has_steps(self) -> bool:
        """True where the model of the cube has an area of applicability."""
        return self.has("extrapolation")

    @property
    def edge(self) -> int:
        """Rows and columns of one stored chunk."""
        return self.layout.chunk[1]

    def span(self, cells: int) -> int:
        """The largest edge of whole chunks that has at most `cells` cells, or one chunk."""
        return self.edge * max(1, cells // self.edge)

    def daily(self, name: str, days: slice, cells: CellSlices) -> NDArray[Any]:
        """Values `(day, row, col)` of a daily array; days are indices on the time axis."""
        return np.asarray(self.array(name)[days, cells.rows, cells.cols])

    def steps(self, name: str, steps: slice, cells: CellSlices) -> NDArray[Any]:
        """Values `(step, row, col)` of an array on the step axis."""
        return np.asarray(self.array(name)[steps, cells.rows, cells.cols])

    def layer(self, name: str, cells: CellSlices) -> NDArray[Any]:
        """Values `(row, col)` of a static layer."""
        return np.asarray(self.array(name)[cells.rows, cells.cols])

    def member_sums(self, flux: str, segments: slice, cells: CellSlices) -> NDArray[np.float64]:
        """Sums `(member, segment, row, col)` in g m-2, zero where nothing was summed."""
        sums = self.array(f"{flux}_member")[:, segments, cells.rows, cells.cols]
        return np.nan_to_num(np.asarray(sums, np.float64), nan=0.0)

    def segment_days(self, segments: slice, cells: CellSlices) -> NDArray[np.uint16]:
        """Days `(segment, row, col)` in each sum."""
        return np.asarray(self.array("segment_days")[segments, cells.rows, cells.cols])

    def land_area(self, cells: CellSlices) -> NDArray[np.float64]:
        """Area of land `(row, col)` in m2: areacella x sftlf / 100, zero where unknown."""
        share = np.nan_to_num(self.layer("sftlf", cells).astype(np.float64), nan=0.0)
        area: NDArray[np.float64] = self.layer("areacella", cells) * share / 100
        return area

    def describe_period(self) -> str:
        """The period for titles: a year, years, or two dates."""
        first = date_of(self.layout.first)
        last = date_of(self.layout.first + self.layout.count - 1)
        if (first.month, first.day, last.month, last.day) == (1, 1, 12, 31):
            return f"{first.year}" if first.year == last.year else f"{first.year}–{last.year}"
        return f"{first} to {last}"


def open_flux_cube(url: str) -> FluxCube:
    """Open a flux cube to read; ValueError where there is none."""
    group = open_flux_group(url)
    return FluxCube(url, group, layout_of(group.attrs))


def cells_of(grid: Grid, edge: int) -> Iterator[CellSlices]:
    """All rectangles of `edge` x `edge` cells, row by row, short at the far edges."""
    for top in range(0, grid.rows, edge):
        for left in range(0, grid.cols, edge):
            rows = slice(top, min(top + edge, grid.rows))
            yield CellSlices(rows, slice(left, min(left + edge, grid.cols)))


def occupied(cube: FluxCube, edge: int, align: int = 1) -> Iterator[CellSlices]:
    """As `cells_of`, but only where the store has a domain, and no larger than it.

    A cube of towers has a global grid and a few cells: nothing else is looked at. The sides
    of what is left are multiples of a stored chunk and of `align`, as `edge` must be.
    """
    step = math.lcm(cube.edge, align)
    for cells in cells_of(cube.grid, edge):
        known = np.isfinite(cube.layer("sftlf", cells))
        if known.any():
            yield _shrunk(cells, known, step)


def _shrunk(cells: CellSlices, known: NDArray[np.bool_], step: int) -> CellSlices:
    """The part of a rectangle around its known cells, in multiples of `step`."""
    rows, cols = (
        _around(np.flatnonzero(known.any(axis=axis)), side, step)
        for axis, side in ((1, cells.rows), (0, cells.cols))
    )
    return CellSlices(rows, cols)


def _around(known: NDArray[np.intp], side: slice, step: int) -> slice:
    first = (side.start + int(known[0])) // step * step
    stop = -(-(side.start + int(known[-1]) + 1) // step) * step
    return slice(max(first, side.start), min(stop, side.stop))


def interval(fluxes: Any, flux: str, level: float = 0.9) -> tuple[Any, Any]:
    """Lower and upper end of the interval in which a measured tower-day lies with probability
    `level`, g m-2 d-1.

    fluxes: a flux cube opened with xarray (or a part of one, or a NetCDF file of one); flux:
    `gpp`, `reco` or `nee`. Returns two arrays in the shape of the flux, lazy where it is lazy.
    The calibration is read from the attributes of the spread; ValueError where the model had none,
    where its towers tell nothing of this level, and for means and sums over days: see
    `docs/explanation/uncertainty.md`.
    """
    _check_names(fluxes, flux, level)
    spread = fluxes[f"{flux}_sd"]
    if "calibration_floor" not in spread.attrs:
        raise ValueError(
            f"{flux}_sd has no attribute calibration_floor: the model of these fluxes was not "
            "calibrated, and its spread says nothing of the error"
        )
    _check_daily(fluxes[flux], flux)
    floor, factor, share, levels, multipliers = (
        spread.attrs[f"calibration_{key}"] for key in CALIBRATION_KEYS
    )
    k, mean = formula.multiplier(level, levels, multipliers), fluxes[flux]
    return formula.ends_of(mean, formula.predictive_sd(mean, spread, floor, factor, share), k)


def _check_names(fluxes: Any, flux: str, level: object) -> None:
    """Refuse what is no flux, is not there or is no probability."""
    if flux not in FLUXES:
        raise ValueError(f"flux: expected one of {', '.join(FLUXES)}, found {flux!r}")
    missing = [name for name in (flux, f"{flux}_sd") if name not in fluxes]
    if missing:
        raise ValueError(
            f"expected the arrays {flux} and {flux}_sd, found no {missing[0]}; select both"
        )
    if isinstance(level, bool) or not isinstance(level, Real):
        raise ValueError(f"level: expected a number such as 0.9, found {level!r}")


def _check_daily(values: Any, flux: str) -> None:
    """Refuse means and sums over days, as far as their dates show what they are."""
    remedy = (
        "the interval is one of single days: compute it before you average or select days, and "
        "take the error of a mean or a total from the sums of the members"
    )
    if "time" not in values.coords:
        raise ValueError(f"{flux}: expected the coordinate time, found none; {remedy}")
    dates = np.atleast_1d(values["time"].to_numpy())
    if dates.dtype.kind != "M":
        raise ValueError(f"{flux}: expected dates as time, found {dates.dtype}; decode the times")
    steps = np.abs(np.diff(day_numbers(dates)))
    if steps.size and steps.min() != 1:
        raise ValueError(
            f"{flux}: expected daily values, found dates at least {steps.min()} "
            f"days apart; {remedy}"
        )
