"""Noise on the sphere, and the lattice on which the planet's climate is drawn.

Noise is gradient noise (Perlin 2002, "Improving noise", ACM Trans. Graph. 21) in three
dimensions, evaluated on the unit sphere: it has no seam at the date line or the poles. Every
value is computed element by element, so that it never depends on neighbouring cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]
Words = NDArray[np.uint32]

#: Nodes of the lattice: rows from -90 to 90, columns from -180, 1.5 degrees apart. Fronts and
#: rain belts are wider than this spacing, and a global field takes only 116 kB.
STEP = 1.5
NODE_LAT = np.linspace(-90.0, 90.0, 121)
NODE_LON = np.arange(-180.0, 180.0, STEP)
SHAPE = (NODE_LAT.size, NODE_LON.size)

_CORNERS = tuple((i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1))
# Multipliers that spread neighbouring numbers over all bits: the first three primes of xxHash32.
_PRIMES = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)


def points(lat: ArrayLike, lon: ArrayLike) -> Floats:
    """Points of the unit sphere `(3, pixel)` at `lat`, `lon` `(pixel,)` in degrees."""
    phi, lam = np.radians(np.asarray(lat, float)), np.radians(np.asarray(lon, float))
    across = np.cos(phi)
    return np.stack([across * np.cos(lam), across * np.sin(lam), np.sin(phi)]).astype(np.float32)


def octaves(at: Floats, key: int, frequency: float, count: int, persistence: float) -> Floats:
    """Gradient noise summed over octaves, standard deviation about 0.7, `(pixel,)`.

    at: `(3, pixel)`. frequency: cells of the first octave per unit of length.
    """
    total = np.zeros(at.shape[1], np.float32)
    for octave in range(count):
        layer = _gradient_noise(at * (frequency * 2.0**octave), key * 64 + octave)
        total += persistence**octave * layer
    # Octaves are independent, so their variances add up; one has a standard deviation near 0.19.
    power = sum(persistence ** (2 * octave) for octave in range(count))
    return total * np.float32(3.7 / power**0.5)


def ruffled(lat: ArrayLike, lon: ArrayLike, key: int) -> tuple[Reals, Reals]:
    """The places `(pixel,)` displaced by about half a degree, by noise of several scales.

    Lattice fields read at the displaced places show no trace of rows and columns.
    """
    # 0.008 of the radius is about half a degree, a third of the distance between nodes.
    at = points(lat, lon)
    moved = at + 0.008 * np.stack([octaves(at, key * 4 + k, 25.0, 4, 0.6) for k in range(3)])
    x, y, z = moved.astype(np.float64)
    return np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))


def speckle(lat: ArrayLike, lon: ArrayLike, days: ArrayLike, key: int) -> Floats:
    """White noise with zero mean and unit variance for places and days, `(pixel, day)`.

    lat, lon: `(pixel,)` degrees, distinguished to 1e-4 degrees. days: `(day,)`.
    """
    row = np.rint(np.asarray(lat, float) * 1e4).astype(np.int64).astype(np.uint32)
    column = np.rint(np.asarray(lon, float) * 1e4).astype(np.int64).astype(np.uint32)
    day = np.asarray(days, np.int64).astype(np.uint32)
    place = _mix(_mix(row + _word(key)) ^ column)
    word = _mix(place[:, None] ^ _mix(day * np.uint32(_PRIMES[0])))
    # A word is uniform on 0..1, whose variance is 1/12.
    return (word.astype(np.float32) * np.float32(2.0**-32) - 0.5) * np.float32(12.0**0.5)


@dataclass(frozen=True)
class Footing:
    """The four lattice nodes around each pixel and their bilinear weights, `(4, pixel)`."""

    node: NDArray[np.int32]
    weight: Floats

    def read(self, field: Floats) -> Floats:
        """Values `(pixel, ...)` between the nodes of a `field` `(node, ...)`."""
        shape = (-1,) + (1,) * (field.ndim - 1)
        total: Floats = field[self.node[0]] * self.weight[0].reshape(shape)
        for node, weight in zip(self.node[1:], self.weight[1:], strict=True):
            total += field[node] * weight.reshape(shape)
        return total


def footing(lat: ArrayLike, lon: ArrayLike) -> Footing:
    """Lattice nodes and weights for `lat`, `lon` `(pixel,)` in degrees."""
    y = (np.asarray(lat, float) + 90.0) / STEP
    x = (np.asarray(lon, float) + 180.0) / STEP
    row = np.clip(np.floor(y), 0, SHAPE[0] - 2).astype(np.int32)
    column = np.floor(x).astype(np.int32)
    north, east = y - row, x - column
    nodes, weights = [], []
    for j, along in ((0, 1 - north), (1, north)):
        for i, beside in ((0, 1 - east), (1, east)):
            nodes.append((row + j) * SHAPE[1] + (column + i) % SHAPE[1])
            weights.append(along * beside)
    return Footing(np.stack(nodes).astype(np.int32), np.stack(weights).astype(np.float32))


def nodes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitude and longitude `(node,)` of the lattice."""
    lat, lon = np.meshgrid(NODE_LAT, NODE_LON, indexing="ij")
    return lat.ravel(), lon.ravel()


def ramp(values: NDArray[np.floating], low: float, high: float) -> Floats:
    """0 below `low`, 1 above `high`, with a smooth transition."""
    t = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), np.float32)  # Hermite: slope 0 at both ends


def _gradient_noise(at: Floats, key: int) -> Floats:
    """One octave: the gradients of the eight corners of the cell, blended, `(pixel,)`."""
    at = at + np.float32(0.37)  # gradient noise is 0 on its lattice, on which the axes would lie
    base = np.floor(at)
    inside = at - base
    # Perlin's quintic: first and second derivative vanish at cell faces, so no face shows.
    fade = inside**3 * (inside * (inside * 6.0 - 15.0) + 10.0)
    cell = base.astype(np.int32).astype(np.uint32)
    salt = _mix(np.full(1, _word(key), np.uint32))
    total = np.zeros(at.shape[1], np.float32)
    for corner in _CORNERS:
        weight = np.ones_like(total)
        word = np.broadcast_to(salt, total.shape)
        for axis, step in enumerate(corner):
            weight *= fade[axis] if step else 1.0 - fade[axis]
            word = word ^ ((cell[axis] + np.uint32(step)) * np.uint32(_PRIMES[axis]))
        total += weight * _slope(_mix(word), [inside[a] - s for a, s in enumerate(corner)])
    return total


def _slope(word: Words, offset: list[Floats]) -> Floats:
    """Product of the offset from a corner with the gradient that the corner's word holds."""
    total = np.zeros(word.size, np.float32)
    for axis, distance in enumerate(offset):
        bits = (word >> np.uint32(10 * axis)) & np.uint32(1023)
        total += distance * (bits.astype(np.float32) * np.float32(2 / 1023) - 1.0)
    return total


def _mix(word: Words) -> Words:
    """Scramble 32-bit words (the finaliser of MurmurHash3)."""
    word = (word ^ (word >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    word = (word ^ (word >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return word ^ (word >> np.uint32(16))


def _word(key: int) -> np.uint32:
    return np.uint32(key & 0xFFFFFFFF)
