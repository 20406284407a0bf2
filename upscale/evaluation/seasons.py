"""Skill by season, of anomalies from the mean seasonal cycle, and from year to year.

A high r2 of daily fluxes can be the seasonal cycle alone. What is left when each series has
lost its own cycle shows whether a model answers to weather, and the annual means of that show
whether it knows good years from bad ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upscale.calendar import day_of_year, months_of, years_of
from upscale.evaluation.cases import Pair
from upscale.evaluation.scores import TOWER_COLUMNS, tidy
from upscale.evaluation.skill import skill
from upscale.variables import FLUXES

Reals = NDArray[np.float64]
Days = NDArray[np.int64]

#: Seasons of the place, in order: south of the equator winter is June, July and August.
SEASONS = ("winter", "spring", "summer", "autumn")

#: Least days of a tower's season that give a figure.
LEAST_DAYS = 30

#: Days over which the mean seasonal cycle is smoothed.
SMOOTHING = 31

#: A year counts with at least this share of its days; a tower with at least so many years.
FULL_YEAR = 0.75
LEAST_YEARS = 3

#: A series that varies less than this share of the measured one has no correlation worth a figure.
_STILL = 0.1

_YEAR = 366


def season_of(days: Days, lat: float) -> Days:
    """Index in `SEASONS` `(day,)`: 0 for December, January, February in the north, for June,
    July, August in the south."""
    shift = 6 if lat < 0 else 0
    return np.asarray((months_of(days) + shift) % 12 // 3)


def mean_seasonal_cycle(days: Days, values: Reals) -> Reals:
    """Mean seasonal cycle on the days given `(day, series)`.

    days: `(day,)`; values: `(day, series)`, finite. The mean of all values whose day of the
    year is at most 15 days off, around the turn of the year; every value counts the same.
    """
    place = day_of_year(days) - 1
    total = np.zeros((_YEAR, values.shape[1]))
    np.add.at(total, place, values)
    count = np.bincount(place, minlength=_YEAR).astype(np.float64)
    near = (np.arange(SMOOTHING) - SMOOTHING // 2)[:, None] + place
    return np.asarray(total[near % _YEAR].sum(axis=0) / count[near % _YEAR].sum(axis=0)[:, None])


def anomalies(days: Days, values: Reals) -> Reals:
    """Deviations `(day, series)` from the mean seasonal cycle of the same days."""
    return values - mean_seasonal_cycle(days, values)


def season_scores(compared: Iterable[Pair]) -> pd.DataFrame:
    """One row per tower, season, flux and model, of seasons with at least `LEAST_DAYS` days.

    Columns: `TOWER_COLUMNS`, season, model, flux, n, rmse, bias, mae (g m-2 d-1), r2 (within
    the season).
    """
    rows = [
        {**pair.identity, "season": name, "flux": flux, **_score(seen[:, i], made[:, i])}
        for pair in compared
        for name, seen, made in _by_season(pair)
        for i, flux in enumerate(FLUXES)
    ]
    columns = [*TOWER_COLUMNS, "season", "model", "flux", "n", "rmse", "mae", "r2", "bias"]
    return tidy(rows, columns)


def anomaly_scores(compared: Iterable[Pair]) -> pd.DataFrame:
    """Skill of daily anomalies, one row per tower with `LEAST_YEARS` full years, flux and model.

    Measured and predicted fluxes each lose their own mean seasonal cycle. Columns:
    `TOWER_COLUMNS`, model, flux, n, rmse (g m-2 d-1), r2, r (correlation), sd_ratio
    (predicted over observed).
    """
    rows = [
        {**pair.identity, "flux": flux, **_likeness(seen[:, i], made[:, i])}
        for pair in compared
        if len(full_years(pair.days)) >= LEAST_YEARS
        for seen, made in [_anomalies_of(pair)]
        for i, flux in enumerate(FLUXES)
    ]
    columns = [*TOWER_COLUMNS, "model", "flux", "n", "rmse", "r2", "r", "sd_ratio"]
    return tidy(rows, columns)


def interannual_scores(compared: Iterable[Pair]) -> pd.DataFrame:
    """Skill of annual anomalies, one row per tower with `LEAST_YEARS` full years, flux, model.

    The annual anomaly is the mean over a full year's compared days of the daily anomalies, so
    that a gap in one season does not look like a strange year. Columns: as `anomaly_scores`,
    where n counts years, and sd (of the observed annual anomalies, g m-2 d-1).
    """
    rows = [
        {**pair.identity, "flux": flux, **_likeness(seen[:, i], made[:, i]), "sd": seen[:, i].std()}
        for pair in compared
        if len(full_years(pair.days)) >= LEAST_YEARS
        for seen, made in [annual_anomalies(pair)]
        for i, flux in enumerate(FLUXES)
    ]
    columns = [*TOWER_COLUMNS, "model", "flux", "n", "rmse", "r2", "r", "sd_ratio", "sd"]
    return tidy(rows, columns)


def annual_anomalies(pair: Pair) -> tuple[Reals, Reals]:
    """Measured and predicted annual anomalies `(year, 3)` of the full years, g m-2 d-1."""
    seen, made = _anomalies_of(pair)
    year = years_of(pair.days)
    means = [
        np.stack([part[year == full].mean(axis=0) for full in full_years(pair.days)])
        for part in (seen, made)
    ]
    return means[0], means[1]


def full_years(days: Days) -> list[int]:
    """Calendar years of which at least `FULL_YEAR` of the days is among `days`."""
    years, counts = np.unique(years_of(days), return_counts=True)
    return [int(y) for y, n in zip(years, counts, strict=True) if n >= FULL_YEAR * 365]


def typical(table: pd.DataFrame) -> pd.DataFrame:
    """Medians over towers of what `anomaly_scores` or `interannual_scores` gives.

    One row per model and flux: towers, n (median days or years), rmse (mean), r2, r, sd_ratio.
    """
    groups = table.groupby(["model", "flux"], sort=False)
    columns = {"towers": groups["tower"].nunique(), "n": groups["n"].median()}
    columns |= {"rmse": groups["rmse"].mean()}
    columns |= {name: groups[name].median() for name in ("r2", "r", "sd_ratio")}
    return pd.DataFrame(columns).reset_index()


def _by_season(pair: Pair) -> Iterator[tuple[str, Reals, Reals]]:
    season = season_of(pair.days, pair.tower.lat)
    for index, name in enumerate(SEASONS):
        here = season == index
        if here.sum() >= LEAST_DAYS:
            yield name, pair.observed[here], pair.predicted[here]


def _anomalies_of(pair: Pair) -> tuple[Reals, Reals]:
    return anomalies(pair.days, pair.observed), anomalies(pair.days, pair.predicted)


def _score(seen: Reals, made: Reals) -> dict[str, float]:
    found = skill(seen, made)
    mae = float(np.abs(made - seen).mean())
    return {"n": found.n, "rmse": found.rmse, "mae": mae, "r2": found.r2, "bias": found.bias}


def _likeness(seen: Reals, made: Reals) -> dict[str, float]:
    """How alike two series are: also their correlation and their ratio of standard deviations."""
    found = skill(seen, made)
    sd_seen, sd_made = float(seen.std()), float(made.std())
    varies = sd_seen > 0 and sd_made > _STILL * sd_seen
    return {
        "n": found.n,
        "rmse": found.rmse,
        "r2": found.r2,
        "r": float(np.corrcoef(seen, made)[0, 1]) if varies else np.nan,
        "sd_ratio": sd_made / sd_seen if sd_seen > 0 else np.nan,
    }
