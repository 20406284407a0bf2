"""The numeric gate of a flux cube: checks that validators of metadata do not make.

compliance-checker and cfchecks notice neither a flipped NEE, nor a mirrored field, nor a day
of NaN, nor km2 labelled m2. Every check here has a name, says what it found, and what to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from upscale.calendar import TIME_UNITS
from upscale.checks.tally import SEASONAL_LATITUDE, Tally, empty_tally, scan
from upscale.grid import cell_areas
from upscale.product.quality import FILL
from upscale.product.reader import FluxCube, cells_of, occupied, open_flux_cube
from upscale.product.uncertainty import STEP_ARRAYS
from upscale.variables import FLUXES, variable

#: The largest daily GPP of any cube with vegetation exceeds this many g m-2 d-1.
LEAST_PEAK = 0.05
#: From this many values on a day at best, a day without any is a fault of the whole cube.
MANY_CELLS = 100


@dataclass(frozen=True)
class Check:
    """One named check: `found` in words, `remedy` where it failed."""

    name: str
    passed: bool
    found: str
    remedy: str = ""
    waived: bool = False

    def describe(self) -> str:
        """One line for people."""
        state = "ok" if self.passed else ("waived" if self.waived else "FAILED")
        remedy = f"; {self.remedy}" if self.remedy and not self.passed else ""
        return f"{state:<7} {self.name}: {self.found}{remedy}"


@dataclass(frozen=True)
class CheckReport:
    """All checks of one flux cube, and figures of its values."""

    store: str
    checks: tuple[Check, ...]
    figures: dict[str, float]

    @property
    def passed(self) -> bool:
        """True where every check passed or was waived by name."""
        return not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """Names of the checks that failed and were not waived."""
        return tuple(c.name for c in self.checks if not c.passed and not c.waived)

    def describe(self) -> str:
        """One line per check."""
        return "\n".join(check.describe() for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a report in JSON; NaN becomes None."""
        figures = {k: v if math.isfinite(v) else None for k, v in self.figures.items()}
        checks = [asdict(check) for check in self.checks]
        return {"store": self.store, "passed": self.passed, "checks": checks, "figures": figures}


def check_cube(store: str, *, finished: bool = True, waive: Collection[str] = ()) -> CheckReport:
    """Check the metadata, then all values of a flux cube; memory: 100 x 100 cells of one block
    (0.3 GB).

    finished: every cell of the domain must have been computed; waive: names of checks that
    may fail. Values are not looked at where the arrays do not have the shape of the layout.
    """
    cube = open_flux_cube(store)
    checks = list(check_metadata(cube))
    tally = empty_tally(cube.layout)
    if _shapes(cube).passed:
        checks += [_areas(cube), _land_shares(cube)]
        for cells, block in pieces(cube):
            tally = tally.merge(scan(cube, cells, block))
        checks += conclude(tally, finished)
    return report(cube, checks, tally, waive)


def pieces(cube: FluxCube) -> Iterator[tuple[Any, int]]:
    """All rectangles of cells and blocks that `scan` takes, in the order of the store."""
    for cells in occupied(cube, cube.span(100)):
        for block in range(cube.layout.blocks):
            yield cells, block


def report(
    cube: FluxCube, checks: Iterable[Check], tally: Tally, waive: Collection[str] = ()
) -> CheckReport:
    """Gather checks into a report."""
    marked = (Check(c.name, c.passed, c.found, c.remedy, c.name in waive) for c in checks)
    return CheckReport(cube.url, tuple(marked), _figures(tally))


def check_metadata(cube: FluxCube) -> Iterator[Check]:
    """Checks of shapes, axes, labels and attributes: no flux is read."""
    yield _shapes(cube)
    yield _axes(cube)
    yield _bounds(cube)
    yield _units(cube)
    yield _fill_values(cube)
    yield _labels(cube)
    yield _provenance(cube)


def _daily_names() -> tuple[str, ...]:
    return (*FLUXES, *(f"{flux}_sd" for flux in FLUXES), "quality", "filled_share")


def _step_names(cube: FluxCube) -> tuple[str, ...]:
    """Arrays on the step axis; not every model has an index in the space of embeddings."""
    embedding = "extrapolation_embedding"
    return tuple(name for name in STEP_ARRAYS if name != embedding or cube.has(name))


def _verdict(name: str, faults: Iterable[str], good: str, remedy: str) -> Check:
    listed = list(faults)
    return Check(name, not listed, "; ".join(listed[:3]) if listed else good, remedy)


def _shapes(cube: FluxCube) -> Check:
    """Every array is there, in the shape that the layout gives it."""
    grid, layout = cube.grid.shape, cube.layout
    wanted: dict[str, tuple[int, ...]] = dict.fromkeys(_daily_names(), (layout.count, *grid))
    wanted |= dict.fromkeys(("areacella", "sftlf", "igbp", "koppen"), grid)
    wanted |= {"time": (layout.count,), "lat": grid[:1], "lon": grid[1:]}
    wanted |= {"time_bnds": (layout.count, 2), "lat_bnds": (grid[0], 2), "lon_bnds": (grid[1], 2)}
    if cube.has_sums:
        segments = len(layout.segments)
        wanted |= {f"{flux}_member": (layout.members, segments, *grid) for flux in FLUXES}
        wanted["segment_days"] = (segments, *grid)
    if cube.has_steps:
        steps = len(layout.step_bounds)
        wanted |= {"step": (steps,), "step_bnds": (steps, 2)}
        wanted |= dict.fromkeys(_step_names(cube), (steps, *grid))
    there = {n: tuple(cube.array(n).shape) if cube.has(n) else None for n in wanted}
    faults = (f"{n} is {there[n]}, expected {s}" for n, s in wanted.items() if there[n] != s)
    good = f"{len(wanted)} arrays as the layout says"
    return _verdict("shapes", faults, good, "rows, columns or arrays are missing; run again")


def _axes(cube: FluxCube) -> Check:
    layout, grid = cube.layout, cube.grid
    time = layout.first + np.arange(layout.count)
    wanted: dict[str, Any] = {"time": time, "lat": grid.lat, "lon": grid.lon}
    wanted |= {"step": layout.step_bounds[:, 0]} if cube.has_steps else {}
    faults = [f"{name} is not the axis of the layout" for name in _unlike(cube, wanted)]
    if cube.has("lat") and (np.diff(np.asarray(cube.array("lat")[...])) >= 0).any():
        faults.append("lat does not descend")
    good = f"{layout.describe()}, north to south"
    return _verdict("axes", faults, good, "the coordinates were changed; create the store again")


def _bounds(cube: FluxCube) -> Check:
    """The bounds of every axis are those of the layout."""
    layout, grid = cube.layout, cube.grid
    time = layout.first + np.arange(layout.count)
    wanted: dict[str, Any] = {
        "time_bnds": np.stack([time, time + 1], 1),
        "lat_bnds": grid.lat_bounds,
        "lon_bnds": grid.lon_bounds,
    }
    wanted |= {"step_bnds": layout.step_bounds} if cube.has_steps else {}
    faults = (f"{name} does not enclose its cells" for name in _unlike(cube, wanted))
    return _verdict("bounds", faults, "days and cells touch, none overlap", "write them again")


def _unlike(cube: FluxCube, wanted: dict[str, np.ndarray[Any, Any]]) -> Iterator[str]:
    for name, values in wanted.items():
        found = np.asarray(cube.array(name)[...]) if cube.has(name) else np.empty(0)
        if found.shape != values.shape or not np.allclose(found, values, rtol=0, atol=1e-7):
            yield name


def _units(cube: FluxCube) -> Check:
    """Every unit is the one in the table of variables."""
    names = (*FLUXES, *(f"{flux}_sd" for flux in FLUXES), "areacella", "sftlf")
    wanted = {name: variable(name).units for name in names} | {"time": TIME_UNITS}
    if cube.has_sums:
        wanted |= {f"{flux}_member": "g m-2" for flux in FLUXES}
    faults = (
        f"{name} says {_attribute(cube, name, 'units')!r}, expected {units!r}"
        for name, units in wanted.items()
        if _attribute(cube, name, "units") != units
    )
    remedy = "numbers and label must agree: find out which is wrong before anyone reads them"
    return _verdict("units", faults, "every label as in the table of variables", remedy)


def _attribute(cube: FluxCube, name: str, key: str) -> Any:
    return cube.array(name).attrs.get(key) if cube.has(name) else None


def _fill_values(cube: FluxCube) -> Check:
    """What was never written must read as missing, never as zero or as good."""
    wanted: dict[str, float] = dict.fromkeys(_daily_names(), math.nan)
    wanted |= {"quality": FILL, "filled_share": 255}
    wanted |= {name: fill for name, (_, fill) in STEP_ARRAYS.items()}
    found = {n: float(cube.array(n).fill_value) for n in wanted if cube.has(n)}
    faults = (
        f"{name} fills with {value}, expected {wanted[name]}"
        for name, value in found.items()
        if not (value == wanted[name] or (math.isnan(value) and math.isnan(wanted[name])))
    )
    return _verdict("fill_values", faults, "what is not written reads as missing", "create again")


def _labels(cube: FluxCube) -> Check:
    faults = []
    if "positive = release" not in str(_attribute(cube, "nee", "comment")):
        faults.append("nee does not say its sign")
    if cube.synthetic and "synthetic" not in str(cube.attributes.get("title", "")).lower():
        faults.append("the title does not say that the planet is synthetic")
    for flux in FLUXES:
        if "where land" not in str(_attribute(cube, flux, "cell_methods")):
            faults.append(f"{flux} does not say that it is per area of land")
    return _verdict("labels", faults, "sign, reference area and planet are said", "set them")


def _provenance(cube: FluxCube) -> Check:
    kinds = ("model_", "driver")
    faults = [
        f"no global attribute {kind}*"
        for kind in kinds
        if not any(name.startswith(kind) for name in cube.attributes)
    ]
    return _verdict("provenance", faults, "model and drivers are named", "set them at creation")


def _areas(cube: FluxCube) -> Check:
    areas = cell_areas(cube.grid)
    worst = 0.0
    for cells in cells_of(cube.grid, cube.span(400)):
        found = cube.layer("areacella", cells).astype(np.float64)
        error = np.abs(found / areas[cells.rows, None] - 1).max()
        worst = max(worst, float(error) if np.isfinite(error) else math.inf)
    found_text = f"areacella is off by {worst:.2g} at most, relative to the sphere"
    return Check("areas", worst < 1e-5, found_text, "write m2 of the cells of the layout's grid")


def _land_shares(cube: FluxCube) -> Check:
    low, high = math.inf, -math.inf
    for cells in cells_of(cube.grid, cube.span(400)):
        share = cube.layer("sftlf", cells)
        if np.isfinite(share).any():
            low, high = min(low, float(np.nanmin(share))), max(high, float(np.nanmax(share)))
    passed = low >= 0 and 1 < high <= 100
    found = f"sftlf from {low:g} to {high:g} %" if high >= low else "sftlf is missing everywhere"
    return Check("land_shares", passed, found, "expected a share in per cent, 0 to 100")


_COUNTED: tuple[tuple[str, str, str], ...] = (
    ("finite", "infinite values", "the model or a sum overflowed: look at the drivers there"),
    ("reasons", "values without a reason to be missing, or missing without one",
     "run the item again: value and quality were not written together"),
    ("range", "values that are not possible", "look at units and drivers there"),
    ("nonnegative", "negative GPP or RECO", "members must be clipped before they are averaged"),
    ("spread", "spreads that are negative, missing, or without a value", "run the item again"),
    ("land", "values in cells without land", "the land mask and the fluxes do not match"),
    ("water", "cells with land called water", "the land mask and the quality do not match"),
    ("filled_share", "filled shares that do not match the values", "run the item again"),
    ("sums", "sums of members unlike the sums of daily means",
     "run the item again: totals would not agree with the maps"),
)  # fmt: skip


_LIMITS = (
    "applicability", "indices without fluxes, or unlike their quality bits",
    "run the item again: indices and quality were not written together",
)  # fmt: skip


def conclude(tally: Tally, finished: bool = True) -> list[Check]:
    """The checks of the values that a tally has counted."""
    checks = [_counted(tally, *row) for row in _COUNTED]
    if "steps" in tally.moments:
        checks.append(_counted(tally, *_LIMITS))
    if finished:
        row = ("produced", "values of the domain not computed", "`upscale run` goes on there")
        checks.append(_counted(tally, *row))
    rules: tuple[Callable[[Tally], Check], ...] = (_days, _scale, _sign, _seasons)
    return checks + [each(tally) for each in rules]


def _counted(tally: Tally, name: str, what: str, remedy: str) -> Check:
    count = tally.faults.get(name, 0)
    found = f"{count} {what}" + (f" ({tally.places[name]})" if count else "")
    return Check(name, count == 0, found, remedy)


def _days(tally: Tally) -> Check:
    """A day that is missing everywhere while others are there."""
    most = int(tally.per_day.max(initial=0))
    empty = np.flatnonzero(tally.per_day == 0)
    found = f"{len(empty)} of {len(tally.per_day)} days have no value, the others up to {most}"
    if len(empty):
        found += f"; the first is day {int(empty[0])} of the cube"
    passed = not (len(empty) and most >= MANY_CELLS)
    return Check("days", passed, found, "look at the drivers of that day")


def _scale(tally: Tally) -> Check:
    """Numbers in kg m-2 s-1 under a label of g m-2 d-1 are 1e8 times too small."""
    peak = tally.extremes.get("gpp", (math.nan, math.nan))[1]
    passed = math.isnan(peak) or peak > LEAST_PEAK
    found = f"the largest daily GPP is {peak:.3g} g m-2 d-1"
    return Check("scale", passed, found, "too small for g m-2 d-1: were the units converted?")


def _sign(tally: Tally) -> Check:
    """NEE must rise and fall with RECO - GPP, not against it."""
    figures = _closure(tally)
    r = figures["closure_cosine"]
    found = (
        f"NEE and RECO - GPP go together with r = {r:.2f}; residual {figures['closure_mean']:.3f}"
        f" +- {figures['closure_rms']:.3f} g m-2 d-1"
    )
    remedy = "expected NEE = RECO - GPP, positive = release; is the sign turned?"
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


def _seasons(tally: Tally) -> Check:
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
    return _verdict("seasons", faults, good, "is the field mirrored, or the calendar shifted?")


def _season(tally: Tally, side: str, season: str) -> float:
    n = tally.moments.get(f"{side} {season} n", 0)
    return tally.moments[f"{side} {season} gpp"] / n if n else math.nan


def _figures(tally: Tally) -> dict[str, float]:
    figures: dict[str, float] = {"values": float(tally.values)}
    for name, (low, high) in tally.extremes.items():
        figures |= {f"{name}_min": low, f"{name}_max": high}
    return figures | _closure(tally)
