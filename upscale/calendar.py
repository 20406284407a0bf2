"""Days as integers, counted from 2000-01-01 in the proleptic Gregorian calendar.

Day 0 is 2000-01-01 and earlier days are negative. Windows, blocks and time axes are all
counted in these numbers, so that no rule depends on the period that was asked for.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
from numpy.typing import NDArray

EPOCH = dt.date(2000, 1, 1)

#: How every store of this package states its time axis (CF).
TIME_UNITS = f"days since {EPOCH}"
CALENDAR = "proleptic_gregorian"

#: Days of a step: what is said of a cell once in a while is said for days 15 n to 15 n + 14.
STEP_DAYS = 15

_EPOCH64 = np.datetime64(EPOCH, "D")


def day_number(date: dt.date) -> int:
    """Days from 2000-01-01 to `date`."""
    return (date - EPOCH).days


def date_of(day: int) -> dt.date:
    """The date of a day number."""
    return EPOCH + dt.timedelta(days=int(day))


def dates_of(days: NDArray[np.integer]) -> NDArray[np.datetime64]:
    """Day numbers `(day,)` as `datetime64[D]` `(day,)`."""
    dates: NDArray[np.datetime64] = _EPOCH64 + days.astype("timedelta64[D]")
    return dates


def day_numbers(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Dates `(day,)` of any resolution as day numbers `(day,)`."""
    numbers: NDArray[np.int64] = (dates.astype("datetime64[D]") - _EPOCH64).astype(np.int64)
    return numbers


def years_of(days: NDArray[np.integer]) -> NDArray[np.int64]:
    """Calendar year `(day,)` of each day number `(day,)`."""
    return dates_of(days).astype("datetime64[Y]").astype(np.int64) + 1970


def months_of(days: NDArray[np.integer]) -> NDArray[np.int64]:
    """Calendar month `(day,)`, 1 for January, of each day number `(day,)`."""
    return dates_of(days).astype("datetime64[M]").astype(np.int64) % 12 + 1


def day_of_year(days: NDArray[np.integer]) -> NDArray[np.int64]:
    """Day of the year `(day,)`, 1 for 1 January, of each day number `(day,)`."""
    dates = dates_of(days)
    since = (dates - dates.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64)
    number: NDArray[np.int64] = since + 1
    return number
