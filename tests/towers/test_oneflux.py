"""ONEFlux daily files in every shape in which archives deliver them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from upscale.calendar import day_number
from upscale.testing.tower_layouts import daily_csv, write_oneflux
from upscale.testing.towers import write_towers
from upscale.towers.describe import describe
from upscale.towers.layouts.oneflux import daily_files
from upscale.towers.layouts.text_files import TextFile
from upscale.towers.table import Tower, TowerWarning, layout_of, read_towers, tower_files

HEADER = "TIMESTAMP,TA_F,SW_IN_F,VPD_F,P_F"
REF = "NEE_VUT_REF,NEE_VUT_REF_QC,RECO_NT_VUT_REF,GPP_NT_VUT_REF"
NAME = "FLX_AT-Neu_FLUXNET2015_SUBSET_DD_2004-2004_1-4.csv"
DAY = "5.5,200,4,1.2"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tower, ...]:
    return read_towers(write_towers(tmp_path_factory.mktemp("made"), 3))


def put(folder: Path, name: str, *lines: str) -> Path:
    """A daily file of a tower, and where the towers stand."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n")
    (folder / "sites.csv").write_text("site,lat,lon\nAT-Neu,47.1,11.3\nJP-Tak,36.1,137.4\n")
    return folder


def only(folder: Path) -> Tower:
    (tower,) = read_towers(folder)
    return tower


@pytest.mark.parametrize("packing", ["csv", "gz", "zip"])
@pytest.mark.parametrize("group", ["FULLSET", "SUBSET", "FLUXMET"])
def test_a_file_gives_back_the_series_that_were_written(
    tmp_path: Path, made: tuple[Tower, ...], group: str, packing: str
) -> None:
    towers = read_towers(write_oneflux(tmp_path, group, packing, count=3))  # type: ignore[arg-type]
    for tower, truth in zip(towers, made, strict=True):
        np.testing.assert_array_equal(tower.days, truth.days)
        np.testing.assert_array_equal(tower.drivers, truth.drivers)
        np.testing.assert_array_equal(tower.fluxes, truth.fluxes)
        np.testing.assert_array_equal(tower.quality, truth.quality)
        np.testing.assert_array_equal(tower.good, truth.good)
        assert (tower.lat, tower.lon, tower.igbp) == (truth.lat, truth.lon, truth.igbp)


@pytest.mark.parametrize(("group", "version"), [("FULLSET", "VUT_USTAR50"), ("SUBSET", "VUT_REF")])
def test_the_user_is_told_which_version_of_the_fluxes_was_taken(
    tmp_path: Path, group: str, version: str
) -> None:
    table = describe(read_towers(write_oneflux(tmp_path, group, count=1)))
    label = f"FLX FLUXNET2015 {group} 2003-2006 1-4: {version}; weather of the tower"
    assert table["origin"].tolist() == [label]
    assert table[["first", "last", "years"]].values.tolist() == [[2003, 2006, 4]]


def test_a_version_without_any_value_gives_way_to_the_reference(tmp_path: Path) -> None:
    ustar = REF.replace("REF", "USTAR50")
    put(tmp_path, NAME, f"{HEADER},{ustar},{REF}",
        f"20040101,{DAY},-9999,-9999,-9999,-9999,1,0.9,3,2")  # fmt: skip
    tower = only(tmp_path)
    np.testing.assert_array_equal(tower.fluxes, [[2, 3, 1]])
    assert "VUT_REF" in tower.origin


def test_missing_days_are_inserted_and_the_leap_day_is_a_day(tmp_path: Path) -> None:
    put(tmp_path, NAME, f"{HEADER},{REF}",
        f"20040301,{DAY},1,0.9,3,2", f"20040227,{DAY},1,0.9,3,2")  # fmt: skip
    tower = only(tmp_path)
    first = day_number(pd.Timestamp("2004-02-27").date())
    np.testing.assert_array_equal(tower.days, first + np.arange(4))
    assert np.isfinite(tower.fluxes).all(axis=1).tolist() == [True, False, False, True]
    assert np.isfinite(tower.driver("ta")).tolist() == [True, False, False, True]


def test_minus_9999_is_missing_in_fluxes_weather_and_quality(tmp_path: Path) -> None:
    put(tmp_path, NAME, f"{HEADER},{REF}",
        "20040101,-9999,-9999.0,-9999,-9999,-9999,-9999,3,2",
        f"20040102,{DAY},1,0.5,3,2")  # fmt: skip
    tower = only(tmp_path)
    assert np.isnan(tower.drivers[0]).all()
    assert np.isnan(tower.fluxes[0]).tolist() == [False, False, True]
    assert tower.good.tolist() == [False, False]
    assert tower.quality[1] == np.float32(0.5)


def test_without_quality_no_day_is_good_and_the_tower_is_named(tmp_path: Path) -> None:
    put(tmp_path, NAME, f"{HEADER},NEE_VUT_REF,RECO_NT_VUT_REF,GPP_NT_VUT_REF",
        f"20040101,{DAY},1,3,2")  # fmt: skip
    with pytest.warns(TowerWarning, match="no good flux day, at AT-Neu"):
        tower = only(tmp_path)
    assert tower.fluxes.tolist() == [[2, 3, 1]]
    assert not tower.good.any()
    assert np.isnan(tower.quality).all()
    assert "no quality" in tower.origin


def test_vpd_and_rain_may_be_missing(tmp_path: Path) -> None:
    put(tmp_path, NAME, f"TIMESTAMP,TA_F,SW_IN_F,{REF}", "20040101,5,200,1,0.9,3,2")
    tower = only(tmp_path)
    assert tower.drivers[0, :2].tolist() == [5, 200]
    assert np.isnan(tower.drivers[0, 2:]).all()


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (f"{HEADER},{REF}", f"2004-01-01,{DAY},1,0.9,3,2", r"TIMESTAMP as yyyymmdd, found '2004-"),
        (f"{HEADER},{REF}", f"20040230,{DAY},1,0.9,3,2", r"TIMESTAMP as yyyymmdd, found '20040230"),
        (f"{HEADER},{REF}", "20040101,abc,200,4,1,1,0.9,3,2", r"numbers in TA_F"),
        (f"{HEADER},{REF}", f"20040101,{DAY},1,97,3,2", r"NEE quality from 0 to 1, found 97 to 97"),
        ("TIMESTAMP,TA_F,VPD_F," + REF, "20040101,5,4,1,0.9,3,2", r"expected SW_IN_F, found"),
        (HEADER, f"20040101,{DAY}", r"values of GPP_NT_VUT_USTAR50, .* or GPP_NT_VUT_REF"),
        ("TIMESTAMP_START,TIMESTAMP_END,TA_F", "200401010000,200401010030,5",
         r"expected TIMESTAMP and one row for each day, found TIMESTAMP_START"),
        ("<!DOCTYPE html><html>", "<body>log in</body>", r"expected TIMESTAMP and one row"),
    ],
)  # fmt: skip
def test_a_broken_file_is_named_with_what_is_wrong(
    tmp_path: Path, header: str, row: str, message: str
) -> None:
    put(tmp_path, NAME, header, row)
    with pytest.raises(ValueError, match=f"{NAME}.*{message}"):
        read_towers(tmp_path)


def test_a_repeated_day_is_named(tmp_path: Path) -> None:
    put(tmp_path, NAME, f"{HEADER},{REF}", *[f"20040101,{DAY},1,0.9,3,2"] * 2)
    with pytest.raises(
        ValueError, match=f"{NAME}: expected one row for each day, found 2004-01-01"
    ):
        read_towers(tmp_path)


def test_damaged_archives_are_named(tmp_path: Path) -> None:
    folder = write_oneflux(tmp_path / "gz", "SUBSET", "gz", count=1)
    (path,) = folder.glob("*.gz")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"\.csv\.gz: cannot be unpacked"):
        read_towers(folder)
    folder = write_oneflux(tmp_path / "zip", "SUBSET", "zip", count=1)
    (path,) = folder.glob("*.zip")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"\.zip: expected a zip archive"):
        read_towers(folder)


@pytest.mark.parametrize("member", ["../FLX.csv", "/etc/FLX.csv", "a/../../FLX.csv"])
def test_a_zip_that_points_outside_itself_is_refused(tmp_path: Path, member: str) -> None:
    with zipfile.ZipFile(tmp_path / "FLX_AT-Neu_FLUXNET2015.zip", "w") as archive:
        archive.writestr(member, "TIMESTAMP\n")
    with pytest.raises(ValueError, match="lies outside of the archive"):
        read_towers(tmp_path)


def test_the_unit_of_vpd_is_told_by_its_range(tmp_path: Path) -> None:
    folder = write_oneflux(tmp_path, "SUBSET", count=1)
    (path,) = folder.glob("*_DD_*.csv")
    table = pd.read_csv(path)
    table["VPD_F"] /= 10
    table.to_csv(path, index=False)
    with pytest.raises(ValueError, match="XX-T00: VPD looks like kPa, expected hPa"):
        read_towers(folder)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        (NAME, "FLX FLUXNET2015 SUBSET 2004-2004 1-4"),
        ("FLX_BE-Lcr_FLUXNET2015_FULLSET_DD_2019-2020_beta-3.csv.gz",
         "FLX FLUXNET2015 FULLSET 2019-2020 beta-3"),
        ("AMF_US-Kon_FLUXNET_SUBSET_DD_2004-2019_4-6.csv", "AMF FLUXNET SUBSET 2004-2019 4-6"),
        ("AMF_US-Ha1_FLUXNET_FLUXMET_DD_1991-2025_v1.3_r1.csv",
         "AMF FLUXNET FLUXMET 1991-2025 v1.3_r1"),
        ("ICOSETC_BE-Bra_FLUXNET_DD_L2.csv", "ICOSETC FLUXNET L2"),
        ("ICOSETC_DE-RuW_FLUXNET_DD_INTERIM_L2.csv", "ICOSETC FLUXNET INTERIM_L2"),
        ("JPX_JP-Tak_FLUXNET_FULLSET_DD_1999-2023_1-3.csv", "JPX FLUXNET FULLSET 1999-2023 1-3"),
        ("JPF_JP-Tef_FLUXNET_FLUXMET_DD_2001-2023_v1.3_r1.csv",
         "JPF FLUXNET FLUXMET 2001-2023 v1.3_r1"),
        ("FLX_JP-Ozm_JapanFLUX2024_ALLVARS_DD_2015-2017_1-3.csv",
         "FLX JapanFLUX2024 ALLVARS 2015-2017 1-3"),
    ],
)  # fmt: skip
def test_names_of_all_networks_are_understood(name: str, label: str) -> None:
    (file,) = daily_files([TextFile(Path(name))])
    assert (file.label, file.has_fluxes, file.site) == (label, True, name.split("_")[1])


@pytest.mark.parametrize(
    "name",
    [
        NAME.replace("_DD_", "_HH_"),
        NAME.replace("_DD_", "_WW_"),
        NAME.replace("_DD_", "_MM_"),
        NAME.replace("SUBSET", "AUXMETEO"),
        "AMF_US-Ha1_FLUXNET_BIFVARINFO_DD_1991-2025_v1.3_r1.csv",
        "FLX_US-Myb_FLUXNET-CH4_DD_2010-2018_1-1.csv",
        "sites.csv",
    ],
)
def test_other_files_are_passed_over(name: str) -> None:
    assert daily_files([TextFile(Path(name))]) == ()


def test_japanflux2024_has_names_of_its_own_and_classes_for_quality(tmp_path: Path) -> None:
    header = HEADER + ",NEE_vUT,NEE_vUT_QC,RECO_NT_vUT,GPP_NT_vUT"
    header += ",NEE_vUT_USTAR50,NEE_vUT_USTAR50_QC,RECO_NT_vUT_USTAR50,GPP_NT_vUT_USTAR50"
    rows = [f"2004010{day},{DAY},0,0,0,0,1,{qc},3,2" for day, qc in enumerate((0, 1, 2, 3), 1)]
    place = tmp_path / "A20240722-001" / "DATA" / "COREVARS"
    put(place, "FLX_JP-Tak_JapanFLUX2024_COREVARS_DD_2004-2004_1-3.csv", header, *rows)
    (place / "sites.csv").rename(tmp_path / "sites.csv")
    tower = only(tmp_path)
    assert tower.quality.tolist() == [1, 1, 0.5, 0]
    assert tower.good.tolist() == [True, True, False, False]
    assert tower.fluxes[0].tolist() == [2, 3, 1]
    assert "VUT_USTAR50" in tower.origin


def test_copies_of_one_file_count_once(tmp_path: Path) -> None:
    folder = write_oneflux(tmp_path, "SUBSET", "csv", count=1)
    write_oneflux(tmp_path, "SUBSET", "zip", count=1)
    (tower,) = read_towers(folder)
    assert tower.origin.count("SUBSET") == 1


def test_fullset_goes_before_subset_of_the_same_product(tmp_path: Path) -> None:
    write_oneflux(tmp_path, "SUBSET", count=1)
    (tower,) = read_towers(write_oneflux(tmp_path, "FULLSET", count=1))
    assert "FULLSET 2003-2006 1-4: VUT_USTAR50;" in tower.origin


def test_weather_of_the_reanalysis_comes_on_request_and_for_more_years(tmp_path: Path) -> None:
    header = f"{HEADER},TA_ERA,SW_IN_ERA,VPD_ERA,P_ERA,{REF}"
    put(tmp_path, NAME, header, f"20040101,{DAY},4.5,190,-0.2,0,1,0.9,3,2")
    put(tmp_path, "FLX_AT-Neu_FLUXNET2015_ERAI_DD_1989-2014_1-4.csv",
        "TIMESTAMP,TA_ERA,SW_IN_ERA,VPD_ERA,P_ERA",
        "20031231,3.5,180,2,0", "20040101,4.5,190,0,0")  # fmt: skip
    own, era = read_towers(tmp_path)[0], read_towers(tmp_path, weather="era")[0]
    assert own.driver("ta").tolist() == [5.5]
    assert era.driver("ta").tolist() == [3.5, 4.5]
    assert era.driver("vpd").tolist() == [2, 0]
    assert np.isnan(era.fluxes[0]).all()
    assert era.fluxes[1].tolist() == own.fluxes[0].tolist() == [2, 3, 1]
    assert era.origin.endswith("+ FLX FLUXNET2015 ERAI 1989-2014 1-4; weather of the reanalysis")


def test_a_file_without_reanalysis_says_so(tmp_path: Path) -> None:
    put(tmp_path, NAME, f"{HEADER},{REF}", f"20040101,{DAY},1,0.9,3,2")
    with pytest.raises(ValueError, match=f"{NAME}: expected TA_ERA"):
        read_towers(tmp_path, weather="era")
    with pytest.raises(ValueError, match="expected ONEFlux files for weather of era"):
        read_towers(write_towers(tmp_path / "made", 2), weather="era")


def test_sites_can_be_chosen_and_unknown_ones_are_named(tmp_path: Path) -> None:
    folder = write_oneflux(tmp_path, "SUBSET", count=3)
    assert [tower.site for tower in read_towers(folder, ["XX-T01"])] == ["XX-T01"]
    with pytest.raises(ValueError, match=r"site with a daily file .*: ZZ-Zzz"):
        read_towers(folder, ["ZZ-Zzz"])


def test_the_layout_and_its_files_can_be_asked_for(tmp_path: Path) -> None:
    folder = write_oneflux(tmp_path, "SUBSET", "zip", count=2)
    assert layout_of(folder) == "oneflux"
    names = [path.name for path in tower_files(folder)]
    assert names == ["sites.csv", *sorted(path.name for path in folder.glob("*.zip"))]


def test_the_text_of_a_daily_file_has_the_columns_of_the_archive(tmp_path: Path) -> None:
    rows = pd.read_parquet(write_towers(tmp_path, 2) / "towers.parquet")
    header = daily_csv(rows[rows["site"] == "XX-T00"]).splitlines()[0]
    assert header.startswith(HEADER + ",GPP_NT_VUT_USTAR50,RECO_NT_VUT_USTAR50,NEE_VUT_USTAR50,")
