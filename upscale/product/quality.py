"""The quality layer: one bit per fact about a value, listed here and nowhere else."""

from __future__ import annotations

from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Quality(IntFlag):
    """Bits of the `quality` array (uint32).

    Those of `REASONS` say why a value is missing, the others qualify one that exists. A number
    that was once given keeps its meaning: stores of version 0.1 hold the first 16 as uint16.
    """

    SPINUP_SHORT = 1 << 0  # predicted with fewer than 30 days of past
    CONTEXT_SHORT = 1 << 1  # the support set holds no full year
    DRIVERS_FILLED = 1 << 2  # a driver of this day was gap-filled
    DRIVERS_MISSING = 1 << 3  # an optional driver of this day was missing and masked
    CLASS_UNKNOWN = 1 << 4  # IGBP or Koeppen class is not known
    CLASS_UNSEEN = 1 << 5  # the class is known, but no training tower had it
    CLIPPED = 1 << 6  # GPP or RECO of at least one member was negative and set to zero
    OUTSIDE_TRAINING_RANGE = 1 << 7  # a driver of this day lies outside the training range
    OUTSIDE_APPLICABILITY = 1 << 8  # the drivers of the step are unlike all training points
    OUTSIDE_EMBEDDING = 1 << 9  # the embedding of the cell is unlike that of any tower
    NO_DRIVERS = 1 << 10  # a required driver is missing on this day: NaN
    TOO_SHORT = 1 << 11  # no unbroken stretch of 45 days around this day: NaN
    NO_CONTEXT = 1 << 12  # no support window could be found for the cell: NaN
    WATER = 1 << 13  # no land in the cell: NaN
    ICE = 1 << 14  # permanent snow and ice: NaN
    NOT_PRODUCED = 1 << 15  # outside the domain, or not computed yet: NaN
    WEATHER_BEYOND_COAST = 1 << 16  # the meteorology comes from beyond the coast
    WEATHER_PRELIMINARY = 1 << 17  # the drivers say: the meteorology of this day is ERA5T
    SENSOR_TERRA = 1 << 18  # MODIS on Terra saw the window of this day
    SENSOR_AQUA = 1 << 19  # MODIS on Aqua saw the window of this day
    SENSOR_VIIRS = 1 << 20  # VIIRS saw the window of this day
    BURNED = 1 << 21  # the cell burned in the window of this day


NO_FLAGS = Quality(0)

#: Bits that explain a missing value.
REASONS = (
    Quality.NO_DRIVERS
    | Quality.TOO_SHORT
    | Quality.NO_CONTEXT
    | Quality.WATER
    | Quality.ICE
    | Quality.NOT_PRODUCED
)

#: Bits with a number and a meaning that nothing sets yet: no store lists them.
RESERVED = Quality.SENSOR_TERRA | Quality.SENSOR_AQUA | Quality.SENSOR_VIIRS | Quality.BURNED

#: Type of the array; what is read from a store may be uint16, of version 0.1.
DTYPE = np.uint32

#: What a shard that was never written reads as.
FILL = int(Quality.NOT_PRODUCED)


def flag_attributes(unused: Quality = NO_FLAGS) -> dict[str, Any]:
    """CF attributes of the quality array (section 3.5, flag masks).

    unused: bits that nothing sets in this store; a bit that is not listed says nothing.
    """
    flags = [flag for flag in Quality if flag not in unused | RESERVED]
    return {
        "long_name": "quality of the fluxes of this day, and the reason where there are none",
        "standard_name": "quality_flag",
        "units": "1",
        "flag_masks": [int(flag) for flag in flags],
        "flag_meanings": " ".join(str(flag.name).lower() for flag in flags),
    }


def has(quality: NDArray[np.unsignedinteger], flag: Quality) -> NDArray[np.bool_]:
    """Where any bit of `flag` is set, same shape."""
    return np.asarray((quality & DTYPE(flag)) != 0)


def count_flags(quality: NDArray[np.unsignedinteger]) -> dict[str, int]:
    """Number of values with each bit set, bits that never occur left out."""
    seen = Quality(int(np.bitwise_or.reduce(quality, axis=None)))
    return {str(flag.name).lower(): int(has(quality, flag).sum()) for flag in seen}
