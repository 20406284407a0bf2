"""The harmonised layout as others write it: other types, fewer columns, gaps, repeated days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from upscale.testing.towers import write_towers
from upscale.towers.table import MASKED_QUALITY, Tower, TowerWarning, read_sites, read_towers

Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_towers(tmp_path_factory.mktemp("towers"), count=4, seed=1)


@pytest.fixture(scope="module")
def truth(folder: Path) -> tuple[Tower, ...]:
    return read_towers(folder)


def changed(
    folder: Path, place: Path, rows: Change = lambda t: t, sites: Change = lambda t: t
) -> Path:
    """A copy of a folder with other tables."""
    rows(pd.read_parquet(folder / "towers.parquet")).to_parquet(place / "towers.parquet")
    sites(pd.read_parquet(folder / "sites.parquet")).to_parquet(place / "sites.parquet")
    return place


def same(found: tuple[Tower, ...], truth: tuple[Tower, ...]) -> None:
    assert [tower.site for tower in found] == [tower.site for tower in truth]
    for tower, true in zip(found, truth, strict=True):
        for name in ("days", "drivers", "fluxes", "quality", "good"):
            np.testing.assert_array_equal(getattr(tower, name), getattr(true, name), name)
            assert getattr(tower, name).dtype == getattr(true, name).dtype
        for name in ("cluster", "lat", "lon", "igbp", "koppen", "suspect"):
            assert getattr(tower, name) == getattr(true, name)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.astype(dict.fromkeys(t.select_dtypes("number"), float)),
        lambda t: t.astype({"site": "category", "source": "category"}),
        lambda t: t.assign(date=t["date"].dt.date),
        lambda t: t.assign(date=t["date"].dt.strftime("%Y-%m-%d")),
        lambda t: t.assign(date=t["date"].dt.strftime("%Y%m%d").astype(int)),
        lambda t: t.assign(date=t["date"] + pd.Timedelta(hours=12)),
        lambda t: t.assign(date=t["date"].dt.tz_localize("Etc/GMT-9")),
        lambda t: t.sample(frac=1, random_state=3),
        lambda t: t.sample(frac=1, random_state=3).reset_index(drop=True),
        lambda t: t.set_index(["site", "date"]),
        lambda t: t.assign(qc_masked=t["qc_masked"].astype(int)),
        lambda t: t.assign(qc_masked=t["qc_masked"].astype(object).where(t["qc_masked"], None)),
        lambda t: t.assign(qc_masked=t["qc_masked"].map({True: "True", False: "False"})),
        lambda t: t.assign(NEE=t["NEE"].fillna(-9999), NEE_QC=t["NEE_QC"].fillna(-9999.0)),
        lambda t: t.assign(TA=t["TA"].astype("Float32"), P=t["P"].astype(str).replace("nan", None)),
        lambda t: t.assign(extra=1, network="XX", LE=np.float32(3), fqc_raw=None),
        lambda t: t.assign(VPD=t["VPD"].astype("float64"), P=t["P"].astype(object)),
    ],
    ids=["float64", "categories", "dates", "text", "integers", "noon", "zone", "shuffled",
         "renumbered", "indexed", "flags", "nulls", "words", "-9999", "nullable", "extra", "mixed"],
)  # fmt: skip
def test_types_and_order_of_a_table_do_not_matter(
    folder: Path, truth: tuple[Tower, ...], tmp_path: Path, change: Change
) -> None:
    same(read_towers(changed(folder, tmp_path, change)), truth)


def test_optional_columns_of_the_days_may_be_missing(
    folder: Path, truth: tuple[Tower, ...], tmp_path: Path
) -> None:
    place = changed(folder, tmp_path, lambda t: t.drop(columns=["VPD", "P", "source"]))
    for tower, true in zip(read_towers(place), truth, strict=True):
        np.testing.assert_array_equal(tower.drivers[:, :2], true.drivers[:, :2])
        assert np.isnan(tower.drivers[:, 2:]).all()
        np.testing.assert_array_equal(tower.good, true.good)


def test_without_a_mask_only_numbers_make_a_day_good(
    folder: Path, truth: tuple[Tower, ...], tmp_path: Path
) -> None:
    towers = read_towers(changed(folder, tmp_path, lambda t: t.drop(columns=["qc_masked"])))
    np.testing.assert_array_equal(towers[0].good, truth[0].good)
    assert not towers[3].good.any()


def test_without_numbers_only_the_mask_makes_a_day_good(
    folder: Path, truth: tuple[Tower, ...], tmp_path: Path
) -> None:
    towers = read_towers(changed(folder, tmp_path, lambda t: t.drop(columns=["NEE_QC"])))
    assert not towers[0].good.any()
    np.testing.assert_array_equal(towers[3].good, truth[3].good)


def test_without_any_quality_every_flux_day_is_good_and_that_is_said(
    folder: Path, truth: tuple[Tower, ...], tmp_path: Path
) -> None:
    place = changed(folder, tmp_path, lambda t: t.drop(columns=["NEE_QC", "qc_masked"]))
    with pytest.warns(TowerWarning, match="every day with fluxes counts as a good flux day"):
        towers = read_towers(place)
    for tower, true in zip(towers, truth, strict=True):
        there = np.isfinite(true.fluxes).all(axis=1)
        np.testing.assert_array_equal(tower.good, there)
        np.testing.assert_array_equal(
            tower.quality, np.where(there, np.float32(MASKED_QUALITY), np.float32(np.nan))
        )


def test_optional_columns_of_the_sites_may_be_missing(folder: Path, tmp_path: Path) -> None:
    place = changed(folder, tmp_path, sites=lambda t: t[["site", "lat", "lon"]])
    towers = read_towers(place)
    assert {(t.igbp, t.koppen, t.suspect) for t in towers} == {(0, 0, False)}
    assert [t.cluster for t in towers] == ["C_XX-T00", "C_XX-T00", "C_XX-T02", "C_XX-T03"]
    assert list(read_sites(place)) == ["site", "lat", "lon", "igbp", "koppen", "cluster", "suspect"]


def test_sites_may_be_a_csv(folder: Path, truth: tuple[Tower, ...], tmp_path: Path) -> None:
    place = changed(folder, tmp_path)
    (place / "sites.parquet").unlink()
    pd.read_parquet(folder / "sites.parquet").to_csv(place / "sites.csv", index=False)
    same(read_towers(place), truth)


def test_days_without_a_row_of_sites_and_the_reverse_are_named(
    folder: Path, truth: tuple[Tower, ...], tmp_path: Path
) -> None:
    place = changed(
        folder,
        tmp_path,
        lambda t: t[t["site"] != "XX-T01"],
        lambda t: t[t["site"] != "XX-T02"],
    )
    with pytest.warns(TowerWarning) as said:
        towers = read_towers(place)
    texts = " ".join(str(warning.message) for warning in said)
    assert "not in the table of sites: XX-T02" in texts
    assert "not in towers.parquet: XX-T01" in texts
    same(towers, (truth[0], truth[3]))
    assert read_sites(place)["site"].tolist() == ["XX-T00", "XX-T03"]
    for site in ("XX-T01", "XX-T02"):
        with pytest.raises(ValueError, match=f"missing site in .*: {site}"):
            read_towers(place, [site])


def test_a_repeated_day_is_refused_by_site_and_date(folder: Path, tmp_path: Path) -> None:
    place = changed(folder, tmp_path, lambda t: pd.concat([t, t[t["date"] == "2004-02-29"]]))
    with pytest.raises(ValueError, match=r"XX-T00: expected one row for each day.*on 2004-02-29"):
        read_towers(place)


@pytest.mark.parametrize("name", ["site", "date", "TA", "SW_IN", "GPP", "RECO", "NEE"])
def test_a_column_that_is_needed_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    place = changed(folder, tmp_path, lambda t: t.drop(columns=[name]))
    with pytest.raises(ValueError, match=f"missing column of .*towers.parquet: {name}"):
        read_towers(place)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(TA=["warm"] * len(t)), "expected numbers in TA"),
        (lambda t: t.assign(date="tomorrow"), "expected days in date"),
        (lambda t: t.assign(date=t["date"].where(t.index > 0)), "a day in every row of date"),
        (lambda t: t.assign(TA=t["TA"] + 273.15), "XX-T00: TA looks like K"),
        (lambda t: t.assign(VPD=t["VPD"] / 10), "XX-T00: VPD looks like kPa"),
        (lambda t: t.assign(SW_IN=t["SW_IN"] * 0.0864), "XX-T00: SW_IN looks like MJ m-2 d-1"),
        (lambda t: t.assign(P=t["P"] / 1000), "XX-T00: P never exceeds"),
    ],
)
def test_what_is_no_number_no_day_or_no_unit_of_ours_is_named(
    folder: Path, tmp_path: Path, change: Change, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_towers(changed(folder, tmp_path, change))


@pytest.mark.parametrize("step", [7, 8, 30])
def test_weekly_and_monthly_means_are_no_days(folder: Path, tmp_path: Path, step: int) -> None:
    place = changed(folder, tmp_path, lambda t: t[t.groupby("site").cumcount() % step == 0])
    with pytest.raises(ValueError, match=f"XX-T00: .*found rows {step} days apart or more: weekly"):
        read_towers(place)


def test_a_tower_of_one_day_is_a_tower(folder: Path, tmp_path: Path) -> None:
    place = changed(
        folder,
        tmp_path,
        lambda t: t[(t["site"] == "XX-T00") & (t["date"] == "2004-05-01")],
        lambda t: t[t["site"] == "XX-T00"],
    )
    (tower,) = read_towers(place)
    assert tower.days.tolist() == [(dt.date(2004, 5, 1) - dt.date(2000, 1, 1)).days]


def test_what_was_read_is_told(truth: tuple[Tower, ...]) -> None:
    assert {tower.origin for tower in truth} == {"MADE"}
