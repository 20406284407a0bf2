"""How often the measured flux lies inside the interval that the ensemble gives.

An interval of 90 % that is right holds 90 % of the days. The spread of an ensemble knows what
its members disagree on and nothing of what they all get wrong or of the noise of a day's
measurement, so by itself it is too narrow; a calibration of the release widens it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upscale.evaluation.cases import Pair
from upscale.evaluation.scores import TOWER_COLUMNS, tidy
from upscale.network.uncertainty.calibration import Calibration, interval
from upscale.variables import FLUXES

Reals = NDArray[np.float64]

#: Shares of days that the intervals should hold.
LEVELS = (0.5, 0.9)

#: Lower and upper end `(day, 3)` from mean, spread `(day, 3)` and a level.
Interval = Callable[[Reals, Reals, float], tuple[Reals, Reals]]


def from_spread(mean: Reals, spread: Reals, level: float) -> tuple[Reals, Reals]:
    """The central interval of a normal law with the spread of the members."""
    half = NormalDist().inv_cdf(0.5 + level / 2) * spread
    return mean - half, mean + half


def calibrated(calibration: Calibration) -> Interval:
    """The interval that a release's calibration makes."""
    return lambda mean, spread, level: interval(mean, spread, calibration, level)


def coverage(compared: Iterable[Pair], ends: Interval = from_spread) -> pd.DataFrame:
    """Share of days inside the interval, one row per tower, model, flux and level.

    Columns: `TOWER_COLUMNS`, model, flux, level, n, inside, width (mean, g m-2 d-1). Models
    without a spread give no rows.
    """
    rows = [
        {**pair.identity, "flux": flux, "level": level, **_inside(pair, low, high, i)}
        for pair in compared
        if len(pair.days) and np.isfinite(pair.spread).all()
        for level in LEVELS
        for low, high in [ends(pair.predicted, pair.spread, level)]
        for i, flux in enumerate(FLUXES)
    ]
    columns = [*TOWER_COLUMNS, "model", "flux", "level", "n", "inside", "width"]
    return tidy(rows, columns)


def covered(table: pd.DataFrame) -> pd.DataFrame:
    """Coverage over towers, one row per model, flux and level.

    Columns: model, flux, level, towers, inside (mean over towers), inside_q25, inside_q75,
    width (mean, g m-2 d-1).
    """
    groups = table.groupby(["model", "flux", "level"], sort=False)
    inside = groups["inside"]
    columns = {
        "towers": groups["tower"].nunique(),
        "inside": inside.mean(),
        "inside_q25": inside.quantile(0.25),
        "inside_q75": inside.quantile(0.75),
        "width": groups["width"].mean(),
    }
    return pd.DataFrame(columns).reset_index()


def stored_coverage(calibration: Calibration, model: str) -> pd.DataFrame:
    """What a release stores of its calibration in clusters that it was not fitted on.

    Columns: those of `covered`; quartiles and widths are not stored and NaN.
    """
    rows = [
        {"model": model, "flux": flux.name, "level": one.level, "towers": calibration.towers,
         "inside": one.calibrated}
        for flux in calibration.fluxes
        for one in flux.coverage
        if one.level in LEVELS
    ]  # fmt: skip
    return tidy(rows, ["model", "flux", "level", "towers", "inside", *_NOT_STORED])


_NOT_STORED = ("inside_q25", "inside_q75", "width")


def _inside(pair: Pair, low: Reals, high: Reals, flux: int) -> dict[str, float]:
    seen, low, high = pair.observed[:, flux], low[:, flux], high[:, flux]
    inside = (seen >= low) & (seen <= high)
    return {"n": len(seen), "inside": float(inside.mean()), "width": float((high - low).mean())}
