"""Which days of a place's history form its support set.

The support set tells the encoder what kind of place this is (Rozanov et al. 2026, section
Task Aware Modulation; their example is the years 2001, 2011, 2021). It holds drivers and
classes, never fluxes. A support year is a calendar year whose first eight windows of 45 days
are complete.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import day_of_year, years_of
from upscale.network.windows import Bools, Ints, stretches

Years = tuple[int, ...] | Literal["auto"]

#: Pixels whose stretches are searched at once: a record of 25 years takes 40 MB.
_CHUNK = 256


@dataclass(frozen=True)
class SupportRule:
    """How support years are chosen.

    years: the years to use, or `auto`: up to `most_years` full years spread over the record.
    A pixel without a full year uses its longest unbroken stretch of at least one window.
    """

    years: Years = "auto"
    most_years: int = 3
    window: int = 45
    windows_per_year: int = 8

    @property
    def days_per_year(self) -> int:
        return self.window * self.windows_per_year

    @property
    def most_windows(self) -> int:
        """Width of `Support.start`."""
        count = self.most_years if self.years == "auto" else len(self.years)
        return max(count, self.most_years) * self.windows_per_year


@dataclass(frozen=True)
class Support:
    """The support windows of every pixel.

    start: `(pixel, window)` index on the day axis of each window's first day, -1 = no window.
    years: `(pixel, year)` support years, oldest first, 0 = unused.
    short: `(pixel,)` True where the longest stretch is used because there is no full year.
    """

    start: Ints
    years: Ints
    short: Bools

    @property
    def present(self) -> Bools:
        """`(pixel, window)` True where there is a window."""
        return self.start >= 0


def choose(
    valid: Bools, days: NDArray[np.integer], rule: SupportRule, before: int | None = None
) -> Support:
    """Choose the support windows of every pixel.

    valid: `(pixel, day)`, True where every required driver is present; days: `(day,)`
    consecutive day numbers; before: only days earlier than this day number may be used.
    """
    if before is not None:
        valid = valid & (np.asarray(days) < before)
    firsts, years = _year_starts(np.asarray(days), rule)
    full = (
        np.stack([valid[:, i : i + rule.days_per_year].all(1) for i in firsts], 1)
        if len(firsts)
        else np.zeros((len(valid), 0), bool)
    )
    start = np.full((len(valid), rule.most_windows), -1, np.int32)
    used = np.zeros((len(valid), rule.most_windows // rule.windows_per_year), np.int32)
    # many pixels have the same full years: choose once for each pattern, not for each pixel
    patterns, which = np.unique(full, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        chosen = _pick(np.flatnonzero(pattern), years, rule)
        pixels = np.flatnonzero(which.ravel() == number)
        windows = np.add.outer(firsts[chosen], _offsets(rule)).ravel()
        start[np.ix_(pixels, np.arange(windows.size))] = windows
        used[np.ix_(pixels, np.arange(chosen.size))] = years[chosen]
    short = start[:, 0] < 0
    lacking = np.flatnonzero(short)
    for begin in range(0, lacking.size, _CHUNK):
        pixels = lacking[begin : begin + _CHUNK]
        start[pixels] = _fall_back(valid[pixels], rule)
    return Support(start, used, short & (start[:, 0] >= 0))


def _offsets(rule: SupportRule) -> NDArray[np.int64]:
    return np.arange(rule.windows_per_year) * rule.window


def _year_starts(
    days: NDArray[np.integer], rule: SupportRule
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Index of 1 January and calendar year of each year whose support days the axis covers."""
    firsts = np.flatnonzero(day_of_year(days) == 1)
    firsts = firsts[firsts + rule.days_per_year <= len(days)]
    return firsts, years_of(days[firsts])


def _pick(full: NDArray[np.intp], years: NDArray[np.int64], rule: SupportRule) -> NDArray[np.intp]:
    """Positions of the years to use among the full ones."""
    if rule.years != "auto":
        return full[np.isin(years[full], rule.years)]
    count = min(rule.most_years, full.size)
    return full[np.linspace(0, full.size - 1, count).round().astype(int)] if count else full


def _fall_back(valid: Bools, rule: SupportRule) -> Ints:
    """Starts `(pixel, window)` of consecutive windows in the longest stretch of each pixel."""
    first, last = stretches(valid)
    length = np.where(valid, last - first + 1, 0)
    best = length.argmax(axis=1)
    rows = np.arange(len(valid))
    begin, longest = first[rows, best], length[rows, best]
    offsets = np.arange(rule.most_windows) * rule.window
    fits = offsets + rule.window <= longest[:, None]
    return np.where(fits, begin[:, None] + offsets, -1).astype(np.int32)
