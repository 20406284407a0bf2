"""Which window predicts which day.

Windows of `length` days end on days `stride`, 2 `stride`, ... counted from 2000-01-01. A day is
predicted by the window that has this day among its last `stride` days, so at least
`length - stride` days of past precede it, and its value does not depend on the requested period.
A window is shifted only where the unbroken record of a pixel begins or ends.

The window of 45 days and the stride of 15 are those of Rozanov et al. (2026), section Dataset.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class WindowRule:
    """Length of a window and distance between windows, in days."""

    length: int = 45
    stride: int = 15

    def __post_init__(self) -> None:
        if not 0 < self.stride <= self.length:
            raise ValueError(f"expected 0 < stride <= length, found {self}")

    @property
    def spin_up(self) -> int:
        """Least number of days that precede a predicted day in a window that is not shifted."""
        return self.length - self.stride

    @property
    def margin(self) -> int:
        """Days beyond either end of a period that can affect its windows."""
        return self.length - 1

    def nominal_start(self, days: NDArray[np.integer]) -> NDArray[np.int64]:
        """First day number of the window of each day number, before any shift; same shape."""
        # counted from 2000-01-01, not from the period, so that no value depends on the period
        return np.asarray(days, np.int64) // self.stride * self.stride - self.spin_up


@dataclass(frozen=True)
class Assignment:
    """The window of every day of every pixel.

    start: `(pixel, day)` index on the day axis of the first day of the window, -1 = no window.
    missing: `(pixel, day)` True where the day lacks a required driver.
    too_short: `(pixel, day)` True where the unbroken stretch is shorter than a window.
    spin_up_short: `(pixel, day)` True where fewer days than `WindowRule.spin_up` precede the day.
    """

    start: Ints
    missing: Bools
    too_short: Bools
    spin_up_short: Bools


@dataclass(frozen=True)
class Rows:
    """One row for each window to run, pixel by pixel in order of time; all arrays `(row,)`.

    pixel: index of the pixel; start: index of the window's first day; first, last: indices of
    the first and last day that the window predicts (inclusive), on the same day axis.
    """

    pixel: Ints
    start: Ints
    first: Ints
    last: Ints

    def __len__(self) -> int:
        return len(self.pixel)


def assign(valid: Bools, first_day: int, rule: WindowRule) -> Assignment:
    """Assign a window to every day.

    valid: `(pixel, day)`, True where every required driver is present. first_day: day number
    of the first column. Columns must extend `rule.margin` days beyond the days of interest, as
    far as the record does; otherwise windows are shifted without need.
    """
    first, last = stretches(valid)
    days = first_day + np.arange(valid.shape[1])
    nominal = (rule.nominal_start(days) - first_day).astype(np.int32)
    # a window never contains a day without drivers: it stays within the unbroken stretch
    start = np.minimum(np.maximum(nominal, first), last - rule.length + 1)
    served = valid & (last - first + 1 >= rule.length)
    start = np.where(served, start, np.int32(-1)).astype(np.int32)
    past = np.arange(valid.shape[1], dtype=np.int32) - start
    return Assignment(start, ~valid, valid & ~served, served & (past < rule.spin_up))


def rows_of(start: Ints, days: slice) -> Rows:
    """The windows that predict the columns `days` of `Assignment.start` `(pixel, day)`."""
    begin, end, _ = days.indices(start.shape[1])
    part = start[:, begin:end]
    opens = part >= 0
    closes = opens.copy()
    opens[:, 1:] &= part[:, 1:] != part[:, :-1]
    closes[:, :-1] &= part[:, 1:] != part[:, :-1]
    pixel, first = np.nonzero(opens)
    last = np.nonzero(closes)[1]
    return Rows(
        pixel.astype(np.int32),
        part[pixel, first],
        (first + begin).astype(np.int32),
        (last + begin).astype(np.int32),
    )


def stretches(valid: Bools) -> tuple[Ints, Ints]:
    """First and last index of the unbroken stretch around each valid day.

    valid: `(pixel, day)`. Returns two arrays `(pixel, day)`, meaningless on days that are not
    valid. Needs about 14 bytes of memory per value, the results included.
    """
    n = valid.shape[1]
    index = np.arange(n, dtype=np.int32)
    opens, closes = valid.copy(), valid.copy()
    opens[:, 1:] &= ~valid[:, :-1]
    closes[:, :-1] &= ~valid[:, 1:]
    first = np.maximum.accumulate(np.where(opens, index, 0), axis=1)
    ends = np.where(closes, index, np.int32(n - 1))[:, ::-1]
    return first, np.minimum.accumulate(ends, axis=1)[:, ::-1]
