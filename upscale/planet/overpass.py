"""Angles of sensor and sun when a satellite like Terra passes at half past ten local time.

The sun: Iqbal (1983), "An Introduction to Solar Radiation", chapter 1. The sensor: a swath that
repeats after 16 days, so that the view of a place alternates between oblique and nadir.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from upscale.grid.astronomy import declination, year_angle
from upscale.planet.climate import Site
from upscale.planet.sphere import Floats

#: Angles that `angles` computes, degrees.
NAMES = ("sensor_zenith", "sensor_azimuth", "solar_zenith", "solar_azimuth")

_HOUR = np.radians(-22.5)  # an hour and a half before noon
# The track repeats after 16 days. As 7 has no factor in common with 16, a place is seen from all
# parts of the swath within this cycle.
_CYCLE, _STEP = 16, 7
_WIDEST = 64.0  # degrees: MODIS scans to 55, which is about 65 on the curved ground
_HEADING = 98.0  # inclination of Terra's orbit in degrees


def angles(place: Site, days: NDArray[np.int64]) -> dict[str, Floats]:
    """`NAMES` of days `(day,)`, each `(pixel, day)` in degrees."""
    zenith, azimuth = _sun(place, days)
    side = _side(place, days)
    made = {
        "sensor_zenith": _WIDEST * np.abs(side),
        "sensor_azimuth": np.where(side < 0, -_HEADING, 180.0 - _HEADING),
        "solar_zenith": zenith,
        "solar_azimuth": azimuth,
    }
    return {name: values.astype(np.float32) for name, values in made.items()}


def _sun(place: Site, days: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Zenith and azimuth (clockwise from north) of the sun in degrees, `(pixel, day)`."""
    lat, sun = np.radians(place.lat)[:, None], declination(year_angle(days))
    up = np.sin(lat) * np.sin(sun) + np.cos(lat) * np.cos(sun) * np.cos(_HOUR)
    north = np.cos(lat) * np.sin(sun) - np.sin(lat) * np.cos(sun) * np.cos(_HOUR)
    east = -np.cos(sun) * np.sin(_HOUR)
    return np.degrees(np.arccos(np.clip(up, -1, 1))), np.degrees(np.arctan2(east, north))


def _side(place: Site, days: NDArray[np.int64]) -> NDArray[np.float64]:
    """Position in the swath, from -1 at its western to 1 at its eastern edge, `(pixel, day)`."""
    phase = (days * _STEP)[None] / _CYCLE + place.lon[:, None] / 25.0
    return 2.0 * (phase % 1.0) - 1.0
