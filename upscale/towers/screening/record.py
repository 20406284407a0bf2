"""Days and places of a record: missing codes, constant and repeated stretches, coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import dates_of, day_of_year, length_of_year, years_of
from upscale.towers.screening.finding import POSSIBLE, Finding, Floats, possible, series
from upscale.towers.tower import DRIVERS, Tower
from upscale.variables import FLUXES

_NAMES = (*DRIVERS, *FLUXES)

#: Numbers that stand for "missing" in tables, besides -9999, which the readers know.
CODES = (-6999.0, -999.9, -999.0, -99.9, -99.0, 999.0, 999.9, 6999.0, 9999.0, 99999.0)

#: A number of this size is a fill value (1e20, 9.97e36).
_FILL = 1e5

#: Equal days in a row that are still usual. [drivers 8, fluxes 24 at most]
_STRETCH = {**dict.fromkeys(DRIVERS, 7), **dict.fromkeys(FLUXES, 15)}


def missing_code(tower: Tower) -> Iterator[Finding]:
    """Codes for missing values that were taken for values."""
    for name in _NAMES:
        values = _impossible(tower, name)
        codes = [code for code in CODES if np.isclose(values, code).any()]
        codes += (
            [float(values[np.argmax(np.abs(values))])] if (np.abs(values) > _FILL).any() else []
        )
        if codes:
            count = int(sum(np.isclose(values, code).sum() for code in codes))
            text = (
                f"{name.upper()} is {', '.join(f'{code:g}' for code in codes)} on {count} days: "
                "a code for missing values? write null or -9999"
            )
            yield Finding(tower.site, name, "missing_code", "certain", text, {"days": float(count)})


def impossible(tower: Tower) -> Iterator[Finding]:
    """Values beyond what is possible on Earth that are no code for missing values."""
    for name in _NAMES:
        values = _impossible(tower, name)
        values = values[(np.abs(values) <= _FILL) & ~np.isclose(values[:, None], CODES).any(axis=1)]
        if values.size:
            one, (least, most) = series(tower, name), POSSIBLE[name]
            text = (
                f"{one.label} lies outside of {least:g} to {most:g} {one.units} on {values.size} "
                f"days, such as {values[0]:.4g}"
            )
            numbers = {"days": float(values.size), "least": values.min(), "most": values.max()}
            yield Finding(tower.site, name, "impossible", "suspect", text, numbers)


def constant(tower: Tower) -> Iterator[Finding]:
    """The same value, other than zero, on many days in a row."""
    for name, most in _STRETCH.items():
        length, first = _longest_run(possible(tower, name))
        if length >= most:
            value, date = possible(tower, name)[first], dates_of(tower.days)[first]
            text = f"{name.upper()} is {value:.4g} on {length} days in a row from {date} on"
            yield Finding(tower.site, name, "constant", "suspect", text, {"days": float(length)})


def repeated_year(tower: Tower) -> Iterator[Finding]:
    """Two years with the same values on the same days."""
    years, place = years_of(tower.days), day_of_year(tower.days) - 1
    for name in ("ta", "sw_in", "nee", "gpp"):
        values = possible(tower, name)
        table = np.full((int(np.ptp(years)) + 1, 366), np.nan)
        table[years - years.min(), place] = values
        for one, other in _alike(table):
            share = _same(table[one], table[other])
            if share > 0.2:  # [0.02]
                both = f"{years.min() + one} and {years.min() + other}"
                text = f"{name.upper()} is the same in {both} on {share:.0%} of days: copied?"
                yield Finding(
                    tower.site, name, "repeated_year", "certain" if share > 0.9 else "suspect",
                    text, {"share": share},
                )  # fmt: skip


def repeated_days(tower: Tower) -> Iterator[Finding]:
    """Days that equal the day before in four variables or more."""
    table = np.column_stack([possible(tower, name) for name in _NAMES])
    same = (table[1:] == table[:-1]) & (table[1:] != 0)
    count = int((same.sum(axis=1) >= 4).sum())
    if count > 3:  # [1]
        first = dates_of(tower.days)[1 + int(np.argmax(same.sum(axis=1) >= 4))]
        text = f"{count} days equal the day before, the first of them {first}: copied?"
        yield Finding(tower.site, "", "repeated_days", "suspect", text, {"days": float(count)})


def leap_day(tower: Tower) -> Iterator[Finding]:
    """A record that has no 29 February at all."""
    leaps = np.flatnonzero((day_of_year(tower.days) == 60) & (length_of_year(tower.days) == 366))
    there: NDArray[np.bool_] = np.isfinite(np.c_[tower.drivers, tower.fluxes]).any(axis=1)
    leaps = leaps[(leaps > 0) & (leaps < there.size - 1)]
    inner = leaps[there[leaps - 1] & there[leaps + 1]]
    if inner.size and not there[inner].any():
        years = ", ".join(str(year) for year in years_of(tower.days[inner]))
        text = (
            f"no values on 29 February of {years}: of a calendar without leap days? compare dates"
        )
        yield Finding(tower.site, "", "leap_day", "suspect", text, {"leap_days": float(inner.size)})


def coordinates(tower: Tower) -> Iterator[Finding]:
    """Coordinates that are none, or stand for no place."""
    numbers = {"lat": tower.lat, "lon": tower.lon}
    at = f"lat {tower.lat:g}, lon {tower.lon:g}"
    if abs(tower.lat) > 90 or not -180 <= tower.lon <= 360:
        swapped = "; swapped?" if abs(tower.lon) <= 90 < abs(tower.lat) <= 180 else ""
        text = f"{at} are no coordinates in degrees{swapped}"
        yield Finding(tower.site, "", "coordinates", "certain", text, numbers)
    elif tower.lat == tower.lon == 0:
        text = f"{at} lie in the Gulf of Guinea: coordinates were not known?"
        yield Finding(tower.site, "", "coordinates", "certain", text, numbers)
    elif tower.lat == round(tower.lat) and tower.lon == round(tower.lon):
        text = f"{at} are whole degrees: a place within 80 km of the tower?"
        yield Finding(tower.site, "", "coordinates", "suspect", text, numbers)


def _impossible(tower: Tower, name: str) -> Floats:
    """The values of a variable that are there and impossible."""
    values = series(tower, name).values
    return values[np.isfinite(values) & np.isnan(possible(tower, name))]


def _longest_run(values: Floats) -> tuple[int, int]:
    """Length and first place of the longest run of one value other than zero."""
    same = np.r_[False, (values[1:] == values[:-1]) & (values[1:] != 0), False]
    edges = np.flatnonzero(np.diff(same.astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if not starts.size:
        return 1, 0
    longest = int(np.argmax(ends - starts))
    return int(ends[longest] - starts[longest]) + 1, int(starts[longest])


def _alike(table: Floats) -> list[tuple[int, int]]:
    """Pairs of years `(year, day)` that agree on a tenth of a sample of their days."""
    sample = np.ascontiguousarray(table[:, ::6])
    equal = (sample[:, None] == sample).mean(axis=2)
    return [pair for pair in combinations(range(len(table)), 2) if equal[pair] > 0.1]


def _same(one: Floats, other: Floats) -> float:
    """Share of the days of two years with one value, 0 where too few or too monotonous."""
    both: NDArray[np.bool_] = np.isfinite(one) & np.isfinite(other) & (one != 0)
    if both.sum() < 200 or len(np.unique(one[both])) < 50:
        return 0.0
    return float(np.mean(one[both] == other[both]))
