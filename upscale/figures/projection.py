"""The Equal Earth projection, forward and inverse: areas on paper are areas on the sphere.

Source: Savric, Patterson, Jenny (2019), The Equal Earth map projection, IJGIS 33(3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

_A = (1.340264, -0.081106, 0.000893, 0.003796)
_M = np.sqrt(3) / 2
#: Half the width and half the height of the world, in radii.
HALF_WIDTH = float(np.pi / (_M * _A[0]))
HALF_HEIGHT = 1.3173627591574133


def forward(lon: Reals, lat: Reals) -> tuple[Reals, Reals]:
    """x and y in radii of longitudes and latitudes in degrees (same shape)."""
    theta = np.arcsin(_M * np.sin(np.radians(lat)))
    return np.radians(lon) * np.cos(theta) / (_M * _slope(theta)), _height(theta)


def inverse(x: Reals, y: Reals) -> tuple[Reals, Reals]:
    """Longitudes and latitudes `(y, x)` in degrees on a mesh of x `(x,)` and y `(y,)`; NaN
    outside the world."""
    theta = np.asarray(y, np.float64) / _A[0]
    for _ in range(8):  # Newton's rule; the slope never vanishes
        theta = theta - (_height(theta) - y) / _slope(theta)
    sine = np.sin(theta) / _M
    inside = np.abs(sine) <= 1
    lat = np.degrees(np.arcsin(np.where(inside, sine, np.nan)))
    lon = np.degrees(x[None, :] * (_M * _slope(theta) / np.cos(theta))[:, None])
    lon = np.where((np.abs(lon) <= 180) & inside[:, None], lon, np.nan)
    return lon, np.broadcast_to(lat[:, None], lon.shape)


def _height(theta: Reals) -> Reals:
    t2 = theta**2
    height: Reals = theta * (_A[0] + _A[1] * t2 + t2**3 * (_A[2] + _A[3] * t2))
    return height


def _slope(theta: Reals) -> Reals:
    """Derivative of the height."""
    t2 = theta**2
    slope: Reals = _A[0] + 3 * _A[1] * t2 + t2**3 * (7 * _A[2] + 9 * _A[3] * t2)
    return slope
