"""Sums of digests over blocks of chunks, each in a few look-ups whatever its size.

Every digest is mixed with its place, so that two that have changed places are noticed. Sums from
the first corner on (Crow, 1984, "Summed-area tables for texture mapping", SIGGRAPH) give the sum
over any block. They are modulo 2**64, in two lanes: 128 bits.

Mixing is the finaliser of splitmix64 (Steele, Lea and Flood, 2014, "Fast splittable pseudorandom
number generators", OOPSLA, figure 12).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Lanes = NDArray[np.uint64]
Ends = NDArray[np.int64]

#: What the position along an axis is multiplied with, and what tells the two lanes apart.
_AXES = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
_LANES = np.array([0x27D4EB2F165667C5, 0x85EBCA77C2B2AE63], np.uint64)


def mix(values: Lanes) -> Lanes:
    """Spread every bit of each value over all bits of the result, one to one."""
    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def sums_of(digests: NDArray[np.uint8]) -> Lanes:
    """Sums from the first corner on `(*chunk + 1, 2)` of digests `(*chunk, 16)`, mixed with their
    places; at most three axes."""
    *grid, _ = digests.shape
    values = np.ascontiguousarray(digests).view("<u8").astype(np.uint64)
    for axis, size in enumerate(grid):
        shape = [1] * (len(grid) + 1)
        shape[axis] = size
        values += (np.arange(size, dtype=np.uint64) * _AXES[axis]).reshape(shape)
    values = mix(mix(values + _LANES))
    for axis in range(len(grid)):
        np.cumsum(values, axis=axis, out=values)
    return np.pad(values, [(1, 0)] * len(grid) + [(0, 0)])


def block_sums(sums: Lanes, rows: Sequence[Ends], cols: Sequence[Ends]) -> Lanes:
    """Sums `(block, 2)` over blocks of chunks, of sums `(row + 1, col + 1, 2)`.

    rows, cols: parts of each block, as first chunk and the one after the last `(block, 2)`; the
    sum of a block goes over all pairs of parts.
    """
    total = np.zeros((len(rows[0]), 2), np.uint64)
    for row in rows:
        top, bottom = row.T
        for col in cols:
            left, right = col.T
            total += sums[bottom, right] - sums[top, right]
            total -= sums[bottom, left] - sums[top, left]
    return total
