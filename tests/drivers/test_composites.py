import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale.calendar import date_of, day_number
from upscale.drivers.composites import all_of_period, composite, whole_periods


def periods(days: np.ndarray, length: int) -> list[tuple[int, int]]:
    """Year and number of the period of each day, by the calendar alone."""
    dates = [date_of(int(day)) for day in days]
    return [(d.year, (d.timetuple().tm_yday - 1) // length) for d in dates]


def slowly(values: np.ndarray, days: np.ndarray, length: int) -> np.ndarray:
    """The definition, day by day and cell by cell."""
    own = periods(days, length)
    out = np.full(values.shape, np.nan, values.dtype)
    for i, period in enumerate(own):
        here = [j for j, other in enumerate(own) if other == period]
        for cell in np.ndindex(values.shape[:-1]):
            known = values[cell][here][np.isfinite(values[cell][here])]
            out[*cell, i] = known.max() if known.size else np.nan
    return out


@pytest.fixture
def series() -> tuple[np.ndarray, np.ndarray]:
    """Two cells over two turns of the year, one of them of a leap year, with many gaps."""
    rng = np.random.default_rng(3)
    days = np.arange(day_number(dt.date(2011, 12, 1)), day_number(dt.date(2013, 1, 20)))
    values = rng.uniform(0, 1, (2, len(days))).astype(np.float32)
    values[rng.uniform(size=values.shape) < 0.7] = np.nan
    return values, days


@pytest.mark.parametrize("length", [1, 4, 8, 16])
def test_composites_are_the_maxima_of_the_periods_of_the_year(series, length):
    values, days = series
    np.testing.assert_array_equal(composite(values, days, length), slowly(values, days, length))


def test_composing_twice_changes_nothing_and_the_series_is_left_alone(series):
    values, days = series
    before = values.copy()
    once = composite(values, days, 8)
    np.testing.assert_array_equal(composite(once, days, 8), once)
    np.testing.assert_array_equal(values, before)
    assert once.dtype == np.float32


def test_a_flag_holds_where_the_whole_period_has_it():
    days = day_number(dt.date(2012, 12, 26)) + np.arange(10)  # 26-31 December, 1-4 January
    flags = np.ones(10, bool)
    flags[8] = False
    expected = [True] * 6 + [False] * 4
    assert all_of_period(flags, days, 8).tolist() == expected


@given(st.integers(-4000, 9000), st.integers(1, 500), st.integers(1, 20))
def test_a_stretch_of_whole_periods_holds_the_days_and_no_period_more(first, count, length):
    begin, many = whole_periods(first, count, length)
    inside = set(periods(np.arange(first, first + count), length))
    around = periods(np.arange(begin - 1, begin + many + 1), length)
    assert begin <= first
    assert begin + many >= first + count
    assert set(around[1:-1]) == inside
    assert around[0] not in inside
    assert around[-1] not in inside
