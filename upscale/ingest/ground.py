"""What does not change with time: classes, land share, height, and the climate of a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from upscale.archives.cells import maps
from upscale.archives.cells.cellwise import window_of
from upscale.archives.cells.map_legends import legend_in_words
from upscale.archives.satellite import modis
from upscale.archives.satellite.published import published
from upscale.grid import Grid
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


@dataclass(frozen=True, eq=False)
class Ground:
    """Static layers `(row, col)`: classes, 0 = unknown; % of land; m.

    legends: by layer, the legend of its map and why it is believed.
    """

    igbp: Codes
    koppen: Codes
    sftlf: Floats
    elevation: Floats
    legends: Mapping[str, str] = field(default_factory=dict)


#: Told of a file that is left out.
LeaveOut = Callable[[ListedFile, Exception], None]


def read_ground(files: GroundFiles, grid: Grid, local: Local, leave_out: LeaveOut) -> Ground:
    """The static layers on a grid; ArchiveError where a map cannot be read, or has no land.

    leave_out: is told of granules of land cover that cannot be read.
    """
    legends: dict[str, str] = {}
    igbp, share = _cover(files, grid, local, leave_out)
    if _is_geotiff(files.igbp[0]):
        with local(files.igbp[0]) as path:
            legends["igbp"] = legend_in_words(path, "igbp", files.legend)
    if files.sftlf:
        with local(files.sftlf[0]) as path:
            share = maps.land_share(path, grid, files.water)
    koppen = np.zeros(grid.shape, np.uint8)
    if files.koppen is not None:
        with local(files.koppen) as path:
            koppen = maps.climate(path, grid, files.koppen_legend)
            legends["koppen"] = legend_in_words(path, "koppen", files.koppen_legend)
    elevation = np.full(grid.shape, np.nan, np.float32)
    if files.elevation is not None:
        with local(files.elevation) as path:
            elevation = maps.mean_of(path, grid)
    if not (share > 0).any():
        raise ArchiveError(
            "static: expected some land in the region, found none; check the maps and the region"
        )
    return Ground(igbp, koppen, share, elevation, legends)


def _cover(
    files: GroundFiles, grid: Grid, local: Local, leave_out: LeaveOut
) -> tuple[Codes, Floats]:
    """Classes and % of land: of one GeoTIFF, or of granules."""
    first = files.igbp[0]
    if not _is_geotiff(first):
        return _cover_of_granules(files.igbp, grid, local, leave_out)
    if len(files.igbp) > 1:
        raise ArchiveError(
            f"static.igbp: expected one GeoTIFF, found {len(files.igbp)}; merge them first"
        )
    with local(first) as path:
        igbp = maps.land_cover(path, grid, files.legend)
        return igbp, maps.land_share_of_cover(path, grid, files.legend)


def _is_geotiff(found: ListedFile) -> bool:
    return found.url.lower().endswith((".tif", ".tiff"))


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
        igbp[rows], share[rows] = _class_and_share(counts)
    return igbp, share


def _touching(files: Sequence[ListedFile], grid: Grid) -> list[ListedFile]:
    tiles = tiles_of(grid)
    return [f for f in files if (tile := published(f.url).tile) is None or tile in tiles]


def _class_and_share(counts: NDArray[np.uint32]) -> tuple[Codes, Floats]:
    """Class and % of land `(row, col)` of counts `(class, row, col)`."""
    land, water = counts[1:WATER_CLASS], counts[WATER_CLASS]
    some = land.sum(axis=0)
    igbp = np.where(some > 0, 1 + land.argmax(axis=0), np.where(water > 0, WATER_CLASS, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = 100 * some / (some + water)
    return igbp.astype(np.uint8), share.astype(np.float32)


def _count_classes(granule: modis.ModisGranule, grid: Grid, counts: NDArray[np.uint32]) -> None:
    """Add the pixels of a granule to counts `(class, row, col)`."""
    rectangle = window_of(grid)
    part = granule.between(rectangle.north, rectangle.south)
    names = modis.igbp_layers(part)
    if not names:
        raise ArchiveError(
            f"{granule.path}: expected IGBP classes ({' or '.join(modis.IGBP_LAYERS)}), found "
            f"{', '.join(part.datasets)}; give granules of MCD12Q1 or MCD12C1"
        )
    cells = rectangle.cells(part.geometry_of(names[0]))
    if not cells.pixels.size:
        return
    classes = modis.igbp_classes(part.stored(names[0]), names[0]).astype(np.uint8)
    index, here = cells.index, rectangle.place(cells)
    for code in np.unique(classes):
        found = np.bincount(index[classes.ravel() == code], minlength=cells.pixels.size + 1)
        counts[code][here] += found[:-1].reshape(cells.shape).astype(np.uint32)
