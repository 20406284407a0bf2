"""The mean climate of the planet, without weather.

Computed on the lattice of `sphere` from the sun, the winds and the continents, and stored as
harmonics of the year, so that any day at any place takes a few operations. The formulas are
tuned by eye to the Earth's climate zones; they are not a model of the atmosphere.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upscale.grid.astronomy import declination, potential_radiation, year_angle
from upscale.planet.relief import key_of, relief
from upscale.planet.sphere import (
    NODE_LAT,
    SHAPE,
    STEP,
    Floats,
    Footing,
    footing,
    nodes,
    octaves,
    points,
    ramp,
    ruffled,
)

Reals = NDArray[np.float64]

#: Cooling with height, K m-1: as near the ground, less than the standard atmosphere's 0.0065.
LAPSE = 0.0058

_DAY = 2.0 * np.pi / 365.25
_TILT = np.radians(23.45)
# Two phases for each month: enough for the third harmonic, which has a period of four months.
_PHASES = 2.0 * np.pi * (np.arange(24) + 0.5) / 24
_MONTH_LENGTH = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.float32)
# Angles of the middle of each month.
_MONTHS = (2.0 * np.pi * (np.cumsum(_MONTH_LENGTH) - _MONTH_LENGTH / 2) / 365.25).astype(float)


@dataclass(frozen=True)
class Atlas:
    """Harmonics on the lattice: constant, then cosine and sine of each order.

    ta: `(node, 5)` degC at sea level. root_p: `(node, 7)` square root of mm d-1.
    inland: `(node,)` 0 at sea to 1 deep inside a continent.
    """

    ta: Floats
    root_p: Floats
    inland: Floats


@dataclass(frozen=True)
class Site:
    """Constant properties of places, all `(pixel, ...)`; fields as in `Atlas`, ta at elevation."""

    lat: Reals
    lon: Reals
    elevation: Floats
    at: Footing
    ta: Floats
    root_p: Floats
    inland: Floats

    def temperature(self, angle: ArrayLike) -> Floats:
        """Mean temperature `(pixel, day)` in degC at angles of the year `(day,)`."""
        return _evaluate(self.ta, angle)

    def root_rain(self, angle: ArrayLike) -> Floats:
        """Square root of the mean rain `(pixel, day)` in mm d-1."""
        # Three harmonics undershoot zero in a dry season; the floor keeps the root positive.
        return np.maximum(_evaluate(self.root_p, angle), np.float32(0.08))

    def months(self) -> tuple[Floats, Floats]:
        """Temperature in degC and rain in mm per month of the months `(12, pixel)`."""
        rain = self.root_rain(_MONTHS) ** 2 * _MONTH_LENGTH
        return self.temperature(_MONTHS).T, rain.T


def site(seed: int, lat: Reals, lon: Reals) -> Site:
    """The places at `lat`, `lon` `(pixel,)` in degrees of the planet `seed`."""
    drawn, at = atlas(seed), footing(*ruffled(lat, lon, key_of(seed) + 14))
    height = relief(seed, lat, lon).elevation
    ta = at.read(drawn.ta)
    ta[:, 0] -= np.float32(LAPSE) * height
    local = 1.0 + 0.06 * octaves(points(lat, lon), key_of(seed) + 7, 7.0, 4, 0.6)
    root_p = at.read(drawn.root_p) * local[:, None].astype(np.float32)
    return Site(lat, lon, height, at, ta, root_p, at.read(drawn.inland))


@lru_cache(maxsize=4)
def atlas(seed: int) -> Atlas:
    """Compute the climate of the planet `seed`."""
    land, height = _coarse_relief(seed)
    west, east = _inland(land, 1), _inland(land, -1)
    far = np.abs(NODE_LAT)[:, None]
    # Poleward of the subtropics the wind, and with it air from the sea, comes mostly from the
    # west; in the tropics it comes equally from both sides.
    westerly = _step(far, 22.0, 38.0)
    inland = _smooth(westerly * (0.7 * west + 0.3 * east) + (1 - westerly) * 0.5 * (west + east))
    ta = _temperature(inland)
    ta[..., 0] += _mottle(key_of(seed) + 9, 1.8, 2)
    moist = _smooth(_moisture(land, height, 1)), _smooth(_moisture(land, height, -1))
    meander = _mottle(key_of(seed) + 8, 1.4, 3) * 4.0
    rain = _rain(inland, *moist, ta, meander) * _uplift(height)
    root_p = np.sqrt(np.clip(rain, 0.006, None))  # 2 mm a year: the driest places of the Earth
    flat = (-1,)
    return Atlas(
        ta.reshape(-1, 5).astype(np.float32),
        _harmonics(root_p, _PHASES, 3).reshape(-1, 7).astype(np.float32),
        inland.reshape(flat).astype(np.float32),
    )


def _coarse_relief(seed: int) -> tuple[Reals, Reals]:
    """Land fraction and mean elevation in m of the lattice cells."""
    lat, lon = nodes()
    share, height = np.zeros(lat.size), np.zeros(lat.size)
    for south, west in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        part = relief(seed, np.clip(lat + south * STEP / 4, -90, 90), lon + west * STEP / 4)
        share += (part.height > 0) / 4
        height += part.elevation / 4
    return share.reshape(SHAPE), height.reshape(SHAPE)


def _mottle(key: int, frequency: float, count: int) -> Reals:
    """Smooth noise on the lattice, about unit variance."""
    noise = octaves(points(*nodes()), key, frequency, count, 0.5)
    return noise.reshape(SHAPE).astype(np.float64)


def _scan(start: float, direction: int, gain: Reals, target: Reals) -> Reals:
    """A quantity that the wind carries round the globe: each cell relaxes it by the share `gain`
    towards `target`."""
    carried = np.full(SHAPE[0], start)
    result = np.empty(SHAPE)
    columns = np.arange(SHAPE[1])[::direction]
    for column in np.tile(columns, 2):  # twice round, so that the start is forgotten
        carried = carried + gain[:, column] * (target[:, column] - carried)
        result[:, column] = carried
    return result


def _width_km() -> Reals:
    """Width of a lattice cell in km, `(row, 1)`; a degree of a great circle is 111.2 km."""
    return STEP * 111.2 * np.cos(np.radians(NODE_LAT))[:, None]


def _inland(land: Reals, direction: int) -> Reals:
    """0 where the wind comes from the sea, towards 1 after a thousand km of land."""
    # Lengths in km, by eye: air turns continental slowly and maritime again within 500 km of sea.
    gain = 1.0 - np.exp(-_width_km() / np.where(land > 0.5, 1100.0, 500.0))
    return _scan(0.3, direction, gain, land)


def _moisture(land: Reals, height: Reals, direction: int) -> Reals:
    """Moisture of the air: 1 from the sea, less downwind of land and mountains, at least 0.12."""
    # Air dries over 2200 km of plain or 2400 m of ascent, and is moist again after 700 km of sea.
    # The 0.12 over land is the water that plants transpire.
    rise = np.clip(height - np.roll(height, direction, axis=1), 0.0, None)
    loss = land * _width_km() / 2200.0 + rise / 2400.0
    gain = 1.0 - np.exp(-np.where(land > 0.5, loss, _width_km() / 700.0))
    return _scan(0.6, direction, gain, 1.0 - 0.88 * land)


def _uplift(height: Reals) -> Reals:
    """Factor on rain, above 1 on rising ground, `(row, column, 1)`."""
    slope = height - (np.roll(height, 2, axis=1) + np.roll(height, -2, axis=1)) / 2
    return 1.0 + 0.5 * np.clip(slope / 800.0, -0.4, 1.2)[..., None]


def _temperature(inland: Reals) -> Reals:
    """Harmonics of the temperature at sea level, `(row, column, 5)`."""
    year = np.arange(366, 731)  # 2001
    sun = _harmonics(potential_radiation(NODE_LAT, year)[:, None, :], year_angle(year), 2)
    far, south = np.abs(NODE_LAT)[:, None], -NODE_LAT[:, None]
    ice = _step(south, 62.0, 74.0)
    # A curve through the Earth's zonal means: 26.5 degC at the equator, -19 degC at the pole, 9 K
    # less over the ice continent; warmer in deserts and at high-latitude coasts (warm currents).
    mean = 26.5 - 45.5 * (np.sin(np.radians(far)) ** 2) ** 1.25 - 9.0 * ice
    mean = mean + 4.0 * inland * np.exp(-(((far - 21.0) / 11.0) ** 2))
    mean = mean + (6.5 - 10.0 * inland) * _step(far, 38.0, 58.0) * (1 - ice)
    # The annual range follows that of the sun, in K per W m-2: four times larger inland than at
    # sea, a third smaller at the equator; 55 days later at sea, 28 inland: water stores more heat.
    swing = (0.026 + 0.078 * inland) * (1 - 0.5 * ice) * (0.65 + 0.35 * _step(far, 3.0, 16.0))
    lag = 55.0 - 27.0 * inland
    first = _turned(swing[..., None] * sun[..., 1:3], lag * _DAY)
    second = _turned(0.4 * swing[..., None] * sun[..., 3:5], 2 * lag * _DAY)
    return np.concatenate([mean[..., None], first, second], axis=-1)


def _rain(inland: Reals, west: Reals, east: Reals, ta: Reals, bend: Reals) -> Reals:
    """Mean rain in mm d-1, `(row, column, 24 phases)`, from the belts that follow the sun.

    west, east: moisture of westerly and easterly winds. bend: meander of the belts in degrees.
    """
    # All numbers are tuned by eye to place the climate zones as on the Earth: leading factors in
    # mm d-1, centres and widths of the belts in degrees.
    lat = NODE_LAT[:, None, None] + bend[..., None]
    far, side = np.abs(lat), np.clip(lat / 5.0, -1.0, 1.0)
    sun = declination(_PHASES - 35.0 * _DAY) / _TILT  # -1 in January, 1 in July: belts lag
    season = side * sun
    summer = 0.5 + 0.5 * season
    inland, west, east = inland[..., None], west[..., None], east[..., None]
    wet = np.maximum(west, east)
    # The tropical rain belt follows the sun, and moves farther over land, which warms more.
    equator = 1.5 + (4.5 + 7.5 * inland) * sun
    tropics = 11.0 * _bell(lat - equator, 8.5) * (0.3 + 0.7 * wet)
    # Air subsides at 24.5 degrees, except at east coasts in summer, which have a monsoon.
    sinking = 0.94 * _bell(far - 24.5 - 6.0 * season, 10.5) * (1 - 0.75 * east**2 * summer)
    # Westerlies bring winter rain to west coasts; inland, rain falls as summer showers.
    storms = 4.8 * _bell(far - 47.0 - 8.0 * season, 14.0) * west
    plains = 3.0 * summer * _bell(far - 49.0, 16.0) * (0.05 + 0.95 * wet) * inland**0.6
    monsoon = 4.2 * _bell(far - 29.0, 9.0) * east**2 * (0.35 + 0.65 * summer)
    # Cold air holds less water vapour: 3 % less rain for each K below 8 degC.
    cold = np.exp(0.03 * np.minimum(_evaluate(ta, _PHASES) - 8.0, 0.0))
    snow = 0.45 * _bell(far - 62.0, 16.0)
    fronts = (1 - sinking) * (storms + plains + snow) * cold
    return np.asarray(tropics * (1 - 0.85 * sinking) + fronts + monsoon + 0.015, float)


def _bell(distance: Reals, width: float) -> Reals:
    """1 at a distance of 0, 1/e at `width`."""
    bell: Reals = np.exp(-((distance / width) ** 2))
    return bell


def _harmonics(series: NDArray[np.floating], angle: Reals, orders: int) -> Reals:
    """Constant, cosines and sines `(..., 1 + 2 orders)` of a year's `series` `(..., time)`."""
    parts = [series.mean(axis=-1)]
    for order in range(1, orders + 1):
        parts.append(2 * (series * np.cos(order * angle)).mean(axis=-1))
        parts.append(2 * (series * np.sin(order * angle)).mean(axis=-1))
    return np.stack(parts, axis=-1).astype(np.float64)


def _evaluate(coefficients: NDArray[np.floating], angle: ArrayLike) -> Floats:
    """Harmonics `(..., 1 + 2 orders)` at angles `(day,)`, `(..., day)`, term by term."""
    phase = np.asarray(angle, float)
    terms = coefficients.astype(np.float32, copy=False)[..., None]
    total = np.repeat(terms[..., 0, :], phase.size, axis=-1)
    for k in range(1, terms.shape[-2]):
        wave = np.sin if k % 2 == 0 else np.cos
        total += terms[..., k, :] * wave((k + 1) // 2 * phase).astype(np.float32)
    return total


def _turned(pair: Reals, angle: Reals) -> Reals:
    """A cosine-sine pair `(..., 2)` delayed by `angle` in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    a, b = pair[..., 0], pair[..., 1]
    return np.stack([a * cos - b * sin, a * sin + b * cos], axis=-1)


def _smooth(field: Reals) -> Reals:
    """Blur a lattice field by about three degrees, and make it zonally uniform at the poles."""
    for _ in range(4):
        north = np.pad(field, ((1, 1), (0, 0)), mode="edge")
        field = 0.25 * north[:-2] + 0.5 * field + 0.25 * north[2:]
        field = 0.25 * np.roll(field, 1, 1) + 0.5 * field + 0.25 * np.roll(field, -1, 1)
    polar = _step(np.abs(NODE_LAT)[:, None], 80.0, 90.0)
    return np.asarray(field * (1 - polar) + field.mean(axis=1, keepdims=True) * polar, float)


def _step(values: Reals, low: float, high: float) -> Reals:
    return ramp(values, low, high).astype(np.float64)
