"""A GeoTIFF in degrees, read lazily, and the pieces into which its pixels and cells divide it.

Pixels are split at the edges of cells, so that any resolution fits any other. The geographic datum
is never shifted: MODIS maps in degrees name an ellipsoid that they do not use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import rioxarray
import xarray as xr
from numpy.typing import NDArray

from upscale.archives.legends.proven import MapSample
from upscale.grid import Grid
from upscale.remote.errors import ArchiveError

#: Rows of the grid computed at a time: this bounds memory for maps of 1 km.
_BAND = 16

#: Rows of the map read at a time for its codes, and pixels across a sample of it.
_STRIP, _SAMPLED = 1024, 500


@dataclass(frozen=True, eq=False)
class Pieces:
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

    def of(self, low: int, high: int) -> Pieces:
        """The pieces of cells `low` to `high - 1`, cells counted from `low`."""
        inside = (self.cell >= low) & (self.cell < high)
        return Pieces(self.pixel[inside], self.cell[inside] - low, self.size[inside])


@dataclass(frozen=True, eq=False)
class GeoMap:
    """A map in degrees, read lazily: `(row, col)` north to south, west to east from -180."""

    path: Path
    data: xr.DataArray
    lat_edges: NDArray[np.float64]
    lon_edges: NDArray[np.float64]
    fill: float | None

    @property
    def held(self) -> set[int]:
        """The codes that occur, without the fill value."""
        return self._contents[0]

    @property
    def sample(self) -> MapSample:
        """Some of the pixels, evenly spread."""
        return self._contents[1]

    @cached_property
    def _contents(self) -> tuple[set[int], MapSample]:
        """The codes and the sample, in one reading; ArchiveError for a map that is no codes."""
        if self.data.dtype.kind not in "iu":
            raise ArchiveError(f"{self.path}: expected codes, found {self.data.dtype} values")
        held: set[int] = set()
        across, down = (max(1, size // _SAMPLED) for size in self.data.shape[::-1])
        rows, parts = np.arange(0, self.data.shape[0], down), []
        for top in range(0, self.data.shape[0], _STRIP):
            strip = self.data[top : top + _STRIP].values
            held |= set(np.unique(strip).tolist())
            inside = rows[(rows >= top) & (rows < top + strip.shape[0])] - top
            parts.append(strip[inside, ::across])
        codes = np.concatenate(parts)
        if self.fill is not None:
            codes = np.where(codes == self.fill, 0, codes)
        lat, lon = ((edges[1:] + edges[:-1]) / 2 for edges in (self.lat_edges, self.lon_edges))
        return held - {self.fill}, MapSample(codes, lat[::down], lon[::across])

    def bands(self, grid: Grid) -> Iterator[tuple[slice, NDArray[np.generic], Pieces, Pieces]]:
        """Bands of grid rows, each with its pixels `(row, col)` and the pieces of both axes."""
        rows = _pieces(-self.lat_edges, -_edges(grid.lat_bounds), _sines)
        cols = _pieces(self.lon_edges, _edges(grid.lon_bounds), _lengths)
        for top in range(0, grid.rows, _BAND):
            bottom = min(top + _BAND, grid.rows)
            part = rows.of(top, bottom)
            if part.pixel.size and cols.pixel.size:
                first = int(part.pixel.min())
                pixels = self.data[first : int(part.pixel.max()) + 1].values
                near = Pieces(part.pixel - first, part.cell, part.size)
                yield slice(top, bottom), pixels, near, cols


def open_map(path: str | Path) -> GeoMap:
    """Open a GeoTIFF of one band in degrees; ArchiveError where it is projected or no map."""
    found = opened(path)
    if found.sizes["band"] != 1:
        raise ArchiveError(f"{path}: expected one band, found several; extract the band of classes")
    if found.rio.crs is not None and not found.rio.crs.is_geographic:
        raise ArchiveError(
            f"{path}: expected latitude and longitude, found {found.rio.crs}; warp it with "
            "`gdalwarp -t_srs EPSG:4326 -r near` first"
        )
    data = found.isel(band=0, drop=True)
    turned = data.isel(y=slice(None, None, -1)) if data["y"][0] < data["y"][-1] else data
    placed = _from_west(turned)
    fill = found.rio.nodata
    lat, lon = _edges_of(placed["y"].values), _edges_of(placed["x"].values)
    if lat[-1] < -90.01 or lat[0] > 90.01:
        raise ArchiveError(f"{path}: expected latitudes, found {lat[0]:g} to {lat[-1]:g}")
    return GeoMap(Path(path), placed, lat, lon, None if fill is None else float(fill))


def opened(path: str | Path) -> xr.DataArray:
    """Any GeoTIFF `(band, y, x)`, lazily."""
    try:
        # only this driver: GDAL's other formats may refer to further files and URLs
        found = rioxarray.open_rasterio(path, cache=False, driver="GTiff")
    except OSError as error:
        raise ArchiveError(f"{path}: expected a GeoTIFF, found none ({error})") from error
    if not isinstance(found, xr.DataArray):
        raise ArchiveError(f"{path}: expected a GeoTIFF, found a file of several datasets")
    return found


def _pieces(
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    size: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Pieces:
    """Divide an axis at the ascending edges of pixels and cells; drop slivers from rounding."""
    low, high = max(source[0], target[0]), min(source[-1], target[-1])
    cuts = np.union1d(np.round(source, 9), np.round(target, 9))
    cuts = cuts[(cuts >= low - 1e-9) & (cuts <= high + 1e-9)]
    if cuts.size < 2:
        return Pieces(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    wide = np.diff(cuts) > 1e-6
    middle = ((cuts[1:] + cuts[:-1]) / 2)[wide]
    pixel, cell = (np.searchsorted(edges, middle) - 1 for edges in (source, target))
    return Pieces(pixel, cell, size(cuts)[wide])


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
