"""What the counts of the values say: one check for each kind of fault, and its remedy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from upscale.calendar import date_of
from upscale.checks.report import Check, repair, verdict
from upscale.checks.scan import SEASONAL_LATITUDE
from upscale.checks.tally import Tally
from upscale.product.layout import FluxLayout

#: The largest daily GPP of any cube with vegetation exceeds this many g m-2 d-1.
LEAST_PEAK = 0.05
#: From this many values on a day at best, a day without any is a fault of the whole cube.
MANY_CELLS = 100
_DRIVERS = "look at the drivers there, then "

#: Name of a check, what it counts, and what to think of before the command that mends it.
_COUNTED: tuple[tuple[str, str, str], ...] = (
    ("readable", "arrays that cannot be read", ""),
    ("finite", "infinite values", f"the model or a sum overflowed: {_DRIVERS}"),
    ("reasons", "values without a reason to be missing, or missing without one", ""),
    ("range", "values that are not possible", f"the unit may be wrong: {_DRIVERS}"),
    ("nonnegative", "negative GPP or RECO", ""),
    ("spread", "spreads that are negative, missing, without a value, or beyond any ensemble", ""),
    ("members", "spreads of days unlike those of the sums of the members", ""),
    ("zeros", "exact zeros that no ensemble gives", ""),
    ("land", "values in cells without land", ""),
    ("ground", "cells whose reasons are not those of the static layers", ""),
    ("classes", "classes beyond the legend, or unlike their quality bits", ""),
    ("bits", "quality bits that cannot be together", ""),
    ("filled_share", "filled shares that do not match values or bits", ""),
    ("sums", "sums of members unlike the sums of daily means", ""),
    ("turned", "work items whose NEE goes against RECO - GPP", ""),
    ("repeats", "values of days that are another day once more", _DRIVERS),
    ("lines", "cells of rows or columns that are lost, or there twice", _DRIVERS),
    ("seams", "work items that do not fit to their neighbours", _DRIVERS),
)

_LIMITS = "applicability", "indices without fluxes, or unlike their quality bits", ""
_PRODUCED = "produced", "values of the domain not computed", ""


def conclude(tally: Tally, store: str, layout: FluxLayout, finished: bool = True) -> list[Check]:
    """The checks of the values that a tally has counted."""
    rows = [*_COUNTED]
    rows += [_LIMITS] if "steps" in tally.moments else []
    rows += [_PRODUCED] if finished else []
    checks = [_counted(tally, store, *row) for row in rows]
    rules: tuple[Callable[[Tally, str], Check], ...] = (_scale, _sign, _seasons)
    return [*checks, _days(tally, store, layout), *(each(tally, store) for each in rules)]


def _counted(tally: Tally, store: str, name: str, what: str, before: str) -> Check:
    count = tally.faults.get(name, 0)
    found = f"{count} {what}" + (f" ({tally.places[name]})" if count else "")
    items = tuple(sorted(tally.items.get(name, ())))
    return Check(name, count == 0, found, before + repair(store), items=items)


def _days(tally: Tally, store: str, layout: FluxLayout) -> Check:
    """A day that is missing everywhere while others are there."""
    most = int(tally.per_day.max(initial=0))
    empty = np.flatnonzero(tally.per_day == 0)
    found = f"{len(empty)} of {len(tally.per_day)} days have no value, the others up to {most}"
    if len(empty):
        found += f"; the first is {date_of(layout.first + int(empty[0]))}"
    passed = not (len(empty) and most >= MANY_CELLS)
    return Check("days", passed, found, f"look at the drivers of that day, then {repair(store)}")


def _then(store: str) -> str:
    return f"Find out, then {repair(store)}"


def _scale(tally: Tally, store: str) -> Check:
    """Numbers in kg m-2 s-1 under a label of g m-2 d-1 are 1e8 times too small."""
    peak = tally.extremes.get("gpp", (math.nan, math.nan))[1]
    passed = math.isnan(peak) or peak > LEAST_PEAK
    found = f"the largest daily GPP is {peak:.3g} g m-2 d-1"
    return Check(
        "scale", passed, found, f"too small for g m-2 d-1: were the units converted? {_then(store)}"
    )


def _sign(tally: Tally, store: str) -> Check:
    """NEE must rise and fall with RECO - GPP, not against it."""
    figures = _closure(tally)
    r = figures["closure_cosine"]
    found = (
        f"NEE and RECO - GPP go together with r = {r:.2f}; residual {figures['closure_mean']:.3f}"
        f" +- {figures['closure_rms']:.3f} g m-2 d-1"
    )
    remedy = f"NEE must go with RECO - GPP, positive = release; is the sign turned? {_then(store)}"
    return Check("sign", not r <= 0, found, remedy)


def _closure(tally: Tally) -> dict[str, float]:
    """Mean and size of NEE - (RECO - GPP), and the cosine between NEE and RECO - GPP."""
    sums = tally.moments
    n = sums.get("n", 0)
    if not n:
        return dict.fromkeys(("closure_mean", "closure_rms", "closure_cosine"), math.nan)
    size = math.sqrt(sums["nee2"] * sums["balance2"])
    return {
        "closure_mean": sums["residual"] / n,
        "closure_rms": math.sqrt(sums["residual2"] / n),
        "closure_cosine": sums["nee_balance"] / size if size else math.nan,
    }


def _seasons(tally: Tally, store: str) -> Check:
    """GPP poleward of 45 degrees is larger in the local summer; in a mirrored field it is not."""
    faults, seen = [], []
    for side in ("north", "south"):
        summer, winter = (_season(tally, side, season) for season in ("summer", "winter"))
        if math.isnan(summer) or math.isnan(winter):
            continue
        seen.append(f"{side} {summer:.2f} in summer, {winter:.2f} in winter")
        if summer <= winter:
            faults.append(f"{side}: GPP {summer:.2f} in summer, {winter:.2f} in winter")
    good = "; ".join(seen) or f"no data of both half-years poleward of {SEASONAL_LATITUDE:g}"
    return verdict(
        "seasons", faults, good, f"is the field mirrored, or the calendar shifted? {_then(store)}"
    )


def _season(tally: Tally, side: str, season: str) -> float:
    n = tally.moments.get(f"{side} {season} n", 0)
    return tally.moments[f"{side} {season} gpp"] / n if n else math.nan


def figures_of(tally: Tally) -> dict[str, float]:
    figures: dict[str, float] = {"values": float(tally.values)}
    for name, (low, high) in tally.extremes.items():
        figures |= {f"{name}_min": low, f"{name}_max": high}
    return figures | _closure(tally)
