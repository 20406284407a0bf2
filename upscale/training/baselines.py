"""Baselines for a network: a mean seasonal cycle, and boosted trees on the same days.

All learn from all towers of the training split and see the drivers of the network.

Boosted trees draw nothing at random with the published settings, so that another seed gives
the same trees to the bit (LightGBM: but for the bins of more than 200,000 rows). Draws that
differ are therefore fitted on clusters drawn with replacement, as many as there are: what a
spread of such draws shows is how much the fit owes to the towers that happen to be there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import day_of_year
from upscale.drivers.features import classes_of, features_of
from upscale.evaluation.model_names import SEASONAL_CYCLE
from upscale.evaluation.predict import FitBaseline, Members
from upscale.network.boosting.trees import TREES, LightGbmTrees, Trees, XgBoostTrees, tree_table
from upscale.network.classes import Classes, seen_classes
from upscale.network.releases.release import Release
from upscale.towers.table import Tower
from upscale.variables import FLUXES

Floats = NDArray[np.float64]

#: Days by which the year of the southern hemisphere is shifted.
HALF_YEAR = 183

_YEAR = 366
_SMOOTHING = 31

#: XGBoost as in the published benchmark of the paper's authors (carbonfluxbench).
XGBOOST = {
    "learning_rate": 0.05,
    "max_depth": 10,
    "max_leaves": 31,
    "min_child_weight": 5,
    "tree_method": "hist",
    "objective": "reg:squarederror",
}

#: LightGBM with the same settings under its own names, and its own defaults for the others.
LIGHTGBM = {
    "learning_rate": 0.05,
    "max_depth": 10,
    "num_leaves": 31,
    "min_sum_hessian_in_leaf": 5,
    "objective": "regression",
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
ROUNDS = 1000


@dataclass(frozen=True, eq=False)
class SeasonalCycle:
    """Mean flux by day of the year and IGBP class.

    cycles: `(366, 3)` per class code, g m-2 d-1: the mean over the training towers of the
    class of each tower's own mean over its good days, smoothed over 31 days around the year;
    south of the equator the year is shifted by 183 days. Code 0 holds the mean over all
    towers and serves classes that no training tower has.
    """

    cycles: dict[int, Floats]

    def predict(self, tower: Tower) -> Floats:
        """Fluxes `(day, 3)` gpp, reco, nee, g m-2 d-1, of every day of the record."""
        return self.cycles.get(tower.igbp, self.cycles[0])[_season(tower)]


def fit_seasonal_cycle(towers: Sequence[Tower]) -> SeasonalCycle:
    """Fit on the good days of `towers`."""
    own = {tower.site: _cycle(tower) for tower in towers}
    codes = {tower.igbp for tower in towers}
    groups = {code: [own[t.site] for t in towers if t.igbp == code] for code in codes}
    overall = _mean(list(own.values()))
    means = {code: _mean(group) for code, group in groups.items()}
    filled = {code: np.where(np.isfinite(mean), mean, overall) for code, mean in means.items()}
    return SeasonalCycle({**filled, 0: overall})


@dataclass(frozen=True, eq=False)
class BoostedTrees:
    """Fitted boosted trees.

    features, classes: what their table holds; draws: `(draw, flux)` regressors, the fluxes in
    the order gpp, reco, nee; seeds: of each draw; rounds: most trees of a regressor.
    """

    features: tuple[str, ...]
    classes: Classes
    draws: tuple[tuple[Trees, ...], ...]
    seeds: tuple[int, ...]
    rounds: int

    def members(self, tower: Tower) -> NDArray[np.float32]:
        """Fluxes `(draw, day, 3)` gpp, reco, nee, g m-2 d-1, of every day, not clipped."""
        table = _table(tower, self.features, self.classes)
        each = [[trees.predict(table, 1) for trees in draw] for draw in self.draws]
        return np.asarray(np.stack(each).transpose(0, 2, 1), np.float32)

    def predict(self, tower: Tower) -> Floats:
        """Mean of the draws `(day, 3)` gpp, reco, nee, g m-2 d-1, not clipped."""
        return np.asarray(self.members(tower).mean(axis=0, dtype=np.float64))


def fit_trees(
    library: str,
    towers: Sequence[Tower],
    features: Sequence[str],
    seed: int = 0,
    rounds: int = ROUNDS,
    draws: int = 1,
    workers: int = 1,
) -> BoostedTrees:
    """Fit XGBoost or LightGBM with the published settings, one row per good day of `towers`.

    library: a name in `upscale.network.boosting.trees.TREES`; features: the network's, IGBP and
    Koeppen-Geiger one-hots are added; rounds: fewer than published for quick tests; draws: one
    is the published fit to the towers as they are, several are fitted on clusters drawn with
    replacement, with the seeds `seed`, `seed + 1`, ...; workers: regressors fitted side by side,
    on a thread each. Needs the extra `train`.
    """
    classes = seen_classes(np.stack([classes_of(tower) for tower in towers]))
    inputs = np.concatenate([_table(t, features, classes)[t.good] for t in towers])
    fluxes = np.concatenate([t.fluxes[t.good] for t in towers])
    seeds = tuple(seed + number for number in range(draws))
    weights = [_cluster_weights(towers, each if draws > 1 else None) for each in seeds]

    def fit(draw: int, flux: int) -> Trees:
        used = (weights[draw] > 0) & np.isfinite(fluxes[:, flux])
        chosen = inputs[used], fluxes[used, flux], weights[draw][used]
        return fit_regressor(library, *chosen, seeds[draw], rounds)

    with ThreadPoolExecutor(workers) as pool:
        jobs = [[pool.submit(fit, draw, i) for i in range(len(FLUXES))] for draw in range(draws)]
        fitted = tuple(tuple(job.result() for job in each) for each in jobs)
    return BoostedTrees(tuple(features), classes, fitted, seeds, rounds)


def _cycle_members(learning: Sequence[Tower], release: Release) -> Members:
    cycle = fit_seasonal_cycle(learning)
    return lambda tower: np.asarray(cycle.predict(tower), np.float32)[None]


def _tree_members(library: str, learning: Sequence[Tower], release: Release) -> Members:
    return fit_trees(library, learning, release.scaler.names).members


#: Baselines that are fitted on the spot, for `upscale.evaluation.run.evaluate`.
FITTERS: dict[str, FitBaseline] = {
    SEASONAL_CYCLE: _cycle_members,
    **{name: partial(_tree_members, name) for name in TREES},
}


def fit_regressor(
    library: str,
    inputs: NDArray[np.float32],
    flux: NDArray[np.float32],
    weight: Floats,
    seed: int,
    rounds: int,
) -> Trees:
    """Fit one flux `(row,)`, g m-2 d-1, to a table `(row, column)`; weight: `(row,)`."""
    return _FIT[library](inputs, flux, weight, seed, rounds)


def fit_boosted_trees(
    towers: Sequence[Tower], features: Sequence[str], seed: int, rounds: int = ROUNDS
) -> BoostedTrees:
    """XGBoost as published; see `fit_trees`."""
    return fit_trees("xgboost", towers, features, seed, rounds)


def _cluster_weights(towers: Sequence[Tower], seed: int | None) -> Floats:
    """How often each good day counts `(row,)`: as often as its cluster is drawn, once if no
    seed is given."""
    clusters = sorted({tower.cluster for tower in towers})
    times = np.ones(len(clusters))
    if seed is not None:
        drawn = np.random.default_rng(seed).integers(len(clusters), size=len(clusters))
        times = np.bincount(drawn, minlength=len(clusters)).astype(np.float64)
    count = dict(zip(clusters, times, strict=True))
    return np.repeat([count[t.cluster] for t in towers], [t.good.sum() for t in towers])


def _fit_xgboost(
    inputs: NDArray[np.float32], flux: NDArray[np.float32], weight: Floats, seed: int, rounds: int
) -> Trees:
    from xgboost import QuantileDMatrix, train

    rows = QuantileDMatrix(inputs, label=flux, weight=weight, nthread=1)
    return XgBoostTrees(train({**XGBOOST, "seed": seed, "nthread": 1}, rows, rounds))


def _fit_lightgbm(
    inputs: NDArray[np.float32], flux: NDArray[np.float32], weight: Floats, seed: int, rounds: int
) -> Trees:
    from lightgbm import Dataset, train

    settings = {**LIGHTGBM, "seed": seed, "num_threads": 1}
    rows = Dataset(inputs, label=np.ascontiguousarray(flux), weight=weight, params=settings)
    return LightGbmTrees(train(settings, rows, rounds))


_FIT: dict[str, Callable[..., Trees]] = {"xgboost": _fit_xgboost, "lightgbm": _fit_lightgbm}


def _table(tower: Tower, features: Sequence[str], classes: Classes) -> NDArray[np.float32]:
    """Features and one-hots `(day, column)`, as `upscale.network.boosting.trees` makes them."""
    onehot = np.repeat(classes.onehot(classes_of(tower)[None]), len(tower.days), axis=0)
    return tree_table(features_of(tower, features), onehot)


def _season(tower: Tower) -> NDArray[np.int64]:
    """Day of the northern year `(day,)`, 0..365."""
    shift = HALF_YEAR if tower.lat < 0 else 0
    return (day_of_year(tower.days) - 1 + shift) % _YEAR


def _cycle(tower: Tower) -> Floats:
    """Smoothed mean `(366, 3)` by day of the year, NaN where no good day is near."""
    season = _season(tower)[tower.good]
    total = np.zeros((_YEAR, 3))
    np.add.at(total, season, tower.fluxes[tower.good])
    count = np.bincount(season, minlength=_YEAR).astype(np.float64)
    near = (np.arange(_SMOOTHING) - _SMOOTHING // 2)[:, None] + np.arange(_YEAR)
    days = count[near % _YEAR].sum(axis=0)[:, None]
    return np.where(days > 0, total[near % _YEAR].sum(axis=0) / np.maximum(days, 1), np.nan)


def _mean(cycles: Sequence[Floats]) -> Floats:
    """Mean over towers `(366, 3)`, NaN where none has a value."""
    stack = np.stack(cycles)
    there = np.isfinite(stack)
    count = there.sum(axis=0)
    total = np.where(there, stack, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
