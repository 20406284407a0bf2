"""From stored numbers to physical values: fill, valid range, and scales that multiply or divide."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.archives.granule import Layer
from upscale.remote.errors import ArchiveError

#: Layers whose scale above 1 multiplies: distances, in steps of 25 m.
_FACTORS = re.compile(r"(Sensor)?Range(_1|_c)?")

#: Numbers tested at a time: they fit into the processor's cache.
_BLOCK = 1 << 15

#: Units in this package's spelling, by their spelling in files.
_UNITS = {
    "degree": "degree", "degrees": "degree", "deg": "degree", "k": "K", "kelvin": "K",
    "hrs": "h", "hours": "h", "meters": "m", "meter": "m", "m": "m", "m^2/m^2": "m2 m-2",
    "julian day": "d", "day of year": "d",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Numbers:
    """A layer as stored; its physical value is factor x number + shift where `good`.

    `stored`, `good`: (row, col); good: the number is a value and the default QA accepts it.
    """

    stored: NDArray[Any]
    good: NDArray[np.bool_]
    factor: float = 1.0
    shift: float = 0.0


def scale_of(layer: str, attributes: Mapping[str, Any]) -> float:
    """The factor of a layer; 1 where its file has no scale.

    MOD09GA and MOD13 store the divisor (10000), most other products the factor (0.0001): a scale
    above 1 divides, except for distances. ArchiveError for a scale that is not positive.
    """
    scale = _number(attributes.get("scale_factor", 1.0))
    if not (np.isfinite(scale) and scale > 0):
        raise ArchiveError(f"layer {layer}: expected a positive scale, found {scale}")
    if scale > 1 and not _FACTORS.fullmatch(layer):
        return 1 / scale
    return scale


def physical(
    layer: str, stored: NDArray[Any], attributes: Mapping[str, Any], adds: bool
) -> NDArray[np.floating[Any]]:
    """Physical values, same shape; NaN for the fill and outside the valid range.

    `adds`: value = scale x number + offset, otherwise value = scale x (number - offset). The type
    is float32, or float64 for 32-bit codes, which float32 cannot represent.
    """
    kind = stored.dtype
    if kind.kind not in "iu" or kind.itemsize > 2:
        values = _physical(layer, stored, attributes, adds)
        return values if kind.itemsize > 2 and kind.kind in "iu" else values.astype(np.float32)
    unsigned = np.dtype(f"u{kind.itemsize}")
    every = np.arange(1 << (8 * kind.itemsize), dtype=unsigned).view(kind)
    table = _physical(layer, every, attributes, adds).astype(np.float32)
    looked_up: NDArray[np.float32] = table[stored.view(unsigned)]
    return looked_up


def numbers_of(
    layer: str,
    stored: NDArray[Any],
    attributes: Mapping[str, Any],
    adds: bool,
    usable: NDArray[np.bool_] | None,
) -> Numbers:
    """Stored numbers with their factor and shift; good where QA finds a value usable."""
    good = _there(stored, attributes)
    if usable is not None:
        good &= usable
    scale, offset = scale_of(layer, attributes), _offset(attributes)
    return Numbers(stored, good, scale, offset if adds else -offset * scale)


def as_numbers(layer: Layer) -> Numbers:
    """A layer of physical values as `Numbers`, with factor 1 and shift 0."""
    good = np.isfinite(layer.values)
    return Numbers(layer.values, good if layer.usable is None else good & layer.usable)


def units_of(attributes: Mapping[str, Any]) -> str:
    """Units of the scaled values in this package's spelling, 1 for a ratio."""
    return _UNITS.get(str(attributes.get("units", "")).strip().lower(), "1")


def _physical(
    layer: str, stored: NDArray[Any], attributes: Mapping[str, Any], adds: bool
) -> NDArray[np.float64]:
    scale, offset = scale_of(layer, attributes), _offset(attributes)
    numbers = stored.astype(np.float64)
    values = numbers * scale + offset if adds else (numbers - offset) * scale
    return np.where(_there(stored, attributes), values, np.nan)


def _offset(attributes: Mapping[str, Any]) -> float:
    return _number(attributes.get("add_offset", 0.0))


def _there(stored: NDArray[Any], attributes: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Where stored numbers are values: not the fill, and inside the valid range."""
    kind, ends, fill = stored.dtype, [], attributes.get("_FillValue")
    if "valid_range" in attributes:
        ends = [_stored_number(end, kind) for end in np.ravel(attributes["valid_range"])]
    flat, there = stored.ravel(), np.empty(stored.size, dtype=bool)
    for first in range(0, flat.size, _BLOCK):
        numbers = flat[first : first + _BLOCK]
        good = np.isfinite(numbers)
        if ends:
            good &= (numbers >= min(ends)) & (numbers <= max(ends))
        if fill is not None:
            good &= numbers != _stored_number(fill, kind)
        there[first : first + _BLOCK] = good
    return there.reshape(stored.shape)


def _stored_number(value: Any, kind: np.dtype[Any]) -> float:
    """A number of an attribute in the type of its dataset: attributes may have lost their sign.

    Integers stay integers, so that comparisons do not convert the dataset to floats.
    """
    number = _number(value)
    if kind.kind not in "iu":
        return number
    if not np.isfinite(number):
        return number
    limits, size = np.iinfo(kind), 1 << (8 * kind.itemsize)
    if limits.min <= number <= limits.max:
        return int(number) if number.is_integer() else number
    wrapped = int(number) % size
    return wrapped - size if wrapped > limits.max else wrapped


def _number(value: Any) -> float:
    """The number of an attribute; ArchiveError where it is none."""
    try:
        return float(np.ravel(value)[0])
    except (ValueError, TypeError, IndexError, OverflowError):
        raise ArchiveError(
            f"expected a number for the scale, offset, fill or range of a layer, found "
            f"{str(value)[:50]!r}; fetch the file again"
        ) from None
