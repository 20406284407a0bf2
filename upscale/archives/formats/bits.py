"""Quality flags packed into bits, read by tables of fields.

A field is given by its first and last bit, counted from 0, the least significant one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

#: A field: first and last bit, both included.
Field = tuple[int, int]

#: Codes tested at a time: they fit into the processor's cache.
_BLOCK = 1 << 15

#: `state_1km` of MOD09GA, `state` of the other MOD09 (MOD09 User Guide, table 13).
STATE: Mapping[str, Field] = {
    "cloud": (0, 1), "shadow": (2, 2), "land_water": (3, 5), "aerosol": (6, 7), "cirrus": (8, 9),
    "internal_cloud": (10, 10), "fire": (11, 11), "snow": (12, 12), "adjacent": (13, 13),
    "salt_pan": (14, 14), "internal_snow": (15, 15),
}  # fmt: skip

#: `QC_500m` of MOD09GA and MOD09A1, `QA` of MOD09CMG (MOD09 User Guide, table 10).
BAND_QC: Mapping[str, Field] = {
    "modland": (0, 1),
    **{f"band_{band}": (4 * band - 2, 4 * band + 1) for band in range(1, 8)},
    "atmosphere": (30, 30), "adjacency": (31, 31),
}  # fmt: skip

#: `QC_Day` and `QC_Night` of MOD11.
LST_QC: Mapping[str, Field] = {
    "mandatory": (0, 1), "data": (2, 3), "emissivity_error": (4, 5), "lst_error": (6, 7),
}  # fmt: skip

#: `FparLai_QC` of MCD15A2H.
FPAR_QC: Mapping[str, Field] = {
    "modland": (0, 0), "sensor": (1, 1), "dead_detector": (2, 2), "cloud": (3, 4), "scf": (5, 7),
}  # fmt: skip

#: `VI Quality` of MOD13.
VI_QC: Mapping[str, Field] = {
    "modland": (0, 1), "usefulness": (2, 5), "aerosol": (6, 7), "adjacent": (8, 8),
    "brdf": (9, 9), "mixed_cloud": (10, 10), "land_water": (11, 13), "snow": (14, 14),
    "shadow": (15, 15),
}  # fmt: skip

#: `QA` of MCD64A1.
BURN_QA: Mapping[str, Field] = {
    "land": (0, 0), "valid": (1, 1), "shortened": (2, 2), "relabelled": (3, 3), "special": (5, 7),
}  # fmt: skip

#: A layer that holds one code and no packed bits.
CODE: Mapping[str, Field] = {"code": (0, 7)}


@dataclass(frozen=True)
class Accepted:
    """The values of a field that a rule accepts."""

    field: Field
    values: frozenset[int]


def accepted(table: Mapping[str, Field], **values: tuple[int, ...]) -> tuple[Accepted, ...]:
    """Conditions on named fields of `table`; KeyError for a field that it lacks."""
    return tuple(Accepted(table[name], frozenset(chosen)) for name, chosen in values.items())


def bits(codes: NDArray[np.unsignedinteger], field: Field) -> NDArray[np.unsignedinteger]:
    """The value of the bits of `field`, same shape and type as `codes`."""
    first, last = field
    mask = codes.dtype.type((1 << (last - first + 1)) - 1)
    found: NDArray[np.unsignedinteger] = (codes >> codes.dtype.type(first)) & mask
    return found


def passes(
    codes: NDArray[np.unsignedinteger], conditions: tuple[Accepted, ...]
) -> NDArray[np.bool_]:
    """True where every condition holds, same shape as `codes`; codes of 8, 16 or 32 bits."""
    accept: Callable[..., NDArray[np.bool_]] = partial(_passes, conditions=conditions)
    if codes.dtype.itemsize <= 2:  # test every possible code once, then look up
        every = np.arange(1 << (8 * codes.dtype.itemsize), dtype=codes.dtype)
        accept = accept(every).take
    flat, good = codes.ravel(), np.empty(codes.size, dtype=bool)
    for first in range(0, flat.size, _BLOCK):
        block = slice(first, first + _BLOCK)
        good[block] = accept(flat[block])
    return good.reshape(codes.shape)


def _passes(
    codes: NDArray[np.unsignedinteger], conditions: tuple[Accepted, ...]
) -> NDArray[np.bool_]:
    good = np.ones(codes.shape, dtype=bool)
    for condition in conditions:
        found = bits(codes, condition.field)
        hit = np.zeros(codes.shape, dtype=bool)
        for value in condition.values:
            hit |= found == value
        good &= hit
    return good


def widened(good: NDArray[np.bool_], down: int, across: int) -> NDArray[np.bool_]:
    """Repeat each pixel (row, col) as `down` x `across` finer pixels."""
    wide = np.empty((good.shape[0], good.shape[1] * across), dtype=bool)
    for first in range(across):  # quicker than numpy.repeat along rows
        wide[:, first::across] = good
    return wide.repeat(down, 0)


def released_clouds(state: NDArray[np.unsignedinteger]) -> NDArray[np.bool_]:
    """The `clouds` feature of the released code: bit 0, 1 or 2 of `state_1km` is set.

    It reads a class as bits, so "not set, assumed clear" (3) and cloud shadow count as cloud, too.
    """
    clouds: NDArray[np.bool_] = (state & state.dtype.type(0b111)) != 0
    return clouds
