"""Days, months, years and hours as numbers: as the standard library counts them."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale.calendar import (
    date_in_year,
    date_of,
    dates_of,
    day_number,
    day_numbers,
    day_of_hour,
    day_of_year,
    days_between,
    first_hour,
    hour_numbers,
    length_of_year,
    months_of,
    months_since_1970,
    new_years,
    next_month,
    number_in_year,
    years_of,
)

#: From before 1970 on, so that every number is negative somewhere; over a century without a
#: leap year in 2100.
DATES = st.dates(dt.date(1899, 1, 1), dt.date(2105, 12, 31))
HALF_CENTURY = np.arange(day_number(dt.date(1960, 1, 1)), day_number(dt.date(2010, 1, 1)))


@given(DATES)
def test_a_date_and_its_numbers_are_one(date: dt.date) -> None:
    assert date_of(day_number(date)) == date
    assert date_in_year(date.year, number_in_year(date)) == date
    assert number_in_year(date) == date.timetuple().tm_yday


@given(DATES, DATES)
def test_days_between_counts_both_ends(one: dt.date, other: dt.date) -> None:
    first, last = min(one, other), max(one, other)
    assert days_between(first, last) == last.toordinal() - first.toordinal() + 1


@pytest.mark.parametrize(("year", "number"), [(2019, 0), (2019, 366), (2020, 367), (2019, -3)])
def test_a_day_that_a_year_lacks_is_refused(year: int, number: int) -> None:
    with pytest.raises(ValueError, match=f"expected a day of {year}.*found {number}"):
        date_in_year(year, number)


@given(DATES)
def test_the_next_month_begins_where_this_one_ends(date: dt.date) -> None:
    opens = next_month(date)
    assert opens.day == 1
    before = opens - dt.timedelta(days=1)
    assert (before.year, before.month) == (date.year, date.month)


def test_arrays_of_days_know_their_year_month_and_place_in_it() -> None:
    dates = [date_of(day) for day in HALF_CENTURY]
    assert years_of(HALF_CENTURY).tolist() == [date.year for date in dates]
    assert months_of(HALF_CENTURY).tolist() == [date.month for date in dates]
    assert day_of_year(HALF_CENTURY).tolist() == [date.timetuple().tm_yday for date in dates]
    months = [12 * (date.year - 1970) + date.month - 1 for date in dates]
    assert months_since_1970(HALF_CENTURY).tolist() == months
    np.testing.assert_array_equal(day_numbers(dates_of(HALF_CENTURY)), HALF_CENTURY)


def test_years_are_as_long_as_they_are() -> None:
    lengths = [dt.date(date_of(d).year, 12, 31).timetuple().tm_yday for d in HALF_CENTURY]
    assert length_of_year(HALF_CENTURY).tolist() == lengths
    years = np.arange(1960, 2011)
    assert new_years(years).tolist() == [day_number(dt.date(y, 1, 1)) for y in years]


@given(st.datetimes(dt.datetime(1959, 1, 1), dt.datetime(2041, 1, 1)))
def test_hours_are_counted_from_1970_and_lie_in_their_day(stamp: dt.datetime) -> None:
    (hour,) = hour_numbers(np.array([stamp], "datetime64[us]")).tolist()
    assert hour == (stamp - dt.datetime(1970, 1, 1)) // dt.timedelta(hours=1)
    assert day_of_hour(hour) == day_number(stamp.date())
    assert first_hour(day_of_hour(hour)) == hour - stamp.hour


def test_hours_of_arrays_are_those_of_their_days() -> None:
    hours = first_hour(HALF_CENTURY)
    np.testing.assert_array_equal(hours, hour_numbers(dates_of(HALF_CENTURY)))
    np.testing.assert_array_equal(day_of_hour(hours + 23), HALF_CENTURY)


def test_no_other_module_counts_days(root: Path) -> None:
    """Made archives (upscale/testing) count hours as the archives themselves do."""
    counting = re.compile(r"timedelta|toordinal|fromordinal|timetuple|datetime64\[[YM]\]")
    package = root / "upscale"
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if counting.search(path.read_text(encoding="utf-8"))
        and path.relative_to(package).parts[0] != "testing"
    }
    assert found == {"calendar.py"}
