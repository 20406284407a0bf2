"""Real granules: each read to its right values, by stored numbers and by Debian's GDAL."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pyproj
import pytest

from upscale.archives.cells.sinusoidal import cells_of, sum_cells, sum_layers
from upscale.archives.satellite import modis
from upscale.archives.source import open_source

GRIDS = Path(os.environ.get("UPSCALE_TEST_DATA", "/nowhere")) / "grids"
pytestmark = pytest.mark.skipif(not GRIDS.is_dir(), reason="UPSCALE_TEST_DATA is not set")

FAPAR = "MODIStsp/MCD15A2H.A2016201.h18v05.006.2016215124658.hdf"
ALBEDO = "MODIStsp/MCD43A3.A2017199.h15v07.006.2017208032853.hdf"
LST = "MODIStsp/MOD11B2.A2017001.h14v04.006.2017013155631.hdf"
NDVI = "MODIS_R/MOD13A2.A2016145.h18v04.006.2016166145124.hdf"
REFLECTANCE = "rioxarray/MOD09GA.A2008296.h14v17.006.2015181011753.hdf"


def stored(file: str, layer: str) -> np.ndarray:
    """The numbers as pyhdf gives them, without this package."""
    sd = pytest.importorskip("pyhdf.SD")
    opened = sd.SD(str(GRIDS / file), sd.SDC.READ)
    numbers = np.array(opened.select(layer).get())
    opened.end()
    return numbers


@pytest.mark.parametrize(
    ("file", "layer", "fill", "low", "high", "factor", "offset"),
    [
        (FAPAR, "Fpar_500m", 255, 0, 100, 0.01, 0),
        (FAPAR, "Lai_500m", 255, 0, 100, 0.1, 0),
        (ALBEDO, "Albedo_WSA_Band2", 32767, 0, 32767, 0.001, 0),
        (LST, "LST_Day_6km", 0, 7500, 65535, 0.02, 0),
        (LST, "Emis_29", 0, 1, 255, 0.002, 0.49),
        (LST, "Day_view_angl", 255, 0, 130, 1, -65),
        (NDVI, "1 km 16 days NDVI", -3000, -2000, 10000, 0.0001, 0),
        (REFLECTANCE, "sur_refl_b02_1", -28672, -100, 16000, 0.0001, 0),
        (REFLECTANCE, "Range_1", 0, 27000, 65535, 25, 0),
        (REFLECTANCE, "SolarZenith_1", -32767, 0, 18000, 0.01, 0),
    ],
)
def test_values_are_the_stored_numbers_scaled(
    file: str, layer: str, fill: int, low: int, high: int, factor: float, offset: float
) -> None:
    numbers = stored(file, layer).astype(float)
    valid = (numbers != fill) & (numbers >= low) & (numbers <= high)
    expected = np.where(valid, numbers * factor + offset, np.nan)
    read = modis.open_granule(str(GRIDS / file)).layer(layer)
    assert valid.any()
    np.testing.assert_allclose(read.values, expected, rtol=2e-7, equal_nan=True)


@pytest.mark.parametrize(
    ("file", "product", "date", "tile", "layers"),
    [
        (FAPAR, "MCD15A2H", "2016-07-19", "h18v05", 6),
        (ALBEDO, "MCD43A3", "2017-07-18", "h15v07", 30),
        (LST, "MOD11B2", "2017-01-01", "h14v04", 19),
        (NDVI, "MOD13A2", "2016-05-24", "h18v04", 3),
        (REFLECTANCE, "MOD09GA", "2008-10-22", "h14v17", 23),
    ],
)
def test_every_granule_says_what_it_is(
    file: str, product: str, date: str, tile: str, layers: int
) -> None:
    path = str(GRIDS / file)
    found = open_source(path).describe(path)
    assert (found.product, found.collection, found.date) == (product, "006", date)
    assert found.grid.startswith(tile)
    assert len(found.variables) == layers


def test_fapar_regridded_is_the_published_oracle() -> None:
    """FPAR of h18v05: cells, values and counts that were computed by other means."""
    granule = modis.open_granule(str(GRIDS / FAPAR))
    sums = sum_cells(
        granule.layer("Fpar_500m").values, None, cells_of(granule.geometry_of("Fpar_500m"))
    )
    assert (sums.pixels > 0).sum() == 49061
    assert (sums.count > 0).sum() == 12854
    assert np.nanmean(sums.mean) == pytest.approx(0.196636, abs=1e-6)
    cell = 1062 - sums.row, 3726 - sums.col
    assert sums.mean[cell] == pytest.approx(0.888860, abs=1e-6)
    assert sums.count[cell] == 114
    other = (
        round((90 - 36.475 - 0.025) / 0.05) - sums.row,
        round((2.825 + 180 - 0.025) / 0.05) - sums.col,
    )
    assert sums.mean[other] == pytest.approx(0.350784, abs=1e-6)
    assert (sums.count[other], sums.pixels[other]) == (51, 119)


def test_clouds_of_real_states_are_the_three_bits() -> None:
    state = stored(REFLECTANCE, "state_1km_1")
    layers = {x.name: x for x in modis.derived_layers(modis.open_granule(str(GRIDS / REFLECTANCE)))}
    seen = state <= 57335
    np.testing.assert_array_equal(layers["clouds"].values[seen], (state[seen] % 8 > 0))
    np.testing.assert_array_equal(layers["cloud_state"].values[seen], state[seen] % 4)
    assert np.isnan(layers["clouds"].values[~seen]).all()


def test_default_qa_of_fapar_is_the_written_out_one() -> None:
    qc = stored(FAPAR, "FparLai_QC").astype(int)
    expected = (qc % 2 == 0) & (qc // 4 % 2 == 0) & np.isin(qc // 8 % 4, (0, 3)) & (qc // 32 <= 1)
    read = modis.open_granule(str(GRIDS / FAPAR)).layer("Fpar_500m")
    assert read.usable is not None
    np.testing.assert_array_equal(read.usable, expected)
    assert (read.usable & np.isfinite(read.values)).sum() == 1_100_120


needs_gdal = pytest.mark.skipif(
    shutil.which("gdal_translate") is None, reason="needs Debian's gdal-bin"
)


def gdal_layers(path: Path) -> dict[str, str]:
    """The names by which GDAL opens the layers of a granule, by ours."""
    about = subprocess.run(["gdalinfo", path], capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"SUBDATASET_\d+_NAME=(.*)", about)
    return {name.rsplit(":", 1)[1].strip('"'): name for name in listed}


def read_by_gdal(name: str, target: Path) -> tuple[np.ndarray, tuple[float, ...]]:
    """The numbers of a layer (row, col), and left, top and pixel size, as GDAL has them."""
    subprocess.run(["gdal_translate", "-q", "-of", "ENVI", name, str(target)], check=True)
    header = dict(re.findall(r"^(.+?) *= *(.+)$", target.with_suffix(".hdr").read_text(), re.M))
    kind = {"1": "u1", "2": "i2", "3": "i4", "12": "u2", "13": "u4"}[header["data type"]]
    numbers = np.fromfile(target, kind).reshape(int(header["lines"]), int(header["samples"]))
    place = [part.strip(" {}") for part in header["map info"].split(",")]
    assert place[1:3] == ["1", "1"]
    return numbers, tuple(map(float, place[3:7]))


@needs_gdal
@pytest.mark.parametrize("path", sorted(GRIDS.glob("*/*.hdf")), ids=lambda path: path.name)
def test_gdal_reads_the_same_pixels_of_every_layer(path: Path, tmp_path: Path) -> None:
    granule, theirs = modis.open_granule(str(path)), gdal_layers(path)
    assert set(theirs) == set(granule.datasets)
    for layer, name in theirs.items():
        numbers, (left, top, *sizes) = read_by_gdal(name, tmp_path / "layer.img")
        ours, geometry = granule.stored(layer), granule.geometry_of(layer)
        # GDAL has no signed bytes in this version
        assert numbers.dtype.itemsize == ours.dtype.itemsize
        np.testing.assert_array_equal(numbers, ours.view(numbers.dtype), layer)
        assert (left, top) == pytest.approx((geometry.left, geometry.top), abs=0.01)
        assert sizes == pytest.approx([geometry.pixel] * 2, rel=1e-5)


def lattice_of_gdal(
    name: str, shape: tuple[int, int], place: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the 0.05 degree cell of every pixel, through PROJ; -1 off the Earth."""
    about = ["gdalsrsinfo", "-o", "wkt2", "--single-line", name]
    text = subprocess.run(about, capture_output=True, text=True, check=True).stdout.strip()
    projected = pyproj.CRS.from_wkt(text)
    to_degrees = pyproj.Transformer.from_crs(projected, projected.geodetic_crs, always_xy=True)
    left, top, across, down = place
    x, y = np.meshgrid(
        left + (np.arange(shape[1]) + 0.5) * across, top - (np.arange(shape[0]) + 0.5) * down
    )
    lon, lat = to_degrees.transform(x, y)
    # past 180 degrees PROJ goes on from the other side
    on_earth = np.isfinite(lon) & (np.sign(lon) == np.sign(x))
    row, col = np.floor((90 - lat) / 0.05), np.floor((lon + 180) / 0.05)
    return np.where(on_earth, row, -1).astype(int), np.where(on_earth, col, -1).astype(int)


@needs_gdal
@pytest.mark.parametrize(
    ("file", "layer", "low", "high", "factor", "offset"),
    [
        (FAPAR, "Fpar_500m", 0, 100, 0.01, 0),
        (ALBEDO, "Albedo_WSA_Band2", 0, 32766, 0.001, 0),
        (LST, "LST_Day_6km", 7500, 65535, 0.02, 0),
        (NDVI, "1 km 16 days NDVI", -2000, 10000, 0.0001, 0),
        (REFLECTANCE, "sur_refl_b02_1", -100, 16000, 0.0001, 0),
    ],
)
def test_cells_are_those_of_the_pixels_that_gdal_reads(
    file: str, layer: str, low: int, high: int, factor: float, offset: float, tmp_path: Path
) -> None:
    """Cell by cell: numbers and corners from GDAL, degrees from PROJ, sums from pandas."""
    path = GRIDS / file
    name = gdal_layers(path)[layer]
    numbers, place = read_by_gdal(name, tmp_path / "layer.img")
    row, col = lattice_of_gdal(name, numbers.shape, place)
    good = (numbers >= low) & (numbers <= high) & (col >= 0)
    table = pd.DataFrame({"row": row[good], "col": col[good], "value": numbers[good].astype(float)})
    expected = table.groupby(["row", "col"])["value"].agg(["sum", "count"])
    rows, cols = (expected.index.get_level_values(level).to_numpy() for level in (0, 1))

    granule = modis.open_granule(str(path))
    cells, read = cells_of(granule.geometry_of(layer)), granule.layer(layer)
    slow = sum_cells(read.values, None, cells)
    fast = sum_layers([granule.stored(layer)], None, cells, valid=(low, high))[0]
    places = rows - slow.row, cols - slow.col
    assert good.any()
    assert (fast.count > 0).sum() == (slow.count > 0).sum() == len(expected)
    np.testing.assert_array_equal(fast.total[places], expected["sum"])
    np.testing.assert_array_equal(fast.count[places], expected["count"])
    np.testing.assert_array_equal(slow.count[places], expected["count"])
    means = (expected["sum"] / expected["count"]) * factor + offset
    np.testing.assert_allclose(slow.mean[places], means, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(fast.scaled(factor, offset).mean[places], means, rtol=1e-12)
