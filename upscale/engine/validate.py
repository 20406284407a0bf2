"""What is refused before any work: each fault names its key, what was found and the remedy."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from upscale.calendar import date_of
from upscale.drivers.cube import (
    UNSEALED,
    DriverCube,
    DriverError,
    UnsealedCubeWarning,
    open_cube,
)
from upscale.drivers.tiles import DERIVED, missing_features
from upscale.engine.config import Run
from upscale.engine.devices import visible_gpus
from upscale.engine.identity import Standing, standing_of
from upscale.engine.ledger import RunLedger
from upscale.engine.plan import RunJob, RunPlan, make_plan, product_grid
from upscale.engine.provenance import RESERVED, other_days
from upscale.engine.revisions import NO_REASON
from upscale.engine.work.uncertainty import margin_of, uncertainty_of
from upscale.jobs.cluster import TASKS_PER_WORKER, worker_memory
from upscale.jobs.compact import LedgerError
from upscale.jobs.ledger import store_name
from upscale.jobs.settings import ConfigError
from upscale.network.releases.release import Release, ReleaseError, load_release
from upscale.product.cube import layout_of, open_flux_group, was_begun
from upscale.product.quality import DTYPE
from upscale.product.size import PACKED, Domain, StoreSize, flux_cube_size
from upscale.stores.broken import refusing
from upscale.stores.location import is_empty, is_url
from upscale.variables import FLUXES

T = TypeVar("T")

#: Bytes that are written of a cell and day: fluxes and spreads, quality, share of filled days.
_DAY_BYTES = 2 * len(FLUXES) * 4 + np.dtype(DTYPE).itemsize + 1

#: Bytes of a worker process before it holds any tile.
_BASE = 700 * 2**20


@dataclass(frozen=True)
class Checked:
    """A run that may start."""

    run: Run
    release: Release
    cube: DriverCube
    plan: RunPlan
    standing: Standing
    warnings: tuple[str, ...]
    why: str = NO_REASON


def validate(run: Run, why: str = NO_REASON) -> Checked:
    """Check a run against its model, its drivers, its store and this machine.

    why: the reason of the revision that the run makes. Raises ConfigError with every fault that
    was found.
    """
    faults: list[str] = []
    release = _attempt(faults, "model", lambda: load_release(run.model))
    asked = run.cluster.device
    run = _where_it_computes(run, release)
    cube = _attempt(faults, "drivers", lambda: _open_quietly(run.drivers))
    if cube is not None:
        faults += _period_faults(run, cube) + _grid_faults(run, cube)
        faults += _years_faults(run, cube)
    faults += _attribute_faults(run) + _device_faults(run)
    if cube is not None and release is not None:
        faults += _feature_faults(release, cube)
    _raise(faults)
    assert release is not None
    assert cube is not None
    known = (ConfigError, DriverError, LedgerError)
    expected = "a store that can be continued, or none"
    with refusing(f"output.store: {run.output.store}", expected, ConfigError, passing=known):
        plan = make_plan(run, release, cube)
        _raise(store_faults(plan.job))
        standing = standing_of(plan, release, cube)
    _raise(_room_faults(plan, standing, release) + _memory_faults(run, plan, release))
    return Checked(run, release, cube, plan, standing, _warnings(release, cube, asked), why)


def _open_quietly(drivers: str) -> DriverCube:
    """The driver cube; that it is not sealed is one of the notes of a run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnsealedCubeWarning)
        return open_cube(drivers)


def _where_it_computes(run: Run, release: Release | None) -> Run:
    """The run as it is; on the CPU, with a worker for each core, where its model is of trees."""
    if release is None or not release.manifest.is_trees:
        return run
    cluster = run.cluster.model_copy(update={"device": "cpu"})
    return run.model_copy(update={"cluster": cluster})


def _raise(faults: list[str]) -> None:
    if faults:
        raise ConfigError("this run cannot succeed:\n" + "\n".join(f"  {f}" for f in faults))


def _attempt(faults: list[str], key: str, load: Callable[[], T]) -> T | None:
    try:
        return load()
    except (ReleaseError, DriverError) as error:
        faults.append(f"{key}: {error}")
        return None


def _period_faults(run: Run, cube: DriverCube) -> list[str]:
    first, last = run.period.first, run.period.first + run.period.count - 1
    if cube.first <= first and last <= cube.last:
        return []
    return [
        f"period: {run.period.start} to {run.period.end} is not covered by {run.drivers}, which "
        f"holds {date_of(cube.first)} to {date_of(cube.last)}; shorten the period or add drivers"
    ]


def _years_faults(run: Run, cube: DriverCube) -> list[str]:
    """Years of `context.years` that the driver cube does not hold."""
    years = run.context.years
    if years is None or years == "auto":
        return []
    held = range(date_of(cube.first).year, date_of(cube.last).year + 1)
    absent = [str(year) for year in years if year not in held]
    if not absent and years:
        return []
    return [
        f"context.years: {', '.join(absent) or 'no year'} not among the years of {run.drivers}, "
        f"{held[0]} to {held[-1]}; name years that it holds, or auto"
    ]


def _attribute_faults(run: Run) -> list[str]:
    taken = sorted(RESERVED & run.output.attributes.keys())
    return [f"output.attributes.{name}: written by the run itself; leave it out" for name in taken]


def _device_faults(run: Run) -> list[str]:
    if run.cluster.device != "cuda" or run.cluster.address or visible_gpus("cuda"):
        return []
    return ["cluster.device: cuda, but no GPU is visible here; use auto or cpu"]


def _grid_faults(run: Run, cube: DriverCube) -> list[str]:
    """Groups of the cube whose cells are not those of the product grid."""
    faults = []
    grid = product_grid(run, cube)
    for group in cube.series.values():
        needs_lattice = group.name == "satellite" or group.land is None
        if needs_lattice:
            try:
                group.grid.offset_of(grid)
            except ValueError as error:
                faults.append(f"drivers: group {group.name}: {error}")
    return faults


def _feature_faults(release: Release, cube: DriverCube) -> list[str]:
    missing = missing_features(cube, release.scaler.required)
    return [
        f"drivers: {release.manifest.name} needs {name!r}, which the cube lacks (it holds "
        f"{', '.join(cube.variables)}); add it, or choose another model"
        for name in missing
    ]


def _room_faults(plan: RunPlan, standing: Standing, release: Release) -> list[str]:
    """Whether the items that are still to be done fit on the disk; those that are made again take
    the room of what they replace."""
    store = plan.job.store
    if is_url(store):
        return []
    items = len(standing.identities)
    left = items - len(standing.done) - len(standing.stale)
    if not left:
        return []
    parent = _existing_parent(Path(store))
    whole = PACKED * store_size(plan, release).values
    free, needed = shutil.disk_usage(parent).free, whole * left / items
    if needed <= free:
        return []
    return [
        f"output.store: about {in_words(needed)} are needed and {in_words(free)} are free in "
        f"{parent}; make room, choose another place, or shorten the period"
    ]


def store_faults(job: RunJob) -> list[str]:
    """Why the store cannot be written at its place: what belongs to others is never replaced."""
    store = job.store
    if store in {job.drivers, job.context_store}:
        return [f"output.store: {store} is the driver cube or the context store; choose another"]
    known = RunLedger(store).plan()
    if known and known.get("store") != store_name(store):
        return [
            f"output.store: {RunLedger(store).url} is the ledger of {known.get('store')}; choose "
            "another name"
        ]
    try:
        group = open_flux_group(store)
    except ValueError:
        if is_empty(store) or was_begun(store):
            return []
        return [f"output.store: something else lies at {store}; choose another place"]
    return _mixing_faults(job, dict(group.attrs))


def _mixing_faults(job: RunJob, stored: Mapping[str, Any]) -> list[str]:
    """What of a store that is there already was made by other rules than those of a job."""
    held = {} if stored.get("initialised") else RunLedger(job.store).done(job.digest)
    if held:
        return [
            f"output.store: {job.store} has lost its attribute 'initialised', and its ledger holds "
            f"{len(held)} finished work items; nothing was changed: `upscale repair {job.store}` "
            "writes it again"
        ]
    if "rules" not in stored:
        version = stored.get("upscale_version", "0.1")
        return [
            f"output.store: {job.store} was made by upscale {version}; it can be read, checked and "
            "published, but not continued: choose another store"
        ]
    there, here = json.loads(stored["rules"]), json.loads(job.rules)
    other = [key for key in sorted(there.keys() | here.keys()) if there.get(key) != here.get(key)]
    if other:
        listed = "; ".join(
            f"{key}: {_value(there, key)} there, {_value(here, key)} here" for key in other
        )
        return [
            f"output.store: {job.store} holds fluxes made by other rules ({listed}; digests of "
            f"all rules {str(stored['run_digest'])[:12]} there, {job.digest[:12]} here); nothing "
            "may be mixed: choose another store, or set these keys as they are there"
        ]
    count = layout_of(stored).count
    if count <= job.layout.count:
        return []
    last = date_of(job.layout.first + count - 1)
    return [
        f"period.end: {job.store} reaches to {last} already; a store grows and never shrinks: set "
        f"{last} or a later day"
    ]


def _value(rules: Mapping[str, Any], key: str) -> str:
    """A value of a rule in words; digests are shortened."""
    value = rules.get(key, "not set")
    short = key.endswith("digest") and isinstance(value, str)
    return str(value)[:12] if short else json.dumps(value)


def _existing_parent(path: Path) -> Path:
    return next(place for place in path.absolute().parents if place.exists())


def in_words(size: float) -> str:
    """Bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def domain_of(plan: RunPlan) -> Domain:
    """What a run writes of its grid."""
    layout, with_land = plan.job.layout, sum(tile.land > 0 for tile in plan.tiles)
    return Domain(layout.grid, layout.tile, len(plan.tiles), with_land, plan.land)


def store_size(plan: RunPlan, release: Release) -> StoreSize:
    """The size of the store of a run once it is finished."""
    return flux_cube_size(plan.job.layout, uncertainty_of(release), domain_of(plan))


def worker_bytes(plan: RunPlan, release: Release) -> int:
    """Bytes that a worker needs: the process itself and all tasks that it holds at once."""
    return _BASE + TASKS_PER_WORKER * task_bytes(plan, release)


def task_bytes(plan: RunPlan, release: Release) -> int:
    """Bytes that one work item takes at its peak.

    Of a piece of a tile: drivers of a block with margins (and the copies that interpolation makes),
    all support windows if the model has any, and the members of the cells in hand. Of the whole
    tile: its embeddings, and the arrays to be written.
    """
    layout, features = plan.job.layout, len(release.scaler.names)
    largest = max(plan.tiles, key=lambda tile: tile.land).land
    cells = min(largest, layout.tile**2, plan.job.piece**2)
    days = min(layout.block, layout.count) + 2 * margin_of(release)
    drivers = 3 * cells * days * features * 4
    support = plan.job.support
    days_of_support = 0 if plan.job.query_context else support.most_windows * support.window
    windows = cells * days_of_support * features * 4
    members = 6 * 1024 * layout.members * layout.block * 3 * 4
    kept = layout.members * (0 if plan.job.query_context else release.manifest.architecture.latent)
    sums = layout.members * layout.slots * len(FLUXES)
    tile = layout.tile**2 * (3 * 4 * kept + 2 * (_DAY_BYTES * layout.block + 4 * sums))
    return drivers + windows + members + tile


def _memory_faults(run: Run, plan: RunPlan, release: Release) -> list[str]:
    """Whether the tasks of a worker that is started here fit into its memory."""
    if run.cluster.address:
        return []
    needed = worker_bytes(plan, release)
    there = worker_memory(run.cluster, visible_gpus(run.cluster.device))
    if needed <= there:
        return []
    return [
        f"output.tile: a worker needs about {needed / 2**30:.1f} GiB for tiles of "
        f"{plan.job.layout.tile} cells and may use {there / 2**30:.1f} GiB; make tiles smaller, "
        "use fewer workers, or raise cluster.memory"
    ]


def _warnings(release: Release, cube: DriverCube, device: str) -> tuple[str, ...]:
    """What does not stop a run, and its user should know."""
    names = release.scaler.names
    absent = missing_features(cube, tuple(n for n in names if n not in DERIVED))
    notes = [f"optional driver {name} is not in the cube and will be masked" for name in absent]
    if release.manifest.is_trees and device == "cuda":
        notes.append(f"cluster.device: trees of {release.manifest.model} compute on the CPU")
    if not cube.sealed:
        notes.append(f"drivers: {UNSEALED.format(url=cube.url)}")
    return (*notes, *other_days(release, cube.day_definition))
