"""Skill of every model at every tower, and its summary over towers.

Tables are tidy: one row per tower, flux and model, or per group of towers, flux and model.
Every tower counts the same, however long its record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upscale.evaluation.cases import Pair
from upscale.evaluation.skill import SKILL_COLUMNS, skill
from upscale.variables import FLUXES

#: What identifies a tower in every table.
TOWER_COLUMNS = ("tower", "cluster", "igbp", "climate", "koppen", "split")

#: Share of the towers that counts as the tail.
TAIL = 0.1

Reals = NDArray[np.float64]


#: Columns that hold text; all others hold numbers.
_TEXT = frozenset((*TOWER_COLUMNS, "model", "flux", "season"))


def tidy(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> pd.DataFrame:
    """A table of rows; without rows its columns have types all the same."""
    if rows:
        return pd.DataFrame(rows, columns=list(columns))
    types = {name: object if name in _TEXT else np.float64 for name in columns}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})


def scores(compared: Iterable[Pair]) -> pd.DataFrame:
    """One row per tower, flux and model.

    Columns: `TOWER_COLUMNS`, model, flux, n (days), rmse, mae, bias, observed_sd
    (g m-2 d-1), r2 (1 - SSE / SST). NaN where there is no day; r2 also where the flux does
    not vary.
    """
    rows = [
        {**pair.identity, "flux": flux, **_score(pair.observed[:, i], pair.predicted[:, i])}
        for pair in compared
        for i, flux in enumerate(FLUXES)
    ]
    columns = [*TOWER_COLUMNS, "model", "flux", "n", "rmse", "mae", "r2", "bias", "observed_sd"]
    return tidy(rows, columns)


def _score(observed: Reals, predicted: Reals) -> dict[str, float]:
    if not len(observed):
        nothing = dict.fromkeys(("rmse", "mae", "r2", "bias", "observed_sd"), np.nan)
        return {"n": 0, **nothing}
    mae, sd = float(np.abs(predicted - observed).mean()), float(observed.std())
    return {**asdict(skill(observed, predicted)), "mae": mae, "observed_sd": sd}


def skill_part(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of a `skill.csv`, in its order."""
    return table[list(SKILL_COLUMNS)]


def overall(table: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Skill over towers, one row per group in `by`, model and flux.

    Columns: `by`, model, flux, towers, clusters, rmse, rmse_sd, mae, bias (means over towers
    and the standard deviation over them, g m-2 d-1), r2_mean, r2_q25, r2_median, r2_q75,
    negative (share of towers whose r2 is below 0). Towers without a compared day are left out.
    """
    groups = _scored(table).groupby([*by, "model", "flux"], sort=False)
    r2 = groups["r2"]
    columns = {
        "towers": groups["tower"].nunique(),
        "clusters": groups["cluster"].nunique(),
        "rmse": groups["rmse"].mean(),
        "rmse_sd": groups["rmse"].std(),
        "mae": groups["mae"].mean(),
        "bias": groups["bias"].mean(),
        "r2_mean": r2.mean(),
        "r2_q25": r2.quantile(0.25),
        "r2_median": r2.median(),
        "r2_q75": r2.quantile(0.75),
        "negative": r2.agg(_share_negative).astype(np.float64),
    }
    return pd.DataFrame(columns).reset_index()


def tails(table: pd.DataFrame, share: float = TAIL) -> pd.DataFrame:
    """The worst `share` of the towers (at least one) of each model and flux, by RMSE.

    Columns: model, flux, towers (in the tail), rmse (their mean), rmse_from (their least),
    excess (their mean over the mean of all), r2_median, bias, worst (their sites, worst
    first).
    """
    groups = _scored(table).groupby(["model", "flux"], sort=False)
    return pd.DataFrame([_tail(part, share) for _, part in groups])


def closure(compared: Iterable[Pair]) -> pd.DataFrame:
    """How far NEE is from RECO - GPP, g m-2 d-1, of models and of measurements.

    One row per tower and model: `TOWER_COLUMNS`, model, n, predicted, observed (means over
    days of the absolute difference), predicted_bias, observed_bias (of the difference).
    """
    rows = [
        {
            **pair.identity,
            "n": len(pair.days),
            "predicted": _mean(np.abs(_imbalance(pair.predicted))),
            "observed": _mean(np.abs(_imbalance(pair.observed))),
            "predicted_bias": _mean(_imbalance(pair.predicted)),
            "observed_bias": _mean(_imbalance(pair.observed)),
        }
        for pair in compared
    ]
    names = ["n", "predicted", "observed", "predicted_bias", "observed_bias"]
    return tidy(rows, [*TOWER_COLUMNS, "model", *names])


def _scored(table: pd.DataFrame) -> pd.DataFrame:
    return table.dropna(subset=["rmse"])


def _share_negative(r2: pd.Series) -> float:
    known = r2.dropna()
    return float((known < 0).mean()) if len(known) else np.nan


def _tail(part: pd.DataFrame, share: float) -> dict[str, object]:
    """What the worst towers of one model and flux have in common."""
    count = max(1, int(np.ceil(share * len(part) - 1e-9)))
    worst = part.sort_values("rmse", ascending=False).head(count)
    return {
        "model": part["model"].iloc[0],
        "flux": part["flux"].iloc[0],
        "towers": count,
        "rmse": worst["rmse"].mean(),
        "rmse_from": worst["rmse"].min(),
        "excess": worst["rmse"].mean() / part["rmse"].mean(),
        "r2_median": worst["r2"].median(),
        "bias": worst["bias"].mean(),
        "worst": ", ".join(worst["tower"]),
    }


def _imbalance(fluxes: Reals) -> Reals:
    """NEE - (RECO - GPP) `(day,)`."""
    gpp, reco, nee = fluxes.T
    return np.asarray(nee - (reco - gpp))


def _mean(values: Reals) -> float:
    return float(values.mean()) if len(values) else np.nan
