"""What a network has to beat: a mean seasonal cycle, and boosted trees on the same days.

Both learn from all towers of the training split and see the drivers of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import day_of_year
from upscale.towers.table import Tower
from upscale.training.features import class_columns, features_of

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
    """One XGBoost regressor per flux, in the order gpp, reco, nee."""

    features: tuple[str, ...]
    boosters: tuple[Any, ...]

    def predict(self, tower: Tower) -> Floats:
        """Fluxes `(day, 3)` gpp, reco, nee, g m-2 d-1, of every day of the record."""
        from xgboost import DMatrix

        table = DMatrix(_table(tower, self.features), nthread=1)
        columns = [booster.predict(table) for booster in self.boosters]
        return np.stack(columns, axis=1).astype(np.float64)


def fit_boosted_trees(
    towers: Sequence[Tower], features: Sequence[str], seed: int, rounds: int = ROUNDS
) -> BoostedTrees:
    """Fit XGBoost with the published settings, one row per good day of `towers`.

    features: the network's; IGBP and Koeppen-Geiger one-hots are added. rounds: fewer rounds
    than published, for quick tests. Needs the extra `train` (xgboost).
    """
    from xgboost import DMatrix, train

    inputs = np.concatenate([_table(t, features)[t.good] for t in towers])
    fluxes = np.concatenate([t.fluxes[t.good] for t in towers])
    settings = {**XGBOOST, "seed": seed, "nthread": 1}
    boosters = tuple(
        train(settings, DMatrix(inputs, label=fluxes[:, i], nthread=1), num_boost_round=rounds)
        for i in range(fluxes.shape[1])
    )
    return BoostedTrees(tuple(features), boosters)


def _table(tower: Tower, features: Sequence[str]) -> NDArray[np.float32]:
    """Features and one-hots `(day, column)`."""
    classes = np.broadcast_to(class_columns(tower), (len(tower.days), class_columns(tower).size))
    return np.concatenate([features_of(tower, features), classes], axis=1)


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
