"""The input of figures: a flux cube reduced, tile by tile, to the resolution of a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import day_of_year
from upscale.grid import Grid
from upscale.product.quality import Quality, has
from upscale.product.reader import CellSlices, FluxCube, occupied
from upscale.product.uncertainty import INDEX_BITS
from upscale.variables import FLUXES

#: Columns that a printed map can show.
COLUMNS = 1800
#: Rows and columns read together.
MAP_CELLS = 400
#: Days of one column of the seasonal figure.
SEASON_DAYS = 5
SEASON_BINS = -(-365 // SEASON_DAYS)

Reals = NDArray[np.float64]


class State(IntEnum):
    """What a cell of a map shows."""

    OUTSIDE = 0
    VALUE = 1
    WATER = 2
    ICE = 3
    NO_VALUE = 4


@dataclass(frozen=True)
class Composite:
    """Means over the whole period on a grid coarse enough for a page.

    state: `State` `(row, col)`; means: fluxes `(row, col)` in g m-2 d-1 of land, weighted by
    area of land; spreads: of these means, over the members, where members were kept; season:
    sums of flux x area `(flux, row, bin)` and area `(row, bin)` by bins of 5 days of the year.
    applicability: mean of each dissimilarity index and of the density over time, and `outside`, the
    share of days in % with an index above its threshold; empty without an area of applicability.
    """

    grid: Grid
    state: NDArray[np.uint8]
    means: dict[str, Reals]
    spreads: dict[str, Reals]
    season: Reals
    season_area: Reals
    applicability: dict[str, Reals] = field(default_factory=dict)

    @property
    def sparse(self) -> bool:
        """True where values are single points, as in a cube of towers."""
        count = int((self.state == State.VALUE).sum())
        return count < 1500 and count < 0.03 * self.state.size

    def points(self) -> tuple[Reals, Reals]:
        """Longitudes and latitudes `(point,)` of the cells with values, row by row."""
        rows, cols = np.nonzero(self.state == State.VALUE)
        return self.grid.lon[cols], self.grid.lat[rows]


def composite(cube: FluxCube, columns: int = COLUMNS) -> Composite:
    """Reduce a flux cube; memory: 400 x 400 cells of one chunk of days, and the composite."""
    factor = _factor(cube.grid, columns)
    grid = _coarse(cube.grid, factor)
    made = Composite(
        grid,
        np.zeros(grid.shape, np.uint8),
        {flux: np.full(grid.shape, np.nan) for flux in FLUXES},
        {flux: np.full(grid.shape, np.nan) for flux in FLUXES if _has_spread(cube)},
        np.zeros((len(FLUXES), grid.rows, SEASON_BINS)),
        np.zeros((grid.rows, SEASON_BINS)),
        {name: np.full(grid.shape, np.nan) for name in _applicability_names(cube)},
    )
    edge = factor * max(1, cube.span(MAP_CELLS) // factor)
    for cells in occupied(cube, edge, factor):
        _reduce(cube, cells, factor, made)
    return made


def _has_spread(cube: FluxCube) -> bool:
    return cube.has_sums and cube.layout.members > 1


def _applicability_names(cube: FluxCube) -> tuple[str, ...]:
    """Keys of `Composite.applicability`."""
    indices = tuple(filter(cube.has, INDEX_BITS))
    return (*indices, "point_density", "outside") if indices else ()


def _factor(grid: Grid, columns: int) -> int:
    """Cells along each side of a coarse cell; a full circle is divided without a remainder."""
    least = -(-grid.cols // columns)
    return next(n for n in range(least, grid.cols + 1) if not grid.wraps or grid.cols % n == 0)


def _coarse(grid: Grid, factor: int) -> Grid:
    rows, cols = -(-grid.rows // factor), -(-grid.cols // factor)
    return replace(grid, rows=rows, cols=cols, resolution=grid.resolution * factor)


def _reduce(cube: FluxCube, cells: CellSlices, factor: int, made: Composite) -> None:
    rows = slice(cells.rows.start // factor, -(-cells.rows.stop // factor))
    cols = slice(cells.cols.start // factor, -(-cells.cols.stop // factor))
    area = cube.land_area(cells)
    sums, days = _sums(cube, cells, area, rows, factor, made)
    if area.any():
        _fill_means(cube, cells, factor, made, (rows, cols), sums, area, days)
    made.state[rows, cols] = _states(cube, cells, days, factor)


def _fill_means(
    cube: FluxCube,
    cells: CellSlices,
    factor: int,
    made: Composite,
    there: tuple[slice, slice],
    sums: dict[str, Reals],
    area: Reals,
    days: Reals,
) -> None:
    """Means, spreads and applicability of coarse cells `there`."""
    weight = _gather(area * days, factor)
    with np.errstate(invalid="ignore", divide="ignore"):
        for flux in FLUXES:
            made.means[flux][there] = _gather(area * sums[flux], factor) / weight
        for flux, spread in made.spreads.items():
            members = _member_totals(cube, flux, cells)
            means = np.stack([_gather(area * each, factor) / weight for each in members])
            spread[there] = means.std(axis=0, ddof=1)
        for name, (total, count) in _applicability_sums(cube, cells).items():
            mean = _gather(area * total, factor) / _gather(area * count, factor)
            made.applicability[name][there] = mean


def _sums(
    cube: FluxCube, cells: CellSlices, area: Reals, rows: slice, factor: int, made: Composite
) -> tuple[dict[str, Reals], Reals]:
    """Sums over the period `(row, col)` by flux, and days with a value; fills the season."""
    sums = {flux: np.zeros(cells.shape) for flux in FLUXES}
    count = np.zeros(cells.shape)
    if not area.any():
        return sums, count
    for days, bins in _spans(cube):
        there = np.zeros(0)
        for index, flux in enumerate(FLUXES):
            values = cube.daily(flux, days, cells)
            there = np.isfinite(values)
            values = np.where(there, values, 0).astype(np.float64)
            sums[flux] += values.sum(axis=0)
            by_row = np.einsum("drc,rc->rd", values, area)
            _add_bins(made.season[index, rows], by_row, bins, factor)
        count += there.sum(axis=0)
        by_row = np.einsum("drc,rc->rd", there.astype(np.float64), area)
        _add_bins(made.season_area[rows], by_row, bins, factor)
    return sums, count


def _spans(cube: FluxCube) -> Iterator[tuple[slice, NDArray[np.int64]]]:
    """Chunks of days with the bin of the year of each day."""
    step = cube.layout.chunk[0]
    for start in range(0, cube.layout.count, step):
        days = slice(start, min(start + step, cube.layout.count))
        numbers = cube.layout.first + np.arange(days.start, days.stop)
        bins = (day_of_year(numbers) - 1) // SEASON_DAYS
        yield days, np.minimum(bins, SEASON_BINS - 1)


def _add_bins(target: Reals, by_row: Reals, bins: NDArray[np.int64], factor: int) -> None:
    """Add values `(row, day)` to `(coarse row, bin)`."""
    coarse = np.arange(by_row.shape[0]) // factor
    np.add.at(target, (coarse[:, None], bins[None, :]), by_row)


def _member_totals(cube: FluxCube, flux: str, cells: CellSlices) -> Reals:
    """Sums over the period `(member, row, col)`, a stored chunk in memory at a time."""
    total = np.zeros((cube.layout.members, *cells.shape))
    for segments in cube.layout.stored_segments:
        total += cube.member_sums(flux, segments, cells).sum(axis=1)
    return total


def _applicability_sums(cube: FluxCube, cells: CellSlices) -> dict[str, tuple[Reals, Reals]]:
    """Sums over days `(row, col)` by name in `_applicability_names`, and the days in them; the
    steps of one block are in memory at a time."""
    sums = {
        name: (np.zeros(cells.shape), np.zeros(cells.shape)) for name in _applicability_names(cube)
    }
    length = np.diff(cube.layout.step_bounds, axis=1)[:, :, None].astype(np.float64)
    for block in range(cube.layout.blocks if sums else 0):
        steps = cube.layout.steps_of(block)
        for name, values in _applicability_values(cube, steps, cells).items():
            there = np.isfinite(values)
            total, days = sums[name]
            total += (np.where(there, values, 0) * length[steps]).sum(axis=0)
            days += (there * length[steps]).sum(axis=0)
    return sums


def _applicability_values(cube: FluxCube, steps: slice, cells: CellSlices) -> dict[str, Reals]:
    """Values `(step, row, col)` by name in `_applicability_names`, NaN where there is none;
    `outside` is 100 where an index is above its threshold, else 0."""
    stored = [name for name in _applicability_names(cube) if name != "outside"]
    values = {name: cube.steps(name, steps, cells) for name in stored}
    shape = values["point_density"].shape
    outside, known = np.zeros(shape, bool), np.zeros(shape, bool)
    for name in filter(cube.has, INDEX_BITS):
        threshold = cube.array(name).attrs["applicability_threshold"]
        outside |= values[name] > threshold
        known |= np.isfinite(values[name])
    return values | {"outside": np.where(known, 100.0 * outside, np.nan)}


def _states(cube: FluxCube, cells: CellSlices, days: Reals, factor: int) -> NDArray[np.uint8]:
    """The state `(coarse row, coarse col)`: a value where any cell has one, else the
    commonest reason."""
    quality = cube.daily("quality", slice(0, 1), cells)[0]
    known = np.isfinite(cube.layer("sftlf", cells))
    water, ice = has(quality, Quality.WATER), has(quality, Quality.ICE)
    none = days == 0
    reasons = (none & water, none & ice, none & known & ~water & ~ice)
    counts = np.stack([_gather(each.astype(np.float64), factor) for each in reasons])
    state = np.array([State.WATER, State.ICE, State.NO_VALUE])[counts.argmax(axis=0)]
    state = np.where(counts.max(axis=0) > 0, state, State.OUTSIDE)
    value = _gather((days > 0).astype(np.float64), factor) > 0
    return np.where(value, State.VALUE, state).astype(np.uint8)


def _gather(field: Any, factor: int) -> Reals:
    """Sums `(coarse row, coarse col)` over squares of `factor` cells, short at the edges."""
    rows, cols = field.shape
    padded = np.pad(field, ((0, -rows % factor), (0, -cols % factor)))
    blocks = padded.reshape(padded.shape[0] // factor, factor, -1, factor)
    summed: Reals = blocks.sum(axis=(1, 3), dtype=np.float64)
    return summed
