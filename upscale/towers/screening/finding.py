"""What a screen finds at a tower, and the values that screens look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from upscale.towers.tower import DRIVERS, Tower
from upscale.variables import FLUXES, variable

Floats = NDArray[np.float64]

#: `certain`: the record is wrong, and reading it is refused. `suspect`: it is told.
Verdict = Literal["certain", "suspect"]

#: Days that a series needs before its level is judged: less may be all winter or all drought.
LONG = 300

#: Lowest and highest daily value that is possible at all. The real towers span, in the units of
#: the table of variables: -52 to 38, 0 to 441, 0 to 59, 0 to 190, -26 to 38.
POSSIBLE: dict[str, tuple[float, float]] = {
    "ta": (-90.0, 60.0),  # weather stations: -89.2 at Vostok in 1983, 56.7 in Death Valley in 1913
    "sw_in": (-20.0, 600.0),  # top of the atmosphere: at most 550, at the poles
    "vpd": (-5.0, 150.0),  # saturation pressure at 54 degC
    "p": (-1.0, 2000.0),  # rain gauges: 1825 in a day on La Reunion in 1966
    **dict.fromkeys(FLUXES, (-100.0, 100.0)),
}


@dataclass(frozen=True)
class Finding:
    """What one screen found at one tower.

    variable: of `upscale.variables`, or empty. text: what was found, with its numbers, and what
    to do. numbers: the same numbers by name.
    """

    site: str
    variable: str
    screen: str
    verdict: Verdict
    text: str
    numbers: dict[str, float]


@dataclass(frozen=True)
class Screen:
    """A screen: its name, what it looks at, and the function that looks at a tower."""

    name: str
    what: str
    look: Callable[[Tower], Iterator[Finding]]


@dataclass(frozen=True)
class Series:
    """A variable of a tower in the words of a finding: `TA`, `degC`."""

    label: str
    units: str
    values: Floats


def series(tower: Tower, name: str) -> Series:
    """A driver or flux `(day,)` as float64, NaN = missing, with what it is called in tables."""
    column = tower.driver(name) if name in DRIVERS else tower.fluxes[:, FLUXES.index(name)]
    return Series(name.upper(), variable(name).units, column.astype(np.float64))


def possible(tower: Tower, name: str) -> Floats:
    """The values `(day,)` of a driver or flux; those that are impossible are NaN."""
    values, (least, most) = series(tower, name).values, POSSIBLE[name]
    with np.errstate(invalid="ignore"):
        return np.where((values >= least) & (values <= most), values, np.nan)


def judged_days(tower: Tower) -> NDArray[np.bool_]:
    """The good flux days `(day,)`, or all days with fluxes where the tower has no quality."""
    if tower.good.any():
        return tower.good
    return np.asarray(np.isfinite(tower.fluxes).all(axis=1), np.bool_)


def correlation(one: Floats, other: Floats) -> float:
    """Of the days `(day,)` with both; NaN for fewer than 30 days or a constant series."""
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < 30 or np.ptp(one[both]) == 0 or np.ptp(other[both]) == 0:
        return float("nan")
    return float(np.corrcoef(one[both], other[both])[0, 1])
