"""Two releases of one tower: the newer one is taken, and an older one only where that has no days.

Archives issue a tower again, with more years or mended data: FLUXNET2015 (`1-4`; the first number
is that of the data of the site), Warm Winter 2020 (`beta-3` under the name of FLUXNET2015),
JapanFlux2024, and the running FLUXNET products of AmeriFlux and ICOS (`4-6`, `v1.3_r1`, `L2`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from upscale.calendar import date_of, years_of
from upscale.towers.layouts.oneflux import Daily, DailyFile
from upscale.variables import FLUXES

#: Year of Warm Winter 2020, doi:10.18160/2G60-ZHAK, whose files bear the name of FLUXNET2015.
_WARM_WINTER = 2022

#: Later than every product that bears a year: the running ones are issued again and again.
_RUNNING = 9999


def newer_first(parts: Sequence[Daily]) -> tuple[list[Daily], str]:
    """The parts of one tower, newest release first, older ones cut to the days outside of it.

    The text says what was taken and what was not; it is empty where there is one release.
    """
    releases: dict[tuple[str, ...], list[Daily]] = {}
    for part in parts:
        if part.file.has_fluxes:
            releases.setdefault(_release(part.file), []).append(part)
    ranked = sorted(releases.values(), key=lambda release: _age(release), reverse=True)
    if len(ranked) < 2:
        return list(parts), ""
    (first, last), told = _span(ranked[0]), []
    kept = list(ranked[0])
    for release in ranked[1:]:
        older = [_outside(part, first, last) for part in release]
        days = max(int(part.days[list(FLUXES)].notna().all(axis=1).sum()) for part in older)
        told.append(f"{release[0].file.label}: {days} days" if days else release[0].file.label)
        kept += [part for part in older if len(part.days)]
        ends = _span(release)
        first, last = min(first, ends[0]), max(last, ends[1])
    start, end = _span(ranked[0])
    text = (
        f"{len(ranked)} releases: took the newest, {ranked[0][0].file.label}, from "
        f"{date_of(start)} to {date_of(end)}; of older ones only days outside of it "
        f"({'; '.join(told)})"
    )
    return [*kept, *(part for part in parts if not part.file.has_fluxes)], text


def _release(file: DailyFile) -> tuple[str, ...]:
    return file.network, file.product, file.version, file.years


def _age(release: Sequence[Daily]) -> tuple[bool, int, bool, list[int], int]:
    """Sorts releases by when they were issued; one without a single good day comes first."""
    file = release[0].file
    year = re.search(r"\d{4}$", file.product)
    issued = int(year[0]) if year else _RUNNING
    if file.version.lower().startswith("beta"):
        issued = _WARM_WINTER
    numbers = [int(number) for number in re.findall(r"\d+", file.version)]
    last = max(int(years_of(part.days.index.to_numpy()).max()) for part in release)
    good = any(part.good for part in release)
    return good, issued, file.version.lower().startswith("v"), numbers, last


def _span(release: Sequence[Daily]) -> tuple[int, int]:
    """First and last day with a flux of a release."""
    days = [
        part.days.index[part.days[list(FLUXES)].notna().any(axis=1).to_numpy()] for part in release
    ]
    days = [found for found in days if len(found)] or [part.days.index for part in release]
    return min(int(found.min()) for found in days), max(int(found.max()) for found in days)


def _outside(part: Daily, first: int, last: int) -> Daily:
    """The days of a part before `first` and after `last`."""
    index = part.days.index
    return replace(part, days=part.days[(index < first) | (index > last)])
