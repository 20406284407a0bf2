"""Days as integers, counted from 2000-01-01 in the proleptic Gregorian calendar.

Day 0 is 2000-01-01 and earlier days are negative. Windows, blocks and time axes are all counted
in these numbers, so that no rule depends on the requested period. Hours are counted from
1970-01-01 00 UTC, as in archives of hourly fields.
"""

from __future__ import annotations

import datetime as dt
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

EPOCH = dt.date(2000, 1, 1)

#: CF units of the time axis of every store of this package.
TIME_UNITS = f"days since {EPOCH}"
CALENDAR = "proleptic_gregorian"

#: Days of a step, the days 15 n to 15 n + 14: some quantities have one value per cell and step.
STEP_DAYS = 15

#: Days of a leap year.
LONGEST_YEAR = 366

_EPOCH64 = np.datetime64(EPOCH, "D")
_UNIX_DAY = (dt.date(1970, 1, 1) - EPOCH).days

#: A number, or an array of numbers.
Numbers = TypeVar("Numbers", int, NDArray[np.int64])


def day_number(date: dt.date) -> int:
    """Days from 2000-01-01 to `date`."""
    return (date - EPOCH).days


def date_of(day: int) -> dt.date:
    """The date of a day number."""
    return EPOCH + dt.timedelta(days=int(day))


def days_between(first: dt.date, last: dt.date) -> int:
    """Days from `first` to `last`, both counted."""
    return day_number(last) - day_number(first) + 1


def date_in_year(year: int, number: int) -> dt.date:
    """The date of the day `number` of a year, 1 for 1 January.

    ValueError where the year has no such day.
    """
    date = date_of(day_number(dt.date(year, 1, 1)) + number - 1)
    if date.year != year:
        raise ValueError(f"expected a day of {year}, 1 to 365 or 366, found {number}")
    return date


def number_in_year(date: dt.date) -> int:
    """The day of the year of a date, 1 for 1 January."""
    return day_number(date) - day_number(dt.date(date.year, 1, 1)) + 1


def next_month(date: dt.date) -> dt.date:
    """The first day of the month after that of `date`."""
    return dt.date(date.year + date.month // 12, date.month % 12 + 1, 1)


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


def months_since_1970(days: NDArray[np.integer]) -> NDArray[np.int64]:
    """Months `(day,)` from January 1970 to the month of each day number `(day,)`."""
    return dates_of(days).astype("datetime64[M]").astype(np.int64)


def months_of(days: NDArray[np.integer]) -> NDArray[np.int64]:
    """Calendar month `(day,)`, 1 for January, of each day number `(day,)`."""
    return months_since_1970(days) % 12 + 1


def new_years(years: NDArray[np.integer]) -> NDArray[np.int64]:
    """Day number `(year,)` of 1 January of each calendar year `(year,)`."""
    return day_numbers((years - 1970).astype("datetime64[Y]"))


def day_of_year(days: NDArray[np.integer]) -> NDArray[np.int64]:
    """Day of the year `(day,)`, 1 for 1 January, of each day number `(day,)`."""
    return days.astype(np.int64) - new_years(years_of(days)) + 1


def length_of_year(days: NDArray[np.integer]) -> NDArray[np.int64]:
    """Days `(day,)`, 365 or 366, of the year in which each day number `(day,)` lies."""
    years = years_of(days)
    return new_years(years + 1) - new_years(years)


def hour_numbers(stamps: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """The hours `(stamp,)` that contain UTC stamps `(stamp,)` of any resolution."""
    return stamps.astype("datetime64[h]").astype(np.int64)


def first_hour(day: Numbers) -> Numbers:
    """The hour at which a day number begins in UTC."""
    return (day - _UNIX_DAY) * 24


def day_of_hour(hour: Numbers) -> Numbers:
    """The day number, in UTC, in which an hour lies."""
    return hour // 24 + _UNIX_DAY
