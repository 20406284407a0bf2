"""Means of cells from stored numbers are those of physical values, pixel for pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from upscale.archives.cells.cellwise import CellMeans, Gridded, LatticeRectangle, open_gridded
from upscale.archives.cells.sinusoidal import cells_of, pixel_centres
from upscale.archives.formats.structure import NORTH, TILE, WEST, Geometry
from upscale.archives.satellite.recipes import Recipe, offer_of
from upscale.remote.errors import ArchiveError
from upscale.testing.granules import StoredGrid, tile_corners, write_modis, write_viirs
from upscale.variables import variable

pytest.importorskip("pyhdf.SD")

EDGE = 240  # pixels of 500 m: one degree
RANDOM = np.random.default_rng(3)
SHAPE, COARSE = (EDGE, EDGE), (EDGE // 2, EDGE // 2)

#: In the north-west of tile h18v04, half of it outside of the granule.
WINDOW = LatticeRectangle(row=792, col=3590, rows=24, cols=40, resolution=0.05)


def corners() -> tuple[float, float, float, float]:
    left, top = tile_corners(18, 4)[:2]
    edge = EDGE * TILE / 2400
    return left, top, left + edge, top - edge


def bands(pattern: str, missing: int, scale: float) -> dict[str, Any]:
    """Reflectances of seven bands with a third of them missing or out of range."""
    attributes = {"_FillValue": missing, "valid_range": (-100, 16000), "scale_factor": scale}
    layers = {}
    for band in range(1, 8):
        stored = RANDOM.integers(500, 5000, SHAPE).astype(np.int16)
        stored[RANDOM.random(SHAPE) < 0.2] = missing
        stored[RANDOM.random(SHAPE) < 0.1] = 16001
        layers[pattern.format(band)] = stored, attributes
    return layers


def daily(folder: Path) -> str:
    """Reflectance and angles with clouds, and bands that QC refuses."""
    qc = np.where(RANDOM.random(SHAPE) < 0.3, 0x4000001C, 0x40000000).astype(np.uint32)
    qc[RANDOM.random(SHAPE) < 0.1] |= 0x1C0  # band 2
    state = RANDOM.choice([72, 73, 72 + 4, 65535], COARSE).astype(np.uint16)
    angle = {"valid_range": (-18000, 18000), "_FillValue": -32767, "scale_factor": 0.01}
    angles = RANDOM.choice([17900, -17900, 17000, -32767], COARSE).astype(np.int16)
    coarse = {
        "state_1km_1": (state, {"_FillValue": 65535, "valid_range": (0, 57335)}),
        "SensorAzimuth_1": (angles, angle),
    }
    fine = bands("sur_refl_b{:02d}_1", -28672, 10000.0) | {"QC_500m_1": (qc, {})}
    return write_modis(
        folder / "MOD09GA.A2019180.h18v04.061.2020180000000.hdf",
        StoredGrid("MODIS_Grid_1km_2D", corners(), coarse),
        StoredGrid("MODIS_Grid_500m_2D", corners(), fine),
    )


def adjusted(folder: Path) -> str:
    quality = {
        f"BRDF_Albedo_Band_Mandatory_Quality_Band{n}": (
            RANDOM.choice([0, 1, 255], SHAPE).astype(np.uint8), {"_FillValue": 255},
        )
        for n in range(1, 8)
    }  # fmt: skip
    layers = bands("Nadir_Reflectance_Band{}", 32767, 1e-4) | quality
    name = "MCD43A4.A2019180.h18v04.061.2020180000000.hdf"
    return write_modis(folder / name, StoredGrid("MOD_Grid_BRDF", corners(), layers))


def temperature(folder: Path) -> str:
    """Unsigned numbers beyond 32767, and an offset that is added."""
    attributes = {"_FillValue": 0, "valid_range": (7500, 65535), "scale_factor": 0.02,
                  "add_offset": 1.5}  # fmt: skip
    layers: dict[str, Any] = {}
    for half in ("Day", "Night"):
        stored = RANDOM.choice([0, 12000, 14000, 15500], COARSE).astype(np.uint16)
        stored[0] = 60000  # a value as it is stored, but of no place on the Earth
        layers[f"LST_{half}_1km"] = stored, attributes
        layers[f"QC_{half}"] = RANDOM.choice([0, 2, 0xC1], COARSE).astype(np.uint8), {}
    name = "MOD11A1.A2019180.h18v04.061.2020180000000.hdf"
    return write_modis(folder / name, StoredGrid("MODIS_Grid_Daily_1km_LST", corners(), layers))


def viirs(folder: Path) -> str:
    attributes = {"_FillValue": np.int16(-28672), "valid_range": np.int16([-100, 16000]),
                  "scale_factor": 1e-4, "add_offset": 0.0}  # fmt: skip
    fine, coarse = (
        {
            f"SurfReflect_{name}_1": (
                RANDOM.choice([-28672, 900, 3000], shape).astype(np.int16), attributes,
            )
            for name in names
        }
        for names, shape in ((("I1", "I2", "I3"), SHAPE), (("M3", "M5", "M7", "M11"), COARSE))
    )  # fmt: skip
    flags = {1: 0, 2: 1, 7: 0}
    for number, clear in flags.items():
        codes = np.where(RANDOM.random(COARSE) < 0.3, 0xFF, clear).astype(np.uint8)
        coarse[f"SurfReflect_QF{number}_1"] = codes, {}
    return write_viirs(
        folder / "VNP09GA.A2019180.h18v04.002.2020180000000.h5",
        StoredGrid("VIIRS_Grid_500m_2D", corners(), fine),
        StoredGrid("VIIRS_Grid_1km_2D", corners(), coarse),
    )


MAKERS = {"MOD09GA": daily, "MCD43A4": adjusted, "MOD11A1": temperature, "VNP09GA": viirs}


def recipes(granule: Gridded) -> Mapping[str, Recipe]:
    """What can be made of the layers that a made granule has."""
    known = offer_of(granule.named.product).recipes
    absent = ("sensor_zenith", "solar_zenith", "solar_azimuth")
    return {name: recipe for name, recipe in known.items() if name not in absent}


def plainly(granule: Gridded, recipe: Recipe, name: str) -> NDArray[np.floating]:
    """The variable from physical values, one group of pixels after the other."""
    layers = [granule.layer(layer) for layer in recipe.layers]
    good = np.ones(layers[0].values.shape, bool)
    for layer in layers:
        good &= np.isfinite(layer.values) & (True if layer.usable is None else layer.usable)
    lat, lon = pixel_centres(granule.geometry_of(recipe.layers[0]))
    rows = np.floor((90 - lat) / 0.05).astype(int)[:, None] - WINDOW.row + np.zeros(lon.shape, int)
    cols = np.floor((lon + 180) / 0.05).astype(int) - WINDOW.col
    inside = good & (rows >= 0) & (rows < WINDOW.rows) & (cols >= 0) & (cols < WINDOW.cols)
    place = rows[inside] * WINDOW.cols + cols[inside]
    size = WINDOW.rows * WINDOW.cols
    count = np.bincount(place, minlength=size)
    means = []
    for layer in layers:
        values = layer.values[inside].astype(float)
        parts = [np.sin(np.radians(values)), np.cos(np.radians(values))] if recipe.circular else [
            values]  # fmt: skip
        means += [np.bincount(place, part, size) / np.where(count, count, np.nan) for part in parts]
    if recipe.circular:
        means = [np.degrees(np.arctan2(*means))]
    value = recipe.join(*means)
    row = variable(name)
    possible = (value >= row.valid_min) & (value <= row.valid_max)
    return np.where(possible, value, np.nan).reshape(WINDOW.rows, WINDOW.cols)


@pytest.mark.parametrize("product", MAKERS)
def test_means_of_stored_numbers_are_means_of_physical_values(product: str, tmp_path: Path) -> None:
    path = MAKERS[product](tmp_path)
    granule = open_gridded(path)
    known = recipes(granule)
    means = CellMeans(WINDOW, known)
    means.add(granule)
    for name, found in means.variables().items():
        expected = plainly(granule, known[name], name)
        assert np.isfinite(expected).sum() > 100, name
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected), err_msg=name)
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6, err_msg=name)


def test_a_variable_is_the_same_whatever_is_made_beside_it(tmp_path: Path) -> None:
    path = daily(tmp_path)
    known = recipes(open_gridded(path))
    together = CellMeans(WINDOW, known)
    together.add(open_gridded(path))
    for name, values in together.variables().items():
        alone = CellMeans(WINDOW, {name: known[name]})
        alone.add(open_gridded(path))
        np.testing.assert_array_equal(alone.variables()[name], values, err_msg=name)


@pytest.mark.parametrize("make", [daily, viirs])
def test_only_wanted_cells_have_values_and_these_do_not_change(
    make: Callable[[Path], str], tmp_path: Path
) -> None:
    path = make(tmp_path)
    wanted = RANDOM.random((WINDOW.rows, WINDOW.cols)) < 0.4
    known = recipes(open_gridded(path))
    every, some = CellMeans(WINDOW, known), CellMeans(WINDOW, known, 0.0, wanted)
    for means in (every, some):
        means.add(open_gridded(path))
    for name, values in every.variables().items():
        expected = np.where(wanted, values, np.nan)
        assert np.isfinite(expected).any(), name
        np.testing.assert_array_equal(some.variables()[name], expected, err_msg=name)


def test_layers_are_read_only_where_a_cell_is_wanted(tmp_path: Path) -> None:
    path = daily(tmp_path)
    granule = open_gridded(path)
    known = recipes(granule)
    Path(path).unlink()
    sea = np.ones((WINDOW.rows, WINDOW.cols), bool)
    sea[8:, 10:] = False  # what the granule covers
    CellMeans(WINDOW, known, 0.0, sea).add(granule)
    beside = LatticeRectangle(WINDOW.row, WINDOW.col + 100, WINDOW.rows, WINDOW.cols, 0.05)
    CellMeans(beside, known).add(granule)
    with pytest.raises(ArchiveError, match="expected an HDF4 file"):
        CellMeans(WINDOW, known).add(granule)


def test_products_of_one_grid_share_its_cells_whatever_they_call_it() -> None:
    one, other = (
        Geometry(name, True, 200, 200, WEST, NORTH - 8 * TILE, TILE / 200) for name in ("a", "b")
    )
    assert cells_of(one) is cells_of(other)


def test_cells_of_all_tiles_of_a_band_stay_for_the_next_day() -> None:
    band = [
        Geometry("t", True, rows, rows, WEST + h * TILE, NORTH - 8 * TILE, TILE / rows)
        for h in range(36)
        for rows in (100, 200)  # 500 m and 1 km of one product
    ]
    first = [cells_of(geometry) for geometry in band]
    assert all(cells_of(g) is cells for g, cells in zip(band, first, strict=True))


def test_cells_of_a_tile_take_a_byte_a_pixel_at_most_near_the_equator() -> None:
    cells = cells_of(Geometry("t", True, 2400, 2400, WEST + 18 * TILE, NORTH - 8 * TILE,
                              TILE / 2400))  # fmt: skip
    lengths = cells.lengths
    assert lengths is not None
    assert cells.places.nbytes + lengths.nbytes + cells.pixels.nbytes < cells.size
    assert cells.index.size == cells.size == 2400 * 2400
