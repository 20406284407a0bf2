"""A synthetic land surface in granules on sinusoidal grids: whole archives for tests.

Granules are cut-outs of their tiles around a box, in the documented layouts. The value of a
pixel is a smooth function of place and day, so that a test can compute any cell independently.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.archives.cells.sinusoidal import pixel_centres
from upscale.archives.formats.structure import TILE, Geometry, tiles_over
from upscale.calendar import number_in_year
from upscale.testing.granules import StoredGrid, tile_corners, write_modis
from upscale.variables import IGBP, WATER_CLASS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_GOOD_STATE, _CLOUDY = 8 + 64, 1  # clear, land, low aerosol; the bit of a cloudy sky
_GOOD_QC = 0x40000000
_REFLECTANCE = {"_FillValue": -28672, "valid_range": (-100, 16000), "scale_factor": 10000.0,
                "add_offset": 0.0, "units": "reflectance"}  # fmt: skip
_STATE = {"_FillValue": 65535, "valid_range": (0, 57335)}
_QC = {"_FillValue": 787410671, "valid_range": (0, 4294966019)}


@dataclass(frozen=True)
class SceneBounds:
    """Bounds in degrees of the region that a synthetic archive covers."""

    south: float
    north: float
    west: float
    east: float

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """Sinusoidal tiles (h, v) that the region touches."""
        return sorted(tiles_over(self.north, self.south, self.west, self.east))


def reflectance(band: int, lat: Floats, lon: Floats, date: dt.date) -> Floats:
    """Reflectance of a MODIS band at places on a day, a fraction, in steps of 0.0001."""
    season = np.sin(2 * np.pi * (number_in_year(date) - 100) / 365)
    green = 0.5 + 0.3 * season + 0.15 * np.sin(9 * lat) * np.cos(7 * lon)
    soil, leaf = (
        (0.20, 0.27, 0.11, 0.16, 0.34, 0.38, 0.32),
        (0.03, 0.42, 0.02, 0.05, 0.38, 0.2, 0.1),
    )
    value = soil[band - 1] * (1 - green) + leaf[band - 1] * green
    return np.asarray(np.round(value, 4))


def cloudy(lat: Floats, lon: Floats, date: dt.date) -> Bools:
    """True under cloud: bands of cloud that change every day, and full cover on some days."""
    day = date.toordinal()
    if day % 11 == 3:
        return np.ones(np.broadcast(lat, lon).shape, bool)
    return np.asarray(np.sin(40 * lat + 23 * lon + 2.4 * day) > 0.3)


@lru_cache(maxsize=32)
def cut_out(box: SceneBounds, tile: tuple[int, int], per_tile: int, whole: int) -> Geometry:
    """The pixels of a tile that touch a box; rows and columns are multiples of `whole`."""
    left, top = tile_corners(*tile)[:2]
    size = TILE / per_tile
    full = Geometry("cut", True, per_tile, per_tile, left, top, size)
    lat, lon = pixel_centres(full)
    inside = (lat[:, None] < box.north) & (lat[:, None] > box.south)
    inside = inside & (lon < box.east) & (lon > box.west)
    rows, cols = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        rows, cols = np.array([0]), np.array([0])
    first, end = _multiple(rows, whole), _multiple(rows, whole, up=True)
    west, east = _multiple(cols, whole), _multiple(cols, whole, up=True)
    return Geometry(
        "cut", True, end - first, east - west, left + west * size, top - first * size, size
    )


def _multiple(index: NDArray[np.intp], whole: int, up: bool = False) -> int:
    if up:
        return int(-(-(int(index[-1]) + 1) // whole) * whole)
    return int(index[0]) // whole * whole


def write_mod09ga(
    folder: Path,
    box: SceneBounds,
    tile: tuple[int, int],
    date: dt.date,
    *,
    produced: str = "2020001000000",
    product: str = "MOD09GA",
    brighter: float = 0.0,
) -> Path:
    """Daily reflectance of a tile: bands 1, 2, 3 and 7, state and QC.

    brighter: reflectance added to every band, as by a new version.
    """
    fine = cut_out(box, tile, 2400, 2)
    lat, lon = pixel_centres(fine)
    shape = fine.rows, fine.cols
    where = np.broadcast_to(lat[:, None], shape)
    layers: dict[str, Any] = {}
    for band in (1, 2, 3, 7):
        value = reflectance(band, where, lon, date) + brighter
        layers[f"sur_refl_b{band:02d}_1"] = _numbers(value), _REFLECTANCE
    layers["QC_500m_1"] = np.full(shape, _GOOD_QC, np.uint32), _QC
    state = np.full((fine.rows // 2, fine.cols // 2), _GOOD_STATE, np.uint16)
    hidden = cloudy(where, lon, date).reshape(fine.rows // 2, 2, fine.cols // 2, 2).any(axis=(1, 3))
    state[hidden] |= _CLOUDY
    corners = _corners(fine)
    path = folder / _name(product, date, tile, produced)
    write_modis(
        path,
        StoredGrid("MODIS_Grid_1km_2D", corners, {"state_1km_1": (state, _STATE)}),
        StoredGrid("MODIS_Grid_500m_2D", corners, layers),
    )
    return path


def write_mcd15a2h(
    folder: Path,
    box: SceneBounds,
    tile: tuple[int, int],
    date: dt.date,
    produced: str = "2020001000000",
) -> Path:
    """fAPAR of 8 days of a tile, all from the main algorithm."""
    geometry = cut_out(box, tile, 2400, 2)
    lat, lon = pixel_centres(geometry)
    value = fapar(np.broadcast_to(lat[:, None], lon.shape), lon, date)
    stored = np.rint(value * 100).astype(np.uint8)
    layers = {
        "Fpar_500m": (stored, {"_FillValue": 255, "valid_range": (0, 100), "scale_factor": 0.01}),
        "FparLai_QC": (np.zeros_like(stored), {"_FillValue": 255, "valid_range": (0, 254)}),
    }
    path = folder / _name("MCD15A2H", date, tile, produced)
    write_modis(path, StoredGrid("MOD_Grid_MOD15A2H", _corners(geometry), layers))
    return path


def fapar(lat: Floats, lon: Floats, date: dt.date) -> Floats:
    """fAPAR at places on a day, in steps of 0.01."""
    season = np.sin(2 * np.pi * (number_in_year(date) - 100) / 365)
    return np.asarray(np.round(0.5 + 0.3 * season + 0.1 * np.sin(8 * lat + 5 * lon), 2))


def write_mcd12q1(folder: Path, box: SceneBounds, tile: tuple[int, int], year: int) -> Path:
    """Land cover of a tile: see `land_class`."""
    geometry = cut_out(box, tile, 2400, 2)
    lat, lon = pixel_centres(geometry)
    stored = land_class(np.broadcast_to(lat[:, None], lon.shape), lon)
    path = folder / _name("MCD12Q1", dt.date(year, 1, 1), tile, "2020001000000")
    layers = {"LC_Type1": (stored, {"_FillValue": 255, "valid_range": (1, len(IGBP))})}
    write_modis(path, StoredGrid("MCD12Q1", _corners(geometry), layers))
    return path


def land_class(lat: Floats, lon: Floats) -> NDArray[np.uint8]:
    """IGBP class at places: forest, grass and crops in patches, and a lake."""
    patch = np.sin(11 * lat) + np.cos(13 * lon)
    classes = np.where(patch > 0.5, 4, np.where(patch > -0.5, 10, 12))
    return np.where(np.sin(5 * lat + 3 * lon) > 0.9, WATER_CLASS, classes).astype(np.uint8)


def _numbers(value: Floats) -> NDArray[np.int16]:
    return np.rint(value * 10000).astype(np.int16)


def _corners(geometry: Geometry) -> tuple[float, float, float, float]:
    right = geometry.left + geometry.cols * geometry.pixel
    return geometry.left, geometry.top, right, geometry.top - geometry.rows * geometry.pixel


def _name(product: str, date: dt.date, tile: tuple[int, int], produced: str) -> str:
    h, v = tile
    return f"{product}.A{date:%Y%j}.h{h:02d}v{v:02d}.061.{produced}.hdf"


def write_map(path: Path, box: SceneBounds, step: float, codes: Mapping[str, Any]) -> Path:
    """A GeoTIFF of classes in degrees: `codes['of']` is a function of latitudes and longitudes."""
    import rioxarray  # noqa: F401, adds .rio
    import xarray as xr

    rows, cols = round((box.north - box.south) / step), round((box.east - box.west) / step)
    lat = box.north - (np.arange(rows) + 0.5) * step
    lon = box.west + (np.arange(cols) + 0.5) * step
    values = codes["of"](np.broadcast_to(lat[:, None], (rows, cols)), lon[None, :])
    image = xr.DataArray(values, {"y": lat, "x": lon}, ("y", "x")).rio.write_crs("EPSG:4326")
    image.rio.to_raster(path)
    return path
