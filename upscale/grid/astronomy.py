"""Solar radiation at the top of the atmosphere and day length, from latitude and day alone.

Declination and distance of the sun: the Fourier series of Spencer (1971), "Fourier series
representation of the position of the sun", Search 2(5), 172. Daily integral over the hour
angle: Iqbal (1983), "An Introduction to Solar Radiation", chapter 4. The sun is a point, there
is no refraction, and declination and distance stay at their values of noon during a day.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upscale.calendar import day_of_year, length_of_year

#: Solar constant, W m-2 at the mean distance of the Earth.
SOLAR_CONSTANT = 1361.0

Reals = NDArray[np.float64]
Floats = NDArray[np.float32]

_DECLINATION_COS = (0.006918, -0.399912, -0.006758, -0.002697)
_DECLINATION_SIN = (0.0, 0.070257, 0.000907, 0.001480)
_NEARNESS_COS = (1.000110, 0.034221, 0.000719)
_NEARNESS_SIN = (0.0, 0.001280, 0.000077)


def potential_radiation(lat: ArrayLike, days: ArrayLike) -> Floats:
    """Daily mean shortwave radiation at the top of the atmosphere in W m-2, `(pixel, day)`.

    lat: `(pixel,)` degrees north. days: `(day,)` day numbers since 2000-01-01. ValueError for a
    latitude beyond the poles.
    """
    rows, pixels = _rows(lat)
    angle = year_angle(days)
    turn, up, across = _hour_angle(rows, declination(angle))
    daily = SOLAR_CONSTANT / np.pi * nearness(angle) * (turn * up + across * np.sin(turn))
    return np.maximum(daily, 0.0).astype(np.float32)[pixels]


def day_length(lat: ArrayLike, days: ArrayLike) -> Floats:
    """Hours from sunrise to sunset, `(pixel, day)`: 0 in the polar night, 24 in the polar day.

    lat: `(pixel,)` degrees north. days: `(day,)` day numbers since 2000-01-01. ValueError for a
    latitude beyond the poles.
    """
    rows, pixels = _rows(lat)
    turn, _, _ = _hour_angle(rows, declination(year_angle(days)))
    return (24.0 / np.pi * turn).astype(np.float32)[pixels]


def year_angle(days: ArrayLike) -> Reals:
    """Position in the year at noon of each day number, `(day,)`, radians, 0 = 1 January, 0 h.

    A leap year is spread over the same circle, so 31 December meets 1 January in every year.
    """
    numbers = np.asarray(days, np.int64)
    return 2.0 * np.pi * (day_of_year(numbers) - 0.5) / length_of_year(numbers)


def declination(angle: Reals) -> Reals:
    """Declination of the sun in radians at each angle of the year (`year_angle`)."""
    return _series(angle, _DECLINATION_COS, _DECLINATION_SIN)


def nearness(angle: Reals) -> Reals:
    """(mean distance / distance)^2 of Earth and sun at each angle of the year."""
    return _series(angle, _NEARNESS_COS, _NEARNESS_SIN)


def _series(angle: Reals, cosines: tuple[float, ...], sines: tuple[float, ...]) -> Reals:
    total = np.zeros_like(angle)
    for k, (a, b) in enumerate(zip(cosines, sines, strict=True)):
        total += a * np.cos(k * angle) + b * np.sin(k * angle)
    return total


def _rows(lat: ArrayLike) -> tuple[Reals, NDArray[np.intp]]:
    """Distinct latitudes and their index for each pixel: pixels of one row are computed once."""
    degrees = np.asarray(lat, np.float64)
    if np.any(np.abs(degrees) > 90.0):
        raise ValueError(f"expected latitudes in -90..90 degrees, found {np.abs(degrees).max()}")
    return np.unique(degrees, return_inverse=True)


def _hour_angle(lat: Reals, declination: Reals) -> tuple[Reals, Reals, Reals]:
    """Hour angle of sunset in radians, and the sine and cosine products, all `(row, day)`."""
    phi = np.radians(lat)[:, None]
    up = np.sin(phi) * np.sin(declination)
    across = np.maximum(np.cos(phi) * np.cos(declination), 1e-12)
    return np.arccos(np.clip(-up / across, -1.0, 1.0)), up, across
