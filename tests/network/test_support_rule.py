"""The support rule: which days of its history tell the encoder what kind of place it is."""

from __future__ import annotations

import datetime as dt
import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from upscale.calendar import day_number
from upscale.network.support import SupportRule, choose

RULE = SupportRule()


def axis(first: int, last: int) -> NDArray[np.int64]:
    """Day numbers of the calendar years `first` to `last`."""
    return np.arange(day_number(dt.date(first, 1, 1)), day_number(dt.date(last + 1, 1, 1)))


def column(days: NDArray[np.int64], year: int, month: int = 1, day: int = 1) -> int:
    return int(day_number(dt.date(year, month, day)) - days[0])


def test_auto_takes_three_full_years_spread_over_the_record() -> None:
    days = axis(2001, 2021)
    support = choose(np.ones((1, days.size), bool), days, RULE)
    assert support.years.tolist() == [[2001, 2011, 2021]]
    assert support.present.sum() == 24
    assert not support.short.any()


def test_the_windows_of_a_year_are_eight_of_45_days_from_1_january() -> None:
    days = axis(2003, 2003)
    support = choose(np.ones((1, days.size), bool), days, RULE)
    assert support.start[0, :8].tolist() == [0, 45, 90, 135, 180, 225, 270, 315]
    assert (support.start[0, 8:] == -1).all()


def test_a_year_with_a_gap_in_its_first_360_days_is_not_taken() -> None:
    days = axis(2001, 2005)
    valid = np.ones((1, days.size), bool)
    valid[0, column(days, 2001, 5, 5)] = False
    valid[0, column(days, 2003, 12, 31)] = False  # after the eighth window
    support = choose(valid, days, RULE)
    assert support.years.tolist() == [[2002, 2004, 2005]]


def test_named_years_are_taken_where_they_are_full() -> None:
    days = axis(2001, 2012)
    valid = np.ones((2, days.size), bool)
    valid[1, column(days, 2010, 3, 1)] = False
    support = choose(valid, days, SupportRule(years=(2001, 2010)))
    assert support.years[:, :2].tolist() == [[2001, 2010], [2001, 0]]
    assert support.present.sum(axis=1).tolist() == [16, 8]


def test_strict_past_uses_nothing_after_the_day_given() -> None:
    days = axis(2001, 2010)
    before = day_number(dt.date(2005, 1, 1))
    support = choose(np.ones((1, days.size), bool), days, RULE, before=before)
    used = support.start[support.present]
    assert (days[used] + RULE.window <= before).all()
    assert support.years.max() == 2004


def test_without_a_full_year_the_longest_stretch_serves_and_is_flagged() -> None:
    days = axis(2001, 2002)
    valid = np.zeros((1, days.size), bool)
    valid[0, 10:70] = True
    valid[0, 200:300] = True
    support = choose(valid, days, RULE)
    assert support.short.tolist() == [True]
    assert support.start[0, :3].tolist() == [200, 245, -1]
    assert (support.years == 0).all()


def test_a_place_with_less_than_a_window_has_no_support() -> None:
    days = axis(2001, 2001)
    valid = np.zeros((1, days.size), bool)
    valid[0, 10:54] = True
    support = choose(valid, days, RULE)
    assert not support.present.any()
    assert not support.short.any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0.0005, 0.003, 0.02]), st.integers(1, 6))
def test_every_support_window_is_complete_and_no_two_overlap(
    seed: int, gaps: float, years: int
) -> None:
    days = axis(2010, 2010 + years)
    valid = np.random.default_rng(seed).random((5, days.size)) > gaps
    support = choose(valid, days, RULE)
    assert support.start.shape == (5, RULE.most_windows)
    for pixel in range(5):
        starts = np.sort(support.start[pixel][support.present[pixel]])
        assert (np.diff(starts) >= RULE.window).all()
        for start in starts:
            assert valid[pixel, start : start + RULE.window].all()
            assert start + RULE.window <= days.size


def test_pixels_are_chosen_for_one_by_one() -> None:
    days = axis(2010, 2015)
    valid = np.random.default_rng(3).random((30, days.size)) > 0.002
    together = choose(valid, days, RULE)
    for pixel in range(30):
        alone = choose(valid[pixel : pixel + 1], days, RULE)
        assert np.array_equal(alone.start[0], together.start[pixel])
        assert np.array_equal(alone.years[0], together.years[pixel])
        assert alone.short[0] == together.short[pixel]


def broken(pixels: int, days: int) -> NDArray[np.bool_]:
    """Records `(pixel, day)` without any full year: a gap in every 90 days."""
    valid = np.ones((pixels, days), bool)
    rng = np.random.default_rng(11)
    for begin in range(0, days, 90):
        gap = begin + rng.integers(0, min(90, days - begin), pixels)
        valid[np.arange(pixels), gap] = False
    return valid


def longest(valid: NDArray[np.bool_]) -> tuple[int, int]:
    """First day and length of the first longest stretch of a record `(day,)`, by walking."""
    best, first = (0, 0), 0
    for day, there in enumerate([*valid, False]):
        if not there:
            best = max(best, (day - first, -first))
            first = day + 1
    return -best[1], best[0]


def test_every_pixel_of_many_without_a_full_year_has_its_own_longest_stretch() -> None:
    days = axis(2001, 2002)
    valid = broken(600, days.size)
    support = choose(valid, days, RULE)
    assert (support.short == support.present.any(axis=1)).all()
    assert support.short.mean() > 0.9
    for pixel in range(600):
        first, length = longest(valid[pixel])
        expected = first + RULE.window * np.arange(length // RULE.window)
        found = support.start[pixel][support.present[pixel]]
        np.testing.assert_array_equal(found, expected)


def test_a_tile_without_full_years_takes_little_more_memory_than_its_record() -> None:
    days = axis(2001, 2004)
    valid = broken(10_000, days.size)
    tracemalloc.start()
    try:
        choose(valid, days, RULE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * valid.nbytes + 20e6
