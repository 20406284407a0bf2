import datetime as dt
from itertools import pairwise
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upscale.calendar import date_of, day_number
from upscale.drivers.gaps import (
    FLAG_MEANINGS,
    HELD,
    LINEAR,
    NO_VALUE,
    OBSERVED,
    SEASONAL,
    Filled,
    GapRule,
    fill_gaps,
)

NAN = np.float32(np.nan)
START = day_number(dt.date(2010, 1, 1))


def period(date: dt.date) -> int:
    return (date.timetuple().tm_yday - 1) // 8


def centre(day: int) -> tuple[int, float]:
    """The period of a day and the middle of this period of this year, by the calendar alone."""
    own, date = period(date_of(day)), date_of(day)
    begins = day_number(dt.date(date.year, 1, 1)) + 8 * own
    ends = min(begins + 7, day_number(dt.date(date.year, 12, 31)))
    return own, (begins + ends) / 2


def usual(series: np.ndarray, first: int, day: int, causal: bool) -> float:
    """The seasonal value of a day by its definition: all medians anew, for this day alone."""
    around = sorted({centre(d) for d in range(day - 16, day + 17)}, key=lambda pair: pair[1])
    (early, left), (late, right) = next((a, b) for a, b in pairwise(around) if a[1] <= day < b[1])
    values = []
    for number in (early, late):
        near = {(number - 1) % 46, number, (number + 1) % 46}
        pool = [
            float(value) + 0.0
            for d, value in enumerate(series, first)
            if value == value and period(date_of(d)) in near
            and (not causal or date_of(d).year < date_of(day).year)
        ]  # fmt: skip
        values.append(float(np.float32(median(pool))) if len(pool) >= 3 else np.nan)
    return values[0] + (day - left) / (right - left) * (values[1] - values[0])


def told(
    series: np.ndarray, first: int, at: int, last: int | None, after: int | None, rule: GapRule
) -> tuple[float, int]:
    """Value and method of one day by the rules, as they are written down for people."""
    if rule.causal:
        if last is None or at - last > rule.limit:
            return np.nan, OBSERVED
        if at - last <= rule.linear:
            return float(series[last]), HELD
    else:
        opens, closes = -1 if last is None else last, len(series) if after is None else after
        if closes - opens - 1 > rule.limit:
            return np.nan, OBSERVED
        if last is not None and after is not None and after - last - 1 <= rule.linear:
            one, other = float(series[last]), float(series[after])
            return one + (at - last) / (after - last) * (other - one), LINEAR
    return usual(series, first, first + at, rule.causal), SEASONAL


def slowly(series: np.ndarray, first: int, rule: GapRule) -> Filled:
    """The definition, day by day, of one cell."""
    seen = [i for i, value in enumerate(series) if value == value]
    values, method = series.copy(), np.zeros(len(series), np.uint8)
    distance = np.zeros(len(series), np.uint8)
    for at in sorted(set(range(len(series))) - set(seen)):
        last = max((i for i in seen if i < at), default=None)
        after = min((i for i in seen if i > at), default=None)
        value, how = told(series, first, at, last, after, rule)
        sides = [at - last] if last is not None else []
        sides += [after - at] if after is not None and not rule.causal else []
        if value == value:
            values[at], method[at], distance[at] = value, how, min(254, *sides, 254)
        else:
            distance[at] = NO_VALUE
    return Filled(values, method, distance)


@st.composite
def records(draw: st.DrawFn, cells: int = 1, longest: int = 12) -> np.ndarray:
    """`(day, cell)` of stretches with and without observations, of up to about two years."""
    spans = st.lists(st.tuples(st.integers(0, 70), st.integers(0, 70)), max_size=longest)
    patterns = [
        [day for gap, run in draw(spans) for day in [False] * gap + [True] * run]
        for _ in range(cells)
    ]
    count = max(1, *(len(pattern) for pattern in patterns))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    record = rng.choice([-0.0, 0.0, 1e-40, 0.1, 0.3, 3e38, -3e38], (count, cells))
    record = np.where(rng.random(record.shape) < 0.8, rng.normal(size=record.shape), record)
    for cell, pattern in enumerate(patterns):
        record[: len(pattern), cell][~np.array(pattern, bool)] = np.nan
        record[len(pattern) :, cell] = np.nan
    return record.astype(np.float32)


firsts = st.integers(day_number(dt.date(1998, 11, 1)), day_number(dt.date(2002, 3, 1)))
waits = st.tuples(st.integers(0, 20), st.integers(0, 60)).map(lambda two: (two[0], sum(two)))
rules = st.builds(lambda wait, causal: GapRule(*wait, causal), waits, st.booleans())
causal_rules = waits.map(lambda wait: GapRule(*wait, True))


def same(one: Filled, other: Filled) -> None:
    """Bit for bit."""
    np.testing.assert_array_equal(one.values.view(np.uint32), other.values.view(np.uint32))
    np.testing.assert_array_equal(one.method, other.method)
    np.testing.assert_array_equal(one.distance, other.distance)


def of(filled: Filled, *where: object) -> Filled:
    return Filled(filled.values[where], filled.method[where], filled.distance[where])


@settings(max_examples=40, deadline=None)
@given(records(longest=6), firsts, rules)
def test_every_day_is_what_the_written_rules_say(record, first, rule):
    filled, expected = fill_gaps(record[:, 0], first, rule), slowly(record[:, 0], first, rule)
    np.testing.assert_array_equal(filled.method, expected.method)
    np.testing.assert_array_equal(filled.distance, expected.distance)
    np.testing.assert_allclose(filled.values, expected.values, rtol=1e-5)


@settings(deadline=None)
@given(records(cells=2), firsts, causal_rules, st.data())
def test_near_real_time_no_day_depends_on_a_later_one(record, first, rule, data):
    end = data.draw(st.integers(1, len(record)))
    whole, known = fill_gaps(record, first, rule), fill_gaps(record[:end], first, rule)
    same(of(whole, slice(end)), known)


@settings(deadline=None)
@given(records(cells=3), firsts, rules)
def test_observations_stay_and_filled_values_lie_between_those_of_the_cell(record, first, rule):
    before = record.copy()
    filled = fill_gaps(record, first, rule)
    seen = ~np.isnan(record)
    same(of(filled, seen), Filled(before[seen], np.zeros(seen.sum()), np.zeros(seen.sum())))
    np.testing.assert_array_equal(record.view(np.uint32), before.view(np.uint32))
    for cell in range(3):
        new = filled.values[~np.isnan(filled.values[:, cell]), cell]
        if new.size:
            assert np.nanmin(record[:, cell]) <= new.min()
            assert new.max() <= np.nanmax(record[:, cell])


@settings(deadline=None)
@given(records(cells=2), firsts, rules)
def test_method_and_distance_tell_every_filled_and_every_missing_day(record, first, rule):
    filled = fill_gaps(record, first, rule)
    missing = np.isnan(filled.values)
    np.testing.assert_array_equal(filled.distance == NO_VALUE, missing)
    np.testing.assert_array_equal(filled.distance == 0, ~np.isnan(record))
    np.testing.assert_array_equal(filled.method == OBSERVED, missing | ~np.isnan(record))


@settings(max_examples=25, deadline=None)
@given(records(cells=3), firsts, rules, st.integers(0, 100))
def test_a_cell_has_the_same_bits_alone_and_among_any_others(record, first, rule, seed):
    order = np.random.default_rng(seed).integers(0, 3, 150)  # more than one part
    together = fill_gaps(record[:, order].reshape(-1, 15, 10), first, rule)
    assert together.values.shape == (len(record), 15, 10)
    for place in range(0, 150, 7):
        alone = fill_gaps(record[:, order[place]], first, rule)
        same(of(together, slice(None), place // 10, place % 10), alone)


def years_with_a_gap(days: int, opens: dt.date = dt.date(2012, 5, 1)) -> np.ndarray:
    """2010 to 2013, the value of a day its year less 2000, but for a gap in 2012."""
    dates = [date_of(START + i) for i in range(4 * 365 + 1)]
    record = np.array([date.year - 2000 for date in dates], np.float32)
    record[(opens - dates[0]).days :][:days] = np.nan
    return record


GAP = slice(851, 851 + 91)  # from 1 May 2012 on


@pytest.mark.parametrize(
    ("days", "how", "value"),
    [
        (1, LINEAR, 12),
        (16, LINEAR, 12),
        (17, SEASONAL, 11),  # the middle of 10, 11 and 13
        (90, SEASONAL, 11),
        (91, OBSERVED, NAN),
    ],
)
def test_a_gap_is_a_line_up_to_16_days_the_season_up_to_90_and_nothing_beyond(days, how, value):
    filled = fill_gaps(years_with_a_gap(days), START, GapRule())
    gap = slice(851, 851 + days)
    assert set(filled.method[gap]) == {how}
    np.testing.assert_array_equal(filled.values[gap], value)
    assert filled.method.astype(bool).sum() == (days if how else 0)
    assert filled.distance[gap].max() == (NO_VALUE if days == 91 else (days + 1) // 2)


def test_in_near_real_time_a_value_is_held_16_days_then_the_season_to_90_then_nothing():
    filled = fill_gaps(years_with_a_gap(91), START, GapRule(causal=True))
    assert filled.method[GAP].tolist() == [HELD] * 16 + [SEASONAL] * 74 + [OBSERVED]
    assert filled.values[GAP][:90].tolist() == [12] * 16 + [10.5] * 74  # of 2010 and 2011
    assert filled.distance[GAP].tolist() == [*range(1, 91), NO_VALUE]
    assert np.isnan(filled.values[GAP][90])


def test_the_line_is_straight_and_its_ends_are_the_observations():
    filled = fill_gaps(np.array([1, NAN, NAN, NAN, 3], np.float32), START, GapRule())
    assert filled.values.tolist() == [1, 1.5, 2, 2.5, 3]
    assert filled.distance.tolist() == [0, 1, 2, 1, 0]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("days", [1, 90, 91])
def test_where_the_record_begins_or_ends_there_is_no_line(days, causal):
    record = years_with_a_gap(0)
    record[:days] = record[-days:] = np.nan
    filled = fill_gaps(record, START, GapRule(causal=causal))
    start, end = filled.method[:days], filled.method[-days:]
    if causal:
        expected = [HELD] * 16 + [SEASONAL] * 74 + [OBSERVED]
        assert not start.any()
        assert np.isnan(filled.values[:days]).all()
        assert end.tolist() == expected[:days]
    else:
        assert {*start, *end} == {SEASONAL if days <= 90 else OBSERVED}
        assert filled.distance[:days].tolist() == (
            [*range(days, 0, -1)] if days <= 90 else [NO_VALUE] * days
        )


@pytest.mark.parametrize("causal", [False, True])
def test_a_cell_without_observations_stays_without_values(causal):
    filled = fill_gaps(np.full((80, 2), NAN), START, GapRule(causal=causal))
    assert np.isnan(filled.values).all()
    assert (filled.distance == NO_VALUE).all()
    assert not filled.method.any()


def test_one_observation_is_held_in_near_real_time_and_says_nothing_else():
    record = np.full(60, NAN)
    record[30] = 7
    both, causal = (
        fill_gaps(record, START, GapRule()),
        fill_gaps(record, START, GapRule(causal=True)),
    )
    assert np.flatnonzero(~np.isnan(both.values)).tolist() == [30]
    assert np.flatnonzero(~np.isnan(causal.values)).tolist() == [*range(30, 47)]


@pytest.mark.parametrize("seen", [2, 3])
def test_a_season_is_known_by_three_observations_and_no_fewer(seen):
    record = np.full(4 * 365 + 1, NAN)
    april = [100, 100 + 365, 101 + 730][:seen]  # day 101 of the year, 102 in 2012
    record[april] = [1, 5, 2][:seen]
    filled = fill_gaps(record, START, GapRule(0, 2000))
    known = np.flatnonzero(filled.method[-365:] == SEASONAL) + 1
    assert known.tolist() == ([*range(93, 109)] if seen == 3 else [])  # both centres in reach
    assert set(filled.values[filled.method == SEASONAL]) == ({2} if seen == 3 else set())


@pytest.mark.parametrize("causal", [False, True])
def test_29_february_lies_between_the_periods_around_it_like_any_other_day(causal):
    record = np.float32([date_of(START + i).timetuple().tm_yday for i in range(1461)])
    record[761:821] = np.nan  # 1 February to 31 March 2012
    filled = fill_gaps(record, START, GapRule(causal=causal))
    assert date_of(START + 789) == dt.date(2012, 2, 29)
    assert filled.method[789] == SEASONAL
    np.testing.assert_allclose(filled.values[781:805], np.arange(52, 76), atol=1e-5)


def test_across_the_turn_of_the_year_the_season_has_no_step():
    days = START + np.arange(4 * 365 + 1)
    record = np.cos(2 * np.pi * days / 365.25).astype(np.float32)
    opens = day_number(dt.date(2011, 12, 1)) - START
    truth, record[opens : opens + 60] = record[opens : opens + 60].copy(), np.nan
    filled = fill_gaps(record, START, GapRule())
    gap = filled.values[opens : opens + 60]
    assert (filled.method[opens : opens + 60] == SEASONAL).all()
    np.testing.assert_allclose(gap, truth, atol=0.02)
    assert np.abs(np.diff(gap)).max() < 0.02


def test_a_zero_that_is_filled_has_no_sign_since_a_sort_knows_none():
    record = np.full(4 * 365 + 1, -1, np.float32)
    centre_of_the_last_period = [362 + 365 * year for year in range(4)]
    for day in centre_of_the_last_period:
        record[day - 30 : day + 3] = -0.0
    record[centre_of_the_last_period[1] - 10 :][:20] = np.nan
    filled = fill_gaps(record, START, GapRule())
    zeros = filled.values[(filled.method == SEASONAL) & (filled.values == 0)]
    assert zeros.size > 8
    assert not np.signbit(zeros).any()


def test_in_near_real_time_the_memory_grows_on_1_january():
    record = years_with_a_gap(60, dt.date(2011, 12, 1))
    filled = fill_gaps(record, START, GapRule(causal=True))
    opens = day_number(dt.date(2011, 12, 1)) - START
    assert filled.values[opens + 16 : opens + 31].tolist() == [10] * 15
    assert filled.values[opens + 31 : opens + 60].tolist()[-15:] == [10.5] * 15


def test_a_distance_beyond_254_days_is_254():
    record = years_with_a_gap(600, dt.date(2011, 1, 1))
    filled = fill_gaps(record, START, GapRule(16, 700))
    assert filled.distance[365:965].max() == 254
    assert not np.isnan(filled.values).any()


def test_codes_have_the_meanings_in_their_order():
    assert FLAG_MEANINGS.split() == ["observed", "linear", "seasonal", "held"]
    assert [OBSERVED, LINEAR, SEASONAL, HELD] == [0, 1, 2, 3]


@pytest.mark.parametrize("shape", [(0,), (0, 3), (5, 0), (5, 2, 0)])
def test_nothing_in_nothing_out(shape):
    for causal in (False, True):
        filled = fill_gaps(np.empty(shape, np.float32), START, GapRule(causal=causal))
        assert filled.values.shape == filled.method.shape == filled.distance.shape == shape


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (np.zeros(5, np.int16), "found int16"),
        (np.zeros(5), "found float64"),
        (np.array([1, np.inf], np.float32), "infinities"),
        (np.array([NAN, -np.inf], np.float32), "infinities"),
        (np.float32([3])[0:1].reshape(()), "single number"),
        (np.ma.masked_equal(np.zeros(3, np.float32), 0), "masked"),
    ],
)
def test_what_cannot_be_a_record_is_refused(record, message):
    with pytest.raises(ValueError, match=message):
        fill_gaps(record, START, GapRule())


@pytest.mark.parametrize(("linear", "limit"), [(-1, 90), (91, 90)])
def test_a_rule_that_contradicts_itself_is_refused(linear, limit):
    with pytest.raises(ValueError, match="expected 0 <= linear <= limit"):
        GapRule(linear, limit)
