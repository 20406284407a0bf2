"""Vegetation of the planet: water balance, land cover class and seasonal green cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upscale.drivers.koppen import classify
from upscale.grid.astronomy import potential_radiation
from upscale.planet.climate import Site
from upscale.planet.relief import key_of
from upscale.planet.sphere import Floats, octaves, points, ramp, speckle
from upscale.variables import ICE_CLASS, IGBP, KOPPEN, WATER_CLASS

Codes = NDArray[np.uint8]

_CAPACITY = 160.0  # mm of water that the soil holds: a loam of about a metre
_MID_MONTH = np.array([381, 410, 440, 470, 501, 531, 562, 593, 623, 654, 684, 715])  # of 2001
_MONTH_LENGTH = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.float32)[:, None]
# Share of the leaves that stay out of season, by eye.
_EVERGREEN = {"ENF": 0.78, "EBF": 0.92, "MF": 0.5, "CSH": 0.5, "WSA": 0.3, "SAV": 0.15, "URB": 0.4}


@dataclass(frozen=True)
class Growth:
    """Monthly growing conditions, from the climate.

    ta: `(12, pixel)` degC. p: `(12, pixel)` mm per month. use: `(pixel,)` evapotranspiration in
    mm per year, without frost months. thirst: `(pixel,)` potential evapotranspiration in mm per
    year. season: `(12, pixel)` growth, 0..1.
    """

    ta: Floats
    p: Floats
    use: Floats
    thirst: Floats
    season: Floats


@dataclass(frozen=True)
class Cover:
    """igbp, koppen: `(pixel,)` class codes. green: `(12, pixel)` green cover 0..1 mid-month."""

    igbp: Codes
    koppen: Codes
    green: Floats


def cover(seed: int, place: Site) -> Cover:
    """Vegetation of land places."""
    year = growth(place)
    koppen = classify(year.ta, year.p, place.lat)
    igbp = _land_cover(seed, place, year, koppen)
    return Cover(igbp, koppen, _green(year, igbp))


def growth(place: Site) -> Growth:
    """Monthly water balance: potential evaporation after Oudin et al. (2005), J. Hydrol. 303,
    290-306; the soil dries after Thornthwaite & Mather (1955)."""
    ta, p = place.months()
    # 0.0864: W m-2 to MJ m-2 d-1; 2.45 MJ evaporate 1 kg of water, which is 1 mm on 1 m2.
    energy = potential_radiation(place.lat, _MID_MONTH).T * np.float32(0.0864 / 2.45)
    thirst = energy * np.maximum(ta + 5.0, 0.0) / 100.0 * _MONTH_LENGTH
    use = _water_use(ta, p, thirst)
    warm = ramp(ta, 1.0, 14.0)
    season = warm * ramp(use / np.maximum(thirst, 5.0), 0.0, 0.75)
    return Growth(ta, p, (use * (ta > 0)).sum(axis=0), thirst.sum(axis=0), season)


def _water_use(ta: Floats, p: Floats, thirst: Floats) -> Floats:
    """Evaporation in mm per month, `(12, pixel)`, in the equilibrium of a repeated year."""
    soil = np.full(p.shape[1], _CAPACITY / 2, np.float32)
    snow = np.zeros_like(soil)
    use = np.zeros_like(p)
    for month in [*range(12)] * 3:  # the third year no longer depends on the initial soil water
        frozen = ramp(-ta[month], -1.0, 3.0)
        melt = snow * ramp(ta[month], -2.0, 4.0)
        snow = snow - melt + p[month] * frozen
        water = p[month] * (1 - frozen) + melt
        lack = np.maximum(thirst[month] - water, 0.0)
        dried = soil * np.exp(-lack / _CAPACITY)  # the drier the soil, the less it loses
        use[month] = np.minimum(water, thirst[month]) + soil - dried
        soil = np.minimum(dried + np.maximum(water - thirst[month], 0.0), _CAPACITY)
    return use


def _land_cover(seed: int, place: Site, year: Growth, koppen: Codes) -> Codes:
    """IGBP classes by the first rule that holds; noise roughens the boundaries."""
    # Thresholds are tuned by eye to the Earth: temperatures in degC; supply: rain over potential
    # evaporation; dry: months with less than 50 mm; grows: evapotranspiration in mm per year.
    at, key = points(place.lat, place.lon), key_of(seed)
    rough, field, bog = (octaves(at, key + k, f, 5, 0.6) for k, f in ((10, 9), (11, 11), (12, 16)))
    cold, hot, mean = year.ta.min(axis=0), year.ta.max(axis=0), year.ta.mean(axis=0)
    supply = year.p.sum(axis=0) / np.maximum(year.thirst, 30.0) * (1 + 0.12 * rough)
    dry = (year.p < 50.0).sum(axis=0) + 0.7 * rough
    grows = year.use * (1 + 0.1 * rough)
    flat = place.elevation < 1200
    tilled = flat & (hot > 15) & (supply > 0.45) & (grows > 300) & (dry < 9)
    scatter = speckle(place.lat, place.lon, [0], key)[:, 0]
    tropical, main = cold > 15.0, koppen
    summer_dry = np.isin(main, [KOPPEN.index(f"Cs{c}") + 1 for c in "abc"])
    rules: tuple[tuple[str, NDArray[np.bool_]], ...] = (
        ("SNO", main == KOPPEN.index("EF") + 1),
        ("BSV", (hot < 3.5 + rough) | (grows < 60) & (mean < -5) | (supply < 0.18)),
        ("WET", flat & (bog > 1.3) & (supply > 0.7)),
        ("GRA", (hot < 8.5 + rough) & (supply > 0.9)),
        ("OSH", (hot < 10.5 + 0.7 * rough) | (supply < 0.27)),
        ("URB", tilled & (field > 0.8) & (scatter > 1.64)),
        ("CRO", tilled & (field > np.where(tropical, 1.1, 0.45))),
        ("CVM", tilled & (field > np.where(tropical, 0.8, 0.2))),
        ("EBF", tropical & (dry < 4.0) & (supply > 0.75)),
        ("WSA", tropical & (dry < 5.8)),
        ("SAV", tropical & (dry < 8.2) & (supply > 0.4)),
        ("CSH", summer_dry & (supply < 0.75)),
        ("WSA", summer_dry),
        ("OSH", (supply < 0.36) & (mean > 12)),
        ("GRA", supply < 0.55 - 0.006 * mean),
        ("EBF", (cold > 9.0) & (supply > 1.0)),
        ("DNF", (cold < -30.0 + 2 * rough) & (hot > 10)),
        ("ENF", (mean < 3.0 + 1.5 * rough) | (place.elevation > 1500)),
        ("MF", (mean < 7.0 + 1.5 * rough) | (rough > 1.1)),
        ("DBF", mean < 40.0),
    )
    codes = np.array([IGBP.index(name) + 1 for name, _ in rules], np.uint8)
    return np.asarray(np.select([rule for _, rule in rules], codes, 0), np.uint8)


def _green(year: Growth, igbp: Codes) -> Floats:
    """Green cover of each month: limited by water, and partly kept out of season."""
    kept = np.zeros(len(IGBP) + 1, np.float32)
    for name, share in _EVERGREEN.items():
        kept[IGBP.index(name) + 1] = share
    # 420 mm of water per year support plants that cover 63 % of the ground (by eye).
    most = 1.0 - np.exp(-((year.use / 420.0) ** 1.3))
    peak = np.maximum(year.season.max(axis=0), 0.05)
    # Leaves lag behind the weather by about ten days.
    lagged = 0.65 * year.season + 0.35 * np.roll(year.season, 1, axis=0)
    still = kept[igbp]
    green = most * (still + (1.0 - still) * lagged / peak) * ramp(peak, 0.0, 0.35)
    bare = np.isin(igbp, [ICE_CLASS, WATER_CLASS])
    return np.where(bare, 0.0, np.clip(green, 0.0, 0.97)).astype(np.float32)
