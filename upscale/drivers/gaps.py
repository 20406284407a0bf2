"""Gap filling in time: from the days around a gap, or from the usual season of the cell.

A gap is a run of days without an observation. A short gap between two observations is filled by
linear interpolation, a longer one by the usual value of the cell at that time of the year; a gap
that is longer still is not filled. Every value is stored with the method that made it and the
distance to the nearest observation. Observations are never changed, and no value is taken from
another cell (docs/explanation/gaps.md).

The usual value of a day: the year is divided into periods of 8 days from 1 January, like those of
composites; the last has 5 or 6 days. The median of a period is taken over all observations of
the cell in it and in its two neighbours, in all years, and across the turn of the year; it needs
at least 3 observations. Between the centres of two periods the value is interpolated linearly,
which needs both medians. In leap years 29 February is the fourth day of its period, so later
periods begin one calendar day earlier, and the last has 6 days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import LONGEST_YEAR, day_of_year, years_of
from upscale.drivers.composites import DAYS

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]
Places = NDArray[np.int64]

#: Codes of `method`: how a value was made; OBSERVED also where there is no value.
OBSERVED, LINEAR, SEASONAL, HELD = 0, 1, 2, 3

#: The CF attribute `flag_meanings` (section 3.5) for `flag_values` 0 to 3.
FLAG_MEANINGS = "observed linear seasonal held"

#: `distance` of a day without a value, and the largest that a value can have: a byte holds both.
NO_VALUE, FARTHEST = 255, 254

#: Observations that a seasonal median needs: with two it is their mean, which a single bad
#: observation can move anywhere.
SUPPORT = 3

#: Periods of a leap year; those of other years are as many, the last a day shorter.
_PERIODS = -(-LONGEST_YEAR // DAYS)


@dataclass(frozen=True)
class GapRule:
    """Which gaps are filled, and with what.

    Raises ValueError unless 0 <= linear <= limit.
    """

    linear: int = 16  #: longest gap, days, bridged by a straight line (causal: held)
    limit: int = 90  #: longest gap, days, that is filled at all
    causal: bool = False  #: near-real time: a value depends on no later day

    def __post_init__(self) -> None:
        if not 0 <= self.linear <= self.limit:
            raise ValueError(
                f"gap rule: expected 0 <= linear <= limit, found linear {self.linear} "
                f"and limit {self.limit}; give both in days"
            )


@dataclass(frozen=True, eq=False)
class Filled:
    """A record with its gaps filled; all three arrays have the shape of the record."""

    values: Floats  #: units of the record; NaN where no value could be made
    method: Codes  #: OBSERVED, LINEAR, SEASONAL or HELD; OBSERVED where missing, too
    distance: Codes  #: days to the nearest observation, at most 254; 255 where missing


def fill_gaps(observed: Floats, first: int, rule: GapRule) -> Filled:
    """Fill the gaps of each cell from the cell's own record.

    observed: `(day, ...)`, consecutive days, NaN = no observation, any units; first: day number
    of `observed[0]` (`upscale.calendar`).

    Two-sided: a gap of at most `linear` days between two observations is interpolated linearly.
    Any other gap of at most `limit` days takes the seasonal medians of all years (see the module),
    also at the start and the end of the record, where only the days inside the record count.

    Causal: an observation is held for up to `linear` days; from then to `limit` days after it,
    values are seasonal medians of earlier calendar years. No value depends on a later day, nor on
    the length of the gap. Days before the first observation stay NaN.

    Values lie between the smallest and the largest observation of the cell, and do not depend on
    the other cells of the call. Memory: `observed`, 1.5 times its bytes for the result, and 80
    bytes x days x cells for the cells in work (a twentieth of all, 64 to 512), which for a tile of
    100 x 100 cells again equals the bytes of `observed`.

    Raises ValueError for anything but float32, for a masked array, for infinities, and where
    there is no axis of days.
    """
    series = _checked(observed)
    values, method = series.copy(), np.zeros(series.shape, np.uint8)
    distance = np.zeros(series.shape, np.uint8)
    for cells in _parts(series.shape[1]):
        part = _fill(np.ascontiguousarray(series[:, cells]), first, rule)
        values[:, cells], method[:, cells] = part.values, part.method
        distance[:, cells] = part.distance
    shape = observed.shape
    return Filled(values.reshape(shape), method.reshape(shape), distance.reshape(shape))


def _checked(observed: Floats) -> Floats:
    """The record as `(day, cell)`; ValueError says what is wrong with it."""
    if isinstance(observed, np.ma.MaskedArray):
        raise ValueError("gaps: expected a plain array, found a masked one; fill it with NaN")
    if observed.dtype != np.float32:
        raise ValueError(f"gaps: expected float32, found {observed.dtype}; convert it first")
    if observed.ndim == 0:
        raise ValueError("gaps: expected days as first axis, found a single number")
    if np.isinf(observed).any():
        raise ValueError("gaps: expected numbers and NaN, found infinities; make them NaN")
    return observed.reshape(len(observed), int(np.prod(observed.shape[1:])))


def _parts(cells: int) -> Iterator[slice]:
    # bounds the memory of temporary arrays, which is many times that of the values
    size = min(512, max(64, cells // 20))
    return (slice(start, start + size) for start in range(0, cells, size))


def _fill(series: Floats, first: int, rule: GapRule) -> Filled:
    """`fill_gaps` for some cells `(day, cell)`."""
    before, after = _sides(series)
    age, ahead = _days_to(before, after)
    method = _causal_plan(age, rule) if rule.causal else _plan(before, after, rule)
    # What is filled is read from `series` alone, so that no filled value feeds another.
    values = series.copy()
    day, cell = np.nonzero(method == LINEAR)
    values[day, cell] = _line(series, before[day, cell], after[day, cell], day, cell)
    day, cell = np.nonzero(method == HELD)
    values[day, cell] = series[before[day, cell], cell]
    day, cell = np.nonzero(method == SEASONAL)
    if day.size:
        values[day, cell] = _seasonal(series, first, rule.causal, day, cell)
    # A season that was seen too rarely leaves a day without a value, whatever the plan was.
    missing = np.isnan(values)
    nearest = np.minimum(age if rule.causal else np.minimum(age, ahead), FARTHEST)
    method[missing], nearest[missing] = OBSERVED, NO_VALUE
    return Filled(values, method, nearest.astype(np.uint8))


def _sides(series: Floats) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Indices `(day, cell)` of the last observation up to each day and the first one from it on.

    Without one they are -1 and the number of days, so that a gap has after - before - 1 days.
    """
    seen, count = ~np.isnan(series), len(series)
    index = np.arange(count, dtype=np.int32)[:, None]
    before = np.where(seen, index, np.int32(-1))
    after = np.where(seen, index, np.int32(count))
    np.maximum.accumulate(before, axis=0, out=before)
    np.minimum.accumulate(after[::-1], axis=0, out=after[::-1])
    return before, after


def _days_to(
    before: NDArray[np.int32], after: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Days since the last and to the next observation; larger than any gap without one."""
    index = np.arange(len(before), dtype=np.int32)[:, None]
    none = np.iinfo(np.int32).max  # 0 or -1 would pass for a near observation in `minimum`
    age = np.where(before < 0, none, index - before)
    return age, np.where(after == len(after), none, after - index)


def _plan(before: NDArray[np.int32], after: NDArray[np.int32], rule: GapRule) -> Codes:
    """Method of each day by the length of the gap that it lies in."""
    # The gap as a whole decides: one that is too long is not filled at its edges, either.
    gap = after - before - 1  # negative on a day with an observation
    inside = (before >= 0) & (after < len(after))
    method = np.where((gap > 0) & (gap <= rule.limit), np.uint8(SEASONAL), np.uint8(OBSERVED))
    method[(gap > 0) & (gap <= rule.linear) & inside] = LINEAR
    return method


def _causal_plan(age: NDArray[np.int32], rule: GapRule) -> Codes:
    """Method of each day, from the days since the last observation alone.

    The length of the gap is not used: it is known only when later days have arrived.
    """
    method = np.where((age > 0) & (age <= rule.limit), np.uint8(SEASONAL), np.uint8(OBSERVED))
    method[(age > 0) & (age <= rule.linear)] = HELD
    return method


def _line(
    series: Floats,
    before: NDArray[np.int32],
    after: NDArray[np.int32],
    day: NDArray[np.intp],
    cell: NDArray[np.intp],
) -> Floats:
    weight = (day - before) / (after - before)
    return _between(series[before, cell], series[after, cell], weight)


def _between(one: Floats, other: Floats, weight: NDArray[np.float64]) -> Floats:
    """Interpolate between `one` (weight 0) and `other` (weight 1).

    float64, so that rounding cannot leave the interval between the two. Adding 0 turns -0 into 0:
    a sort does not order them, so which one is the median would depend on neighbouring cells.
    """
    start = one.astype(np.float64) + 0.0
    return (start + weight * (other - start)).astype(np.float32)


def _seasonal(
    series: Floats, first: int, causal: bool, day: NDArray[np.intp], cell: NDArray[np.intp]
) -> Floats:
    """The usual value `(place,)` at the given days and cells `(place,)`, or NaN."""
    days = first + np.arange(len(series))
    season = _season(days)
    # Causal, a day uses the years before its own: had it its own year, it would change as the
    # year goes on.
    year = years_of(days) - years_of(days[:1]) if causal else np.zeros(len(days), np.int64)
    early, late = season.early[day], season.late[day]
    wanted = np.zeros((_PERIODS, series.shape[1]), np.bool_)
    wanted[early, cell] = wanted[late, cell] = True
    medians = _medians(series, _period(days), year + causal, int(year[-1]) + 1, wanted)
    asked = year[day]
    return _between(medians[asked, early, cell], medians[asked, late, cell], season.weight[day])


@dataclass(frozen=True, eq=False)
class _Season:
    """Position of days `(day,)` between the centres of two successive periods of the year."""

    early: Places  # the period whose centre is at or before the day
    late: Places  # the next period
    weight: NDArray[np.float64]  # of the later period, 0 at the centre of the early one


def _period(days: Places) -> Places:
    return (day_of_year(days) - 1) // DAYS


def _season(days: Places) -> _Season:
    # Far enough out to hold a whole period, and thus a centre, before the first day and after
    # the last: periods that the range cuts are dropped.
    around = np.arange(days[0] - 2 * DAYS, days[-1] + 2 * DAYS + 1)
    number = _period(around)
    opens = np.flatnonzero(np.diff(number)) + 1
    centres = (around[opens[:-1]] + around[opens[1:] - 1]) / 2
    place = np.searchsorted(centres, days, side="right") - 1
    weight = (days - centres[place]) / (centres[place + 1] - centres[place])
    return _Season(number[opens[place]], number[opens[place + 1]], weight)


def _medians(
    series: Floats, period: Places, known: Places, turns: int, wanted: NDArray[np.bool_]
) -> Floats:
    """Medians `(turn, period, cell)` of the observations known at each turn; NaN if not wanted.

    period, known: `(day,)` period of a day and the first turn that may use it; wanted:
    `(period, cell)`. The two-sided rule has a single turn. The causal rule has one turn for each
    calendar year, and a day is known from the following year on.
    """
    medians = np.full((turns, *wanted.shape), np.nan, np.float32)
    for number in np.flatnonzero(wanted.any(axis=1)):
        cells = np.flatnonzero(wanted[number])
        near = np.isin(period, (number + np.array([-1, 0, 1])) % _PERIODS)
        pool = np.empty((cells.size, 0), np.float32)
        for turn in range(turns):
            days = np.flatnonzero(near & (known == turn))
            pool = _pooled(pool, series[np.ix_(days, cells)].T)
            medians[turn, number, cells] = _median(pool)
    return medians


def _pooled(pool: Floats, more: Floats) -> Floats:
    """Observations `(cell, rank)` with `more` added: ascending, NaN last, no rank all NaN."""
    ranked: Floats = np.sort(np.concatenate([pool, more], axis=1), axis=1)
    return np.asarray(ranked[:, ~np.isnan(ranked).all(axis=0)])


def _median(pool: Floats) -> Floats:
    """Median `(cell,)` of the ranks of `_pooled`; NaN with fewer than SUPPORT observations."""
    medians: Floats = np.full(len(pool), np.nan, np.float32)
    count = np.count_nonzero(~np.isnan(pool), axis=1)
    cell = np.flatnonzero(count >= SUPPORT)
    low, high = pool[cell, (count[cell] - 1) // 2], pool[cell, count[cell] // 2]
    medians[cell] = (low.astype(np.float64) + high) / 2
    return medians
