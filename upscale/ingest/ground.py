"""What does not change with time: classes, land share, height; and climate from the weather."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from upscale.archives.cells import maps
from upscale.archives.cells.cellwise import window_of
from upscale.archives.satellite import modis
from upscale.archives.satellite.published import published
from upscale.calendar import months_of
from upscale.drivers.cube import SeriesGroup
from upscale.drivers.koppen import classify
from upscale.grid import Grid
from upscale.grid.regrid import bilinear, interpolate
from upscale.ingest.archive import tiles_of
from upscale.ingest.files import GroundFiles, Local
from upscale.remote.errors import ArchiveError
from upscale.remote.listing import ListedFile
from upscale.variables import IGBP, WATER_CLASS

Codes = NDArray[np.uint8]
Floats = NDArray[np.float32]

_CLASSES = len(IGBP) + 1

#: Rows of the product grid that are worked on at a time.
_BAND = 200

#: Days of a month with values that its mean needs.
_LEAST_DAYS = 20


@dataclass(frozen=True, eq=False)
class Ground:
    """Static layers `(row, col)`: classes, 0 = unknown; % of land; m."""

    igbp: Codes
    koppen: Codes
    sftlf: Floats
    elevation: Floats


#: Told of a file that is left out.
LeaveOut = Callable[[ListedFile, Exception], None]


def read_ground(files: GroundFiles, grid: Grid, local: Local, leave_out: LeaveOut) -> Ground:
    """The static layers on a grid; ArchiveError where a map cannot be read, or knows no land.

    leave_out: is told of granules of land cover that cannot be read.
    """
    igbp, share = _cover(files, grid, local, leave_out)
    if files.sftlf:
        with local(files.sftlf[0]) as path:
            share = maps.land_share(path, grid, files.water)
    koppen = np.zeros(grid.shape, np.uint8)
    if files.koppen is not None:
        with local(files.koppen) as path:
            koppen = maps.climate(path, grid)
    elevation = np.full(grid.shape, np.nan, np.float32)
    if files.elevation is not None:
        with local(files.elevation) as path:
            elevation = maps.mean_of(path, grid)
    if not (share > 0).any():
        raise ArchiveError(
            "static: expected some land in the region, found none; check the maps and the region"
        )
    return Ground(igbp, koppen, share, elevation)


def _cover(
    files: GroundFiles, grid: Grid, local: Local, leave_out: LeaveOut
) -> tuple[Codes, Floats]:
    """Classes and % of land: of one GeoTIFF, or of granules."""
    first = files.igbp[0]
    if not first.url.lower().endswith((".tif", ".tiff")):
        return _cover_of_granules(files.igbp, grid, local, leave_out)
    if len(files.igbp) > 1:
        raise ArchiveError(
            f"static.igbp: expected one GeoTIFF, found {len(files.igbp)}; merge them first"
        )
    with local(first) as path:
        igbp = maps.land_cover(path, grid, files.legend)
        water = (0,) if maps.cover_legend(path, files.legend) == "MCD12C1" else (WATER_CLASS,)
        return igbp, maps.land_share(path, grid, water)


def _cover_of_granules(
    files: Sequence[ListedFile], grid: Grid, local: Local, leave_out: LeaveOut
) -> tuple[Codes, Floats]:
    """Of the pixels whose centres lie in a cell: the most frequent class of land, water where
    there is no land, and the share of land among those with a class."""
    igbp = np.zeros(grid.shape, np.uint8)
    share = np.full(grid.shape, np.nan, np.float32)
    broken: set[str] = set()
    for top in range(0, grid.rows, _BAND):
        rows = slice(top, min(top + _BAND, grid.rows))
        part = grid.crop(rows, slice(0, grid.cols))
        counts = np.zeros((_CLASSES, *part.shape), np.uint32)
        for found in _touching(files, part):
            try:
                with local(found) as path:
                    _count_classes(modis.open_granule(path), part, counts)
            except ArchiveError as error:
                if found.url not in broken:
                    leave_out(found, error)
                broken.add(found.url)
        igbp[rows], share[rows] = _judge(counts)
    return igbp, share


def _touching(files: Sequence[ListedFile], grid: Grid) -> list[ListedFile]:
    tiles = tiles_of(grid)
    return [f for f in files if (tile := published(f.url).tile) is None or tile in tiles]


def _judge(counts: NDArray[np.uint32]) -> tuple[Codes, Floats]:
    """Class and % of land `(row, col)` of counts `(class, row, col)`."""
    land, water = counts[1:WATER_CLASS], counts[WATER_CLASS]
    some = land.sum(axis=0)
    igbp = np.where(some > 0, 1 + land.argmax(axis=0), np.where(water > 0, WATER_CLASS, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = 100 * some / (some + water)
    return igbp.astype(np.uint8), share.astype(np.float32)


def _count_classes(granule: modis.ModisGranule, grid: Grid, counts: NDArray[np.uint32]) -> None:
    """Add the pixels of a granule to counts `(class, row, col)`."""
    window = window_of(grid)
    part = granule.between(window.north, window.south)
    names = [name for name in modis.IGBP_LAYERS if name in part.datasets]
    if not names:
        raise ArchiveError(
            f"{granule.path}: expected IGBP classes ({' or '.join(modis.IGBP_LAYERS)}), found "
            f"{', '.join(part.datasets)}; give granules of MCD12Q1 or MCD12C1"
        )
    cells = window.cells(part.geometry_of(names[0]))
    if not cells.pixels.size:
        return
    classes = modis.igbp_classes(part.stored(names[0]), part.named.product).astype(np.uint8)
    index, here = cells.index, window.place(cells)
    for code in np.unique(classes):
        found = np.bincount(index[classes.ravel() == code], minlength=cells.pixels.size + 1)
        counts[code][here] += found[:-1].reshape(cells.shape).astype(np.uint32)


def node_land(meteo: zarr.Group, drivers: Sequence[str], block: int) -> NDArray[np.bool_]:
    """Nodes `(row, col)` that have values of some driver.

    Block by block of days until one tells nothing new, so that a short first one, or a driver
    that could not be had, does not decide.
    """
    arrays: list[Any] = [meteo[name] for name in drivers]
    land = np.zeros(arrays[0].shape[1:], bool)
    for start in range(0, arrays[0].shape[0], block):
        found = land.copy()
        for array in arrays:
            for top in range(0, array.shape[1], _BAND):
                rows = slice(top, top + _BAND)
                stored = array[start : start + block, rows]
                found[rows] |= (stored != array.fill_value).any(axis=0)
        if land.any() and (found == land).all():
            break
        land = found
    return land


def climate_of(meteo: SeriesGroup, grid: Grid) -> Codes:
    """Koeppen-Geiger classes `(row, col)` from the meteorology of a cube, 0 where unknown.

    Means over all years of monthly mean temperature and monthly rain at the nodes, brought to
    the cells like the weather itself. ArchiveError where a month of the year has no values.
    """
    land = meteo.land
    if land is None:
        raise ValueError("expected the land nodes of the meteorology, found none; write them")
    warmth, rain = (_monthly(meteo, name) for name in ("ta", "p"))
    codes = np.zeros(grid.shape, np.uint8)
    for top in range(0, grid.rows, _BAND):
        rows = slice(top, min(top + _BAND, grid.rows))
        part = grid.crop(rows, slice(0, grid.cols))
        stencil = bilinear(meteo.grid, part)
        down, across = stencil.rows.read, stencil.cols.read
        near = land[np.ix_(down, across)]
        ta, p = (interpolate(f[:, down][:, :, across], near, stencil) for f in (warmth, rain))
        codes[rows] = classify(ta, p, part.lat[:, None])
    return codes


def _monthly(meteo: SeriesGroup, name: str) -> Floats:
    """Means over the years of the months `(12, row, col)`: degC, or mm a month for rain."""
    days = np.arange(meteo.first, meteo.last + 1)
    months = months_of(days)
    means = np.full((12, *meteo.grid.shape), np.nan, np.float32)
    for rows in _row_parts(meteo.grid):
        values = meteo.read(name, slice(0, meteo.count), rows, np.arange(meteo.grid.cols))
        for month in range(12):
            chosen = values[months == month + 1]
            known = np.isfinite(chosen).sum(axis=0)
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = np.where(np.isfinite(chosen), chosen, 0).sum(axis=0, dtype=float) / known
            means[month, rows] = np.where(known >= _LEAST_DAYS, mean, np.nan)
    if np.isnan(means).all(axis=(1, 2)).any():
        raise ArchiveError(
            f"static.koppen: expected values of {name} in every month of the year to derive the "
            "climate from, found months without; name a map, or ingest a whole year"
        )
    return means * _MONTH_LENGTHS[:, None, None] if name == "p" else means


_MONTH_LENGTHS = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.float32)


def _row_parts(grid: Grid) -> Iterator[NDArray[np.int64]]:
    """Rows of a grid, a few at a time."""
    return (np.arange(top, min(top + 20, grid.rows)) for top in range(0, grid.rows, 20))
