"""Synthetic satellite data: MODIS bands, vegetation indices, angles and clouds.

Reflectances are mixtures of soil, leaves and snow. Indices are computed from the bands, so that
they are consistent: NDVI (Tucker 1979), EVI (Huete et al. 2002), NIRv (Badgley et al. 2017),
fAPAR as a linear function of NDVI (Myneni & Williams 1994).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from upscale.archives.satellite.indices import index
from upscale.grid.astronomy import day_length, year_angle
from upscale.planet import overpass
from upscale.planet.climate import Site
from upscale.planet.meteo import cloud, sky, wetness_of
from upscale.planet.relief import key_of
from upscale.planet.sphere import Floats, ramp, speckle
from upscale.planet.vegetation import Cover

#: Indices and bands, which are mixtures of soil, leaves and snow.
MIXED = ("ndvi", "evi", "nirv", "fapar", *(f"sur_refl_b{band:02d}" for band in range(1, 8)))

#: Variables that `seen` can compute.
NAMES = (*MIXED, *overpass.NAMES, "clouds")

_MONTH = 2.0 * np.pi / 12
# Typical reflectances of bands 1 to 7 (red, near infrared, blue, green, and three in the short-wave
# infrared), by eye: leaves are dark in red and blue and bright in the near infrared, snow is bright
# in the visible and dark beyond 1.6 micrometres.
_SOIL = np.array([0.20, 0.27, 0.11, 0.16, 0.34, 0.38, 0.32], np.float32)
_LEAF = np.array([0.030, 0.42, 0.018, 0.055, 0.38, 0.19, 0.075], np.float32)
_SNOW = np.array([0.72, 0.66, 0.75, 0.74, 0.40, 0.10, 0.08], np.float32)


def seen(
    seed: int, place: Site, plants: Cover, days: NDArray[np.int64], names: Iterable[str]
) -> tuple[dict[str, Floats], NDArray[np.bool_]]:
    """Series `(pixel, day)` of `names`, and True where they are filled, for days of one block.

    Days under cloud and in polar night are filled: a filled value is the smooth seasonal course,
    as from a gap filler, while an observed value carries noise.
    """
    angle, above = year_angle(days), sky(seed, place, days)
    usual = place.temperature(angle)
    humid = wetness_of(usual, place.root_rain(angle))
    cover = cloud(place, humid, above.storm)
    # There is no clear pixel under a mostly cloudy sky or without sun at the overpass.
    filled = (cover > 0.62) | (day_length(place.lat, days) < 4.0)
    green = _course(plants.green, angle)
    green = np.clip(green * (1.0 + 0.22 * (1.0 - humid) * above.wetness), 0.0, 0.97)
    # Snow lies where the seasonal temperature is below freezing, and covers less under leaves.
    snow = 0.88 * ramp(-usual, 1.0, 8.0) * (1.0 - green) * np.sqrt(1.0 - green)
    noise = 1.0 + 0.03 * speckle(place.lat, place.lon, days, key_of(seed) + 13) * ~filled
    bands = _Bands(green, snow, _brightness(plants), noise)
    others = {"clouds": cover, **overpass.angles(place, days)}
    made = {n: others[n] if n in others else bands.index(n) for n in names}
    return made, filled


class _Bands:
    """Reflectances of a block, computed on first use."""

    def __init__(self, green: Floats, snow: Floats, bright: Floats, noise: Floats) -> None:
        self._green, self._snow = green, snow
        self._bright, self._noise = bright, noise
        self._made: dict[int, Floats] = {}

    def band(self, number: int) -> Floats:
        """Reflectance of MODIS band `number`; noise is strongest in the visible."""
        if number not in self._made:
            k = number - 1
            ground = _SOIL[k] * self._bright * (1.0 - self._green) + _LEAF[k] * self._green
            mixed = ground * (1.0 - self._snow) + _SNOW[k] * self._snow
            noise = 1.0 + (self._noise - 1.0) * (1.0 if number in (1, 3, 4) else 0.4)
            self._made[number] = np.asarray(mixed * noise, np.float32)
        return self._made[number]

    def index(self, name: str) -> Floats:
        """One of `MIXED`; KeyError for another."""
        if name.startswith("sur_refl_b"):
            return self.band(int(name[-2:]))
        bands = {number: self.band(number) for number in (1, 2, 3)}
        if name == "fapar":
            return np.asarray(np.clip(1.24 * index("ndvi", bands) - 0.168, 0.0, 0.98))
        return index(name, bands)


def _course(green: Floats, angle: NDArray[np.float64]) -> Floats:
    """Green cover `(pixel, day)` between the middles of the months `(12, pixel)`."""
    position = angle / _MONTH - 0.5
    month = np.floor(position).astype(int)
    part = (position - month).astype(np.float32)
    early, late = green[month % 12].T, green[(month + 1) % 12].T
    return np.asarray(early * (1 - part) + late * part, np.float32)


def _brightness(plants: Cover) -> Floats:
    """Factor on soil reflectance `(pixel, 1)`: brighter where little grows all year."""
    bare = np.exp(-plants.green.mean(axis=0) / 0.12)
    return np.asarray(0.75 + 0.45 * bare, np.float32)[:, None]
