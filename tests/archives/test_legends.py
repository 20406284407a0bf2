"""What the codes of a class map mean: stated by the file, named by the user, proven, or refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin

from upscale.archives.cells.geomap import open_map
from upscale.archives.cells.map_legends import climate_legend
from upscale.archives.cells.maps import climate, land_cover, land_share_of_cover
from upscale.archives.inspect import inspect
from upscale.archives.legends.known import COVER_LEGENDS, KOPPEN_LEGENDS, igbp_class, koppen_class
from upscale.archives.legends.proven import MapSample, proven_legend
from upscale.grid import Grid
from upscale.ingest.config import Static
from upscale.remote.errors import ArchiveError
from upscale.variables import IGBP, KOPPEN, WATER_CLASS, class_code

ROOT = Path(os.environ.get("UPSCALE_TEST_DATA", "/nonexistent")) / "grids"
BECK = ROOT / "firedpy" / "koppen_geiger_0p5.tif"
real = pytest.mark.skipif(not BECK.is_file(), reason="UPSCALE_TEST_DATA is unset")

#: A piece of Germany, where Cfb, Dfb and, further south, Csa are, but no Csc and no Cwa.
GERMANY = Grid("germany", 6, 8, 0.1, north=50.6, west=9.8)
CFB, DFB, CSA = (class_code(KOPPEN, name) for name in ("Cfb", "Dfb", "Csa"))


def write(
    path: Path,
    pixels: Any,
    tags: Mapping[str, str] | None = None,
    colours: Mapping[int, tuple[int, int, int]] | None = None,
    **profile: Any,
) -> Path:
    codes = np.asarray(pixels)
    options = {"crs": "EPSG:4326", "transform": from_origin(9.8, 50.6, 0.1, 0.1)} | profile
    height, width = codes.shape
    with rasterio.open(path, "w", driver="GTiff", count=1, dtype=codes.dtype, height=height,
                       width=width, **options) as file:  # fmt: skip
        file.write(codes, 1)
        if tags:
            file.update_tags(1, **tags)
        if colours:
            file.write_colormap(1, colours)
    return path


def halves(left: int, right: int, kind: str = "u1") -> NDArray[Any]:
    codes = np.full((6, 8), left, kind)
    codes[:, 4:] = right
    return codes


def test_a_map_of_another_numbering_is_read_as_what_it_is(tmp_path: Path) -> None:
    """10 and 19 are Cfb and Dfb in the order of the alphabet; in Beck's they would be Csc and Dsc,
    which are nowhere near."""
    path = write(tmp_path / "k.tif", halves(10, 19))
    assert np.array_equal(climate(path, GERMANY), halves(CFB, DFB))
    assert climate_legend(open_map(path)).name == "Rubel"
    own = write(tmp_path / "own.tif", halves(CFB, DFB))
    assert np.array_equal(climate(own, GERMANY), halves(CFB, DFB))
    assert (
        "100 % of its classes stand where such climates are" in climate_legend(open_map(own)).words
    )


def test_codes_that_prove_nothing_are_refused_with_what_was_tried(tmp_path: Path) -> None:
    path = write(tmp_path / "k.tif", halves(1, 2))  # Af and Am in every legend, and in Germany
    with pytest.raises(ArchiveError) as error:
        climate(path, GERMANY)
    text = str(error.value)
    assert "found codes 1, 2 without names or colours" in text
    assert "as Beck: 0 %" in text
    assert "static.koppen_legend: Beck, Rubel, Kottek, Kottek-codes, or names by code" in text
    assert "\n" not in text
    assert climate(path, GERMANY, "Beck")[0, 0] == 1  # the user may say it


#: Codes 3 and 7, with names for them in different places.
CATEGORIES = "<Category>{}</Category>" * 8
SIDECARS = {
    "categories": "<PAMDataset><PAMRasterBand band='1'><CategoryNames>" + CATEGORIES.format(
        "Sea", "", "", "Temperate (Cfb)", "", "", "", "Cold (Dfb)"
    ) + "</CategoryNames></PAMRasterBand></PAMDataset>",
    "table": """<PAMDataset><PAMRasterBand band="1"><GDALRasterAttributeTable>
<FieldDefn index="0"><Name>VALUE</Name><Type>0</Type><Usage>5</Usage></FieldDefn>
<FieldDefn index="1"><Name>COUNT</Name><Type>0</Type><Usage>1</Usage></FieldDefn>
<FieldDefn index="2"><Name>Climate</Name><Type>2</Type><Usage>2</Usage></FieldDefn>
<Row index="0"><F>3</F><F>24</F><F>Cfb</F></Row><Row index="1"><F>7</F><F>24</F><F>Dfb</F></Row>
</GDALRasterAttributeTable></PAMRasterBand></PAMDataset>""",
}  # fmt: skip
TAGS: dict[str, dict[str, str]] = {
    "flags": {"flag_values": "[3 7]", "flag_meanings": "Cfb Dfb"},
    "codes": {"3": "Cfb, warm summer", "7": "Dfb, warm summer"},
    "names": {"Cfb": "3", "Dfb": "7"},
    "text": {"legend": "0: Ocean; 3: Cfb; 7: Dfb"},
}


@pytest.mark.parametrize("where", [*TAGS, *SIDECARS])
def test_names_in_a_file_say_what_codes_mean(tmp_path: Path, where: str) -> None:
    path = write(tmp_path / "k.tif", halves(3, 7), TAGS.get(where))
    if where in SIDECARS:
        Path(f"{path}.aux.xml").write_text(SIDECARS[where])
    assert np.array_equal(climate(path, GERMANY), halves(CFB, DFB))
    said = climate_legend(open_map(path)).words
    assert "codes are named" in said
    with pytest.raises(ArchiveError, match=r"found code 3 as Cfb in its .* where Beck has Aw"):
        climate(path, GERMANY, "Beck")


def test_a_sidecar_with_entities_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "k.tif", halves(3, 7))
    text = SIDECARS["table"].replace("Cfb", "&x;")
    Path(f"{path}.aux.xml").write_text(f'<!DOCTYPE a [<!ENTITY x "Cfb">]>{text}')
    with pytest.raises(ArchiveError, match="without names or colours"):
        climate(path, GERMANY)


def test_a_colour_table_says_what_codes_mean(tmp_path: Path) -> None:
    """The colours of Rubel et al. (2017) for Cfb and Dfb on codes that no legend has."""
    colours = {0: (255, 255, 255), 101: (0, 0x50, 0), 102: (0x82, 0, 0x82)}
    codes = halves(101, 102)
    codes[0, 0] = 0
    path = write(tmp_path / "k.tif", codes, colours=colours)
    found = climate(path, GERMANY)
    assert found[0, :2].tolist() == [0, CFB]
    assert (found[:, 4:] == DFB).all()
    assert climate_legend(open_map(path)).words == (
        "legend in its colour table: the colours are those of Rubel et al."
    )


def test_a_code_without_a_name_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "k.tif", halves(3, 8), TAGS["codes"])
    with pytest.raises(ArchiveError, match=r"name for each code, found none for \[8\] in its"):
        climate(path, GERMANY)


def test_a_user_may_name_codes_and_is_held_against_the_places(tmp_path: Path) -> None:
    path = write(tmp_path / "k.tif", halves(40, 41))
    assert np.array_equal(climate(path, GERMANY, {40: "Cfb", 41: "Dfb"}), halves(CFB, DFB))
    other = write(tmp_path / "other.tif", halves(10, 19))
    assert climate(other, GERMANY, "Rubel")[0, 0] == CFB
    with pytest.raises(ArchiveError, match="found 0 % of them there, and 100 % as Rubel"):
        climate(other, GERMANY, "Beck")
    with pytest.raises(ArchiveError, match=r"expected codes 40 to 40 of by code, found \[41\]"):
        climate(path, GERMANY, {40: "Cfb"})
    with pytest.raises(ArchiveError, match="such as Af, Am, Aw, BWh, found 40: rain"):
        climate(path, GERMANY, {40: "rain", 41: "Dfb"})


def test_a_fill_value_is_no_class_whatever_its_last_byte(tmp_path: Path) -> None:
    """-999 ends in the byte 25, which is Dfa; 271 in 15, which is Cfb."""
    codes = halves(CFB, DFB, "i2")
    codes[0, 0] = -999
    path = write(tmp_path / "k.tif", codes, nodata=-999)
    found = climate(path, GERMANY)
    assert found[0, :2].tolist() == [0, CFB]
    codes[1, 1] = class_code(KOPPEN, "Dfa")
    codes[2, 2] = 271
    with pytest.raises(ArchiveError, match="found codes 15, 25, 26, 271"):
        climate(write(tmp_path / "more.tif", codes, nodata=-999), GERMANY)
    codes[2, 2] = -999
    again = climate(write(tmp_path / "again.tif", codes, nodata=-999), GERMANY, "Beck")
    assert again[1, 1] == 25


def test_a_map_upside_down_is_told_from_one_of_another_legend(tmp_path: Path) -> None:
    place = {"transform": from_origin(9.8, -50.0, 0.1, 0.1)}
    with pytest.raises(ArchiveError, match="the map is upside down: flip it"):
        climate(write(tmp_path / "k.tif", halves(CFB, DFB), **place), GERMANY)


@pytest.mark.parametrize("legend", KOPPEN_LEGENDS)
def test_each_known_legend_is_proven_by_its_own_codes(legend: str) -> None:
    """Spain, Germany, Kazakhstan and Russia in any of the numberings."""
    number = {found: code for code, found in KOPPEN_LEGENDS[legend].classes.items()}
    names = ((38.0, -4.0, "Csa"), (49.0, 65.0, "BSk"), (51.0, 9.0, "Cfb"), (55.0, 38.0, "Dfb"),
             (63.0, 45.0, "Dfc"))  # fmt: skip
    lat, lon = (np.array([row[n] for row in names]) for n in (0, 1))
    codes = np.zeros((5, 5), np.uint8)
    np.fill_diagonal(codes, [number[class_code(KOPPEN, name)] for _, _, name in names])
    found = proven_legend(MapSample(codes, lat, lon), set(np.diag(codes).tolist()))
    assert found is not None
    assert found.name == legend


COVERS: dict[str, tuple[Any, dict[str, Any], str | None, str, list[int], float]] = {
    # codes of the left and right half, profile, legend, file name: classes, % of land
    "warped and tagged": ((0, 5), {"nodata": 0}, None, "c.tif", [0, 5], 100),
    "warped, 0 is fill": ((0, 5), {}, "MCD12Q1", "c.tif", [0, 5], 100),
    "0 is water": ((0, 5), {}, "MCD12C1", "c.tif", [WATER_CLASS, 5], 50),
    "the name says 0 is water": (
        (0, 5), {}, None, "MCD12C1.A2019001.006.2020220162300.tif", [WATER_CLASS, 5], 50),
    "the name says 0 is fill": (
        (0, 5), {}, None, "MCD12Q1.A2019001.h18v03.061.2020220162300.tif", [0, 5], 100),
    "the name of collection 5": (
        (0, 5), {}, None, "MCD12Q1.A2010001.h18v03.051.2012220162300.tif", [WATER_CLASS, 5], 50),
    "17 is water": ((17, 5), {}, None, "c.tif", [WATER_CLASS, 5], 50),
    "17 is water, 0 is fill": ((17, 0), {}, None, "c.tif", [WATER_CLASS, 0], 0),
    "no water": ((1, 16), {}, None, "c.tif", [1, 16], 100),
}  # fmt: skip


@pytest.mark.parametrize("case", COVERS)
def test_zero_is_fill_unless_something_says_that_it_is_water(tmp_path: Path, case: str) -> None:
    (left, right), profile, legend, name, classes, share = COVERS[case]
    path = write(tmp_path / name, halves(left, right), **profile)
    found = land_cover(path, GERMANY, legend)
    assert [found[0, 0], found[0, 7]] == classes
    whole = Grid("one", 1, 1, 0.8, north=50.6, west=9.8)  # its lower part lies beyond the map
    assert land_share_of_cover(path, whole, legend)[0, 0] == pytest.approx(share, abs=1e-4)


def test_zero_without_water_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "c.tif", halves(0, 5))
    with pytest.raises(ArchiveError, match=r"found 0 and no 17: .* fill in a map .*static\.legend"):
        land_cover(path, GERMANY)


def test_names_of_land_cover_decide_and_other_classes_are_refused(tmp_path: Path) -> None:
    tags = {"0": "Water Bodies", "5": "Mixed Forests"}
    path = write(tmp_path / "c.tif", halves(0, 5), tags)
    found = land_cover(path, GERMANY)
    assert [found[0, 0], found[0, 7]] == [WATER_CLASS, 5]
    plants = write(tmp_path / "p.tif", halves(1, 5), {"1": "Needleleaf trees", "5": "Shrub"})
    with pytest.raises(ArchiveError, match=r"IGBP such as ENF.*found 1: Needleleaf tre"):
        land_cover(plants, GERMANY)
    with pytest.raises(ArchiveError, match=r"codes 0 to 16 of MCD12C1, found \[17\]"):
        land_cover(write(tmp_path / "w.tif", halves(17, 5)), GERMANY, "MCD12C1")


def test_each_class_is_known_by_the_names_of_the_archives() -> None:
    words = (
        "Evergreen Needleleaf Forests", "evergreen broadleaf forest", "Deciduous_Needleleaf_Forest",
        "Deciduous Broadleaf Forests", "Mixed Forests", "Closed Shrublands", "Open Shrublands",
        "Woody Savannas", "Savannas", "Grasslands", "Permanent Wetlands", "Croplands",
        "Urban and Built-up Lands", "Cropland/Natural Vegetation Mosaics",
        "Permanent Snow and Ice", "Barren or sparsely vegetated", "Water Bodies",
    )  # fmt: skip
    assert [igbp_class(text) for text in words] == list(range(1, len(IGBP) + 1))
    assert [igbp_class(name) for name in IGBP] == list(range(1, len(IGBP) + 1))
    assert igbp_class("Unclassified") == 0
    assert igbp_class("Broadleaf crops") is None
    assert [koppen_class(f"Zone {name}.") for name in KOPPEN] == list(range(1, len(KOPPEN) + 1))
    assert koppen_class("Ocean") == 0
    assert koppen_class("As") == class_code(KOPPEN, "Aw")
    assert koppen_class("Tropical") is None


def test_no_numbering_leaves_out_a_class_or_has_it_twice() -> None:
    for legend in KOPPEN_LEGENDS.values():
        classes = sorted(found for found in legend.classes.values() if found)
        twice = [class_code(KOPPEN, "Aw")] if legend.name != "Beck" else []  # As is one, too
        assert classes == sorted([*range(1, len(KOPPEN) + 1), *twice]), legend.name
    for legend in COVER_LEGENDS.values():
        classes = sorted(found for found in legend.classes.values() if found)
        assert classes == list(range(1, len(IGBP) + 1))


def test_a_user_is_told_of_names_that_are_no_classes() -> None:
    assert Static(igbp="c.tif", koppen_legend={1: "Cfb"}).koppen_legend == {1: "Cfb"}
    with pytest.raises(ValueError, match=r"classes of Koeppen-Geiger .*found 1: oak"):
        Static(igbp="c.tif", koppen_legend={1: "oak"})
    with pytest.raises(ValueError, match=r"classes of IGBP .*found 3: Cfb"):
        Static(igbp="c.tif", legend={3: "Cfb"})


INSPECTED: dict[str, tuple[str, Callable[[], Any], str]] = {
    "proven": ("koppen_map.tif", lambda: halves(10, 19), "static.koppen: legend Rubel: 100 %"),
    "refused": ("koppen_map.tif", lambda: halves(1, 2), "static.koppen: no legend: "),
    "cover": ("igbp_2019.tif", lambda: halves(17, 5), "static.igbp: legend MCD12Q1: it holds 17"),
}


@pytest.mark.parametrize("case", INSPECTED)
def test_inspection_says_which_legend_is_believed_and_why(tmp_path: Path, case: str) -> None:
    name, codes, said = INSPECTED[case]
    found = inspect(str(write(tmp_path / name, codes()))).to_dict()
    assert found["believes"][0].startswith(said)
    band = found["variables"][0]
    assert band["mean"] is None
    assert set(band["codes"].values()) == {0.5}


def test_heights_are_no_classes(tmp_path: Path) -> None:
    found = inspect(str(write(tmp_path / "height.tif", halves(100, 300, "i2")))).to_dict()
    assert found["believes"] == []
    assert found["variables"][0]["mean"] == 200


@real
def test_the_real_map_is_known_by_its_colours_and_by_its_places_alone(tmp_path: Path) -> None:
    with rasterio.open(BECK) as file:
        codes, transform = file.read(1), file.transform
    bare = write(tmp_path / "bare.tif", codes, transform=transform, nodata=0)
    by_colour, by_place = (climate_legend(open_map(path)) for path in (BECK, bare))
    assert by_colour.reason == "the colours are those of Beck et al."
    assert by_place.name == "Beck"
    grid = Grid("world", 180, 360, 1.0)
    assert np.array_equal(climate(BECK, grid), climate(bare, grid))
