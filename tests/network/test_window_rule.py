"""The window rule: which window predicts which day."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from upscale.calendar import day_number
from upscale.network.windows import Assignment, Bools, WindowRule, assign, rows_of

RULE = WindowRule()

#: Busy machines make examples slow, not wrong.
unhurried = settings(deadline=None)


@st.composite
def records(draw: st.DrawFn) -> Bools:
    """`(1, day)` whether drivers are there: stretches and gaps of any length."""
    lengths = draw(st.lists(st.integers(1, 120), min_size=1, max_size=7))
    first = draw(st.booleans())
    runs = [np.full(n, first ^ bool(i % 2)) for i, n in enumerate(lengths)]
    return np.concatenate(runs)[None]


first_days = st.integers(-5000, 10000)
rules = st.tuples(st.integers(1, 60), st.integers(1, 60)).map(
    lambda pair: WindowRule(max(pair), min(pair))
)


def stretch_of(valid: Bools, day: int) -> tuple[int, int]:
    """First and last day of the unbroken stretch around a valid day, by walking."""
    first = last = day
    while first > 0 and valid[first - 1]:
        first -= 1
    while last < len(valid) - 1 and valid[last + 1]:
        last += 1
    return first, last


def times_predicted(start: NDArray[np.int32], days: slice) -> NDArray[np.int64]:
    """How often the rows of the only pixel predict each day."""
    times = np.zeros(start.shape[1], int)
    rows = rows_of(start, days)
    for first, last in zip(rows.first, rows.last, strict=True):
        times[first : last + 1] += 1
    return times


@unhurried
@given(records(), first_days, rules)
def test_every_day_with_a_long_enough_stretch_is_predicted_exactly_once(
    valid: Bools, first_day: int, rule: WindowRule
) -> None:
    assigned = assign(valid, first_day, rule)
    for day, times in enumerate(times_predicted(assigned.start, slice(None))):
        first, last = stretch_of(valid[0], day) if valid[0, day] else (0, -1)
        assert times == (last - first + 1 >= rule.length)


@unhurried
@given(records(), first_days, rules)
def test_every_window_lies_inside_its_stretch_and_holds_the_days_it_serves(
    valid: Bools, first_day: int, rule: WindowRule
) -> None:
    rows = rows_of(assign(valid, first_day, rule).start, slice(None))
    for start, first, last in zip(rows.start, rows.first, rows.last, strict=True):
        assert start >= 0
        assert start + rule.length <= valid.shape[1]
        assert valid[0, start : start + rule.length].all()
        assert start <= first <= last < start + rule.length


@unhurried
@given(records(), first_days, rules)
def test_a_window_slides_only_where_the_record_begins_or_ends(
    valid: Bools, first_day: int, rule: WindowRule
) -> None:
    assigned = assign(valid, first_day, rule)
    for day in np.flatnonzero(assigned.start[0] >= 0):
        first, last = stretch_of(valid[0], day)
        number = first_day + int(day)
        nominal = number - number % rule.stride - rule.spin_up - first_day
        if nominal < first:
            expected = first
        elif nominal + rule.length - 1 > last:
            expected = last - rule.length + 1
        else:
            expected = nominal
        assert assigned.start[0, day] == expected


@unhurried
@given(records(), first_days, rules)
def test_a_day_without_a_window_says_why(valid: Bools, first_day: int, rule: WindowRule) -> None:
    assigned = assign(valid, first_day, rule)
    none = assigned.start < 0
    assert np.array_equal(none, assigned.missing | assigned.too_short)
    assert not (assigned.missing & assigned.too_short).any()
    past = np.arange(valid.shape[1]) - assigned.start
    assert np.array_equal(assigned.spin_up_short, ~none & (past < rule.spin_up))


@unhurried
@given(records(), first_days, rules, st.data())
def test_a_days_window_does_not_depend_on_the_period_that_was_asked_for(
    valid: Bools, first_day: int, rule: WindowRule, data: st.DataObject
) -> None:
    begin = data.draw(st.integers(0, valid.shape[1] - 1))
    end = data.draw(st.integers(begin + 1, valid.shape[1]))
    left = max(0, begin - rule.margin)
    right = min(valid.shape[1], end + rule.margin)
    whole = assign(valid, first_day, rule)
    part = assign(valid[:, left:right], first_day + left, rule)
    asked = slice(begin - left, end - left)

    found = np.where(part.start >= 0, part.start + left, -1)[:, asked]
    assert np.array_equal(found, whole.start[:, begin:end])
    for flag in ("missing", "too_short", "spin_up_short"):
        assert np.array_equal(getattr(part, flag)[:, asked], getattr(whole, flag)[:, begin:end])


@unhurried
@given(records(), first_days, st.data())
def test_rows_of_a_period_predict_its_days_and_no_others(
    valid: Bools, first_day: int, data: st.DataObject
) -> None:
    begin = data.draw(st.integers(0, valid.shape[1] - 1))
    end = data.draw(st.integers(begin + 1, valid.shape[1]))
    start = assign(valid, first_day, RULE).start
    times = times_predicted(start, slice(begin, end))
    inside = np.zeros(valid.shape[1], bool)
    inside[begin:end] = True
    assert np.array_equal(times, (inside & (start[0] >= 0)).astype(int))


def a_year(record: Bools, first: dt.date) -> Assignment:
    return assign(record, day_number(first), RULE)


def test_in_an_unbroken_record_windows_end_every_15_days_from_2000_01_01() -> None:
    first = dt.date(2000, 1, 1)
    assigned = a_year(np.ones((1, 366), bool), first)
    # days 0..44 share the first window (its spin-up is short for the first 30), then each 15
    assert assigned.start[0, 0] == 0
    assert assigned.spin_up_short[0].sum() == 30
    assert list(assigned.start[0, 44:64:15]) == [0, 15]
    ends = assigned.start[0, 45:-45] + RULE.length
    assert (ends % 15 == 0).all()


def test_the_last_partial_window_slides_back_into_the_record() -> None:
    assigned = a_year(np.ones((1, 100), bool), dt.date(2000, 1, 1))
    assert (assigned.start[0, 90:] == 55).all()


def test_29_february_is_a_day_like_any_other() -> None:
    assigned = a_year(np.ones((1, 366 + 365), bool), dt.date(2012, 1, 1))
    times = times_predicted(assigned.start, slice(None))
    assert (times == 1).all()


def test_pixels_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(1)
    valid = rng.random((40, 300)) > 0.01
    together = assign(valid, 4321, RULE)
    rows = rows_of(together.start, slice(None))
    assert list(rows.pixel) == sorted(rows.pixel)
    for pixel in range(len(valid)):
        alone = assign(valid[pixel : pixel + 1], 4321, RULE)
        assert np.array_equal(together.start[pixel], alone.start[0])


def test_a_stride_longer_than_its_window_is_refused() -> None:
    with pytest.raises(ValueError, match="stride <= length"):
        WindowRule(length=15, stride=45)
