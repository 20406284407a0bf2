"""The season of a tower against that of the sun at its latitude.

First harmonic of the year, fitted by least squares to all days; only beyond 30 degrees, because
nearer to the equator clouds and rain make the season. In brackets: what the real towers have.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from upscale.calendar import day_of_year, length_of_year, years_of
from upscale.grid.astronomy import potential_radiation
from upscale.towers.screening.finding import (
    LONG,
    Finding,
    Floats,
    Verdict,
    correlation,
    possible,
)
from upscale.towers.tower import Tower

#: Latitude from which the sun makes the season.
_SEASONAL = 30.0

#: Days by which the season of a record follows the sun: usual, and still possible.
#: [SW_IN -17 to 10, in a single year -38 to 21; TA 19 to 60, in a single year 10 to 66]
_USUAL = {"sw_in": (-30, 30), "ta": (0, 80)}
_POSSIBLE = {"sw_in": (-60, 60), "ta": (-30, 110)}


def season(tower: Tower) -> Iterator[Finding]:
    """Days by which SW_IN and TA follow the sun, over the whole record and in each year."""
    if not _SEASONAL <= abs(tower.lat) <= 90:
        return
    for name in ("sw_in", "ta"):
        lags = lags_behind_the_sun(tower, possible(tower, name))
        whole = lags.pop(0)
        if found := _verdict(name, whole):
            what = "the sign of the latitude, or the dates?"
            text = f"{name.upper()} {_lag_text(whole)} at latitude {tower.lat:g}: {what}"
            yield Finding(tower.site, name, "season", found, text, {"lag_days": whole})
            continue
        for year, lag in lags.items():
            if found := _verdict(name, lag):
                text = f"{name.upper()} of {year} {_lag_text(lag)}: are its dates right?"
                numbers = {"lag_days": lag, "year": float(year)}
                yield Finding(tower.site, name, "season", found, text, numbers)


def latitude(tower: Tower) -> Iterator[Finding]:
    """SW_IN that fits another latitude: that of the longitude, or of the other hemisphere."""
    sun = possible(tower, "sw_in")
    own = _fit(tower, sun, tower.lat)
    others = {"lat and lon are swapped": tower.lon, "the sign of lat is wrong": -tower.lat}
    fits = {what: _fit(tower, sun, lat) for what, lat in others.items() if abs(lat) <= 90}
    if not fits or np.isfinite(sun).sum() < LONG:
        return
    what = max(fits, key=lambda name: fits[name])
    if fits[what] > 0.8 and fits[what] > own + 0.15:  # [own: less than any other by 0.05]
        text = (
            f"SW_IN follows the sun of latitude {others[what]:.2f} (r {fits[what]:.2f}) and not of "
            f"{tower.lat:.2f} (r {own:.2f}): perhaps {what}"
        )
        numbers = {"r": own, "r_other": fits[what]}
        yield Finding(tower.site, "sw_in", "latitude", "suspect", text, numbers)


def lags_behind_the_sun(tower: Tower, values: Floats) -> dict[int, float]:
    """Days by which the season of `values (day,)` follows potential radiation, -182 to 182.

    By year, and of the whole record under 0. NaN where there are fewer than 300 days, or no season
    to speak of.
    """
    sun = potential_radiation([tower.lat], tower.days)[0].astype(np.float64)
    angle = 2 * np.pi * (day_of_year(tower.days) - 0.5) / length_of_year(tower.days)
    waves = np.column_stack([np.ones(angle.size), np.cos(angle), np.sin(angle)])
    years, there = years_of(tower.days), np.isfinite(values)
    lags = {0: _lag(values[there], sun[there], waves[there])}
    for year in np.unique(years):
        days = there & (years == year)
        lags[int(year)] = _lag(values[days], sun[days], waves[days])
    return lags


def _lag(values: Floats, sun: Floats, waves: Floats) -> float:
    """Days from the maximum of the first harmonic of the sun to that of the values."""
    if values.size < LONG or np.ptp(values) == 0:
        return float("nan")
    both = np.column_stack([values, sun])
    fit, *_ = np.linalg.lstsq(waves, both, rcond=None)
    if np.var(waves @ fit[:, 0]) < 0.3 * np.var(values):
        return float("nan")
    phase, noon = np.arctan2(fit[2], fit[1]) * 365 / (2 * np.pi)
    return float((phase - noon + 182.5) % 365 - 182.5)


def _verdict(name: str, lag: float) -> Verdict | None:
    low, high = _USUAL[name]
    least, most = _POSSIBLE[name]
    if not np.isfinite(lag) or low <= lag <= high:
        return None
    return "suspect" if least <= lag <= most else "certain"


def _lag_text(lag: float) -> str:
    return f"{'follows' if lag > 0 else 'is ahead of'} the sun by {abs(lag):.0f} days"


def _fit(tower: Tower, values: Floats, lat: float) -> float:
    if abs(lat) > 90:
        return -1.0
    sun = potential_radiation([lat], tower.days)[0].astype(np.float64)
    return correlation(values, sun)
