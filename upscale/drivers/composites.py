"""Composites: the maximum over each fixed period of the year, as in vegetation products.

Periods are counted from 1 January, so the last of a year is short. With 8 days they are those of
MCD43-based and MCD15A2H composites, and a 16-day composite covers two of them. A model that was
trained on composites is run on composites: then a daily series and the composite made from it
give the same numbers, and compositing twice changes nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import day_of_year, years_of

#: Days of a composite in the vegetation series of towers (MCD43A4, MCD15A2H).
DAYS = 8


def composite(
    values: NDArray[np.float32], days: NDArray[np.integer], length: int
) -> NDArray[np.float32]:
    """The maximum of each period, on each of its days; NaN where a period has no value.

    values: `(..., day)`, NaN = missing; days: `(day,)` consecutive day numbers; length: days of
    a period. A period only partly inside `days` uses the days inside: see `whole_periods`.
    """
    opens, which = _periods(days, length)
    return np.asarray(np.fmax.reduceat(values, opens, axis=-1)[..., which], values.dtype)


def all_of_period(
    flags: NDArray[np.bool_], days: NDArray[np.integer], length: int
) -> NDArray[np.bool_]:
    """`(..., day)` True where a flag is set on every day of the period that a day belongs to."""
    opens, which = _periods(days, length)
    return np.asarray(np.logical_and.reduceat(flags, opens, axis=-1)[..., which])


def composite_filled(
    daily: NDArray[np.float32], flags: NDArray[np.bool_], days: NDArray[np.integer], length: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The composite `(..., day)` of a series, and where all that it is made of was filled.

    daily: `(..., day)`, NaN = missing; flags: `(..., day)` True where a value was filled.
    """
    values = composite(daily, days, length)
    return values, all_of_period(flags | np.isnan(daily), days, length) & np.isfinite(values)


def whole_periods(first: int, count: int, length: int) -> tuple[int, int]:
    """The shortest stretch (first, count) of whole periods around `count` days from `first`."""
    around = np.arange(first - length, first + count + length)
    opens, which = _periods(around, length)
    begin = around[opens[which[length]]]
    last = which[length + count - 1]
    end = around[opens[last + 1]] if last + 1 < len(opens) else around[-1] + 1
    return int(begin), int(end - begin)


def _periods(days: NDArray[np.integer], length: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices `(period,)` at which periods begin, and the period `(day,)` of each day."""
    number = years_of(days) * 400 + (day_of_year(days) - 1) // length
    starts = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
    return starts, np.searchsorted(starts, np.arange(len(days)), side="right") - 1
