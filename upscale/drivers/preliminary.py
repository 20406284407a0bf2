"""Which days of a cube have preliminary meteorology: ERA5T, which ERA5 replaces after months.

The array `meteo/preliminary` of a cube has a byte for each day. A cube without it, as all were
before, knows of no day; what is not known is never said to be final.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from upscale.drivers.cube import PRELIMINARY_ARRAY, SeriesGroup
from upscale.stores.arrays import PLAIN, create_array

#: What a day is; the last is also what reads where nothing was written.
FINAL, PRELIMINARY, UNKNOWN = 0, 1, 255


def preliminary_days(group: SeriesGroup, first: int, count: int) -> NDArray[np.uint8]:
    """What each of `count` days `(day,)` from day number `first` is; `UNKNOWN` outside the record
    and in a cube without the array."""
    days = np.full(count, UNKNOWN, np.uint8)
    begin, end = max(first, group.first), min(first + count, group.last + 1)
    if begin < end and group.preliminary is not None:
        here = group.preliminary[begin - group.first : end - group.first]
        days[begin - first : end - first] = here
    return days


def put_preliminary(url: str, days: NDArray[np.uint8]) -> None:
    """Write or replace what each day `(day,)` of the meteorology of a cube is, before it is sealed;
    where nothing is known of any day, there is no such array."""
    group: Any = zarr.open_group(url, mode="r+", path="meteo")
    if (days == UNKNOWN).all():
        if PRELIMINARY_ARRAY in group:
            del group[PRELIMINARY_ARRAY]
        return
    text = {
        "long_name": "whether the meteorology of the day is preliminary",
        "flag_values": [FINAL, PRELIMINARY],
        "flag_meanings": "final preliminary",
        "comment": f"{UNKNOWN}: the archive does not say.",
    }
    array = create_array(
        group, PRELIMINARY_ARRAY, days.shape, np.uint8, ("time",), fill=UNKNOWN,
        chunks=days.shape, attributes=text, codec=PLAIN, overwrite=True,
    )  # fmt: skip
    array[...] = days


def worst_of(parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """What days `(day,)` are of which several things are told: preliminary where any says so, else
    not known where any does not know."""
    told = np.stack(parts)
    unsure = np.where((told == UNKNOWN).any(axis=0), UNKNOWN, FINAL)
    return np.where((told == PRELIMINARY).any(axis=0), PRELIMINARY, unsure).astype(np.uint8)


def in_words(group: SeriesGroup, first: int, count: int) -> str:
    """What a cube says of `count` days from day number `first`."""
    days = preliminary_days(group, first, count)
    early, unknown = int((days == PRELIMINARY).sum()), int((days == UNKNOWN).sum())
    if unknown == count:
        return "not known"
    return f"{early} days preliminary, {count - early - unknown} final, {unknown} not known"
