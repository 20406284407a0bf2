"""Hours to days: accumulations undone, hours gathered into days of UTC or of local standard time.

Stamps are whole hours since 1970-01-01 00 UTC. Two rules of accumulation, from ECMWF's pages
on ERA5 and ERA5-Land:

- *hour-ending* (ERA5): the value at a stamp is the amount of the hour that ends there;
- *running* (ERA5-Land): the value at a stamp is the amount since 00 UTC, where the count starts
  anew. The stamp 00 UTC of day D + 1 closes day D, and 01 UTC holds the first hour alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import first_hour

Floats = NDArray[np.floating]
Hours = NDArray[np.int64]

_DAY = 24


def standard_offsets(lon: Floats) -> Hours:
    """Hours `(col,)` by which local standard time is ahead of UTC at longitudes `(col,)`."""
    return np.rint(lon / 15).astype(np.int64)


def on_every_hour(stamps: Hours, values: Floats) -> tuple[int, Floats]:
    """Values `(stamp, ...)` of ascending stamps `(stamp,)` on an axis without holes.

    Returns the first hour and the values `(hour, ...)`, NaN where there was no stamp.
    """
    first, last = int(stamps[0]), int(stamps[-1])
    if last - first + 1 == stamps.size:
        return first, values
    full = np.full((last - first + 1, *values.shape[1:]), np.nan, values.dtype)
    full[stamps - first] = values
    return first, full


def undo_running(first: int, running: Floats) -> Floats:
    """Amounts `(hour, ...)`, each of the hour that ends at its stamp, from running totals.

    first: hour of `running[0]`. An hour whose predecessor is missing is NaN, but for 01 UTC,
    which needs none.
    """
    amounts = np.full(running.shape, np.nan, np.float64)
    amounts[1:] = running[1:].astype(np.float64) - running[:-1]
    opening = (first + np.arange(running.shape[0])) % _DAY == 1
    amounts[opening] = running[opening]
    return amounts


def closing_totals(stamps: Hours, running: Floats, days: Hours) -> Floats:
    """Totals `(day, ...)` of UTC days from running totals `(stamp, ...)`.

    The stamp 00 UTC of the next day alone is needed; a day without it is NaN.
    """
    totals = np.full((days.size, *running.shape[1:]), np.nan, np.float64)
    closes = first_hour(days + 1)
    place = np.searchsorted(stamps, closes)
    found = (place < stamps.size) & (stamps[np.minimum(place, stamps.size - 1)] == closes)
    totals[found] = running[place[found]]
    return totals


def daily_sums(
    first: int, hourly: Floats, offsets: Hours, days: Hours, *, ending: bool
) -> NDArray[np.float64]:
    """Sums `(day, row, col)` over the 24 hours of each day; NaN where one of them is missing.

    first: hour of `hourly[0]`; hourly: `(hour, row, col)`; offsets: hours of local time ahead
    of UTC `(col,)`, all zero for UTC days; days: consecutive day numbers `(day,)`.
    ending: a value belongs to the hour that ends at its stamp, so that a day is made of stamps
    01 to 24; otherwise of stamps 00 to 23.
    """
    sums = np.full((days.size, *hourly.shape[1:]), np.nan)
    for offset in np.unique(offsets):
        cols = offsets == offset
        start = first_hour(int(days[0])) - int(offset) + int(ending)
        part = _span(first, hourly[:, :, cols], start, days.size * _DAY)
        sums[:, :, cols] = part.reshape(days.size, _DAY, *part.shape[1:]).sum(axis=1)
    return sums


def _span(first: int, hourly: Floats, start: int, count: int) -> NDArray[np.float64]:
    """The hours `start` to `start + count - 1`, NaN outside those of `hourly`."""
    span = np.full((count, *hourly.shape[1:]), np.nan)
    low, high = max(start, first), min(start + count, first + hourly.shape[0])
    if low < high:
        span[low - start : high - start] = hourly[low - first : high - first]
    return span
