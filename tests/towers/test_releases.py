"""Of two releases of one tower the newer one is taken, and files without days are named."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from upscale.towers.table import Tower, TowerWarning, read_towers, tower_files

COLUMNS = (
    "TIMESTAMP,TA_F,SW_IN_F,VPD_F,P_F,NEE_VUT_REF,NEE_VUT_REF_QC,RECO_NT_VUT_REF,GPP_NT_VUT_REF"
)
NAME = "FLX_AT-Neu_FLUXNET2015_SUBSET_DD_{}.csv"


def put(folder: Path, name: str, days: range, nee: float, quality: float = 0.9) -> None:
    """A daily file of January 2004 in which NEE tells the file."""
    folder.mkdir(parents=True, exist_ok=True)
    row = f"5.5,200,4,1.2,{nee},{quality},{nee + 2},2"
    lines = [COLUMNS, *(f"200401{day:02d},{row}" for day in days)]
    (folder / name).write_text("\n".join(lines) + "\n")
    (folder / "sites.csv").write_text("site,lat,lon\nAT-Neu,47.1,11.3\n")


def only(folder: Path) -> Tower:
    (tower,) = read_towers(folder)
    return tower


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (NAME.format("2002-2012_1-3"), NAME.format("2002-2012_1-4")),
        (NAME.format("2002-2012_1-4"), NAME.format("2002-2012_2-4")),
        (NAME.format("2002-2012_2-4"), NAME.format("2002-2012_10-4")),
        (NAME.format("2002-2012_2-4"), NAME.format("2002-2020_beta-3")),
        (NAME.format("2002-2012_1-4"), "AMF_AT-Neu_FLUXNET_SUBSET_DD_2002-2019_3-5.csv"),
        ("AMF_AT-Neu_FLUXNET_SUBSET_DD_2002-2019_4-6.csv",
         "AMF_AT-Neu_FLUXNET_FLUXMET_DD_2002-2025_v1.3_r1.csv"),
        (NAME.format("2002-2020_beta-3"), "ICOSETC_AT-Neu_FLUXNET_DD_L2.csv"),
        ("ICOSETC_AT-Neu_FLUXNET_DD_L2.csv", "ICOSETC_AT-Neu_FLUXNET_DD_INTERIM_L2.csv"),
        (NAME.format("2002-2012_1-4"), "FLX_AT-Neu_JapanFLUX2024_ALLVARS_DD_2002-2010_1-3.csv"),
    ],
)  # fmt: skip
def test_the_newer_release_is_taken_whatever_the_order_of_names(
    tmp_path: Path, older: str, newer: str
) -> None:
    put(tmp_path, older, range(1, 11), 1)
    put(tmp_path, newer, range(1, 12 if "INTERIM" in newer else 11), 7)
    with pytest.warns(TowerWarning, match="AT-Neu: 2 releases: took the newest") as said:
        tower = only(tmp_path)
    assert set(tower.fluxes[:, 2].tolist()) == {7}
    assert " + " not in tower.origin
    text = next(str(one.message) for one in said if "releases" in str(one.message))
    assert "from 2004-01-01 to 2004-01-1" in text
    assert older.split("_")[2] in text.split("only days outside")[1]


def test_an_older_release_gives_only_days_outside_of_the_newer_one(tmp_path: Path) -> None:
    """Gaps inside stay gaps: two processings are not mixed day by day."""
    put(tmp_path, NAME.format("2004-2004_1-4"), range(1, 10), 1)
    put(tmp_path, NAME.format("2004-2004_2-4"), range(4, 8), 7)
    path = tmp_path / NAME.format("2004-2004_2-4")
    path.write_text("".join(li for li in path.open() if not li.startswith("20040105")))
    with pytest.warns(TowerWarning, match=r"1-4: 5 days\)"):
        tower = only(tmp_path)
    expected = [1, 1, 1, 7, np.nan, 7, 7, 1, 1]
    np.testing.assert_array_equal(tower.fluxes[:, 2], expected)
    assert "2-4: VUT_REF + FLX FLUXNET2015 SUBSET 2004-2004 1-4: VUT_REF" in tower.origin


def test_a_newer_release_without_a_good_day_does_not_replace_an_older_one(tmp_path: Path) -> None:
    put(tmp_path, NAME.format("2004-2004_1-4"), range(1, 5), 1)
    put(tmp_path, NAME.format("2004-2004_2-4"), range(1, 5), 7, quality=-9999)
    with pytest.warns(TowerWarning, match="took the newest, FLX FLUXNET2015 SUBSET 2004-2004 1-4"):
        assert set(only(tmp_path).fluxes[:, 2].tolist()) == {1}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (NAME.format("2004-2004_1-4").replace("_DD_", "_WW_"), r"weekly \(WW\) means: take the da"),
        (NAME.format("2004-2004_1-4").replace("_DD_", "_MM_"), r"monthly \(MM\) means"),
        (NAME.format("2004-2004_1-4").replace("_DD_", "_YY_"), r"annual \(YY\) sums"),
        ("AMF_US-Ha1_BASE_HR_14-5.csv", "AmeriFlux BASE, measured half-hours that are neither"),
        ("ICOSETC_BE-Bra_FLUXES_L2.csv", r"ICOS .*: take its FLUXNET product"),
        ("ICOSETC_BE-Bra_FLUXNET_WW_L2.csv", "weekly"),
        ("FLX_US-Myb_FLUXNET-CH4_DD_2010-2018_1-1.csv", "fluxes of methane"),
        ("FLX_AT-Neu_FLUXNET2015_ERAI_DD_1989-2014_1-4.csv", "reanalysis without fluxes"),
        ("FLX_AT-Neu_FLUXNET2015_AUXNEE_DD_2002-2012_1-4.csv", "auxiliary numbers"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_without_days_of_fluxes_says_what_its_files_are(
    tmp_path: Path, name: str, words: str, packed: bool
) -> None:
    if packed:
        with zipfile.ZipFile(tmp_path / "product.zip", "w") as archive:
            archive.writestr(name, "TIMESTAMP\n20040101\n")
    else:
        (tmp_path / name).write_text("TIMESTAMP\n20040101\n")
    with pytest.raises(FileNotFoundError, match=rf"found {name} holds .*{words}"):
        read_towers(tmp_path)


def test_a_tower_without_days_beside_others_is_named(tmp_path: Path) -> None:
    put(tmp_path, NAME.format("2004-2004_1-4"), range(1, 5), 1)
    put(tmp_path, NAME.format("2004-2004_1-4").replace("_DD_", "_WW_"), range(1, 2), 1)
    (tmp_path / "AMF_US-Ha1_BASE_HR_14-5.csv").write_text("TIMESTAMP_START\n")
    with pytest.warns(TowerWarning, match=r"left out, .*: AMF_US-Ha1_BASE_HR_14-5.csv") as said:
        assert only(tmp_path).site == "AT-Neu"
    assert "WW" not in " ".join(str(one.message) for one in said)


def test_constant_thresholds_alone_are_named(tmp_path: Path) -> None:
    put(tmp_path, NAME.format("2004-2004_1-4"), range(1, 5), 1)
    path = tmp_path / NAME.format("2004-2004_1-4")
    path.write_text(path.read_text().replace("VUT", "CUT"))
    with pytest.raises(ValueError, match=r"NEE_CUT_REF.*; it has constant u\* thresholds \(CUT\)"):
        read_towers(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace(",", ";"), "with commas between columns"),
        (lambda text: re.sub(r"^(2004\d+)", r"\g<1>0000", text, flags=re.MULTILINE),
         "found '200401010000': a stamp of hours"),
        (lambda text: "".join(li for i, li in enumerate(text.splitlines(True)) if i % 7 == 0),
         r"found rows 7 days apart or more: weekly \(WW\)"),
        (lambda text: text.replace("TIMESTAMP,", "TIMESTAMP_START,"), "those of half-hours"),
    ],
)  # fmt: skip
def test_rows_that_are_no_days_are_named(tmp_path: Path, change: object, words: str) -> None:
    name = NAME.format("2004-2004_1-4")
    put(tmp_path, name, range(1, 32), 1)
    text = (tmp_path / name).read_text()
    more = "".join(
        line.replace("200401", "200403", 1) for line in text.splitlines(True) if "200401" in line
    )
    (tmp_path / name).write_text(change(text + more))  # type: ignore[operator]
    with pytest.raises(ValueError, match=words):
        read_towers(tmp_path)


def test_files_of_releases_are_all_counted_in_a_digest(tmp_path: Path) -> None:
    for version in ("1-4", "2-4"):
        put(tmp_path, NAME.format(f"2004-2004_{version}"), range(1, 5), 1)
    assert len(tower_files(tmp_path)) == 3
