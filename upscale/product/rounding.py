"""Floats of which some bits are kept: what is noise does not pack, and takes most of the room.

CF conventions, section 8.4: a variable with rounded values names another one that says by which
algorithm, and how many bits of the mantissa are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.variables import FLUXES

#: Bits of the mantissa of a float32 that are stored.
MANTISSA = 23

#: Name of the variable that tells of the algorithm, and its attributes.
ROUNDING = "bit_rounding"
ALGORITHM: Mapping[str, str] = {
    "algorithm": "bitround",
    "implementation": "upscale.product.rounding: to the nearest value, of two to the even one",
}

#: The arrays of which bits may be left out. Sums of the members keep all of theirs.
ROUNDED = (*FLUXES, *(f"{flux}_sd" for flux in FLUXES))


def rounding_attributes(name: str, keep: int | None) -> dict[str, Any]:
    """What an array says of its rounding; nothing where it keeps all bits."""
    if keep is None or name not in ROUNDED:
        return {}
    return {"quantization": ROUNDING, "quantization_nsb": keep}


def rounded(daily: Mapping[str, NDArray[Any]], keep: int | None) -> Mapping[str, NDArray[Any]]:
    """Arrays by name, with `keep` bits of each mantissa in fluxes and spreads."""
    if keep is None:
        return daily
    return {
        name: round_bits(values, keep) if name in ROUNDED else values
        for name, values in daily.items()
    }


def round_bits(values: NDArray[np.float32], keep: int) -> NDArray[np.float32]:
    """Values of float32 rounded to `keep` bits of the mantissa, 1 to 23, same shape.

    A relative error is at most 2 ** -(keep + 1); rounding again changes nothing. What is not finite
    stays what it is, every NaN with the same bits, and so does a value that would become infinite
    (Kouznetsov 2021, doi:10.5194/gmd-14-377-2021; Klöwer et al. 2021,
    doi:10.1038/s43588-021-00156-2).
    """
    if keep >= MANTISSA:
        return values
    drop = np.uint32(MANTISSA - keep)
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    half = (np.uint32(1) << (drop - np.uint32(1))) - np.uint32(1)
    odd = (bits >> drop) & np.uint32(1)
    found = ((bits + half + odd) >> drop << drop).view(np.float32)
    kept: NDArray[np.float32] = np.where(np.isfinite(values) & np.isfinite(found), found, values)
    return np.where(np.isnan(values), np.float32(np.nan), kept)
