"""Towers as arrays: reading, good flux days, refusals."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from upscale.calendar import date_of
from upscale.testing.towers import write_towers
from upscale.towers.table import DRIVERS, TowerWarning, good_days, read_sites, read_towers
from upscale.variables import IGBP, KOPPEN


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_towers(tmp_path_factory.mktemp("towers"), count=5, seed=1)


def test_a_tower_holds_the_rows_of_its_site(folder: Path) -> None:
    rows = pd.read_parquet(folder / "towers.parquet")
    for tower in read_towers(folder):
        mine = rows[rows["site"] == tower.site].sort_values("date")
        assert date_of(tower.days[0]) == mine["date"].iloc[0].date()
        assert tower.drivers.shape == (len(mine), len(DRIVERS))
        np.testing.assert_array_equal(tower.driver("vpd"), mine["VPD"])
        np.testing.assert_array_equal(tower.fluxes[:, 2], mine["NEE"])


def test_class_labels_become_codes(folder: Path) -> None:
    sites = pd.read_parquet(folder / "sites.parquet").set_index("site")
    for tower in read_towers(folder):
        assert IGBP[tower.igbp - 1] == sites.loc[tower.site, "igbp"]
        assert KOPPEN[tower.koppen - 1] == sites.loc[tower.site, "koppen"]


def test_an_unknown_class_label_becomes_code_zero_and_is_named(
    folder: Path, tmp_path: Path
) -> None:
    sites = pd.read_parquet(folder / "sites.parquet").assign(igbp="XYZ", koppen=None)
    sites.to_parquet(tmp_path / "sites.parquet")
    pd.read_parquet(folder / "towers.parquet").to_parquet(tmp_path / "towers.parquet")
    with pytest.warns(TowerWarning, match=r"unknown: igbp 'XYZ' of XX-T00, .*of XX-T04$"):
        towers = read_towers(tmp_path)
    assert {(t.igbp, t.koppen) for t in towers} == {(0, 0)}


def test_blanks_and_case_of_a_class_label_do_not_matter(folder: Path, tmp_path: Path) -> None:
    sites = pd.read_parquet(folder / "sites.parquet").assign(igbp=" enf", koppen="cFB ")
    sites.to_parquet(tmp_path / "sites.parquet")
    pd.read_parquet(folder / "towers.parquet").to_parquet(tmp_path / "towers.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("error", TowerWarning)
        towers = read_towers(tmp_path)
    codes = (1 + IGBP.index("ENF"), 1 + KOPPEN.index("Cfb"))
    assert {(t.igbp, t.koppen) for t in towers} == {codes}
    table = read_sites(tmp_path)
    assert set(table["igbp"]) | set(table["koppen"]) == {"ENF", "Cfb"}


@pytest.mark.parametrize("wrong", [-0.2, 1.5, 100.0])
def test_a_quality_that_is_no_share_is_refused_by_name(
    folder: Path, tmp_path: Path, wrong: float
) -> None:
    rows = pd.read_parquet(folder / "towers.parquet")
    rows.loc[rows.index[rows["site"] == "XX-T01"][7], "NEE_QC"] = wrong
    rows.to_parquet(tmp_path / "towers.parquet")
    pd.read_parquet(folder / "sites.parquet").to_parquet(tmp_path / "sites.parquet")
    with pytest.raises(ValueError, match=r"NEE_QC from 0 to 1 .* at XX-T01: convert it"):
        read_towers(tmp_path)


def test_a_good_day_has_all_fluxes_and_quality_or_a_mask() -> None:
    fluxes = np.ones((5, 3), np.float32)
    fluxes[4, 1] = np.nan
    quality = np.array([0.75, 0.74, np.nan, np.nan, 1.0], np.float32)
    masked = np.array([False, False, True, False, False])
    assert good_days(fluxes, quality, masked).tolist() == [True, False, True, False, False]


def test_days_that_only_passed_a_mask_get_the_stated_quality(folder: Path) -> None:
    masked = read_towers(folder, ["XX-T03"])[0]
    assert set(np.unique(masked.quality[masked.good])) == {np.float32(0.9)}
    assert masked.masked is not None
    assert masked.masked[masked.good].all()


def test_a_driver_that_was_not_measured_is_missing_everywhere(folder: Path) -> None:
    assert np.isnan(read_towers(folder, ["XX-T02"])[0].driver("p")).all()


def test_a_gap_in_the_calendar_is_filled_with_missing_days(folder: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(folder / "towers.parquet")
    rows.drop(index=range(10, 13)).to_parquet(tmp_path / "towers.parquet")
    pd.read_parquet(folder / "sites.parquet").to_parquet(tmp_path / "sites.parquet")
    whole, gappy = read_towers(folder)[0], read_towers(tmp_path)[0]
    np.testing.assert_array_equal(gappy.days, whole.days)
    assert np.isnan(gappy.drivers[10:13]).all()
    assert not gappy.good[10:13].any()
    kept = np.delete(np.arange(len(whole.days)), [10, 11, 12])
    np.testing.assert_array_equal(gappy.fluxes[kept], whole.fluxes[kept])


def test_a_missing_column_is_named(folder: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(folder / "towers.parquet").drop(columns=["SW_IN"])
    rows.to_parquet(tmp_path / "towers.parquet")
    pd.read_parquet(folder / "sites.parquet").to_parquet(tmp_path / "sites.parquet")
    with pytest.raises(ValueError, match=r"missing column of .*SW_IN"):
        read_towers(tmp_path)


def test_a_folder_without_towers_says_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"sites\.parquet"):
        read_towers(tmp_path)


def test_an_unknown_site_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="ZZ-Zzz"):
        read_towers(folder, ["ZZ-Zzz"])


def test_the_real_table_has_the_good_days_that_its_readme_counts() -> None:
    data = os.environ.get("UPSCALE_TEST_DATA")
    if not data:
        pytest.skip("UPSCALE_TEST_DATA is not set: no real towers here")
    towers = read_towers(Path(data) / "towers")
    assert len(towers) == 79
    assert sum(int(tower.good.sum()) for tower in towers) == 260_489
