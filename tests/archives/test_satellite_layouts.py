"""Layouts of MODIS and VIIRS that a user may bring, written by other writers from their documents.

Each row writes a small cut-out of tile h18v04 (or the head of a global grid), and says what must be
read: values in physical units and which pixels pass the quality control, or one line that refuses.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from upscale.archives.cells.cellwise import open_gridded
from upscale.archives.inspect import inspect
from upscale.archives.satellite import modis, viirs
from upscale.archives.satellite.published import published
from upscale.archives.satellite.recipes import check_collection, days_of, offer_of
from upscale.archives.source import open_source
from upscale.calendar import day_number
from upscale.grid import load_grid
from upscale.ingest.archive import due_dates, survey
from upscale.remote.errors import ArchiveError
from upscale.remote.listing import ListedFile

sd = pytest.importorskip("pyhdf.SD")

RADIUS = 6371007.181
EDGE = math.pi * RADIUS / 18  # of a tile, m
KINDS = {"int8": 20, "uint8": 21, "int16": 22, "uint16": 23, "int32": 24, "uint32": 25}
DOCS = Path(__file__).parents[2] / "docs/reference/archives.md"

Layers = Mapping[str, tuple[Any, Mapping[str, Any]]]


def structure(grid: str, pixel: float, shape: tuple[int, int]) -> str:
    """StructMetadata.0 of a cut-out in the upper left of tile h18v04."""
    left, top = 0.0, 5 * EDGE
    return f"""GROUP=SwathStructure
END_GROUP=SwathStructure
GROUP=GridStructure
\tGROUP=GRID_1
\t\tGridName="{grid}"
\t\tXDim={shape[1]}
\t\tYDim={shape[0]}
\t\tUpperLeftPointMtrs=({left:.6f},{top:.6f})
\t\tLowerRightMtrs=({left + shape[1] * pixel:.6f},{top - shape[0] * pixel:.6f})
\t\tProjection=GCTP_SNSOID
\t\tProjParams=({RADIUS},0,0,0,0,0,0,0,0,0,0,0,0)
\t\tSphereCode=-1
\tEND_GROUP=GRID_1
END_GROUP=GridStructure
END
"""


GLOBAL = """GROUP=GridStructure
\tGROUP=GRID_1
\t\tGridName="{}"
\t\tXDim=7200
\t\tYDim=3600
\t\tUpperLeftPointMtrs=(-180000000.000000,90000000.000000)
\t\tLowerRightMtrs=(180000000.000000,-90000000.000000)
\t\tProjection=GCTP_GEO
\tEND_GROUP=GRID_1
END_GROUP=GridStructure
END
"""


def hdf4(path: Path, grid: str, layers: Layers, *, text: str = "", per_tile: int = 2400) -> str:
    """A granule of MODIS, by pyhdf alone."""
    shape = np.shape(next(iter(layers.values()))[0])
    file = sd.SD(str(path), sd.SDC.WRITE | sd.SDC.CREATE)
    file.attr("StructMetadata.0").set(4, text or structure(grid, EDGE / per_tile, shape))
    for name, (stored, attributes) in layers.items():
        data = np.asarray(stored)
        code = KINDS[data.dtype.name]
        made = file.create(name, code, data.shape)
        made.dim(0).setname(f"YDim:{grid}")
        made.dim(1).setname(f"XDim:{grid}")
        if data.size > 10_000:
            made.setcompress(4, 1)
        for key, value in attributes.items():
            kind = 4 if isinstance(value, str) else 6 if isinstance(value, float) else code
            made.attr(key).set(kind, list(value) if isinstance(value, tuple) else value)
        made[:] = data
        made.endaccess()
    file.end()
    return str(path)


def hdf5(path: Path, grid: str, layers: Layers, *, text: str = "", per_tile: int = 2400) -> str:
    """A granule of VIIRS, by netCDF4 alone, with its structure as characters."""
    shape = np.shape(next(iter(layers.values()))[0])
    said = text or structure(grid, EDGE / per_tile, shape)
    with netCDF4.Dataset(path, "w") as file:
        about = file.createGroup("HDFEOS INFORMATION")
        about.createDimension("length", len(said))
        characters = about.createVariable("StructMetadata.0", "S1", ("length",))
        characters[:] = np.frombuffer(said.encode(), "S1")
        fields = file.createGroup(f"HDFEOS/GRIDS/{grid}/Data Fields")
        for axis, size in zip(("YDim", "XDim"), shape, strict=True):
            fields.createDimension(axis, size)
        for name, (stored, attributes) in layers.items():
            data = np.asarray(stored)
            said_of = dict(attributes)
            made = fields.createVariable(
                name, data.dtype, ("YDim", "XDim"), fill_value=said_of.pop("_FillValue", None)
            )
            made.set_auto_maskandscale(False)
            made.setncatts({k: np.asarray(v, data.dtype) if k == "valid_range" else v
                            for k, v in said_of.items()})  # fmt: skip
            made[:] = data
    return str(path)


def image(fill: int, head: tuple[int, ...], kind: str, shape: tuple[int, int] = (4, 8)) -> Any:
    """One number everywhere, and others in the first pixels of the first row."""
    made = np.full(shape, fill, kind)
    made[0, : len(head)] = head
    return made


@dataclass(frozen=True)
class Row:
    """One layout. good: the value of the bulk; head: values of the first pixels, None for missing;
    passes: which of the first pixels pass the quality control; variables: what an ingest makes."""

    grid: str
    layers: Layers
    layer: str
    good: float
    head: tuple[float | None, ...]
    passes: tuple[bool, ...] | None
    variables: str = ""
    per_tile: int = 2400


_VI = {"_FillValue": -3000, "valid_range": (-2000, 10000), "scale_factor": 10000.0}
_LAI = {"_FillValue": 255, "valid_range": (0, 100)}
_VNP = {"_FillValue": -15000, "valid_range": (-10000, 10000), "scale_factor": 10000.0}
_NBAR = {"_FillValue": 32767, "valid_range": (0, 32766), "scale_factor": 0.0001}
_CODE = {"_FillValue": 255}


def _index(prefix: str, own: Mapping[str, Any], empty: int, ranks: tuple[int, ...]) -> Layers:
    return {
        f"{prefix} NDVI": (image(6000, (empty, own["valid_range"][0]), "int16"), own),
        f"{prefix} pixel reliability": (image(0, (0, 0, *ranks), "int8"), {"_FillValue": -1}),
    }


ROWS: dict[str, Row] = {
    "MOD13A1.A2010001.h18v04.005.2010028123456.hdf": Row(
        "MODIS_Grid_16DAY_500m_VI", _index("500m 16 days", _VI, -3000, (1, 2, 3)),
        "500m 16 days NDVI", 0.6, (None, -0.2, 0.6), (True, True, True, False, False),
        "ndvi evi nirv",
    ),
    "MOD13A1.A2019001.h18v04.061.2020290123456.hdf": Row(
        "MODIS_Grid_16DAY_500m_VI", _index("500m 16 days", _VI, -3000, (1, 2, 3)),
        "500m 16 days NDVI", 0.6, (None, -0.2, 0.6), (True, True, True, False, False),
        "ndvi evi nirv",
    ),
    "VNP13A1.A2019001.h18v04.002.2023290123456.h5": Row(
        "VIIRS_Grid_16Day_VI_500m", _index("500 m 16 days", _VNP, -15000, (1, 3, 4, 8, 9)),
        "500 m 16 days NDVI", 0.6, (None, -1.0, 0.6),
        (True, True, True, True, False, False, False), "ndvi evi nirv",
    ),
    "VNP13A1.A2019009.h18v04.002.2023290123456.h5": Row(
        "VIIRS_Grid_16Day_VI_500m", {
            "500 m 16 days EVI": (image(3000, (-13000,), "int16"), {"scale_factor": 0.0001}),
            "500 m 16 days VI Quality": (image(0, (0, 1, 2, 3), "uint16"), {}),
        }, "500 m 16 days EVI", 0.3, (None, 0.3), (True, True, False, False), "ndvi evi nirv",
    ),
    "MCD15A2H.A2019001.h18v04.061.2020290123456.hdf": Row(
        "MOD_Grid_MCD15A2H", {
            "Fpar_500m": (image(50, (255, 254, 100), "uint8"), _LAI | {"scale_factor": 0.01}),
            "FparLai_QC": (image(0, (0, 0, 0, 1, 4, 8, 0x40), "uint8"), _CODE),
        }, "Fpar_500m", 0.5, (None, None, 1.0),
        (True, True, True, False, False, False, False), "fapar",
    ),
    # bits 0 to 2 are the path of the algorithm (2: backup), bit 3 a dead detector; 0x10 a biome
    "VNP15A2H.A2019001.h18v04.002.2023290123456.h5": Row(
        "VNP_Grid_VNP15A2H", {
            "Fpar": (image(50, (255, 250, 100), "uint8"), _LAI | {"scale_factor": 0.01}),
            "FparLai_QC": (image(0x10, (0, 1, 2, 3, 8, 0x30), "uint8"), _CODE),
            "FparExtra_QC": (image(0, (0, 0, 0, 0, 0, 0, 3, 4), "uint8"), _CODE),
        }, "Fpar", 0.5, (None, None, 1.0),
        (True, True, False, False, False, True, False, False), "fapar",
    ),
    "VNP43IA4.A2019009.h18v04.002.2023290123456.h5": Row(
        "VIIRS_Grid_BRDF", {
            "Nadir_Reflectance_I2": (image(3000, (32767, 0), "int16"), _NBAR),
            "BRDF_Albedo_Band_Mandatory_Quality_I2": (image(0, (0, 0, 1, 255), "uint8"), _CODE),
        }, "Nadir_Reflectance_I2", 0.3, (None, 0.0), (True, True, False, False), "ndvi nirv",
    ),
    "VNP43MA4.A2019009.h18v04.002.2023290123456.h5": Row(
        "VIIRS_Grid_BRDF", {
            "Nadir_Reflectance_M5": (image(800, (32767, 0), "int16"), _NBAR),
            "BRDF_Albedo_Band_Mandatory_Quality_M5": (image(0, (0, 0, 1, 255), "uint8"), _CODE),
        }, "Nadir_Reflectance_M5", 0.08, (None, 0.0), (True, True, False, False),
        "ndvi evi nirv", 1200,
    ),
    "MCD43A4.A2019009.h18v04.061.2020290123456.hdf": Row(
        "MOD_Grid_BRDF", {
            "Nadir_Reflectance_Band2": (image(3000, (32767, 0), "int16"), _NBAR),
            "BRDF_Albedo_Band_Mandatory_Quality_Band2": (image(0, (0, 0, 1, 255), "uint8"), _CODE),
        }, "Nadir_Reflectance_Band2", 0.3, (None, 0.0), (True, True, False, False),
        "ndvi evi nirv",
    ),
    "MOD17A2H.A2019001.h18v04.061.2020290123456.hdf": Row(
        "MOD_Grid_MOD17A2H", {
            "Gpp_500m": (image(300, (32761, 32766, 32767, 0), "int16"), {
                "_FillValue": 32767, "valid_range": (0, 30000), "scale_factor": 0.0001}),
        }, "Gpp_500m", 0.03, (None, None, None, 0.0), None,
    ),
    "MCD64A1.A2019182.h18v04.061.2020290123456.hdf": Row(
        "MOD_Grid_Monthly_500m_DB_BA", {
            "Burn Date": (image(0, (-1, -2, 190, 0), "int16"), {"_FillValue": -1}),
            "QA": (image(3, (0, 0, 3, 1), "uint8"), {}),
        }, "burned", 0.0, (None, None, 1.0, 0.0), (False, False, True, False),
    ),
}  # fmt: skip


def write(folder: Path, name: str) -> str:
    row = ROWS[name]
    writer = hdf5 if name.endswith(".h5") else hdf4
    return writer(folder / name, row.grid, row.layers, per_tile=row.per_tile)


@pytest.mark.parametrize("name", ROWS)
def test_each_layout_gives_its_values_and_quality(tmp_path: Path, name: str) -> None:
    row, path = ROWS[name], write(tmp_path, name)
    layers = {layer.name: layer for layer in open_source(path).layers(path)}
    layer = layers[row.layer]
    expected = [np.nan if value is None else value for value in row.head]
    np.testing.assert_allclose(layer.values[0, : len(expected)], expected, rtol=1e-6)
    np.testing.assert_allclose(layer.values[1:], row.good, rtol=1e-6)
    if row.passes is None:
        assert layer.usable is None
    else:
        assert layer.usable is not None
        assert layer.usable[0, : len(row.passes)].tolist() == list(row.passes)
        assert layer.usable[1:].all()


@pytest.mark.parametrize("name", [name for name in ROWS if ROWS[name].variables])
def test_each_layout_that_gives_drivers_is_opened_by_an_ingest(tmp_path: Path, name: str) -> None:
    offer = offer_of(published(name).product)
    assert list(offer.usual) == ROWS[name].variables.split()
    granule = open_gridded(write(tmp_path, name))
    numbers = granule.numbers(ROWS[name].layer)
    bulk = numbers.stored[1:] * numbers.factor + numbers.shift
    np.testing.assert_allclose(bulk, ROWS[name].good, rtol=1e-6)


def test_composites_of_viirs_stand_every_8_days_for_16() -> None:
    first, last = (published(f"VNP13A1.A2019{d}.h18v04.002.h5").date for d in ("009", "033"))
    dates = due_dates("VNP13A1", first, last)
    assert [f"{date:%j}" for date in dates] == ["361", "001", "009", "017", "025", "033"][1:]
    assert days_of("VNP13A1", first) == range(day_number(first), day_number(first) + 16)


def test_land_cover_of_collection_5_has_water_as_0(tmp_path: Path) -> None:
    """There is no LC_Type1, 254 is unclassified, and 255 is fill."""
    layers = {"Land_Cover_Type_1": (image(5, (0, 254, 255, 16), "uint8"), {
        "_FillValue": 255, "valid_range": (0, 254)})}  # fmt: skip
    path = hdf4(tmp_path / "MCD12Q1.A2010001.h18v04.051.2012287163257.hdf", "MOD12Q1", layers)
    igbp = modis.open_granule(path).layer("igbp")
    assert igbp.values[0, :5].tolist() == [17, 0, 0, 16, 5]
    found = inspect(path).to_dict()
    assert found["believes"] == [
        "igbp: classes of IGBP with water 0, because MCD12Q1 of collection 051 has them in "
        "Land_Cover_Type_1"
    ]


def test_class_codes_have_shares_and_no_mean(tmp_path: Path) -> None:
    """25 no snow, 50 cloud, 200 snow, 255 fill: their mean is no quantity."""
    layers = {
        "Maximum_Snow_Extent": (image(25, (200, 200, 50, 255), "uint8"), {
            "_FillValue": 255, "valid_range": (0, 254)}),
        "Eight_Day_Snow_Cover": (image(0, (255, 3), "uint8"), {}),
    }  # fmt: skip
    path = hdf4(tmp_path / "MOD10A2.A2019001.h18v04.061.2020290123456.hdf", "MOD_Grid_Snow_500m",
                layers)  # fmt: skip
    extent, bits = inspect(path).to_dict()["variables"]
    assert extent["mean"] is None
    assert extent["codes"] == pytest.approx({"25": 28 / 31, "50": 1 / 31, "200": 2 / 31})
    assert bits["mean"] is None
    with pytest.raises(ArchiveError, match=r"product that gives drivers .*found MOD10A2"):
        offer_of("MOD10A2")


def test_dates_of_burning_are_a_flag_and_have_no_mean(tmp_path: Path) -> None:
    path = write(tmp_path, "MCD64A1.A2019182.h18v04.061.2020290123456.hdf")
    rows = {row["name"]: row for row in inspect(path).to_dict()["variables"]}
    assert rows["Burn Date"]["mean"] is None
    assert rows["burned"]["mean"] == pytest.approx(1 / 30)
    assert rows["burned"]["qa"]["valid_share"] == pytest.approx(29 / 32)


def test_a_layer_without_its_quality_is_named(tmp_path: Path) -> None:
    layers = {"Nadir_Reflectance_Band1": (image(900, (), "int16"), _NBAR)}
    path = hdf4(tmp_path / "MCD43A4.A2010001.h18v04.005.2010028123456.hdf", "MOD_Grid_BRDF", layers)
    assert inspect(path).to_dict()["believes"] == [
        "no quality control of Nadir_Reflectance_Band1: the file lacks its QA layers"
    ]
    with pytest.raises(ArchiveError, match="found collection 005, which is for 16 days"):
        check_collection(published(path))


def of_the_globe(path: Path, grid: str, layers: Layers) -> str:
    """A global granule of 0.05 degree of which the first rows are written, the rest is fill."""
    file = sd.SD(str(path), sd.SDC.WRITE | sd.SDC.CREATE)
    file.attr("StructMetadata.0").set(4, GLOBAL.format(grid))
    for name, (stored, attributes) in layers.items():
        code = KINDS[stored.dtype.name]
        made = file.create(name, code, (3600, 7200))
        for axis, label in enumerate(("YDim", "XDim")):
            made.dim(axis).setname(f"{label}:{grid}")
        for key, value in attributes.items():
            kind = 6 if isinstance(value, float) else code
            made.attr(key).set(kind, list(value) if isinstance(value, tuple) else value)
        made[: stored.shape[0]] = stored
        made.endaccess()
    file.end()
    return str(path)


def rows(fill: int, head: tuple[int, ...], kind: str) -> Any:
    return image(fill, head, kind, (2, 7200))


def test_the_global_vegetation_index_is_read_by_rows(tmp_path: Path) -> None:
    """MOD13C1: 0.05 degree, scale as divisor; only rows that are needed are read."""
    prefix = "CMG 0.05 Deg 16 days"
    path = of_the_globe(
        tmp_path / "MOD13C1.A2019001.061.2020290123456.hdf", "MODIS_Grid_16Day_VI_CMG", {
            f"{prefix} NDVI": (rows(4500, (-3000, -2000), "int16"), _VI),
            f"{prefix} pixel reliability": (rows(0, (0, 0, 3), "int8"), {"_FillValue": -1}),
        })  # fmt: skip
    layer = modis.open_granule(path).between(90, 89.9).layer(f"{prefix} NDVI")
    assert layer.values.shape == (2, 7200)
    np.testing.assert_allclose(layer.values[0, :3], [np.nan, -0.2, 0.45], rtol=1e-6)
    assert layer.usable is not None
    assert layer.usable[0, :4].tolist() == [True, True, False, True]


def test_global_reflectance_has_the_scale_of_its_guide_and_0_as_fill_of_its_state(
    tmp_path: Path,
) -> None:
    """MOD09CMG without attributes. State 72: clear land, low aerosol; 73: cloud; 0: fill, although
    its bits would be those of a clear shallow ocean. QA: 0x40000000 is the best of all bands."""
    name = "Coarse Resolution "
    band = f"{name}Surface Reflectance Band 2"
    path = of_the_globe(tmp_path / "MOD09CMG.A2019001.061.2020290123456.hdf", "MOD09CMG", {
        band: (rows(3000, (-28672, -100, 16001), "int16"), {}),
        f"{name}State QA": (rows(72, (72, 72, 72, 73, 0), "uint16"), {}),
        f"{name}QA": (np.full((2, 7200), 0x40000000, "uint32"), {}),
    })  # fmt: skip
    layer = modis.open_granule(path).between(90, 89.9).layer(band)
    expected = [np.nan, -0.01, np.nan, 0.3, 0.3]
    np.testing.assert_allclose(layer.values[0, :5], expected, rtol=1e-6)
    assert layer.usable is not None
    assert layer.usable[0, :6].tolist() == [True, True, True, False, False, True]


SWATH = """GROUP=SwathStructure
\tGROUP=SWATH_1
\t\tSwathName="MOD_Swath_LST"
\tEND_GROUP=SWATH_1
END_GROUP=SwathStructure
GROUP=GridStructure
END_GROUP=GridStructure
END
"""


def test_scenes_along_the_orbit_are_named(tmp_path: Path) -> None:
    layers = {"LST": (image(15000, (), "uint16"), {})}
    message = "found MOD11_L2, a swath product .level 2., whose pixels lie along the orbit"
    scene = hdf4(tmp_path / "MOD11_L2.A2019001.1035.061.2020290123456.hdf", "", layers, text=SWATH)
    with pytest.raises(ArchiveError, match=message):
        inspect(scene)
    renamed = hdf4(tmp_path / "MOD11A1.A2019001.h18v04.061.2020290123456.hdf", "", layers,
                   text=SWATH)  # fmt: skip
    with pytest.raises(ArchiveError, match="found MOD11A1, a swath product"):
        inspect(renamed)


def test_scenes_of_viirs_are_named(tmp_path: Path) -> None:
    path = tmp_path / "VNP09GA.A2019001.h18v04.002.2023290123456.h5"
    with netCDF4.Dataset(path, "w") as file:
        file.createGroup("HDFEOS/SWATHS/VNP_Swath")
    with pytest.raises(ArchiveError, match="a swath product"):
        viirs.open_granule(str(path))


def test_a_zip_that_holds_granules_is_named(tmp_path: Path) -> None:
    name = "MOD13A1.A2019001.h18v04.061.2020290123456.hdf"
    write(tmp_path, name)
    for target in ("order.zip", "order.nc"):
        with zipfile.ZipFile(tmp_path / target, "w") as archive:
            archive.write(tmp_path / name, f"order/{name}")
        with pytest.raises(ArchiveError, match=f"found 1 granules such as {name}; unpack the ZIP"):
            inspect(str(tmp_path / target))
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("roads.shp", b"x")
    with pytest.raises(ArchiveError, match=r"found roads.shp, which no reader knows; name another"):
        inspect(str(tmp_path / "other.zip"))
    (tmp_path / name).write_bytes((tmp_path / "order.zip").read_bytes())
    with pytest.raises(ArchiveError, match="expected an HDF4 file, found a ZIP; unpack it"):
        inspect(str(tmp_path / name))
    listed, first = [ListedFile(str(tmp_path / "order.zip"), 1, "")], published(name).date
    with pytest.raises(ArchiveError, match="found an archive that holds files; unpack it and name"):
        survey(listed, load_grid("global-0p05"), (first, first))


def test_the_table_of_layouts_names_each_of_them() -> None:
    """Whoever reads the page finds every product that these tests read."""
    page = DOCS.read_text()
    rows = "\n".join(line for line in page.splitlines() if line.startswith("| "))
    named = set(re.findall(r"\b(?:M[OYC]D|VNP|VJ[12])\w+", rows))
    assert {published(name).product for name in ROWS} | {
        "MCD12Q1",
        "MOD13C1",
        "MOD09CMG",
        "MOD10A2",
    } <= named
