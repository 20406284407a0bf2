"""Which days of reanalysis are preliminary (ERA5T), as far as files say it of their hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from upscale.archives.reanalysis.accumulate import standard_offsets
from upscale.archives.reanalysis.era5 import Day
from upscale.archives.reanalysis.fields import FIELDS
from upscale.archives.reanalysis.joined import Hours, hours_by_stream
from upscale.calendar import first_hour

Bools = NDArray[np.bool_]


class ToldDays(NamedTuple):
    """What files say of some days, both `(day,)`: whether an hour of any variable is preliminary,
    and whether it is known of all that there is."""

    early: Bools
    known: Bools


def told_days(
    parts: Sequence[xr.Dataset], days: Hours, lon: NDArray[np.floating], day: Day
) -> ToldDays:
    """What files say of some days, day numbers `(day,)`, at any of the longitudes `lon`.

    parts: of `read_published`, before they are combined; those of a file that does not say it lack
    the attribute `preliminary`. Final hours count before those of other files, as in `assemble`.
    """
    ahead = standard_offsets(lon) * (day == "local-standard")
    starts = first_hour(days) - int(ahead.max())
    ends = first_hour(days + 1) - int(ahead.min())
    early, known = np.zeros(len(days), bool), np.ones(len(days), bool)
    for name in {str(name) for part in parts for name in part.data_vars}:
        late, final, untold = hours_by_stream([part for part in parts if name in part])
        # the stamp of an amount is the end of its hour
        shift = int(name in FIELDS and FIELDS[name].kind != "instant")
        begin, end = starts + shift, ends + shift
        late_here, final_here, untold_here = (
            _any_between(hours, begin, end) for hours in (late, final, untold)
        )
        early |= late_here
        known &= (late_here | final_here) & ~untold_here
    return ToldDays(early, known)


def _any_between(hours: Hours, begin: Hours, end: Hours) -> Bools:
    """Whether any of the sorted hours lies in each stretch `begin` to `end - 1`, `(day,)`."""
    found: Bools = np.searchsorted(hours, end) > np.searchsorted(hours, begin)
    return found
