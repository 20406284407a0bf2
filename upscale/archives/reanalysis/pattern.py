"""Whether accumulated values behave as they should: the data must agree with what is believed.

Totals since 00 UTC never fall within a UTC day (stamps 01 to 24) and fall after 00 UTC; amounts of
hours fall within a day, for rain stops and the sun sets. Both are judged at every node and day
that is wet, by how far a value falls below the largest before it, relative to the largest of the
day: so light rain counts as much as heavy rain, and the noise of packing does not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upscale.archives.reanalysis.accumulate import on_every_hour
from upscale.archives.reanalysis.statistic import MEANING, Statistic
from upscale.remote.errors import ArchiveError

Floats = NDArray[np.floating]

#: What packing may add to or take from a value, in the units of the archive. What is three times
#: as large is wet.
NOISE = {"tp": 1e-5, "ssrd": 3600.0, "strd": 3600.0}

_MOST_NODES = 64  #: rows and columns that are looked at, evenly spread
_HOURS = 6  #: a day that is wet for fewer hours does not show what it is


class AccumulationError(ArchiveError):
    """Accumulated values that are not what they are believed to be."""


@dataclass(frozen=True)
class DayPattern:
    """One UTC day, in numbers of nodes: wet; values fall within it; rise to its end; stay about
    the same; are as large an hour after its end as at its end (0 where that hour is missing).

    drops: `(24,)` amounts by which values fall after each stamp, 01 to 24, summed over nodes;
    long: wet for many hours.
    """

    wet: int
    falls: int
    climbs: int
    flat: int
    stays: int
    drops: Floats
    long: bool


def check_pattern(name: str, believed: Statistic, hours: NDArray[np.int64], values: Floats) -> None:
    """AccumulationError where values `(stamp, row, col)` at `hours` contradict a statistic.

    hours: ascending, since 1970-01-01 00 UTC. Days without all their stamps say nothing.
    """
    days = day_patterns(name, hours, values)
    found = contradiction(days, believed)
    if found:
        raise AccumulationError(
            f"{name}: expected {believed} ({MEANING[believed]}), found values that {found}; set "
            f"meteo.product, or meteo.statistic: {{{name}: ...}}, to what they are, or give files "
            "of one kind"
        )


def contradiction(days: list[DayPattern], believed: Statistic) -> str:
    """What contradicts a belief, in words; "" where nothing does."""
    wet = sum(day.wet for day in days)
    if believed == "running-total":
        falls = sum(day.falls for day in days)
        if falls > 0.1 * wet:
            return (
                f"fall within UTC days at {falls} of {wet} nodes and days, as amounts of hours do"
            )
        level = [day for day in days if day.flat > 0.5 * day.wet and day.stays > 0.5 * day.wet]
        if len(level) > 1 and len(level) > 0.5 * len(days):
            return f"do not fall after 00 UTC on {len(level)} days, as amounts of hours do not"
    if believed == "hourly-amount":
        rising = [d for d in days if d.climbs > 0.9 * d.wet and d.stays < 0.5 * d.wet]
        if len(rising) > 0.3 * len(days):
            return (
                f"rise through {len(rising)} of {len(days)} UTC days and fall after, as totals do"
            )
        return _restarts(days)
    return ""


def _restarts(days: list[DayPattern]) -> str:
    """Whether values fall at one or two hours of the day alone, as forecasts start anew."""
    told = [day for day in days if day.long and day.drops.any()]
    drops = np.sum([day.drops for day in told], axis=0) if len(told) > 1 else np.zeros(24)
    order = np.argsort(drops)[::-1]
    if drops.any() and drops[order[:2]].sum() > 0.98 * drops.sum():
        named = " and ".join(
            f"{hour + 1:02d}" for hour in sorted(order[: 1 + int(drops[order[1]] > 0)])
        )
        return f"fall after {named} UTC alone, as totals since the start of a forecast do"
    return ""


def day_patterns(name: str, hours: NDArray[np.int64], values: Floats) -> list[DayPattern]:
    """The days of values `(stamp, row, col)` that are wet somewhere and have all their stamps."""
    if hours.size < 24:
        return []
    rows, cols = (max(1, size // _MOST_NODES) for size in values.shape[1:])
    first, full = on_every_hour(hours, values[:, ::rows, ::cols])
    series = full.reshape(full.shape[0], -1)
    found = []
    for start in range((1 - first) % 24, series.shape[0] - 23, 24):
        after = series[start + 24] if start + 24 < series.shape[0] else None
        day = _pattern(series[start : start + 24], after, NOISE[name])
        if day is not None:
            found.append(day)
    return found


def _pattern(day: Floats, after: Floats | None, noise: float) -> DayPattern | None:
    """The pattern of the stamps 01 to 24 `(24, node)`; None where no node is wet."""
    known = np.isfinite(day).all(axis=0)
    values = day[:, known].astype(np.float64)
    peak = values.max(axis=0, initial=0)
    wet = peak > 3 * noise
    if not wet.any():
        return None
    values, peak = values[:, wet], peak[wet]
    fall = (np.maximum.accumulate(values, axis=0) - values).max(axis=0)
    rise = values[-1] - values[0]
    long = (values > np.maximum(noise, 0.02 * peak)).sum(axis=0) >= _HOURS
    following = np.full(peak.shape, np.nan) if after is None else after[known][wet]
    series = np.concatenate([values, following[None]])
    drops = np.nansum(np.maximum(-np.diff(series, axis=0), 0), axis=1)
    return DayPattern(
        wet=int(wet.sum()),
        falls=int((fall > 0.5 * peak).sum()),
        climbs=int(((fall <= np.maximum(noise, 0.05 * peak)) & (rise > 0.5 * peak) & long).sum()),
        flat=int(((fall <= 0.5 * peak) & (rise <= 0.5 * peak)).sum()),
        stays=int((following > 0.5 * values[-1]).sum()),
        drops=drops,
        long=bool(long.mean() > 0.5),
    )
