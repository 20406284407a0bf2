"""What is scored: a tower, and the fluxes that each model gives for it.

A case comes from a release run at the tower (`predict`) or from predictions that were made
while the tower's cluster was left out (`left_out`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from upscale.evaluation.left_out import LeftOut
from upscale.network.moments import clipped, mean_and_spread, mean_of
from upscale.towers.splits import climate_group, land_cover
from upscale.towers.table import Tower
from upscale.variables import KOPPEN

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]
Bools = NDArray[np.bool_]

Quality = Literal["good", "best"]


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a model gives for every day of a tower, `(day, 3)` gpp, reco, nee, g m-2 d-1.

    mean: over the members, gpp and reco of each at least 0, as a run makes it; spread: sample
    standard deviation over those members, NaN where there is only one; both NaN where the
    model predicts nothing.
    """

    mean: Floats
    spread: Floats


@dataclass(frozen=True, eq=False)
class Case:
    """A tower, its split (see `upscale.evaluation.learned`) and {model: estimate}."""

    tower: Tower
    split: str
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True, eq=False)
class Pair:
    """One model at one tower, on the days that are compared.

    days: `(day,)` day numbers; observed, predicted, spread: `(day, 3)` float64, g m-2 d-1.
    Observed and predicted are finite.
    """

    tower: Tower
    split: str
    model: str
    days: NDArray[np.int64]
    observed: Reals
    predicted: Reals
    spread: Reals

    @property
    def identity(self) -> dict[str, str]:
        """The columns that say what a row of a table is about."""
        tower = self.tower
        return {
            "tower": tower.site,
            "cluster": tower.cluster,
            "igbp": land_cover(tower),
            "climate": climate_group(tower),
            "koppen": KOPPEN[tower.koppen - 1] if tower.koppen else "?",
            "split": self.split,
            "model": self.model,
        }


def estimate(members: Floats) -> Estimate:
    """Mean and spread of `(member, day, 3)`, not clipped, NaN where nothing is predicted."""
    each = clipped(np.asarray(members, np.float32))
    spread = np.full(each.shape[1:], np.nan, np.float32)
    if len(each) > 1:
        spread = mean_and_spread(each)[1].astype(np.float32)
    return Estimate(mean_of(each, np.float32), spread)


def left_out_cases(left_out: Iterable[LeftOut]) -> list[Case]:
    """Cases of towers that were left out: `suspect` where they are, else `test`."""
    return [
        Case(
            left.tower,
            "suspect" if left.tower.suspect else "test",
            {name: estimate(members) for name, members in left.members.items()},
        )
        for left in left_out
    ]


def days_of(tower: Tower, quality: Quality) -> Bools:
    """Days `(day,)` whose fluxes may be compared.

    `good`: NEE_QC of at least 0.75, or passed the mask of the product. `best`: NEE_QC = 1, or
    passed a mask that keeps no number (`Tower.masked`).
    """
    if quality == "good":
        return tower.good
    best = tower.quality == 1
    if tower.masked is not None:
        best |= tower.masked
    return np.asarray(tower.good & best)


def models_of(cases: Sequence[Case]) -> tuple[str, ...]:
    """Names of the models, in the order of the first case; every case must hold the same.

    Raises ValueError that names the tower which differs.
    """
    names = tuple(cases[0].estimates) if cases else ()
    for case in cases:
        if set(case.estimates) != set(names):
            raise ValueError(
                f"expected predictions of {', '.join(names)} at every tower, found "
                f"{', '.join(case.estimates)} at {case.tower.site}; predict all again, together"
            )
    return names


def pairs(cases: Iterable[Case], quality: Quality) -> Iterator[Pair]:
    """Every model at every tower, on the days that are good enough and that all models predict.

    Towers without such a day give pairs of no day.
    """
    for case in cases:
        use = days_of(case.tower, quality) & _predicted_by_all(case)
        for model, made in case.estimates.items():
            yield Pair(
                case.tower,
                case.split,
                model,
                case.tower.days[use],
                case.tower.fluxes[use].astype(np.float64),
                made.mean[use].astype(np.float64),
                made.spread[use].astype(np.float64),
            )


def _predicted_by_all(case: Case) -> Bools:
    there = [np.isfinite(made.mean).all(axis=1) for made in case.estimates.values()]
    return np.asarray(np.all(there, axis=0))
