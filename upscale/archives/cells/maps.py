"""Static maps on a grid: land cover, climate classes, land fraction, elevation.

Maps are GeoTIFFs in degrees. Pixels are split at the edges of cells, so that any resolution fits
any other, and each piece counts with its area on the sphere. The geographic datum is never
shifted: MODIS maps in degrees name an ellipsoid that they do not use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import rioxarray
import xarray as xr
from numpy.typing import NDArray

from upscale.archives.granule import Description, Layer
from upscale.calendar import date_in_year
from upscale.grid import Grid
from upscale.remote.errors import ArchiveError
from upscale.variables import ICE_CLASS, IGBP, KOPPEN, WATER_CLASS, class_code

Codes = NDArray[np.uint8]
Floats = NDArray[np.float32]

#: Legend of a land cover map: water is 17 in MCD12Q1 and 0 in MCD12C1.
CoverLegend = Literal["MCD12Q1", "MCD12C1"]

#: Rows of the grid computed at a time: this bounds memory for maps of 1 km.
_BAND = 16

_CLASSES = 256

#: Number of IGBP classes, and one for unknown (0).
_CODES = len(IGBP) + 1


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Pieces into which edges of pixels and cells divide one axis.

    pixel, cell, size: `(piece,)`, the pixel and the cell that a piece belongs to, and its length.
    """

    pixel: NDArray[np.int64]
    cell: NDArray[np.int64]
    size: NDArray[np.float64]

    @property
    def starts(self) -> NDArray[np.int64]:
        """The first piece of each cell."""
        return np.flatnonzero(np.diff(self.cell, prepend=-1))

    def of(self, low: int, high: int) -> _Pieces:
        """The pieces of cells `low` to `high - 1`, cells counted from `low`."""
        inside = (self.cell >= low) & (self.cell < high)
        return _Pieces(self.pixel[inside], self.cell[inside] - low, self.size[inside])


@dataclass(frozen=True, eq=False)
class GeoMap:
    """A map in degrees, read lazily: `(row, col)` north to south, west to east from -180."""

    path: Path
    data: xr.DataArray
    lat_edges: NDArray[np.float64]
    lon_edges: NDArray[np.float64]
    fill: float | None

    def bands(self, grid: Grid) -> Iterator[tuple[slice, NDArray[np.generic], _Pieces, _Pieces]]:
        """Bands of grid rows, each with its pixels `(row, col)` and the pieces of both axes."""
        rows = _pieces(-self.lat_edges, -_edges(grid.lat_bounds), _sines)
        cols = _pieces(self.lon_edges, _edges(grid.lon_bounds), _lengths)
        for top in range(0, grid.rows, _BAND):
            bottom = min(top + _BAND, grid.rows)
            part = rows.of(top, bottom)
            if part.pixel.size and cols.pixel.size:
                first = int(part.pixel.min())
                pixels = self.data[first : int(part.pixel.max()) + 1].values
                near = _Pieces(part.pixel - first, part.cell, part.size)
                yield slice(top, bottom), pixels, near, cols


def open_map(path: str | Path) -> GeoMap:
    """Open a GeoTIFF of one band in degrees; ArchiveError where it is projected or no map."""
    opened = _opened(path)
    if opened.sizes["band"] != 1:
        raise ArchiveError(f"{path}: expected one band, found several; extract the band of classes")
    if opened.rio.crs is not None and not opened.rio.crs.is_geographic:
        raise ArchiveError(
            f"{path}: expected latitude and longitude, found {opened.rio.crs}; warp it with "
            "`gdalwarp -t_srs EPSG:4326 -r near` first"
        )
    data = opened.isel(band=0, drop=True)
    turned = data.isel(y=slice(None, None, -1)) if data["y"][0] < data["y"][-1] else data
    placed = _from_west(turned)
    fill = opened.rio.nodata
    lat, lon = _edges_of(placed["y"].values), _edges_of(placed["x"].values)
    if lat[-1] < -90.01 or lat[0] > 90.01:
        raise ArchiveError(f"{path}: expected latitudes, found {lat[0]:g} to {lat[-1]:g}")
    return GeoMap(Path(path), placed, lat, lon, None if fill is None else float(fill))


def _opened(path: str | Path) -> xr.DataArray:
    """Any GeoTIFF `(band, y, x)`, lazily."""
    try:
        # only this driver: GDAL's other formats may refer to further files and URLs
        opened = rioxarray.open_rasterio(path, cache=False, driver="GTiff")
    except OSError as error:
        raise ArchiveError(f"{path}: expected a GeoTIFF, found none ({error})") from error
    if not isinstance(opened, xr.DataArray):
        raise ArchiveError(f"{path}: expected a GeoTIFF, found a file of several datasets")
    return opened


def land_cover(path: str | Path, grid: Grid, legend: CoverLegend | None = None) -> Codes:
    """IGBP class `(row, col)` by majority: 1..17 as in MCD12Q1, 0 where it is unknown.

    legend: by default recognised from the codes. Raises ArchiveError where the codes fit neither
    legend or both, or where the map is upside down.
    """
    source = open_map(path)
    held = _held(source)
    used = legend or _legend_of(source, held)
    allowed = set(range(1, _CODES)) if used == "MCD12Q1" else set(range(WATER_CLASS))
    _check_codes(source, held, allowed, used)
    codes = np.zeros(_CLASSES, np.uint8)
    codes[1:_CODES] = np.arange(1, _CODES)
    if used == "MCD12C1":
        codes[0], codes[WATER_CLASS] = WATER_CLASS, 0
    codes = _without_fill(source, codes)
    classes = _majority(source, grid, codes)
    _check_upright(source, grid, classes, ICE_CLASS)
    return classes


def cover_legend(path: str | Path, legend: CoverLegend | None = None) -> CoverLegend:
    """The legend of a land cover map: the given one, else the one that its codes fit."""
    source = open_map(path)
    return legend or _legend_of(source, _held(source))


def climate(path: str | Path, grid: Grid, legend: str | Path | None = None) -> Codes:
    """Koeppen-Geiger class `(row, col)` by majority of land: 1..30, 0 where it is unknown.

    Maps of Beck et al. (2018, 2023) and Cui et al. (2021) use codes 1..30 in the same order and
    0 for ocean. legend: the text file published with Beck's maps, checked where it is given.
    Raises ArchiveError where codes or legend differ, or where the map is upside down.
    """
    source = open_map(path)
    if legend is not None:
        check_climate_legend(legend)
    _check_codes(source, _held(source), set(range(31)), "Koeppen-Geiger")
    codes = np.zeros(_CLASSES, np.uint8)
    codes[1:31] = np.arange(1, 31)
    classes = _majority(source, grid, _without_fill(source, codes))
    _check_upright(source, grid, classes, class_code(KOPPEN, "EF"))
    return classes


def check_climate_legend(path: str | Path) -> None:
    """ArchiveError where a legend (lines `  1:  Af ...`) differs from `variables.KOPPEN`."""
    rows = re.findall(r"^\s*(\d+):\s+(\w+)", Path(path).read_text(errors="replace"), re.MULTILINE)
    found = {int(code): name for code, name in rows}
    expected = dict(enumerate(KOPPEN, start=1))
    if found != expected:
        other = sorted(set(found.items()) ^ set(expected.items()))[:3]
        raise ArchiveError(
            f"{path}: expected the 30 classes of Beck et al., found differences in {other}"
        )


def land_share(path: str | Path, grid: Grid, water: Sequence[int]) -> Floats:
    """Share of each cell that is land, % `(row, col)`, from a map of classes or a mask.

    water: codes of water, such as (17,) in MCD12Q1, (0,) in MCD12C1 or in a land mask.
    Fill values count neither as land nor as water; NaN where a cell has nothing else.
    """
    source = open_map(path)
    kinds = np.ones(_CLASSES, np.uint8)
    kinds[list(water)] = 2
    share = np.full(grid.shape, np.nan, np.float32)
    for rows, areas in _areas(source, grid, _without_fill(source, kinds, unless=water), 3):
        with np.errstate(invalid="ignore", divide="ignore"):
            share[rows] = 100 * areas[..., 1] / areas[..., 1:].sum(axis=-1)
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
        mapped = codes[pixels.astype(np.uint8)]
        shape = rows.stop - rows.start, grid.cols
        areas = np.zeros((*shape, classes))
        for code in np.unique(mapped):
            areas[..., code] = _gather((mapped == code).astype(float), down, across, shape)
        yield rows, areas


def _gather(
    pixels: NDArray[np.float64], down: _Pieces, across: _Pieces, shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Sum of pixel x piece size over the pieces of each cell; pieces are sorted by cell."""
    belts = np.add.reduceat(pixels[down.pixel] * down.size[:, None], down.starts, axis=0)
    sums = np.add.reduceat(belts[:, across.pixel] * across.size, across.starts, axis=1)
    total = np.zeros(shape)
    total[np.ix_(down.cell[down.starts], across.cell[across.starts])] = sums
    return total


def _pieces(
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    size: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> _Pieces:
    """Divide an axis at the ascending edges of pixels and cells; drop slivers from rounding."""
    low, high = max(source[0], target[0]), min(source[-1], target[-1])
    cuts = np.union1d(np.round(source, 9), np.round(target, 9))
    cuts = cuts[(cuts >= low - 1e-9) & (cuts <= high + 1e-9)]
    if cuts.size < 2:
        return _Pieces(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    wide = np.diff(cuts) > 1e-6
    middle = ((cuts[1:] + cuts[:-1]) / 2)[wide]
    pixel, cell = (np.searchsorted(edges, middle) - 1 for edges in (source, target))
    return _Pieces(pixel, cell, size(cuts)[wide])


def _lengths(cuts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.diff(cuts))


def _sines(cuts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas between successive latitudes, up to a constant factor."""
    return np.asarray(np.diff(np.sin(np.radians(np.clip(cuts, -90, 90)))))


def _edges(bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.append(bounds[:, 0], bounds[-1, 1])


def _edges_of(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    step = float(centres[-1] - centres[0]) / max(centres.size - 1, 1)
    return np.asarray(centres[0] + step * (np.arange(centres.size + 1) - 0.5))


def _from_west(data: xr.DataArray) -> xr.DataArray:
    """The map with longitudes from -180 to 180, also where its own run from 0 to 360."""
    x = data["x"].values
    if x[-1] <= 180:
        return data
    start = int(np.searchsorted(x, 180))
    rolled = xr.concat([data[:, start:], data[:, :start]], "x", join="override")
    return rolled.assign_coords(x=np.concatenate([x[start:] - 360, x[:start]]))


def _held(source: GeoMap) -> set[int]:
    """The codes that occur in a map, without its fill value."""
    held: set[int] = set()
    if source.data.dtype.kind not in "iu":
        raise ArchiveError(f"{source.path}: expected codes, found {source.data.dtype} values")
    for top in range(0, source.data.shape[0], 1024):
        held |= set(np.unique(source.data[top : top + 1024].values).tolist())
    return held - {source.fill}


def _legend_of(source: GeoMap, held: set[int]) -> CoverLegend:
    if {0, WATER_CLASS} <= held:
        raise ArchiveError(
            f"{source.path}: expected water as 17 (MCD12Q1) or as 0 (MCD12C1), found both codes; "
            "say which legend the map has"
        )
    return "MCD12C1" if 0 in held else "MCD12Q1"


def _check_codes(source: GeoMap, held: set[int], allowed: set[int], legend: str) -> None:
    other = sorted(held - allowed - {0, 255})
    if other:
        raise ArchiveError(
            f"{source.path}: expected codes {min(allowed)} to {max(allowed)} of {legend}, found "
            f"{other[:5]}; this map has another legend"
        )


def _without_fill(source: GeoMap, codes: Codes, unless: Sequence[int] = ()) -> Codes:
    """Codes with the fill value of the map, and 255, set to 0."""
    for fill in {255, int(source.fill) if source.fill is not None else 255} - set(unless):
        codes[fill % _CLASSES] = 0
    return codes


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
        image, name = _opened(path), Path(path).name
        found = re.match(r"(M[A-Z]D\w+)\.A(\d{4})(\d{3})\.(\d{3})", name)
        product, collection = (found[1], found[4]) if found else ("map", "")
        product = "Koeppen-Geiger" if "koppen" in name.lower() else product
        date = _date_in(found[2], found[3]) if found else ""
        grid = _grid_in_words(image)
        return Description(name, product, collection, grid, date, _band_names(image))

    def layers(self, path: str) -> Iterator[Layer]:
        image = _opened(path)
        for place, name in enumerate(_band_names(image)):
            values = image[place].values.astype(np.float32)
            if image.rio.nodata is not None:
                values[values == np.float32(image.rio.nodata)] = np.nan
            yield Layer(name, str(image.attrs.get("units", "1")), values)


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
