"""Checks of the metadata of a flux cube: shapes, axes, labels, legends. No flux is read.

compliance-checker and cfchecks notice neither km2 labelled m2 nor bounds that are shifted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from upscale.calendar import TIME_UNITS
from upscale.checks.piece import SPREADS, UNREADABLE
from upscale.checks.report import Check, repair, verdict
from upscale.grid import cell_areas
from upscale.product.cube import CELL_ATTRIBUTES, PER_LAND, extent_attributes
from upscale.product.quality import FILL, Quality
from upscale.product.reader import FluxCube, cells_of
from upscale.product.rounding import ALGORITHM, ROUNDED, ROUNDING, rounding_attributes
from upscale.product.uncertainty import STEP_ARRAYS
from upscale.stores.axes import AXES, crs_attributes
from upscale.stores.documents import gathered, read_documents, read_root
from upscale.variables import FLUXES, class_attributes, variable

LAYERS = ("areacella", "sftlf", "igbp", "koppen")
#: From so many cells with land on, one of them at least is more than this share of land, in %.
MANY_LAND, MOSTLY_LAND = 50, 60.0
#: Values of the longest axis, and of its bounds.
_MOST_AXIS = 4_000_000
_DIGEST = re.compile(r"[0-9a-f]{64}")


def check_metadata(cube: FluxCube) -> Iterator[Check]:
    """Checks of shapes, axes, labels and attributes."""
    documents = read_documents(cube.url)
    yield _shapes(cube)
    yield _arrays(cube, documents)
    yield _consolidated(cube, documents)
    yield _axes(cube)
    yield _bounds(cube)
    yield _units(cube)
    yield _fill_values(cube)
    yield _labels(cube)
    yield _reference(cube)
    yield _flags(cube)
    yield _provenance(cube)


def check_layers(cube: FluxCube) -> Iterator[Check]:
    """Checks of the static layers, which all others need: they can be read, and say what they
    should."""
    faults = list(_unreadable_layers(cube))
    good = f"{len(LAYERS)} layers can be read"
    yield verdict("layers", faults, good, repair(cube.url))
    if not faults:
        yield _areas(cube)
        yield _land_shares(cube)


def _unreadable_layers(cube: FluxCube) -> Iterator[str]:
    for name in LAYERS:
        for cells in cells_of(cube.grid, cube.span(400)):
            try:
                cube.layer(name, cells)
            except UNREADABLE:
                lat, lon = cube.grid.lat[cells.rows], cube.grid.lon[cells.cols]
                yield f"{name} cannot be read at {lat[0]:g} to {lat[-1]:g} N, {lon[0]:g} to " + (
                    f"{lon[-1]:g} E"
                )


def expected_arrays(cube: FluxCube) -> set[str]:
    """Names of all arrays that the layout and the model of a cube give it."""
    names = {*item_arrays(cube), *LAYERS, *AXES}
    names |= {"segment", "segment_bnds", "member"} if cube.has_sums else set()
    names |= {ROUNDING} if cube.layout.keep_bits is not None else set()
    return names | ({"step", "step_bnds"} if cube.has_steps else set())


def item_arrays(cube: FluxCube) -> tuple[str, ...]:
    """Names of the arrays that work items write."""
    sums = (*(f"{flux}_member" for flux in FLUXES), "segment_days") if cube.has_sums else ()
    return (*_daily_names(), *sums, *(_step_names(cube) if cube.has_steps else ()))


def _arrays(cube: FluxCube, documents: dict[str, Any]) -> Check:
    """No array that nobody wrote on purpose: a reader would take it for a part of the product."""
    faults = [f"{name} is no array of a flux cube" for name in documents.keys() -
              expected_arrays(cube)]  # fmt: skip
    faults += [f"{name}: its metadata are no JSON" for name, d in documents.items() if d is None]
    return verdict("arrays", sorted(faults), "none but its own", "remove it, or its folder")


def _consolidated(cube: FluxCube, documents: dict[str, Any]) -> Check:
    """The metadata that are gathered in the root, which most readers take, are those of the
    arrays."""
    copies = gathered(read_root(cube.url))
    if copies is None:
        return Check("consolidated", True, "metadata are read array by array")
    names = sorted(copies.keys() | documents.keys())
    faults = (
        f"{name} is another one in the root than in its folder"
        for name in names
        if copies.get(name) != documents.get(name)
    )
    good = f"{len(copies)} arrays are gathered in the root as they are"
    return verdict("consolidated", faults, good, repair(cube.url))


def _daily_names() -> tuple[str, ...]:
    return (*FLUXES, *SPREADS, "quality", "filled_share")


def _step_names(cube: FluxCube) -> tuple[str, ...]:
    """Arrays on the step axis; not every model has an index in the space of embeddings."""
    embedding = "extrapolation_embedding"
    return tuple(name for name in STEP_ARRAYS if name != embedding or cube.has(name))


def _shapes(cube: FluxCube) -> Check:
    """Every array is there, in the shape that the layout gives it."""
    grid, layout = cube.grid.shape, cube.layout
    wanted: dict[str, tuple[int, ...]] = dict.fromkeys(_daily_names(), (layout.count, *grid))
    wanted |= dict.fromkeys(LAYERS, grid)
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
    return verdict("shapes", faults, good, repair(cube.url))


def _axes(cube: FluxCube) -> Check:
    """The values of every axis are those of the layout."""
    layout, grid = cube.layout, cube.grid
    time = layout.first + np.arange(layout.count)
    wanted: dict[str, Any] = {"time": time, "lat": grid.lat, "lon": grid.lon}
    wanted |= {"step": layout.step_bounds[:, 0]} if cube.has_steps else {}
    if cube.has_sums:
        first = layout.segment_bounds[:, 0]
        wanted |= {"segment": first, "member": np.arange(layout.members)}
    faults = [f"{name} is not the axis of the layout" for name in _unlike(cube, wanted)]
    if (np.diff(_values(cube, "lat")) >= 0).any():
        faults.append("lat does not descend")
    good = f"{layout.describe()}, north to south"
    return verdict("axes", faults, good, repair(cube.url))


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
    if cube.has_sums:
        wanted |= {"segment_bnds": layout.segment_bounds}
    faults = (f"{name} does not enclose its cells" for name in _unlike(cube, wanted))
    return verdict("bounds", faults, "days and cells touch, none overlap", repair(cube.url))


def _unlike(cube: FluxCube, wanted: dict[str, np.ndarray[Any, Any]]) -> Iterator[str]:
    for name, values in wanted.items():
        found = _values(cube, name)
        if found.shape != values.shape or not np.allclose(found, values, rtol=0, atol=1e-7):
            yield name


def _values(cube: FluxCube, name: str) -> np.ndarray[Any, Any]:
    """The values of an axis; none where it is missing or cannot be read."""
    try:
        few = cube.has(name) and cube.array(name).size <= _MOST_AXIS
        return np.asarray(cube.array(name)[...]) if few else np.empty(0)
    except UNREADABLE:
        return np.empty(0)


def _units(cube: FluxCube) -> Check:
    """Every unit is the one in the table of variables."""
    names = (*FLUXES, *SPREADS, "areacella", "sftlf")
    wanted = {name: variable(name).units for name in names} | {"time": TIME_UNITS}
    if cube.has_sums:
        wanted |= {f"{flux}_member": "g m-2" for flux in FLUXES}
    faults = (
        f"{name} says {_attribute(cube, name, 'units')!r}, expected {units!r}"
        for name, units in wanted.items()
        if _attribute(cube, name, "units") != units
    )
    remedy = f"numbers and label must agree: find out which is wrong, then {repair(cube.url)}"
    return verdict("units", faults, "every label as in the table of variables", remedy)


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
    return verdict("fill_values", faults, "what is not written reads as missing", repair(cube.url))


def _labels(cube: FluxCube) -> Check:
    """The sign of NEE, the planet, and where and when the cube lies are said."""
    faults = []
    if "positive = release" not in str(_attribute(cube, "nee", "comment")):
        faults.append("nee does not say its sign")
    if cube.synthetic and "synthetic" not in str(cube.attributes.get("title", "")).lower():
        faults.append("the title does not say that the planet is synthetic")
    wanted = extent_attributes(cube.layout)
    faults += [
        f"{key} says {cube.attributes.get(key)!r}, expected {value!r}"
        for key, value in wanted.items()
        if key.startswith(("geospatial", "time_coverage")) and cube.attributes.get(key) != value
    ]
    return verdict("labels", faults, "sign, extent and planet are said", repair(cube.url))


def _reference(cube: FluxCube) -> Check:
    """Where cells lie, what their areas are, and what a value is a mean of."""
    wanted = {(name, "cell_methods"): PER_LAND for name in (*FLUXES, *SPREADS)}
    wanted |= {
        (name, key): value
        for name in ROUNDED
        for key, value in rounding_attributes(name, cube.layout.keep_bits).items()
    }
    wanted |= {(ROUNDING, key): value for key, value in ALGORITHM.items() if cube.has(ROUNDING)}
    wanted[("areacella", "cell_methods")] = "area: sum"
    wanted[("sftlf", "cell_methods")] = "area: mean"
    for name in (*item_arrays(cube), *LAYERS):
        for key, text in CELL_ATTRIBUTES.items():
            if name != "areacella" or key == "grid_mapping":
                wanted[(name, key)] = text
    mapping = crs_attributes()
    mapping.pop("crs_wkt")  # its words are those of a version of PROJ
    wanted |= {("crs", key): value for key, value in mapping.items()}
    faults = [
        f"{name} says {key} = {_attribute(cube, name, key)!r}, expected {value!r}"
        for (name, key), value in wanted.items()
        if cube.has(name) and _attribute(cube, name, key) != value
    ]
    if "WGS 84" not in str(_attribute(cube, "crs", "crs_wkt")):
        faults.append("crs: crs_wkt is not that of WGS 84")
    return verdict("reference", faults, "grid, areas and means are said", repair(cube.url))


def _flags(cube: FluxCube) -> Check:
    """Flags mean what they mean here; a store may list fewer bits than there are."""
    faults = []
    known = {flag.name.lower(): int(flag) for flag in Quality if flag.name}
    masks, meanings = (_attribute(cube, "quality", f"flag_{key}") for key in ("masks", "meanings"))
    said = dict(zip(str(meanings).split(), masks or (), strict=False))
    wrong = [name for name, mask in said.items() if known.get(name) != mask]
    if wrong or not said:
        faults.append(f"quality says {wrong[0] if wrong else 'no bit'}, with another mask")
    for name in ("igbp", "koppen"):
        legend = class_attributes(name)
        keys = ("flag_values", "flag_meanings")
        if any(_attribute(cube, name, key) != legend[key] for key in keys):
            faults.append(f"{name} has another legend")
    return verdict("flags", faults, "bits and classes as in the tables", repair(cube.url))


def _provenance(cube: FluxCube) -> Check:
    """Model and drivers are named, by digests that can be some."""
    kinds = ("model_", "driver")
    faults = [
        f"no global attribute {kind}*"
        for kind in kinds
        if not any(name.startswith(kind) for name in cube.attributes)
    ]
    faults += [
        f"{name} is {cube.attributes[name]!r}, expected 64 hexadecimal digits"
        for name in ("model_digest", "driver_digest", "run_digest")
        if name in cube.attributes and not _DIGEST.fullmatch(str(cube.attributes[name]))
    ]
    return verdict("provenance", faults, "model and drivers are named", repair(cube.url))


def _areas(cube: FluxCube) -> Check:
    areas = cell_areas(cube.grid)
    worst = 0.0
    for cells in cells_of(cube.grid, cube.span(400)):
        found = cube.layer("areacella", cells).astype(np.float64)
        error = np.abs(found / areas[cells.rows, None] - 1).max()
        worst = max(worst, float(error) if np.isfinite(error) else math.inf)
    found_text = f"areacella is off by {worst:.2g} at most, relative to the sphere"
    return Check("areas", worst < 1e-5, found_text, repair(cube.url))


def _land_shares(cube: FluxCube) -> Check:
    """Shares are per cent, and not all of them half of what they were."""
    low, high, land = math.inf, -math.inf, 0
    for cells in cells_of(cube.grid, cube.span(400)):
        share = cube.layer("sftlf", cells)
        if np.isfinite(share).any():
            low, high = min(low, float(np.nanmin(share))), max(high, float(np.nanmax(share)))
            land += int((share > 0).sum())
    passed = low >= 0 and 1 < high <= 100 and (land < MANY_LAND or high > MOSTLY_LAND)
    found = f"sftlf from {low:g} to {high:g} %" if high >= low else "sftlf is missing everywhere"
    remedy = "expected a share in per cent, 0 to 100, near 100 in the midst of land; "
    return Check("land_shares", passed, found, remedy + repair(cube.url))
