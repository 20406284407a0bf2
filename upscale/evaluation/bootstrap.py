"""Is one model better than another, or could it be the choice of towers?

Clusters of towers are drawn with replacement, both models together, so that what the towers
share cancels; the interval is that of percentiles (Efron & Tibshirani 1993, chapter 13).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upscale.variables import FLUXES

Reals = NDArray[np.float64]
Counts = NDArray[np.int64]

DRAWS = 2000

#: Below so many clusters no interval is given.
LEAST_CLUSTERS = 5

#: Verdicts, in words.
BETTER, WORSE = "better", "worse"
NO_DIFFERENCE, TOO_FEW = "no difference", "too few clusters"


@dataclass(frozen=True)
class Difference:
    """model, reference: a statistic of each; difference: model - reference, with its interval
    of 95 %; percent: 100 (model - reference) / reference, with its own. NaN where unknown."""

    model: float
    reference: float
    difference: float
    low: float
    high: float
    percent: float
    percent_low: float
    percent_high: float


@dataclass(frozen=True)
class Statistic:
    """column: of a table of scores; over: mean or median; sign: -1 where less is better."""

    column: str
    over: str
    sign: int

    @property
    def name(self) -> str:
        return f"{self.over} {self.column}"


RMSE = Statistic("rmse", "mean", -1)
R2 = Statistic("r2", "median", 1)


def cluster_draws(clusters: Sequence[str], draws: int = DRAWS, seed: int = 0) -> Counts:
    """How often each tower is in each draw `(draw, tower)`: as often as its cluster.

    clusters: of each tower; as many clusters are drawn, with replacement, as there are.
    """
    names, place = np.unique(np.asarray(clusters), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return np.asarray(counts[:, place], np.int64)


def drawn_means(values: Reals, counts: Counts) -> Reals:
    """Mean `(draw,)` of values `(tower,)` taken `counts` `(draw, tower)` times."""
    return np.asarray(counts @ values / counts.sum(axis=1))


def drawn_medians(values: Reals, counts: Counts) -> Reals:
    """Median `(draw,)` of values `(tower,)` taken `counts` `(draw, tower)` times."""
    order = np.argsort(values)
    upto = counts[:, order].cumsum(axis=1)
    total = upto[:, -1:]
    places = [(upto > middle).argmax(axis=1) for middle in ((total - 1) // 2, total // 2)]
    low, high = (values[order][place] for place in places)
    return np.asarray((low + high) / 2)


_OVER: dict[str, tuple[Callable[[Reals], float], Callable[[Reals, Counts], Reals]]] = {
    "mean": (lambda values: float(np.mean(values)), drawn_means),
    "median": (lambda values: float(np.median(values)), drawn_medians),
}


def difference(
    model: Reals, reference: Reals, clusters: Sequence[str], over: str, seed: int = 0
) -> Difference:
    """Difference of a statistic between two models at the same towers.

    model, reference: `(tower,)`, finite; clusters: of each tower; over: `mean` or `median`.
    The intervals are NaN with fewer than `LEAST_CLUSTERS` clusters.
    """
    whole, drawn = _OVER[over]
    a, b = whole(model), whole(reference)
    interval = percent_interval = (np.nan, np.nan)
    if len(set(clusters)) >= LEAST_CLUSTERS:
        counts = cluster_draws(clusters, seed=seed)
        many_a, many_b = drawn(model, counts), drawn(reference, counts)
        interval = _interval(many_a - many_b)
        with np.errstate(divide="ignore", invalid="ignore"):
            percent_interval = _interval(100 * (many_a - many_b) / many_b)
    percent = 100 * (a - b) / b if b else np.nan
    return Difference(a, b, a - b, *interval, percent, *percent_interval)


def verdict(found: Difference, sign: int) -> str:
    """In words; sign: -1 where less is better. "no difference" where the interval holds 0."""
    if not np.isfinite(found.low):
        return TOO_FEW
    if found.low <= 0 <= found.high:
        return NO_DIFFERENCE
    return BETTER if found.difference * sign > 0 else WORSE


def compare(
    table: pd.DataFrame,
    reference: str,
    statistics: Sequence[Statistic] = (RMSE, R2),
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """Every other model of a table of scores against `reference`.

    One row per group in `by`, model, flux and statistic; columns: `by`, model, reference,
    flux, statistic, towers, clusters, those of `Difference` (the values as model_value,
    reference_value) and verdict, which speaks of the model.
    """
    known = table.dropna(subset=[one.column for one in statistics])
    groups = known.groupby(list(by), sort=False) if by else [((), known)]
    rows = [
        {**dict(zip(by, key, strict=True)), **row}
        for key, part in groups
        for row in _compare(part, reference, statistics)
    ]
    return pd.DataFrame(rows, columns=[*by, *_COLUMNS])


_COLUMNS = (
    "model", "reference", "flux", "statistic", "towers", "clusters", "model_value",
    "reference_value", "difference", "low", "high", "percent", "percent_low", "percent_high",
    "verdict",
)  # fmt: skip


def _compare(
    table: pd.DataFrame, reference: str, statistics: Sequence[Statistic]
) -> list[dict[str, object]]:
    """One row per flux, statistic and other model of a part of the table."""
    others = [name for name in table["model"].unique() if name != reference]
    return [
        row
        for flux in FLUXES
        for one in statistics
        for model in others
        if (row := _row(table[table["flux"] == flux], model, reference, flux, one)) is not None
    ]


def _row(
    table: pd.DataFrame, model: str, reference: str, flux: str, statistic: Statistic
) -> dict[str, object] | None:
    """One comparison; None where the two models share no tower with the statistic."""
    both = table.pivot(index=["tower", "cluster"], columns="model", values=statistic.column)
    if model not in both or reference not in both:
        return None
    both = both[[model, reference]].dropna()
    if both.empty:
        return None
    clusters = both.index.get_level_values("cluster").tolist()
    a, b = both[model].to_numpy(np.float64), both[reference].to_numpy(np.float64)
    found = difference(a, b, clusters, statistic.over)
    if statistic.sign > 0:  # r2 has no zero that a share could refer to
        found = replace(found, percent=np.nan, percent_low=np.nan, percent_high=np.nan)
    return {
        "model": model,
        "reference": reference,
        "flux": flux,
        "statistic": statistic.name,
        "towers": len(both),
        "clusters": len(set(clusters)),
        "model_value": found.model,
        "reference_value": found.reference,
        **{name: getattr(found, name) for name in _COLUMNS[8:14]},
        "verdict": verdict(found, statistic.sign),
    }


def _interval(values: Reals) -> tuple[float, float]:
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)
