"""Half-hourly and hourly files become days by the rule of the product, computed here by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from upscale.calendar import day_number
from upscale.towers.table import read_towers, tower_files

FULLSET = "FLX_AT-Neu_FLUXNET2015_FULLSET_{}_2004-2004_1-4.csv"


def half_hours(days: int = 4, minutes: int = 30, seed: int = 1) -> pd.DataFrame:
    """Days around 29 February 2004 in the columns and units of a half-hourly FULLSET."""
    rng = np.random.default_rng(seed)
    starts = pd.date_range("2004-02-28", periods=days * 24 * 60 // minutes, freq=f"{minutes}min")
    count = len(starts)
    gpp, reco = rng.uniform(0, 20, count), rng.uniform(0, 8, count)
    return pd.DataFrame(
        {
            "TIMESTAMP_START": starts.strftime("%Y%m%d%H%M"),
            "TIMESTAMP_END": (starts + pd.Timedelta(minutes=minutes)).strftime("%Y%m%d%H%M"),
            "TA_F": rng.normal(8, 5, count),
            "SW_IN_F": rng.uniform(0, 700, count),
            "VPD_F": rng.uniform(0, 12, count),
            "P_F": np.where(rng.uniform(size=count) < 0.1, rng.uniform(0, 2, count), 0.0),
            "NEE_VUT_REF": reco - gpp,
            "NEE_VUT_REF_QC": rng.integers(0, 4, count),
            "RECO_NT_VUT_REF": reco,
            "GPP_NT_VUT_REF": gpp,
        }
    )


def put(folder: Path, table: pd.DataFrame, resolution: str = "HH") -> Path:
    table.to_csv(folder / FULLSET.format(resolution), index=False)
    (folder / "sites.csv").write_text("site,lat,lon\nAT-Neu,47.1,11.3\n")
    return folder


@pytest.mark.parametrize(("resolution", "minutes"), [("HH", 30), ("HR", 60)])
def test_days_are_means_sums_and_shares_of_their_half_hours(
    tmp_path: Path, resolution: str, minutes: int
) -> None:
    table = half_hours(minutes=minutes)
    (tower,) = read_towers(put(tmp_path, table, resolution))
    assert tower.days[0] == day_number(pd.Timestamp("2004-02-28").date())
    assert len(tower.days) == 4
    length = 24 * 60 // minutes
    for i in range(4):
        day = table.iloc[i * length : (i + 1) * length]
        expected = [sum(day[f"{name}_F"]) / length for name in ("TA", "SW_IN", "VPD")]
        np.testing.assert_allclose(tower.drivers[i], [*expected, sum(day["P_F"])], rtol=1e-5)
        grams = [
            sum(day[name]) * minutes * 60 * 12.011e-6  # umol in each half-hour, to g of carbon
            for name in ("GPP_NT_VUT_REF", "RECO_NT_VUT_REF", "NEE_VUT_REF")
        ]
        np.testing.assert_allclose(tower.fluxes[i], grams, rtol=1e-5)
        share = sum(1 for quality in day["NEE_VUT_REF_QC"] if quality in (0, 1)) / length
        assert tower.quality[i] == pytest.approx(share)
    assert f"VUT_REF of {minutes}-minute values" in tower.origin


def test_a_day_without_all_of_its_half_hours_is_missing(tmp_path: Path) -> None:
    table = half_hours()
    table.loc[10, "NEE_VUT_REF"] = -9999
    table.loc[60, "TA_F"] = -9999
    (tower,) = read_towers(put(tmp_path, table.drop(index=[100, 101])))
    assert np.isfinite(tower.fluxes[:, 2]).tolist() == [False, True, False, True]
    assert np.isfinite(tower.fluxes[:, 0]).tolist() == [True, True, False, True]
    assert np.isfinite(tower.driver("ta")).tolist() == [True, False, False, True]


def test_a_daily_file_of_the_tower_goes_before_its_half_hours(tmp_path: Path) -> None:
    put(tmp_path, half_hours())
    daily = half_hours(days=1).iloc[:1].drop(columns=["TIMESTAMP_START", "TIMESTAMP_END"])
    put(tmp_path, daily.assign(TIMESTAMP="20040228", NEE_VUT_REF_QC=0.9), "DD")
    (tower,) = read_towers(tmp_path)
    assert len(tower.days) == 1
    assert "minute" not in tower.origin


def test_the_median_threshold_goes_before_the_reference(tmp_path: Path) -> None:
    table = half_hours()
    more = table.filter(like="VUT_REF").rename(columns=lambda n: n.replace("REF", "USTAR50"))
    more[[name for name in more if "QC" not in name]] *= 2
    (tower,) = read_towers(put(tmp_path, table.join(more)))
    assert tower.origin.startswith("FLX FLUXNET2015 FULLSET 2004-2004 1-4: VUT_USTAR50 of 30")
    assert tower.fluxes[0, 0] == pytest.approx(
        2 * table["GPP_NT_VUT_REF"][:48].mean() * 86_400e-6 * 12.011, rel=1e-5
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.iloc[::48],
            "every 30 minutes, found 1440 minutes apart: this is no half-hour",
        ),
        (lambda t: t.iloc[::2], "every 30 minutes, found 60 minutes apart"),
        (lambda t: pd.concat([t, t.iloc[[9]]]), "found 2004-02-28 04:30 repeated"),
        (lambda t: t.assign(TIMESTAMP_START="28.02.2004 00:00"), "found '28.02.2004 00:00'"),
        (lambda t: t.assign(NEE_VUT_REF_QC=0.25 * 100), "quality 0, 1, 2 or 3, found 25 to 25"),
        (lambda t: t.drop(columns="TIMESTAMP_START"), "expected TIMESTAMP_START and one row for"),
        (lambda t: t.rename(columns=lambda n: n.replace("VUT", "CUT")), r"thresholds \(CUT\)"),
    ],
)
def test_what_is_no_half_hourly_file_is_named(tmp_path: Path, change: object, message: str) -> None:
    put(tmp_path, change(half_hours()))  # type: ignore[operator]
    with pytest.raises(ValueError, match=f"FULLSET_HH_2004-2004_1-4.csv: .*{message}"):
        read_towers(tmp_path)


def test_half_hourly_files_count_in_a_digest(tmp_path: Path) -> None:
    put(tmp_path, half_hours(days=1))
    assert [path.name for path in tower_files(tmp_path)] == ["sites.csv", FULLSET.format("HH")]
