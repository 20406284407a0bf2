"""Granules to their documented layouts: fills, scales, QA, edges, and each fault by its error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upscale.archives.cells.sinusoidal import cells_of, pixel_centres, sum_cells
from upscale.archives.granule import Layer
from upscale.archives.satellite import modis
from upscale.archives.source import open_source
from upscale.remote.errors import ArchiveError
from upscale.testing.granules import (
    CMG_CORNERS,
    StoredGrid,
    struct_metadata,
    tile_corners,
    write_modis,
)

pytest.importorskip("pyhdf.SD")

GOOD_STATE = 8 + 64  # clear, land, low aerosol
GOOD_QC = 0x40000000
REFLECTANCE = {"_FillValue": -28672, "valid_range": (-100, 16000), "scale_factor": 10000.0,
               "add_offset": 0.0, "units": "reflectance"}  # fmt: skip


def layers_of(path: str) -> dict[str, Layer]:
    return {layer.name: layer for layer in open_source(path).layers(path)}


def full(shape: tuple[int, int], value: int, kind: str, first: tuple[int, ...] = ()) -> Any:
    """An array of one number, whose first row begins with some others."""
    made = np.full(shape, value, kind)
    made[0, : len(first)] = first
    return made


def mod09ga(path: Path, h: int = 18, v: int = 4, **options: Any) -> str:
    """A whole MOD09GA granule of two grids with one odd pixel per rule."""
    coarse, fine = (1200, 1200), (2400, 2400)
    states = (
        GOOD_STATE + 1, GOOD_STATE + 4, 64, GOOD_STATE + 3 * 256, GOOD_STATE + 1024,
        GOOD_STATE + 8192, 8 + 3 * 64, 65535,
    )  # fmt: skip
    qcs = np.full(fine, GOOD_QC, np.uint32)
    qcs[0, 20:24] = GOOD_QC + (7 << 2), GOOD_QC + (12 << 2), 787410671, GOOD_QC + (7 << 6)
    km = StoredGrid(
        "MODIS_Grid_1km_2D", tile_corners(h, v),
        {
            "state_1km_1": (full(coarse, GOOD_STATE, "uint16", states),
                            {"_FillValue": 65535, "valid_range": (0, 57335)}),
            "Range_1": (full(coarse, 30000, "uint16", (0, 26999)),
                        {"_FillValue": 0, "valid_range": (27000, 65535), "scale_factor": 25.0,
                         "units": "meters"}),
        }, **options,
    )  # fmt: skip
    numbers = full(fine, 1234, "int16")
    numbers[1, :4] = -28672, -101, 16001, -100
    half = StoredGrid(
        "MODIS_Grid_500m_2D", tile_corners(h, v),
        {
            "sur_refl_b01_1": (numbers, REFLECTANCE),
            "QC_500m_1": (qcs, {"_FillValue": 787410671, "valid_range": (0, 4294966019)}),
        }, **options,
    )  # fmt: skip
    return write_modis(path, km, half, more={"state_1km_c": np.arange(5, dtype=np.uint16)})


@pytest.fixture(scope="module")
def daily(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("daily")
    return mod09ga(folder / "MOD09GA.A2019060.h18v04.061.2020290123456.hdf")


def test_mod09ga_round_trips(daily: str) -> None:
    found = open_source(daily).describe(daily)
    assert (found.product, found.collection, found.date) == ("MOD09GA", "061", "2019-03-01")
    layers = layers_of(daily)
    assert tuple(layers) == found.variables
    red = layers["sur_refl_b01_1"]
    assert red.units == "1"
    assert np.isnan(red.values[1, :3]).all()
    assert red.values[1, 3] == np.float32(-0.01)
    assert red.values[5, 5] == np.float32(0.1234)
    distance = layers["Range_1"]
    assert (distance.units, distance.values[5, 5]) == ("m", 750_000)
    assert np.isnan(distance.values[0, :2]).all()
    assert layers["QC_500m_1"].values[5, 5] == GOOD_QC


def test_mod09ga_default_qa_rejects_each_bad_bit(daily: str) -> None:
    usable = layers_of(daily)["sur_refl_b01_1"].usable
    assert usable is not None
    assert not usable[0:2, 0:16].any()  # each bad 1 km pixel, 2 x 2
    assert usable[0, 16:24].tolist() == [True] * 4 + [False, True, False, True]
    assert usable[2:, :].all()


def test_clouds_and_cloud_state(daily: str) -> None:
    layers = layers_of(daily)
    np.testing.assert_array_equal(layers["clouds"].values[0, :9], [1, 1, 0, 0, 0, 0, 0, np.nan, 0])
    np.testing.assert_array_equal(
        layers["cloud_state"].values[0, :9], [1, 0, 0, 0, 0, 0, 0, np.nan, 0]
    )


def test_off_earth_pixels_of_an_edge_tile_count_nowhere(tmp_path: Path) -> None:
    numbers = np.full((1200, 1200), 15000, np.uint16)
    grid = StoredGrid(
        "MODIS_Grid_Daily_1km_LST", tile_corners(0, 8),
        {"LST_Day_1km": (numbers, {"_FillValue": 0, "valid_range": (7500, 65535),
                                   "scale_factor": 0.02, "units": "K"}),
         "QC_Day": (np.zeros((1200, 1200), np.uint8), {})},
    )  # fmt: skip
    path = write_modis(tmp_path / "MOD11A1.A2020001.h00v08.061.2020002123456.hdf", grid)
    granule = modis.open_granule(path)
    layer, geometry = granule.layer("LST_Day_1km"), granule.geometry_of("LST_Day_1km")
    assert layer.usable is not None
    assert layer.usable.all()  # QC 0 is good, and no fill
    sums = sum_cells(layer.values, layer.usable, cells_of(geometry))
    on_earth = np.abs(pixel_centres(geometry)[1]) <= 180
    assert 0 < on_earth.sum() < on_earth.size
    assert sums.count.sum() == on_earth.sum()
    assert sums.col == 0
    np.testing.assert_allclose(sums.mean[sums.count > 0], 300.0)


@pytest.mark.parametrize(
    ("scale", "expected"), [(10000.0, 0.5), (0.0001, 0.5), (0.001, 5.0), (None, 0.5)]
)
def test_scales_are_divisors_or_factors(
    tmp_path: Path, scale: float | None, expected: float
) -> None:
    """A scale of the file is taken in either sense; without one, the documented factor."""
    said = {} if scale is None else {"scale_factor": scale}
    layers = {f"Nadir_Reflectance_Band{n}": (np.full((2400, 2400), 5000, np.int16), said)
              for n in (2,)}  # fmt: skip
    quality = (full((2400, 2400), 0, "uint8", (1, 255)), {"_FillValue": 255})
    layers |= {"BRDF_Albedo_Band_Mandatory_Quality_Band2": quality}
    grid = StoredGrid("MOD_Grid_BRDF", tile_corners(20, 9), layers)
    path = write_modis(tmp_path / "MCD43A4.A2020009.h20v09.061.2020019123456.hdf", grid)
    layer = layers_of(path)["Nadir_Reflectance_Band2"]
    assert layer.values[3, 3] == np.float32(expected)
    assert layer.usable is not None
    assert layer.usable[0, :3].tolist() == [False, False, True]


def test_vegetation_index_of_a_cut_out(tmp_path: Path) -> None:
    """A cut-out lies where its own metadata says, with reliability -1 as no data."""
    left, top, _, _ = tile_corners(18, 4)
    size = (tile_corners(18, 4)[2] - left) / 1200
    box = (left + 10 * size, top - 20 * size, left + 40 * size, top - 60 * size)
    rank = full((40, 30), 0, "int8", (-1, 1, 2, 3))
    grid = StoredGrid("MODIS_Grid_16DAY_1km_VI", box, {
        "1 km 16 days EVI": (full((40, 30), 4000, "int16", (-3000,)),
                             {"_FillValue": -3000, "valid_range": (-2000, 10000),
                              "scale_factor": 10000.0, "units": "EVI"}),
        "1 km 16 days pixel reliability": (rank, {"_FillValue": -1, "valid_range": (0, 4)}),
    })  # fmt: skip
    path = write_modis(tmp_path / "MOD13A2.A2020001.h18v04.061.2020019123456.hdf", grid)
    granule = modis.open_granule(path)
    layer = granule.layer("1 km 16 days EVI")
    assert granule.geometry_of("1 km 16 days EVI").top == pytest.approx(top - 20 * size, abs=1e-5)
    assert np.isnan(layer.values[0, 0])
    assert layer.values[9, 9] == np.float32(0.4)
    assert layer.usable is not None
    assert layer.usable[0, :5].tolist() == [False, True, False, False, True]


def cmg(path: Path, name: str, **layers: Any) -> str:
    grid = StoredGrid(name, CMG_CORNERS, layers, "GCTP_GEO")
    return write_modis(path, grid)


def test_mcd43c4_drops_filled_and_snowy_cells(tmp_path: Path) -> None:
    shape = (3600, 7200)
    quality = full(shape, 0, "uint8", (3, 4, 255, 0))
    path = cmg(
        tmp_path / "MCD43C4.A2020009.061.2020019123456.hdf", "MCD_CMG_BRDF_0.05Deg",
        Nadir_Reflectance_Band1=(full(shape, 900, "int16", (32767,)),
                                 {"_FillValue": 32767, "scale_factor": 0.0001}),
        Albedo_Quality=(quality, {"_FillValue": 255}),
        Percent_Snow=(full(shape, 0, "uint8", (0, 0, 0, 7)), {"_FillValue": 255}),
    )  # fmt: skip
    granule = modis.open_granule(path)
    layer = granule.layer("Nadir_Reflectance_Band1")
    assert granule.geometries[0].words == "MCD_CMG_BRDF_0.05Deg: 0.05 degree, 3600 x 7200"
    assert np.isnan(layer.values[0, 0])
    assert layer.values[0, 1] == np.float32(0.09)
    assert layer.usable is not None
    assert layer.usable[0, :5].tolist() == [True, False, False, False, True]


def test_mod09cmg_state_zero_is_fill(tmp_path: Path) -> None:
    """Zero would be clear, shallow ocean: no cell without a state is used."""
    shape, name = (3600, 7200), "Coarse Resolution "
    grid = StoredGrid("MOD09CMG", (-180.0, 90.0, 180.0, -90.0), {
        name + "Surface Reflectance Band 2": (full(shape, 3000, "int16", (-28672, 16001)), {}),
        name + "State QA": (full(shape, GOOD_STATE, "uint16", (72, 72, 0)), {}),
        name + "QA": (np.full(shape, GOOD_QC, np.uint32), {}),
    }, "GCTP_GEO")  # fmt: skip
    path = write_modis(tmp_path / "MOD09CMG.A2020009.061.2020019123456.hdf", grid)
    layer = modis.open_granule(path).layer(name + "Surface Reflectance Band 2")
    assert np.isnan(layer.values[0, :2]).all()
    assert layer.values[0, 2] == np.float32(0.3)
    assert layer.usable is not None
    assert layer.usable[0, :4].tolist() == [True, True, False, True]


def test_water_is_17_in_both_land_cover_products(tmp_path: Path) -> None:
    classes = full((2400, 2400), 5, "uint8", (17, 255, 0, 1))
    tile = StoredGrid("MCD12Q1", tile_corners(18, 4), {"LC_Type1": (classes, {})})
    fine = write_modis(tmp_path / "MCD12Q1.A2020001.h18v04.061.2021019123456.hdf", tile)
    assert layers_of(fine)["igbp"].values[0, :5].tolist() == [17, 0, 0, 1, 5]
    codes = full((3600, 7200), 5, "uint8", (0, 255, 16))
    coarse = cmg(tmp_path / "MCD12C1.A2020001.061.2021019123456.hdf", "MOD12C1",
                 Majority_Land_Cover_Type_1=(codes, {"_FillValue": 255}))  # fmt: skip
    assert layers_of(coarse)["igbp"].values[0, :4].tolist() == [17, 0, 16, 5]


def small(path: Path, tile: tuple[int, int] = (18, 4), **options: Any) -> str:
    """A granule of 200 x 200 pixels."""
    numbers = np.random.default_rng(0).integers(13000, 16000, (200, 200)).astype(np.uint16)
    layer = {"LST_Day_6km": (numbers, {"_FillValue": 0, "scale_factor": 0.02})}
    corners = options.pop("corners", tile_corners(*tile))
    return write_modis(path, StoredGrid("MODIS_Grid_8Day_6km_LST", corners, layer, **options))


def _swapped(path: Path) -> str:
    left, top, right, bottom = tile_corners(18, 4)
    return small(path, corners=(left, bottom, right, top))


FAULTS: dict[str, tuple[Callable[[Path], str], str]] = {
    "other tile": (lambda p: small(p, (19, 4)), "expected the grid of tile h18v04.*tile h19v04"),
    "other hemisphere": (lambda p: small(p, (18, 13)), r"tile h18v13 \(north and south are swap"),
    "upside down": (_swapped, "expected rows from north to south.*hemispheres are swapped"),
    "other projection": (lambda p: small(p, projection="GCTP_UTM"), "sinusoidal.*found GCTP_UTM"),
    "other sphere": (lambda p: small(p, radius=6378137.0), "expected the sphere of 6371007.181"),
    "other pixel": (lambda p: small(p, size=(100, 100)), "expected pixels of 231.7.*11119.5 x"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_wrong_grid_has_its_own_error(tmp_path: Path, fault: str) -> None:
    write, message = FAULTS[fault]
    path = write(tmp_path / "MOD11B2.A2020001.h18v04.061.2020019123456.hdf")
    with pytest.raises(ArchiveError, match=message):
        open_source(path).describe(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.99])
def test_a_truncated_granule_is_told(tmp_path: Path, share: float) -> None:
    whole = small(tmp_path / "MOD11B2.A2020001.h18v04.061.2020019123456.hdf")
    content = Path(whole).read_bytes()
    Path(whole).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ArchiveError, match=r"expected (a whole|an) HDF4 file, found .*fetch it"):
        list(open_source(whole).layers(whole))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("granule.hdf", "expected a name like MOD09GA"),
        ("MOD11B2.A2020400.h18v04.061.2020019123456.hdf", "expected a day of 2020, found 400"),
        ("MOD11B2.A2020001.h40v04.061.2020019123456.hdf", "expected a tile from h00v00"),
    ],
)
def test_a_wrong_name_is_told(tmp_path: Path, name: str, message: str) -> None:
    path = small(tmp_path / name)
    with pytest.raises(ArchiveError, match=message):
        open_source(path).describe(path)


def test_the_answer_of_a_server_is_no_granule(tmp_path: Path) -> None:
    path = tmp_path / "MOD11B2.A2020001.h18v04.061.2020019123456.hdf"
    path.write_text("<!DOCTYPE html><title>Earthdata Login</title>")
    with pytest.raises(ArchiveError, match="expected an HDF4 file, found one that starts with"):
        open_source(str(path)).describe(str(path))


def test_an_unknown_product_is_read_by_its_own_attributes(tmp_path: Path) -> None:
    numbers = full((200, 200), 50, "uint8", (255,))
    grid = StoredGrid("Some_Grid", tile_corners(18, 4),
                      {"Thing": (numbers, {"_FillValue": 255, "scale_factor": 0.1})})  # fmt: skip
    path = write_modis(tmp_path / "MOD99X1.A2020001.h18v04.061.2020019123456.hdf", grid)
    layer = layers_of(path)["Thing"]
    assert np.isnan(layer.values[0, 0])
    assert layer.values[1, 1] == np.float32(5.0)
    assert layer.usable is None


def test_struct_metadata_is_padded_as_in_the_archives() -> None:
    grid = StoredGrid("G", tile_corners(0, 0), {"a": (np.zeros((200, 200), np.uint8), {})})
    assert len(struct_metadata([grid])) == 32000
