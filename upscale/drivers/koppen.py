"""Koeppen-Geiger climate classes from monthly temperature and precipitation.

Criteria: table 2 of Beck et al. (2018), "Present and future Koeppen-Geiger climate
classification maps at 1-km resolution", Scientific Data 5, 180214, which follows Peel et al.
(2007) but separates temperate (C) from cold (D) at 0 degC, not -3 degC. Where the criteria of
both a dry summer and a dry winter are met, the wetter half of the year decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from upscale.variables import KOPPEN

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Codes = NDArray[np.uint8]

_APRIL_TO_SEPTEMBER = slice(3, 9)
_FIRST = {main: 1 + [label[0] for label in KOPPEN].index(main) for main in "ABCDE"}


@dataclass(frozen=True)
class _Rain:
    """Monthly precipitation of the warm and the cold half-year, each `(6, ...)`."""

    summer: Floats
    winter: Floats


def classify(ta: ArrayLike, p: ArrayLike, lat: ArrayLike) -> Codes:
    """Class codes 1..30 in the order of `upscale.variables.KOPPEN`, 0 where an input is NaN.

    ta: `(12, ...)` monthly mean temperature in degC, January first. p: `(12, ...)` monthly
    precipitation in mm per month. lat: degrees north, broadcast against `(...)`; it decides which
    half-year is summer where both are equally warm. ValueError where the first axis does not
    have twelve months.
    """
    warmth, water = np.asarray(ta, np.float32), np.asarray(p, np.float32)
    if warmth.shape != water.shape or warmth.shape[:1] != (12,):
        raise ValueError(
            f"expected temperature and rain of shape (12, ...), found {warmth.shape} and "
            f"{water.shape}; give twelve monthly values on the first axis"
        )
    rain = _by_half_year(warmth, water, np.asarray(lat, np.float32))
    cold, hot = warmth.min(axis=0), warmth.max(axis=0)
    codes = np.where(
        _is_dry(warmth, rain, 10.0),
        _dry(warmth, rain),
        np.select(
            [cold >= 18.0, hot <= 10.0, cold > 0.0],
            [_tropical(water), _polar(hot), _temperate(warmth, rain)],
            _cold(warmth, rain),
        ),
    )
    known = ~np.isnan(warmth).any(axis=0) & ~np.isnan(water).any(axis=0)
    return np.where(known, codes, 0).astype(np.uint8)


def _by_half_year(ta: Floats, p: Floats, lat: Floats) -> _Rain:
    """Split the months; summer is the warmer of April to September and October to March."""
    april = np.zeros(12, bool)
    april[_APRIL_TO_SEPTEMBER] = True
    lead = ta[april].mean(axis=0) - ta[~april].mean(axis=0)
    boreal = np.where(lead == 0.0, lat >= 0.0, lead > 0.0)
    return _Rain(np.where(boreal, p[april], p[~april]), np.where(boreal, p[~april], p[april]))


def _is_dry(ta: Floats, rain: _Rain, factor: float) -> Bools:
    """True where annual rain is below `factor` times the dryness threshold (10 arid, 5 desert)."""
    summer, winter = rain.summer.sum(axis=0), rain.winter.sum(axis=0)
    total = summer + winter
    bonus = np.select([winter > 0.7 * total, summer > 0.7 * total], [0.0, 28.0], 14.0)
    return np.asarray(total < factor * (2.0 * ta.mean(axis=0) + bonus))


def _dry(ta: Floats, rain: _Rain) -> Codes:
    """BWh BWk BSh BSk."""
    steppe = ~_is_dry(ta, rain, 5.0)
    return _code("B", 2 * steppe + (ta.mean(axis=0) < 18.0))


def _tropical(p: Floats) -> Codes:
    """Af Am Aw."""
    driest = p.min(axis=0)
    monsoon = driest >= 100.0 - p.sum(axis=0) / 25.0
    return _code("A", np.select([driest >= 60.0, monsoon], [0, 1], 2))


def _temperate(ta: Floats, rain: _Rain) -> Codes:
    """Csa Csb Csc Cwa ... Cfc."""
    heat = np.select([_hot_summer(ta), _long_summer(ta)], [0, 1], 2)
    return _code("C", 3 * _season(rain) + heat)


def _cold(ta: Floats, rain: _Rain) -> Codes:
    """Dsa Dsb Dsc Dsd Dwa ... Dfd."""
    severe = ta.min(axis=0) < -38.0
    heat = np.select([_hot_summer(ta), _long_summer(ta), severe], [0, 1, 3], 2)
    return _code("D", 4 * _season(rain) + heat)


def _polar(hot: Floats) -> Codes:
    """ET EF."""
    return _code("E", hot <= 0.0)


def _hot_summer(ta: Floats) -> Bools:
    return np.asarray(ta.max(axis=0) >= 22.0)


def _long_summer(ta: Floats) -> Bools:
    return np.asarray((ta >= 10.0).sum(axis=0) >= 4)


def _season(rain: _Rain) -> NDArray[np.int64]:
    """0 dry summer, 1 dry winter, 2 neither."""
    driest = rain.summer.min(axis=0)
    dry_summer = (driest < 40.0) & (driest < rain.winter.max(axis=0) / 3.0)
    dry_winter = rain.winter.min(axis=0) < rain.summer.max(axis=0) / 10.0
    wet_winter = rain.winter.sum(axis=0) >= rain.summer.sum(axis=0)
    return np.select(
        [dry_summer & dry_winter & wet_winter, dry_winter, dry_summer], [0, 1, 0], 2
    ).astype(np.int64)


def _code(main: str, place: ArrayLike) -> Codes:
    """Code of the class at position `place` (0 for the first) within main group `main`."""
    return (np.asarray(place) + _FIRST[main]).astype(np.uint8)
