"""From hours to days: running totals are differenced, hours summed to UTC or local standard days.

Stamps are whole hours since 1970-01-01 00 UTC. ECMWF documents two rules of accumulation:

- *hour-ending* (ERA5): the value at a stamp is the amount of the hour that ends at the stamp;
- *running* (ERA5-Land): the value at a stamp is the amount accumulated since 00 UTC. The stamp
  00 UTC of day D + 1 holds the total of day D, and 01 UTC the first hour alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import first_hour

Floats = NDArray[np.floating]
Hours = NDArray[np.int64]

_DAY = 24


def standard_offsets(lon: Floats) -> Hours:
    """Hours `(col,)` that local standard time is ahead of UTC at longitudes `(col,)`."""
    return np.rint(lon / 15).astype(np.int64)


def on_every_hour(stamps: Hours, values: Floats) -> tuple[int, Floats]:
    """Values `(stamp, ...)` at ascending stamps `(stamp,)` on a continuous hourly axis.

    Returns the first hour and the values `(hour, ...)`, NaN at hours without a stamp.
    """
    first, last = int(stamps[0]), int(stamps[-1])
    if last - first + 1 == stamps.size:
        return first, values
    full = np.full((last - first + 1, *values.shape[1:]), np.nan, values.dtype)
    full[stamps - first] = values
    return first, full


def undo_running(first: int, running: Floats) -> Floats:
    """Amounts `(hour, ...)` of the hour that ends at each stamp, from running totals.

    first: hour of `running[0]`. An amount is NaN where the total of the previous hour is missing,
    except at 01 UTC, where the total is the amount.
    """
    amounts = np.full(running.shape, np.nan, np.float64)
    amounts[1:] = running[1:].astype(np.float64) - running[:-1]
    opening = (first + np.arange(running.shape[0])) % _DAY == 1
    amounts[opening] = running[opening]
    return amounts


def closing_totals(stamps: Hours, running: Floats, days: Hours) -> Floats:
    """Totals `(day, ...)` of UTC days from running totals `(stamp, ...)`.

    Only the stamp 00 UTC of the following day is needed; a day without it is NaN.
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
    """Sums `(day, row, col)` over the 24 hours of each day; NaN where an hour is missing.

    first: hour of `hourly[0]`; hourly: `(hour, row, col)`; offsets: `(col,)` hours that local time
    is ahead of UTC, all zero for UTC days; days: consecutive day numbers `(day,)`. ending: a value
    belongs to the hour that ends at its stamp, so a day is the sum of stamps 01 to 24; otherwise
    of stamps 00 to 23.
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
