"""Continents, islands, mountains and ice caps of the planet.

Land is distributed over the latitudes about as on the Earth, so that every climate occurs with
any seed: an ice continent in the far south, open sea around it, most land in the north.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from upscale.planet.sphere import octaves, points, ramp

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]

#: Land fraction, about that of the Earth (0.29).
LAND_SHARE = 0.30

#: Latitude and its land fraction, smoothed from the Earth's.
_LAND_BY_LATITUDE = (
    (-90, 0.99), (-80, 0.97), (-72, 0.70), (-65, 0.22), (-58, 0.03), (-45, 0.07), (-30, 0.18),
    (-15, 0.25), (0, 0.26), (15, 0.30), (30, 0.42), (45, 0.50), (60, 0.58), (70, 0.50),
    (78, 0.25), (90, 0.06),
)  # fmt: skip


def key_of(seed: int) -> int:
    """First of the 16 noise keys of a planet; seed 0 has an Earth-like share of each climate."""
    return (seed + 8) * 16


@dataclass(frozen=True)
class Relief:
    """height: `(pixel,)` above the coast in units of the noise, negative at sea.

    elevation: `(pixel,)` m, 0 at sea.
    """

    height: Floats
    elevation: Floats


def relief(seed: int, lat: Reals, lon: Reals) -> Relief:
    """Relief at `lat`, `lon` `(pixel,)` in degrees."""
    at = points(lat, lon)
    height = _height(seed, at, lat) - np.float32(_sea_level(seed))
    return Relief(height, _elevation(seed, at, height, lat))


def height_above_coast(seed: int, lat: Reals, lon: Reals) -> Floats:
    """`Relief.height` alone."""
    return _height(seed, points(lat, lon), lat) - np.float32(_sea_level(seed))


def _height(seed: int, at: Floats, lat: Reals) -> Floats:
    """Noise above the coast line of each latitude, before the sea level is set."""
    # Drift distorts the noise by other noise, so that coasts have gulfs and peninsulas.
    drift = np.stack([octaves(at, key_of(seed) + k, 2.0, 3, 0.5) for k in (1, 2, 3)])
    continents = octaves(at + 0.09 * drift, key_of(seed), 1.25, 9, 0.52)
    knots, shares = np.array(_LAND_BY_LATITUDE).T
    # The noise is nearly normal: above this quantile lies the wanted land fraction of a latitude.
    coast = [-NormalDist().inv_cdf(share) for share in shares]
    return continents - np.interp(lat, knots, coast).astype(np.float32)


@lru_cache(maxsize=16)
def _sea_level(seed: int) -> float:
    """The height above which `LAND_SHARE` of the sphere lies, from evenly spaced points."""
    # A Fibonacci lattice: equal steps in the sine of latitude, the golden angle in longitude.
    index = np.arange(20_000) + 0.5
    lat = np.degrees(np.arcsin(1.0 - 2.0 * index / index.size))
    lon = (index * 222.492235949962) % 360.0 - 180.0
    return float(np.quantile(_height(seed, points(lat, lon), lat), 1.0 - LAND_SHARE))


def _elevation(seed: int, at: Floats, height: Floats, lat: Reals) -> Floats:
    """Elevation in m: plains that rise inland, mountain chains along ridges of noise, ice domes.

    Heights are chosen by eye: chains of 3 to 4 km in young mountains, plateaus of about 1 km
    beside them, an ice dome of over 2 km as in Antarctica.
    """
    # 1 - |noise| is largest along the lines where the noise changes sign, which form ridges.
    inland = ramp(height, 0.0, 0.4)
    young = ramp(octaves(at, key_of(seed) + 6, 1.9, 3, 0.5), -0.4, 1.3)
    chain = ramp(1.0 - np.abs(octaves(at, key_of(seed) + 4, 1.5, 5, 0.45)), 0.62, 1.02)
    rough = 1.0 - np.abs(octaves(at, key_of(seed) + 5, 9.0, 6, 0.55))
    ice = ramp((-lat).astype(np.float32), 64.0, 76.0) * ramp(height, 0.0, 1.2)
    peaks = chain * (0.25 + young) * (900.0 + 1500.0 * np.clip(rough, -0.5, 1.0))
    land = 12.0 + 170.0 * np.clip(height, 0.0, 2.5) + 110.0 * np.clip(rough, -0.1, 1.0)
    rise = land + inland * (peaks * (1.0 - 0.8 * ice) + 900.0 * young**3) + 2300.0 * ice
    return np.where(height > 0.0, np.clip(rise, 0.0, 7500.0), 0.0).astype(np.float32)
