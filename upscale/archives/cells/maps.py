"""Static maps on a grid: land cover, climate classes, land fraction, elevation.

Maps are GeoTIFFs in degrees; each piece of a pixel counts with its area on the sphere. What codes
mean is read from the file, named by the user, or proven by the codes (`map_legends`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from upscale.archives.cells.geomap import GeoMap, Pieces, open_map, opened
from upscale.archives.cells.map_legends import (
    NamedLegend,
    climate_legend,
    cover_legend,
    legends_in_words,
)
from upscale.archives.granule import Description, Layer
from upscale.archives.legends.known import Legend
from upscale.archives.legends.stated import names_in_text
from upscale.calendar import date_in_year
from upscale.grid import Grid
from upscale.remote.errors import ArchiveError
from upscale.variables import ICE_CLASS, KOPPEN, WATER_CLASS, class_code

Codes = NDArray[np.uint8]
Floats = NDArray[np.float32]

_CLASSES = 256


def land_cover(path: str | Path, grid: Grid, legend: NamedLegend | None = None) -> Codes:
    """IGBP class `(row, col)` by majority: 1..17 as in MCD12Q1, 0 where it is unknown.

    legend: its name in `legends.known`, or names of classes by code; by default what the file says
    or its codes prove. Raises ArchiveError where neither does, where codes and legend disagree, or
    where the map is upside down.
    """
    source = open_map(path)
    classes = _majority(source, grid, _table(source, cover_legend(source, legend)))
    _check_upright(source, grid, classes, ICE_CLASS)
    return classes


def climate(path: str | Path, grid: Grid, legend: NamedLegend | None = None) -> Codes:
    """Koeppen-Geiger class `(row, col)` by majority of land: 1..30, 0 where it is unknown.

    legend and errors: as `land_cover`; codes prove a legend by the places where they stand.
    """
    source = open_map(path)
    classes = _majority(source, grid, _table(source, climate_legend(source, legend)))
    _check_upright(source, grid, classes, class_code(KOPPEN, "EF"))
    return classes


def check_climate_legend(path: str | Path) -> None:
    """ArchiveError where a legend (lines `  1:  Af ...`) differs from `variables.KOPPEN`."""
    rows = names_in_text(Path(path).read_text(errors="replace"))
    found = {code: name.split()[0] for code, name in rows.items()}
    expected = dict(enumerate(KOPPEN, start=1))
    if found != expected:
        other = sorted(set(found.items()) ^ set(expected.items()))[:3]
        raise ArchiveError(
            f"{path}: expected the 30 classes of Beck et al., found differences in {other}"
        )


def land_share(path: str | Path, grid: Grid, water: Sequence[int]) -> Floats:
    """Share of each cell that is land, % `(row, col)`, from a mask or a map of any classes.

    water: codes of water, such as (0,) in a land mask. Fill values count neither as land nor as
    water; NaN where a cell has nothing else.
    """
    source = open_map(path)
    kinds = np.full(_CLASSES, _LAND, np.uint8)
    kinds[[255, *_fill_of(source)]] = 0
    kinds[list(water)] = _WATER
    return _share(source, grid, kinds)


def land_share_of_cover(path: str | Path, grid: Grid, legend: NamedLegend | None = None) -> Floats:
    """`land_share` of a map of IGBP classes; codes without a class count for nothing."""
    source = open_map(path)
    classes = _table(source, cover_legend(source, legend))
    kinds = np.where(classes == 0, 0, np.where(classes == WATER_CLASS, _WATER, _LAND))
    return _share(source, grid, kinds.astype(np.uint8))


_LAND, _WATER = 1, 2


def _share(source: GeoMap, grid: Grid, kinds: Codes) -> Floats:
    """% of land `(row, col)` of a map whose codes are `_LAND`, `_WATER` or nothing."""
    share = np.full(grid.shape, np.nan, np.float32)
    for rows, areas in _areas(source, grid, kinds, 3):
        with np.errstate(invalid="ignore", divide="ignore"):
            share[rows] = 100 * areas[..., _LAND] / areas[..., 1:].sum(axis=-1)
    return share


def mean_of(path: str | Path, grid: Grid) -> Floats:
    """Area-weighted mean `(row, col)` of a continuous map, such as elevation in m; else NaN."""
    source = open_map(path)
    mean = np.full(grid.shape, np.nan)
    for rows, pixels, down, across in source.bands(grid):
        values = pixels.astype(np.float64)
        known = np.isfinite(values) if source.fill is None else values != source.fill
        shape = rows.stop - rows.start, grid.cols
        total = _gather(np.where(known, values, 0.0), down, across, shape)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean[rows] = total / _gather(known.astype(np.float64), down, across, shape)
    return mean.astype(np.float32)


def _majority(source: GeoMap, grid: Grid, codes: Codes) -> Codes:
    """The known class with the largest area in each cell; of equal areas the lowest code."""
    classes = np.zeros(grid.shape, np.uint8)
    for rows, areas in _areas(source, grid, codes, int(codes.max()) + 1):
        areas[..., 0] = 0
        most = areas.max(axis=-1, keepdims=True)
        equal = areas >= most * (1 - 1e-9)  # equal areas may differ by rounding
        classes[rows] = np.where(most[..., 0] > 0, equal.argmax(axis=-1), 0)
    return classes


def _areas(
    source: GeoMap, grid: Grid, codes: Codes, classes: int
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Bands of grid rows and the area `(row, col, class)` of each class, in arbitrary units."""
    for rows, pixels, down, across in source.bands(grid):
        small = pixels.astype(np.uint8)
        mapped = np.where(small == pixels, codes[small], 0)  # a fill of -999 is no class 25
        shape = rows.stop - rows.start, grid.cols
        areas = np.zeros((*shape, classes))
        for code in np.unique(mapped):
            areas[..., code] = _gather((mapped == code).astype(float), down, across, shape)
        yield rows, areas


def _gather(
    pixels: NDArray[np.float64], down: Pieces, across: Pieces, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Sum of pixel x piece size over the pieces of each cell; pieces are sorted by cell."""
    belts = np.add.reduceat(pixels[down.pixel] * down.size[:, None], down.starts, axis=0)
    sums = np.add.reduceat(belts[:, across.pixel] * across.size, across.starts, axis=1)
    total = np.zeros(shape)
    total[np.ix_(down.cell[down.starts], across.cell[across.starts])] = sums
    return total


def _table(source: GeoMap, legend: Legend) -> Codes:
    """The class of each code from 0 to 255, 0 for the fill value of a map."""
    classes = np.array([legend.means(code) for code in range(_CLASSES)], np.uint8)
    classes[_fill_of(source)] = 0
    return classes


def _fill_of(source: GeoMap) -> list[int]:
    """The fill value of a map where it is one of the codes from 0 to 255."""
    fill = source.fill
    return [int(fill)] if fill is not None and 0 <= fill < _CLASSES else []


def _check_upright(source: GeoMap, grid: Grid, classes: Codes, ice: int) -> None:
    """ArchiveError where ice covers the North Pole but not the South Pole: the map is flipped."""
    south, north = classes[grid.lat < -87], classes[grid.lat > 87]
    if south.size and north.size and (north == ice).mean() > 0.5 > (south == ice).mean():
        raise ArchiveError(f"{source.path}: expected ice at the South Pole, found it at the North "
                           "Pole; the map is upside down: flip it")  # fmt: skip


class _Maps:
    """A GeoTIFF in degrees for `inspect`."""

    name = "maps"

    def matches(self, path: str) -> bool:
        return Path(path).suffix.lower() in {".tif", ".tiff"} and Path(path).is_file()

    def describe(self, path: str) -> Description:
        image, name = opened(path), Path(path).name
        found = re.match(r"(M[A-Z]D\w+)\.A(\d{4})(\d{3})\.(\d{3})", name)
        product, collection = (found[1], found[4]) if found else ("map", "")
        product = "Koeppen-Geiger" if "koppen" in name.lower() else product
        date = _date_in(found[2], found[3]) if found else ""
        grid = _grid_in_words(image)
        believes = legends_in_words(path)
        return Description(name, product, collection, grid, date, _band_names(image), believes)

    def layers(self, path: str) -> Iterator[Layer]:
        image = opened(path)
        for place, name in enumerate(_band_names(image)):
            values = image[place].values.astype(np.float32)
            if image.rio.nodata is not None:
                values[values == np.float32(image.rio.nodata)] = np.nan
            coded = any("legend" in line for line in legends_in_words(path))
            yield Layer(name, str(image.attrs.get("units", "1")), values, codes=coded)


def _date_in(year: str, number: str) -> str:
    """The date in a file name, "" where its year has no such day."""
    try:
        return str(date_in_year(int(year), int(number)))
    except ValueError:
        return ""


def _band_names(image: xr.DataArray) -> tuple[str, ...]:
    return tuple(f"band_{number}" for number in image["band"].values)


def _grid_in_words(image: xr.DataArray) -> str:
    rows, cols = image.shape[1:]
    west, south, east, north = image.rio.bounds()
    crs = image.rio.crs
    unit = "degrees" if crs is None or crs.is_geographic else f"in {crs.to_string()[:60]}"
    return (
        f"{rows} x {cols} pixels, {south:g} to {north:g} north, {west:g} to {east:g} east, {unit}"
    )


MAPS = _Maps()
