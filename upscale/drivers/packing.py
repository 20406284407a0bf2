"""Packing of drivers into 16-bit integers; the step depends only on the valid range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.variables import variable

#: The stored value that means "missing".
MISSING = -32768
_LARGEST = 32766


@dataclass(frozen=True)
class Packing:
    """value = stored * scale + offset: `scale_factor` and `add_offset` of CF, section 8.1."""

    scale: float
    offset: float

    def pack(self, values: NDArray[np.floating]) -> NDArray[np.int16]:
        """Values of any shape as int16; NaN becomes `MISSING`."""
        steps = (np.asarray(values) - self.offset) / self.scale
        missing = ~np.isfinite(steps)
        steps[missing] = 0
        stored = np.clip(np.rint(steps, out=steps), -_LARGEST, _LARGEST, out=steps).astype(np.int16)
        stored[missing] = MISSING
        return stored

    def unpack(self, stored: NDArray[np.int16]) -> NDArray[np.float32]:
        """Stored values of any shape as float32, NaN where missing."""
        values = stored.astype(np.float32) * np.float32(self.scale) + np.float32(self.offset)
        return np.where(stored == MISSING, np.float32(np.nan), values)


def packing_of(name: str) -> Packing:
    """The packing of a variable: the smallest step that covers its valid range.

    Steps are 1, 2 or 5 times a power of ten.
    """
    row = variable(name)
    scale = _round_up((row.valid_max - row.valid_min) / (2 * _LARGEST))
    middle = (row.valid_max + row.valid_min) / 2
    return Packing(scale, round(round(middle / scale) * scale, 10))


def _round_up(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    factor = next(f for f in (1, 2, 5, 10) if f * power >= step)
    return float(f"{factor * power:.0e}")


def stored_packing(attributes: Mapping[str, Any]) -> Packing | None:
    """The packing that attributes of an array say, None where there is none; ValueError where
    scale_factor is no number above 0, or add_offset no number."""
    scale, offset = attributes.get("scale_factor"), attributes.get("add_offset", 0.0)
    if scale is None:
        return None
    if not (_is_number(scale) and _is_number(offset) and scale > 0):
        raise ValueError(
            f"expected a scale_factor above 0 and an add_offset, found {str(scale)[:50]!r} and "
            f"{str(offset)[:50]!r}"
        )
    return Packing(float(scale), float(offset))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30
