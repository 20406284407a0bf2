"""Seasons, anomalies and years, against loops over days and against pandas."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from upscale.calendar import dates_of
from upscale.evaluation.cases import pairs
from upscale.evaluation.seasons import (
    SEASONS,
    annual_anomalies,
    anomaly_scores,
    full_years,
    interannual_scores,
    mean_seasonal_cycle,
    season_of,
    season_scores,
    typical,
)

NORTH = {12: "winter", 1: "winter", 2: "winter", 3: "spring", 4: "spring", 5: "spring",
         6: "summer", 7: "summer", 8: "summer", 9: "autumn", 10: "autumn",
         11: "autumn"}  # fmt: skip


def test_seasons_are_those_of_the_place():
    days = np.arange(-400, 800)
    months = pd.DatetimeIndex(dates_of(days)).month
    north = [SEASONS[i] for i in season_of(days, 50.0)]
    south = [SEASONS[i] for i in season_of(days, -30.0)]
    assert north == [NORTH[m] for m in months]
    assert south == [NORTH[(m + 5) % 12 + 1] for m in months]


def test_the_mean_seasonal_cycle_is_the_mean_of_all_days_within_fifteen():
    rng = np.random.default_rng(3)
    days = np.sort(rng.choice(np.arange(0, 1800), 700, replace=False))
    values = rng.normal(size=(700, 2))
    place = pd.DatetimeIndex(dates_of(days)).day_of_year.to_numpy() - 1
    expected = np.empty_like(values)
    for row in range(700):
        apart = np.abs(place - place[row])
        near = np.minimum(apart, 366 - apart) <= 15
        expected[row] = values[near].sum(axis=0) / near.sum()
    assert mean_seasonal_cycle(days, values) == pytest.approx(expected, rel=1e-12)


def test_annual_anomalies_are_means_of_daily_ones_over_full_years(cases):
    pair = next(pairs(cases, "good"))
    seen, made = annual_anomalies(pair)
    year = pd.DatetimeIndex(dates_of(pair.days)).year
    for found, series in ((seen, pair.observed), (made, pair.predicted)):
        daily = pd.DataFrame(series - mean_seasonal_cycle(pair.days, series))
        groups = daily.groupby(year)
        full = groups.size() >= 0.75 * 365
        assert found == pytest.approx(groups.mean()[full].to_numpy(), rel=1e-9, abs=1e-12)
        assert len(found) == len(full_years(pair.days)) == 4


def test_a_year_with_a_gap_of_one_season_is_no_year():
    days = np.arange(0, 3 * 366)
    kept = days[(days < 366) | (days > 366 + 120)]
    assert full_years(kept) == [2000, 2002]


def test_a_model_that_knows_only_the_cycle_has_no_skill_in_anomalies(cases):
    pair = next(pairs(cases, "good"))
    cycle = mean_seasonal_cycle(pair.days, pair.observed)
    found = anomaly_scores([replace(pair, predicted=cycle)])
    assert (found.r2.abs() < 0.02).all()
    assert (found.sd_ratio < 0.1).all()
    perfect = anomaly_scores([replace(pair, predicted=pair.observed)])
    assert perfect.r2.tolist() == perfect.r.round(12).tolist() == [1, 1, 1]


def test_years_are_scored_by_their_correlation(cases):
    pair = next(pairs(cases, "good"))
    seen, made = annual_anomalies(pair)
    found = interannual_scores([pair]).set_index("flux")
    for i, flux in enumerate(("gpp", "reco", "nee")):
        a, b = seen[:, i] - seen[:, i].mean(), made[:, i] - made[:, i].mean()
        r = (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())
        assert found.r[flux] == pytest.approx(r, rel=1e-9)
        assert found.n[flux] == 4
        assert found.sd[flux] == pytest.approx(np.sqrt((a**2).mean()), rel=1e-9)


def test_seasons_with_few_days_give_no_figure(cases):
    pair = next(pairs(cases, "good"))
    summer = np.flatnonzero(season_of(pair.days, pair.tower.lat) == 2)
    few = np.sort(np.concatenate([np.flatnonzero(season_of(pair.days, 50) == 0), summer[:29]]))
    short = replace(
        pair, days=pair.days[few], observed=pair.observed[few], predicted=pair.predicted[few]
    )
    found = season_scores([short])
    assert set(found.season) == {"winter"}
    row = found[found.flux == "gpp"].iloc[0]
    winter = season_of(short.days, 50) == 0
    error = (short.predicted - short.observed)[winter, 0]
    assert row.rmse == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-12)


def test_what_is_typical_is_the_median_tower(cases):
    table = anomaly_scores(pairs(cases, "good"))
    found = typical(table)
    rows = table[(table.model == "ours") & (table.flux == "nee")]
    row = found[(found.model == "ours") & (found.flux == "nee")].iloc[0]
    assert row.r2 == np.median(rows.r2)
    assert row.towers == len(rows) == 10
