"""The Equal Earth projection, forward and inverse: areas on paper are areas on the sphere.

Source: Savric, Patterson, Jenny (2019), The Equal Earth map projection, IJGIS 33(3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pyproj import Proj

Reals = NDArray[np.float64]

_EARTH = Proj("+proj=eqearth +R=1")

#: Half the width and half the height of the world, in radii.
HALF_WIDTH: float = _EARTH(180, 0)[0]
HALF_HEIGHT: float = _EARTH(0, 90)[1]


def forward(lon: Reals, lat: Reals) -> tuple[Reals, Reals]:
    """x and y in radii of longitudes and latitudes in degrees (same shape)."""
    x, y = _EARTH(lon, lat)
    return x, y


def inverse(x: Reals, y: Reals) -> tuple[Reals, Reals]:
    """Longitudes and latitudes `(y, x)` in degrees on a mesh of x `(x,)` and y `(y,)`; NaN
    outside the world."""
    _, lat = _EARTH(np.zeros_like(y), y, inverse=True)
    edge, _ = _EARTH(np.full_like(y, 180.0), lat)
    lon = 180 * x[None, :] / edge[:, None]  # a parallel is a line with even steps of longitude
    inside = (np.abs(lon) <= 180) & (np.abs(y) <= HALF_HEIGHT)[:, None]
    lon = np.where(inside, lon, np.nan)
    return lon, np.broadcast_to(lat[:, None], lon.shape)
