"""Daily meteorology: the mean climate of a place plus the weather of the day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from upscale.grid.astronomy import declination, potential_radiation, year_angle
from upscale.humidity import saturation_pressure
from upscale.planet.climate import Site
from upscale.planet.sphere import Floats, ramp
from upscale.planet.weather import BLOCK, weather

#: Variables that `meteorology` computes by default, in the order of the network's features.
NAMES = ("ta", "sw_in", "vpd", "p")

#: Further variables that `meteorology` computes on request.
MORE = ("lw_in", "pa")

_STEFAN_BOLTZMANN = 5.670374e-8  # W m-2 K-4
_TILT = np.radians(23.45)


@dataclass(frozen=True)
class Sky:
    """Weather over places, `(pixel, day)`: unit-variance air and storm noise, slow anomalies."""

    air: Floats
    storm: Floats
    warmth: Floats
    wetness: Floats


def sky(seed: int, place: Site, days: NDArray[np.int64]) -> Sky:
    """Weather of `days` `(day,)`, all of which lie in the same block of `BLOCK` days."""
    block = int(days[0]) // BLOCK
    made, index = weather(seed, block), days - block * BLOCK
    read = place.at.read
    later = (index / BLOCK).astype(np.float32)
    ends = read(made.warmth)[:, :, None], read(made.wetness)[:, :, None]
    warmth, wetness = (e[:, 0] * (1 - later) + e[:, 1] * later for e in ends)
    return Sky(read(made.air[:, index]), read(made.storm[:, index]), warmth, wetness)


def meteorology(
    seed: int, place: Site, days: NDArray[np.int64], names: Iterable[str] = NAMES
) -> dict[str, Floats]:
    """`names` in the units of `upscale.variables`, `(pixel, day)`, for days of one block.

    Raises KeyError for a name that is in neither `NAMES` nor `MORE`.
    """
    angle, above = year_angle(days), sky(seed, place, days)
    usual, root = place.temperature(angle), place.root_rain(angle)
    humid = wetness_of(usual, root)
    ta = usual + _anomaly(place, angle, above)
    cover = cloud(place, humid, above.storm)
    sun = potential_radiation(place.lat, days)
    made = {
        "ta": ta,
        "sw_in": sun * _clearness(place, cover),
        "vpd": _deficit(ta, humid, above),
        "p": _rain(root, above),
    }
    if not set(names) <= set(made):
        made |= {"lw_in": _sky_glow(ta, cover), "pa": _pressure(place, above)}
    return {name: made[name] for name in names}


def wetness_of(usual: Floats, root: Floats) -> Floats:
    """Wetness, 0 in a desert to 1 in a rain forest, from mean temperature and root of rain."""
    rain = root * root
    # Potential evaporation in mm d-1, by eye: 0.3 in frost, 2.4 in the tropics.
    thirst = 0.3 + 0.08 * np.maximum(usual, 0.0)
    return np.asarray(rain / (rain + thirst), np.float32)


def cloud(place: Site, humid: Floats, storm: Floats) -> Floats:
    """Cloud fraction, 0..1, `(pixel, day)`."""
    # By eye: subtropical deserts have 10 % cloud, rain forests 60 %, the storm tracks 20 % more.
    haze = 0.08 + 0.20 * ramp(np.abs(place.lat).astype(np.float32), 35.0, 60.0)
    usual = haze[:, None] + 0.57 * humid
    return np.asarray(np.clip(usual + (0.12 + 0.20 * humid) * storm, 0.0, 1.0), np.float32)


def _clearness(place: Site, cover: Floats) -> Floats:
    """Share of the potential radiation that reaches the ground."""
    # Near the 0.75 + 2e-5 z of a clear sky (Allen et al. 1998, FAO Irrigation and Drainage Paper
    # 56, eq. 37). Overcast blocks 3/4, broken cloud less than its fraction, hence the power
    # (Kasten and Czeplak 1980, Sol. Energy 24, 177, have 0.75 and a power of 3.4).
    clear = np.minimum(0.745 + 1.6e-5 * place.elevation, 0.82)[:, None]
    return np.asarray(clear * (1.0 - 0.74 * cover * np.sqrt(cover)), np.float32)


def _anomaly(place: Site, angle: NDArray[np.float64], above: Sky) -> Floats:
    """Departure from the mean temperature in K: large inland, in high latitudes, in winter."""
    north = np.sin(np.radians(place.lat)).astype(np.float32)[:, None]
    summer = north * (declination(angle) / _TILT).astype(np.float32)
    inland = place.inland[:, None]
    # By eye: a standard deviation of 1 K in the tropics, 5 K inland at 60 degrees; less in summer.
    # Cloud cools in summer and warms in winter, so the storm noise changes sign with the season.
    spread = (0.9 + 4.6 * north * north * (0.55 + 0.45 * inland)) * (1.0 - 0.4 * summer)
    noise = 0.95 * above.air - 0.35 * summer * above.storm
    return np.asarray(spread * noise + (0.4 + 0.5 * north * north) * above.warmth, np.float32)


def _sky_glow(ta: Floats, cover: Floats) -> Floats:
    """Downward longwave radiation in W m-2 of a grey sky whose emissivity rises with cloud."""
    # Emissivity, by eye: 0.72 for a clear sky, 0.94 for overcast.
    kelvin = ta + np.float32(273.15)
    return np.asarray((0.72 + 0.22 * cover) * _STEFAN_BOLTZMANN * kelvin**4, np.float32)


def _pressure(place: Site, above: Sky) -> Floats:
    """Air pressure in kPa: standard atmosphere (ISO 2533), lower in storms."""
    usual = 101.325 * (1.0 - 2.25577e-5 * place.elevation) ** 5.25588
    return np.asarray(usual[:, None] * (1.0 - 0.004 * above.storm), np.float32)


def _deficit(ta: Floats, humid: Floats, above: Sky) -> Floats:
    """Vapour pressure deficit in hPa over water."""
    # Relative humidity, by eye: 20 % in deserts to 86 % in rain forests, more in wet weather.
    relative = 0.20 + 0.66 * humid + 0.07 * above.storm + 0.03 * above.wetness
    return np.asarray(saturation_pressure(ta) * (1.0 - np.clip(relative, 0.06, 0.99)), np.float32)


def _rain(root: Floats, above: Sky) -> Floats:
    """Rain in mm d-1: it falls where the storm noise exceeds a threshold, and threshold and gain
    keep the mean rain of the climate."""
    anomaly = np.exp(0.16 * above.wetness)
    position = np.minimum(root * np.float32(_PER_ROOT), np.float32(_ROOTS.size - 1.001))
    index = position.astype(np.int16)
    part = position - index
    threshold = _THRESHOLD[index] + part * _THRESHOLD_STEP[index]
    gain = _GAIN[index] + part * _GAIN_STEP[index]
    excess = np.maximum(above.storm - threshold, 0.0)
    # The square gives heavy rain a longer tail, which is cut at 400 mm d-1.
    rain = np.minimum(gain * excess * (1.0 + 0.5 * excess) * anomaly, 400.0)
    return np.where(rain < 0.02, np.float32(0.0), rain)  # below what a gauge detects


def _tables() -> tuple[Floats, Floats]:
    """Threshold and gain of the storm noise by root of the mean rain (`_ROOTS`).

    The share of wet days grows with the mean rain. The gain is such that
    gain * (excess + excess^2 / 2) over standard normal noise has the mean rain as its mean.
    """
    normal = NormalDist()
    threshold, gain = [], []
    for rain in _ROOTS**2:
        # 1 % of days are wet in the desert, half of all days at 8 mm d-1.
        edge = -normal.inv_cdf(0.012 + 0.68 * rain / (rain + 3.0))
        above, density = 1 - normal.cdf(edge), normal.pdf(edge)
        # E[max(z - edge, 0)] and E[max(z - edge, 0)^2] of a standard normal z.
        first = density - edge * above
        second = (1 + edge**2) * above - edge * density
        threshold.append(edge)
        gain.append(rain / (first + second / 2))
    return np.array(threshold, np.float32), np.array(gain, np.float32)


# Up to 36 mm d-1, more than any place has on average.
_PER_ROOT = 32
_ROOTS = np.arange(6 * _PER_ROOT) / _PER_ROOT
_THRESHOLD, _GAIN = _tables()
_THRESHOLD_STEP = np.diff(_THRESHOLD, append=_THRESHOLD[-1])
_GAIN_STEP = np.diff(_GAIN, append=_GAIN[-1])
