"""The life of a run: plan, init, run, finalise, check. Every step may be repeated at any time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import zarr

from upscale.drivers.cube import DriverCube
from upscale.engine.context import create_context
from upscale.engine.devices import visible_gpus
from upscale.engine.ledger import PLAN, RunEntry, RunLedger
from upscale.engine.loop import RunOutcome, run_items
from upscale.engine.plan import RunJob, RunPlan, read_part
from upscale.engine.provenance import attributes_of
from upscale.engine.uncertainty import uncertainty_of
from upscale.engine.validate import Checked, store_faults
from upscale.jobs.claim import claimed
from upscale.jobs.clock import now
from upscale.jobs.cluster import connect
from upscale.jobs.ledger import store_name
from upscale.jobs.progress import Progress
from upscale.jobs.settings import ConfigError
from upscale.product.cube import (
    consolidate,
    create_flux_cube,
    is_consolidated,
    open_flux_group,
)
from upscale.product.shards import write_layer
from upscale.stores.location import is_empty, is_url

Part = tuple[int, int]


@dataclass(frozen=True)
class Status:
    """How far a run is. missing: items without a valid ledger entry; failed: those that were
    given up when they were last tried."""

    run: str
    total: int
    done: int
    missing: tuple[str, ...]
    failed: tuple[RunEntry, ...]


def init(checked: Checked) -> None:
    """Create the flux cube with its static layers and the context cube, unless they are there.

    One process does it while others wait. Raises ConfigError where the store has become that
    of another run meanwhile.
    """
    plan, job = checked.plan, checked.plan.job
    ledger = RunLedger(job.store)
    with claimed(f"{ledger.url}/init.claim"):
        faults = store_faults(job)
        if faults:
            raise ConfigError("; ".join(faults))
        if not _begun(job):
            ledger.clear()
            _create(checked, job)
        known = ledger.read_object(PLAN)
        if not known or known["run"] != job.digest:
            ledger.write_object(PLAN, _plan_summary(plan))
    if not job.query_context:
        create_context(job, checked.release.manifest.architecture.latent)


def _begun(job: RunJob) -> bool:
    try:
        group = open_flux_group(job.store)
    except ValueError:
        return False
    return bool(group.attrs.get("initialised"))


def _create(checked: Checked, job: RunJob) -> None:
    attributes = attributes_of(checked.run, job, checked.release, checked.cube)
    stamp = {"date_created": now(), "history": f"{now()} upscale init", "complete": False}
    half_made = not is_empty(job.store) and not store_faults(job)
    uncertainty = uncertainty_of(checked.release)
    create_flux_cube(
        job.store, job.layout, attributes | stamp, uncertainty=uncertainty, overwrite=half_made
    )
    _write_static(checked.cube, checked.plan)
    zarr.open_group(job.store, mode="r+", use_consolidated=False).attrs["initialised"] = True
    consolidate(job.store)


def _plan_summary(plan: RunPlan) -> dict[str, object]:
    """What `status` needs without the driver cube."""
    return {
        "run": plan.job.digest,
        "store": store_name(plan.job.store),
        "items": [item.id for item in plan.items()],
        "land": plan.land,
        "tiles": len(plan.tiles),
    }


def _write_static(cube: DriverCube, plan: RunPlan) -> None:
    """Copy land share and classes of every band that holds a part of the domain."""
    layout = plan.job.layout
    edge, cols = layout.layer_chunk, slice(0, layout.grid.cols)
    for band in sorted({tile.tile.row * layout.tile // edge for tile in plan.tiles}):
        rows = slice(band * edge, min((band + 1) * edge, layout.grid.rows))
        surface = read_part(cube, layout.grid, rows, cols)
        for name in ("sftlf", "igbp", "koppen"):
            write_layer(plan.job.store, name, rows, cols, getattr(surface, name))


def execute(checked: Checked, progress: Progress, part: Part = (1, 1)) -> RunOutcome:
    """Do every work item of a part that the ledger does not hold."""
    plan, run = checked.plan, checked.run
    ledger = RunLedger(plan.job.store)
    ledger.tidy()
    done = ledger.done(plan.job.digest)
    items = list(plan.items(part))
    left = [item for item in items if item.id not in done]
    progress.start(len(items), len(items) - len(left))
    if not left:
        return RunOutcome()
    _reopen(plan.job.store)
    progress.stage("starting cluster")
    gpus = visible_gpus(run.cluster.device)
    with connect(run.cluster, _logs(ledger), gpus=gpus) as client:
        progress.stage("predicting")
        outcome = run_items(client, plan, left, ledger, run.retries, progress)
    ledger.tidy()
    return outcome


def _logs(ledger: RunLedger) -> Path | None:
    """Where the logs of workers are kept: with a ledger on this machine, nowhere else."""
    return None if is_url(ledger.url) else Path(ledger.url) / "logs"


def _reopen(store: str) -> None:
    """Take the mark `complete` from a store of which something is to be done again."""
    attributes = zarr.open_group(store, mode="r+", use_consolidated=False).attrs
    if attributes.get("complete"):
        attributes["complete"] = False


def status(store: str) -> Status:
    """How far the run of a store is, from the store and its ledger alone."""
    attributes = open_flux_group(store).attrs
    ledger = RunLedger(store)
    digest = str(attributes["run_digest"])
    plan = ledger.read_object(PLAN)
    if not plan or plan["run"] != digest:
        raise ValueError(f"{ledger.url}: no plan of this store; run `upscale init` again")
    done = ledger.done(digest)
    failed = ledger.entries(digest, "failed")
    missing = tuple(item for item in plan["items"] if item not in done)
    return Status(
        digest, len(plan["items"]), len(plan["items"]) - len(missing), missing,
        tuple(failed[item] for item in missing if item in failed),
    )  # fmt: skip


def finalise(store: str, found: Status | None = None) -> Status:
    """Mark a store complete; ValueError names what is missing where it is not.

    found: its status where it is known already.
    """
    found = found or status(store)
    if found.missing:
        some = ", ".join(itertools.islice(found.missing, 5))
        more = f" and {len(found.missing) - 5} more" if len(found.missing) > 5 else ""
        raise ValueError(f"{store}: {len(found.missing)} work items are missing ({some}{more})")
    attributes = zarr.open_group(store, mode="r+", use_consolidated=False).attrs
    if not attributes.get("complete"):
        stamp = now()
        history = f"{attributes['history']}\n{stamp} upscale finalise"
        attributes.update({"complete": True, "date_modified": stamp, "history": history})
    if not is_consolidated(store):
        consolidate(store)
    RunLedger(store).tidy(0)
    return found
