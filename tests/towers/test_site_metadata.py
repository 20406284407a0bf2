"""Where towers stand: tables of sites, BADM, clusters by distance."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from upscale.testing.tower_layouts import write_oneflux
from upscale.testing.towers import write_towers
from upscale.towers.clusters import cluster_names, great_circle_km, linked
from upscale.towers.table import read_sites, read_towers
from upscale.variables import IGBP, KOPPEN

BADM = """SITE_ID,GROUP_ID,VARIABLE_GROUP,VARIABLE,DATAVALUE
XX-T00,1,GRP_LOCATION,LOCATION_LAT,47.0
XX-T00,1,GRP_LOCATION,LOCATION_LONG,11.0
XX-T00,2,GRP_LOCATION,LOCATION_LAT,47.25
XX-T00,2,GRP_LOCATION,LOCATION_LONG,11.5
XX-T00,3,GRP_IGBP,IGBP,ENF - Evergreen Needleleaf Forests
XX-T00,4,GRP_CLIM_AVG,CLIMATE_KOEPPEN,Dfb
XX-T00,5,GRP_HEADER,SITE_NAME,"Somewhere, in the hills"
XX-T00,6,GRP_TEAM,TEAM_MEMBER_NAME,Nobody
"""


@pytest.mark.parametrize(
    "name",
    [
        "FLX_AA-Flx_BIF_DD_20200501.csv",
        "AMF_XX-T00_FLUXNET_BIF_2003-2006_v1.3_r1.csv",
        "ICOSETC_XX-T00_SITEINFO_L2.csv",
    ],
)
def test_badm_tells_where_a_tower_stands_and_the_latest_entry_counts(
    tmp_path: Path, name: str
) -> None:
    folder = write_oneflux(tmp_path, "SUBSET", count=1)
    (folder / "sites.csv").unlink()
    (folder / name).write_text(BADM)
    (tower,) = read_towers(folder)
    assert (tower.lat, tower.lon) == (47.25, 11.5)
    assert (IGBP[tower.igbp - 1], KOPPEN[tower.koppen - 1]) == ("ENF", "Dfb")
    assert read_sites(folder)["name"].tolist() == ["Somewhere, in the hills"]


def test_badm_is_read_from_the_zip_of_the_product(tmp_path: Path) -> None:
    folder = write_oneflux(tmp_path, "FLUXMET", "zip", count=1)
    (folder / "sites.csv").unlink()
    (path,) = folder.glob("*.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("AMF_XX-T00_FLUXNET_BIF_2003-2006_v1.3_r1.csv", BADM)
        archive.writestr("AMF_XX-T00_FLUXNET_BIFVARINFO_DD_2003-2006_v1.3_r1.csv", "A,B\n1,2\n")
    assert read_towers(folder)[0].lat == 47.25


def test_a_table_of_sites_goes_before_badm_which_fills_its_holes(tmp_path: Path) -> None:
    folder = write_oneflux(tmp_path, "SUBSET", count=1)
    (folder / "sites.csv").write_text("site,lat,lon,igbp\nXX-T00,10.0,20.0,\n")
    (folder / "FLX_AA-Flx_BIF_DD_20200501.csv").write_text(BADM)
    (tower,) = read_towers(folder)
    assert (tower.lat, tower.lon) == (10.0, 20.0)
    assert IGBP[tower.igbp - 1] == "ENF"


def test_a_file_that_is_called_badm_and_is_none_is_named(tmp_path: Path) -> None:
    folder = write_oneflux(tmp_path, "SUBSET", count=1)
    (folder / "FLX_AA-Flx_BIF_DD_20200501.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"BIF_DD_20200501.csv: expected the columns SITE_ID"):
        read_towers(folder)


def test_a_tower_without_coordinates_names_the_file_to_write(tmp_path: Path) -> None:
    folder = write_oneflux(tmp_path, "SUBSET", count=2)
    (folder / "sites.csv").unlink()
    with pytest.raises(ValueError, match=r"found none for XX-T00, XX-T01; write .*sites\.csv"):
        read_towers(folder)
    (folder / "AMF_AA-Flx_BIF_CCBY4_20201218.xlsx").touch()
    with pytest.raises(ValueError, match=r"save AMF_AA-Flx_BIF_CCBY4_20201218\.xlsx as CSV"):
        read_towers(folder)
    (folder / "sites.csv").write_text("site,lat,lon\nXX-T00,10.0,20.0\nXX-T01,,\n")
    with pytest.raises(ValueError, match=r"none for XX-T01; add them to .*sites\.csv"):
        read_towers(folder)


def test_another_table_of_sites_can_be_named(tmp_path: Path) -> None:
    folder = write_oneflux(tmp_path / "read-only", "SUBSET", count=1)
    (folder / "sites.csv").rename(tmp_path / "mine.csv")
    (tower,) = read_towers(folder, table=tmp_path / "mine.csv")
    assert tower.lat == read_sites(folder, table=tmp_path / "mine.csv")["lat"].item()


def test_what_is_not_known_of_a_site_has_a_default(tmp_path: Path) -> None:
    folder = write_oneflux(tmp_path, "SUBSET", count=1)
    (folder / "sites.csv").write_text("site,lat,lon\nXX-T00,10.0,20.0\n")
    (tower,) = read_towers(folder)
    assert (tower.igbp, tower.koppen, tower.cluster, tower.suspect) == (0, 0, "C_XX-T00", False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,lat,lon\na,1,2\n", "missing column of .*sites.csv: site; found name"),
        ("site,lat,lon\nXX-T00,1,2\nXX-T00,1,2\n", "one row for each site, found more of"),
    ],
)
def test_a_broken_table_of_sites_is_named(tmp_path: Path, text: str, message: str) -> None:
    folder = write_oneflux(tmp_path, "SUBSET", count=1)
    (folder / "sites.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_towers(folder)


@pytest.mark.parametrize("words", [["true", "False"], [1, 0], [True, None], ["yes", ""]])
def test_suspect_is_read_from_words_and_numbers(tmp_path: Path, words: list[object]) -> None:
    folder = write_oneflux(tmp_path, "SUBSET", count=2)
    sites = pd.read_csv(folder / "sites.csv").assign(suspect=words)
    sites.to_csv(folder / "sites.csv", index=False)
    assert [tower.suspect for tower in read_towers(folder)] == [True, False]


def test_distances_are_those_of_the_sphere() -> None:
    """A quarter of the equator, pole to pole, and across the date line (cosine rule)."""
    lat, lon = np.array([0.0, 0.0, 90.0, -90.0, 10.0, 10.0]), np.array([0, 90, 0, 0, 179.9, -179.9])
    distance = great_circle_km(lat, lon)
    radius = 6371.007181
    assert distance[0, 1] == pytest.approx(np.pi / 2 * radius)
    assert distance[2, 3] == pytest.approx(np.pi * radius)
    a, b = np.radians(10.0), np.radians(0.2)
    assert distance[4, 5] == pytest.approx(
        radius * np.arccos(np.sin(a) ** 2 + np.cos(a) ** 2 * np.cos(b))
    )
    np.testing.assert_allclose(distance, distance.T)
    assert (np.diag(distance) == 0).all()


def test_single_linkage_agrees_with_scanning_all_chains() -> None:
    rng = np.random.default_rng(4)
    lat, lon = rng.uniform(45, 49, 60), rng.uniform(5, 12, 60)
    near = great_circle_km(lat, lon) <= 50
    reach = near.copy()
    for through in range(60):  # Warshall: which places are joined by a chain
        reach |= np.outer(reach[:, through], reach[through])
    group = linked(lat, lon)
    np.testing.assert_array_equal(group[:, None] == group, reach)
    assert 1 < len(set(group)) < 60


def test_a_chain_longer_than_the_reach_is_one_cluster() -> None:
    step = np.degrees(45 / 6371.007181)
    lat = np.array([0, 1, 2, 3, 5]) * step
    names = cluster_names(list("edcba"), lat, np.zeros(5), [None] * 5)
    assert names == ["C_b"] * 4 + ["C_a"]


def test_a_tower_without_a_cluster_joins_the_nearest_one_in_reach() -> None:
    step = np.degrees(20 / 6371.007181)
    lat = np.array([0, 1, 2, 100]) * step
    names = cluster_names(list("abcd"), lat, np.zeros(4), ["west", None, "east", None])
    assert names == ["west", "west", "east", "C_d"]
    assert cluster_names([], [], [], []) == []


def test_clusters_do_not_depend_on_the_sites_that_are_asked_for(tmp_path: Path) -> None:
    folder = write_oneflux(tmp_path, "SUBSET", count=3)
    assert read_towers(folder, ["XX-T01"])[0].cluster == "C_XX-T00"


def test_real_clusters_are_found_again() -> None:
    data = os.environ.get("UPSCALE_TEST_DATA")
    if not data:
        pytest.skip("UPSCALE_TEST_DATA is not set: no real towers here")
    sites = pd.read_parquet(Path(data) / "towers" / "sites.parquet")
    found = cluster_names(sites["site"].tolist(), sites["lat"], sites["lon"], [None] * len(sites))
    assert found == sites["cluster"].tolist()


def test_a_folder_of_made_towers_keeps_its_clusters(tmp_path: Path) -> None:
    folder = write_towers(tmp_path, 3)
    assert {tower.cluster for tower in read_towers(folder)} == {"C_twins", "C_XX-T02"}
