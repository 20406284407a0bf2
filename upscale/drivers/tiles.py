"""One tile of a driver cube on the product grid, as the features of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upscale.calendar import date_of
from upscale.drivers.composites import composite_filled, whole_periods
from upscale.drivers.cube import DriverCube, DriverError, SeriesGroup, read_block
from upscale.drivers.preliminary import PRELIMINARY, preliminary_days
from upscale.grid import Grid
from upscale.grid.astronomy import day_length, potential_radiation
from upscale.grid.regrid import bilinear, interpolate, near_land
from upscale.stores.broken import refusing
from upscale.variables import ICE_CLASS, WATER_CLASS, of_kind, variable


class Derived(Protocol):
    """A feature `(pixel, day)` computed from coordinates `(pixel,)`, degrees, and days `(day,)`.

    lon may be omitted where the feature does not depend on it; otherwise ValueError.
    """

    def __call__(
        self, lat: ArrayLike, days: ArrayLike, lon: ArrayLike | None = None
    ) -> NDArray[np.float32]: ...


def _sw_pot(lat: ArrayLike, days: ArrayLike, lon: ArrayLike | None = None) -> NDArray[np.float32]:
    return potential_radiation(lat, days)


def _day_length(
    lat: ArrayLike, days: ArrayLike, lon: ArrayLike | None = None
) -> NDArray[np.float32]:
    return day_length(lat, days)


def _lat(lat: ArrayLike, days: ArrayLike, lon: ArrayLike | None = None) -> NDArray[np.float32]:
    return _every_day(lat, days)


def _lon(lat: ArrayLike, days: ArrayLike, lon: ArrayLike | None = None) -> NDArray[np.float32]:
    if lon is None:
        raise ValueError("expected longitudes, found none: give the longitude of each place")
    return _every_day(lon, days)


def _every_day(degrees: ArrayLike, days: ArrayLike) -> NDArray[np.float32]:
    """A constant of each pixel repeated on every day, `(pixel, day)`."""
    values = np.asarray(degrees, np.float32)
    return np.repeat(values[:, None], np.size(days), axis=1)


#: Features that need no driver: functions of place and day alone.
DERIVED: Mapping[str, Derived] = MappingProxyType(
    {"sw_pot": _sw_pot, "day_length": _day_length, "lat": _lat, "lon": _lon}
)

#: Static layers of a cube.
LAYERS = ("igbp", "koppen", "sftlf", "elevation")

#: Static layers whose values are checked, and the remedy that an error names.
_REMEDIES = {
    "igbp": "write the codes of the legend, and 0 where the class is unknown",
    "koppen": "write the codes of the legend, and 0 where the class is unknown",
    "sftlf": "write the share of land in %, and NaN outside the domain of the cube",
}


@dataclass(frozen=True)
class Surface:
    """The static layers of one tile, all `(row, col)`.

    igbp, koppen: class codes, 0 unknown; sftlf: % of the cell, NaN outside the domain of the
    cube; elevation: m.
    """

    grid: Grid
    igbp: NDArray[np.uint8]
    koppen: NDArray[np.uint8]
    sftlf: NDArray[np.float32]
    elevation: NDArray[np.float32]

    @property
    def outside(self) -> NDArray[np.bool_]:
        """Cells outside the domain of the cube."""
        return np.isnan(self.sftlf)

    @property
    def water(self) -> NDArray[np.bool_]:
        """Cells without land."""
        return is_water(self.igbp, self.sftlf)

    @property
    def ice(self) -> NDArray[np.bool_]:
        """Cells of permanent snow and ice."""
        return is_ice(self.igbp, self.sftlf)

    @property
    def land(self) -> NDArray[np.bool_]:
        """Cells whose fluxes are to be predicted."""
        return np.asarray((self.sftlf > 0) & (self.igbp != WATER_CLASS) & (self.igbp != ICE_CLASS))

    def crop(self, rows: slice, cols: slice) -> Surface:
        """The static layers of the cells `rows` x `cols` of the tile."""
        grid, layers = self.grid.crop(rows, cols), (getattr(self, name) for name in LAYERS)
        return Surface(grid, *(layer[rows, cols] for layer in layers))


def is_water(igbp: NDArray[np.integer], sftlf: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Cells without land; igbp: class codes, sftlf: % of the cell, NaN outside the domain."""
    water: NDArray[np.bool_] = (sftlf <= 0) | (igbp == WATER_CLASS)
    return np.asarray(water & ~np.isnan(sftlf))


def is_ice(igbp: NDArray[np.integer], sftlf: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Cells of permanent snow and ice; as `is_water`."""
    ice: NDArray[np.bool_] = igbp == ICE_CLASS
    return np.asarray(ice & ~np.isnan(sftlf) & ~is_water(igbp, sftlf))


@dataclass(frozen=True)
class TileDrivers:
    """The features of the land cells of a tile over some days.

    values: `(cell, day, feature)` float32 in the units of the table, NaN where missing;
    filled: `(cell, day)` True where a satellite value was filled (of a composite: all of its
    days); borrowed: `(cell,)` True where the meteorology comes from beyond the coast, because no
    land node lies near; preliminary: `(day,)` True where the cube says that the meteorology is
    preliminary; first: day number of the first day.
    """

    values: NDArray[np.float32]
    filled: NDArray[np.bool_]
    borrowed: NDArray[np.bool_]
    preliminary: NDArray[np.bool_]
    first: int


def read_surface(cube: DriverCube, rows: slice, cols: slice) -> Surface:
    """The static layers of the cells `rows` x `cols` of the product grid.

    Raises DriverError for a class code outside the legend, or a land share outside 0 to 100 %.
    """
    with refusing(f"{cube.url}/static", "layers that can be read", DriverError):
        layers = {name: np.asarray(cube.static[name][rows, cols]) for name in LAYERS}
    grid = cube.grid.crop(rows, cols)
    for name, remedy in _REMEDIES.items():
        _check_layer(f"{cube.url}/static/{name}", name, layers[name], grid, remedy)
    return Surface(
        grid,
        layers["igbp"],
        layers["koppen"],
        layers["sftlf"],
        layers["elevation"],
    )


def _check_layer(where: str, name: str, layer: NDArray[Any], grid: Grid, remedy: str) -> None:
    """Refuse a static layer `(row, col)` with values outside the valid range."""
    wrong = _impossible(name, layer)
    if not wrong.any():
        return
    y, x = np.argwhere(wrong)[0]
    row = variable(name)
    raise DriverError(
        f"{where}: expected values in {row.valid_min}..{row.valid_max}, found {int(wrong.sum())} "
        f"outside in this tile, the first {layer[y, x]:.6g} at {grid.lat[y]} N {grid.lon[x]} E; "
        f"{remedy}"
    )


def _impossible(name: str, values: NDArray[Any]) -> NDArray[np.bool_]:
    """True, in the shape of `values`, outside the physical range of a variable."""
    row = variable(name)
    with np.errstate(invalid="ignore"):
        wrong: NDArray[np.bool_] = (values < row.valid_min - 1e-3) | (values > row.valid_max + 1e-3)
    return wrong


def read_features(
    cube: DriverCube,
    surface: Surface,
    features: tuple[str, ...],
    first: int,
    count: int,
    composites: Mapping[str, int] | None = None,
    before: int | None = None,
) -> TileDrivers:
    """Read `count` days from day number `first` of the features of a tile's land cells.

    composites: length in days, by name, of the features to read as composites; whole periods are
    read, so that a value does not depend on the days requested. before: a day number; composites
    use only earlier days. Days outside the record, and optional drivers that the cube lacks, are
    NaN. Raises DriverError where a value lies outside the physical range of its variable.
    """
    cells = surface.land
    lat = np.repeat(surface.grid.lat, surface.grid.cols)[cells.ravel()]
    lon = np.tile(surface.grid.lon, surface.grid.rows)[cells.ravel()]
    days = np.arange(first, first + count)
    values = np.full((cells.sum(), count, len(features)), np.nan, np.float32)
    filled = np.zeros(values.shape[:2], bool)
    borrowed = np.zeros(len(values), bool)
    for position, name in enumerate(features):
        here = values[:, :, position]
        length = (composites or {}).get(name, 0)
        if name in DERIVED:
            here[:] = DERIVED[name](lat, days, lon)
        elif (group := cube.group_of(name)) is not None and length:
            _read_composite(
                group, name, surface, (first, count), length, here, filled, borrowed, before
            )
        elif group is not None:
            _read_one(group, name, surface, (first, count), here, filled, borrowed)
    early = preliminary_days(cube.series["meteo"], first, count) == PRELIMINARY
    return TileDrivers(values, filled, borrowed, early, first)


def _read_composite(
    group: SeriesGroup,
    name: str,
    surface: Surface,
    period: tuple[int, int],
    length: int,
    values: NDArray[np.float32],
    filled: NDArray[np.bool_],
    borrowed: NDArray[np.bool_],
    before: int | None,
) -> None:
    """As `_read_one`, for composites: maxima over periods of `length` days."""
    first, count = period
    begin, whole = whole_periods(first, count, length)
    days = np.arange(begin, begin + whole)
    daily = np.full((len(values), whole), np.nan, np.float32)
    flags = np.zeros(daily.shape, bool)
    _read_one(group, name, surface, (begin, whole), daily, flags, borrowed)
    if before is not None:
        daily[:, days >= before] = np.nan
    asked = slice(first - begin, first - begin + count)
    made, all_filled = composite_filled(daily, flags, days, length)
    values[:] = made[:, asked]
    filled |= all_filled[:, asked]


def _read_one(
    group: SeriesGroup,
    name: str,
    surface: Surface,
    period: tuple[int, int],
    values: NDArray[np.float32],
    filled: NDArray[np.bool_],
    borrowed: NDArray[np.bool_],
) -> None:
    """Read one driver into `values` `(cell, day)`, add its flags to `filled`, and the cells that
    no land node is near to `borrowed`."""
    first, count = period
    begin = max(first, group.first)
    end = min(first + count, group.first + group.count)
    if begin >= end:
        return
    there = slice(begin - group.first, end - group.first)
    here = slice(begin - first, end - first)
    block, far = _on_product_grid(group, name, surface.grid, there)
    cells = surface.land
    _check_range(name, block[:, cells], surface, begin)
    values[:, here] = block[:, cells].T
    borrowed |= far[cells]
    flags = group.arrays.get(f"{name}_filled")
    if flags is not None:
        rows, cols = _indices(group.grid, surface.grid)
        filled[:, here] |= read_block(flags, there, rows, cols)[:, cells].T.astype(bool)


def is_interpolated(group: SeriesGroup, grid: Grid) -> bool:
    """Whether a group is interpolated to `grid`, or has its cells."""
    return abs(group.grid.resolution - grid.resolution) >= 1e-9 or group.land is not None


def _on_product_grid(
    group: SeriesGroup, name: str, grid: Grid, days: slice
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Values `(day, row, col)` on `grid`, and the cells `(row, col)` without a land node nearby."""
    if not is_interpolated(group, grid):
        rows, cols = _indices(group.grid, grid)
        return group.read(name, days, rows, cols), np.zeros(grid.shape, bool)
    stencil = bilinear(group.grid, grid)
    rows, cols = stencil.rows.read, stencil.cols.read
    field = group.read(name, days, rows, cols)
    if group.land is None:
        raise DriverError(f"group {group.name} is interpolated and needs its array 'land'")
    land = group.land[np.ix_(rows, cols)]
    return interpolate(field, land, stencil), ~near_land(land, stencil)


def _indices(source: Grid, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    try:
        row, col = source.offset_of(grid)
    except ValueError as error:
        raise DriverError(str(error)) from error
    return np.arange(row, row + grid.rows), np.arange(col, col + grid.cols)


def _check_range(name: str, values: NDArray[np.float32], surface: Surface, first: int) -> None:
    """Refuse values `(day, cell)` that no unit and no day could explain."""

    def where(cell: int) -> str:
        y, x = np.argwhere(surface.land)[cell]
        return f" at {surface.grid.lat[y]} N {surface.grid.lon[x]} E"

    check_range(name, values, first, where)


def check_range(
    name: str, values: NDArray[np.float32], first: int, where: Callable[[int], str]
) -> None:
    """DriverError for values `(day, cell)` outside the physical range of their variable.

    first: number of the first day; where: words for the place of a cell.
    """
    wrong = _impossible(name, values)
    if not wrong.any():
        return
    row = variable(name)
    day, cell = np.argwhere(wrong)[0]
    raise DriverError(
        f"{name}: {int(wrong.sum())} values outside {row.valid_min}..{row.valid_max} "
        f"{row.units}, the first {values[day, cell]:.6g} on {date_of(first + int(day))}"
        f"{where(int(cell))}; is the unit wrong?"
    )


def missing_features(cube: DriverCube, features: tuple[str, ...]) -> tuple[str, ...]:
    """Features that are neither in the cube nor computed from place and day."""
    known = of_kind("meteo", "satellite")
    return tuple(
        name
        for name in features
        if name not in DERIVED and (name not in known or cube.group_of(name) is None)
    )
