"""The life of a run: plan, init, run, finalise, check. Every step may be repeated at any time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr

from upscale.checks.metadata import item_arrays
from upscale.checks.seal import NAMED, SEAL, altered, seal_store
from upscale.engine.devices import visible_gpus
from upscale.engine.identity import Standing, standing_of
from upscale.engine.ledger import PLAN, RunEntry, RunLedger
from upscale.engine.loop import RunOutcome, run_items, settle_embeddings
from upscale.engine.metadata import mend_metadata, write_static
from upscale.engine.plan import RunJob, stored_attributes
from upscale.engine.provenance import attributes_of
from upscale.engine.revisions import NO_REASON, enter_revision, making, read_log, revision_of
from upscale.engine.validate import Checked, store_faults
from upscale.engine.work.context import ContextLedger, create_context
from upscale.engine.work.uncertainty import uncertainty_of
from upscale.jobs.claim import claimed
from upscale.jobs.clock import now
from upscale.jobs.cluster import connect
from upscale.jobs.compact import LightEntry
from upscale.jobs.ledger import store_name
from upscale.jobs.progress import Progress
from upscale.jobs.settings import ConfigError, digest_of
from upscale.product.cube import (
    consolidate,
    create_flux_cube,
    is_consolidated,
    layout_of,
    open_flux_group,
)
from upscale.product.growth import IN_THE_MAKING, grow_flux_cube
from upscale.product.layout import BLOCK_DAYS, item_from_id
from upscale.product.reader import open_flux_cube
from upscale.product.shards import remove_item
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
    """Create the flux cube with its static layers and the context cube, or let them grow to the
    days of the plan; nothing where they are as the plan wants them.

    One process does it while others wait. Raises ConfigError where the store has become that
    of another run meanwhile.
    """
    job = checked.plan.job
    ledger = RunLedger(job.store)
    with claimed(_claim(ledger)):
        faults = store_faults(job)
        if faults:
            raise ConfigError("; ".join(faults))
        stored, known = stored_attributes(job.store), ledger.plan()
        changed = _is_changed(known, checked) or not _is_begun(stored, ledger)
        if not stored.get("initialised"):
            _forget_all(ledger)
            _create(checked, job)
        elif changed:
            _revise(checked, stored)
        if changed or _is_surer(known, checked.standing):
            ledger.write_object(PLAN, _plan_summary(checked, checked.standing))
    if not job.query_context:
        create_context(job, checked.release.manifest.architecture.latent)


def _claim(ledger: RunLedger) -> str:
    """Held by whoever changes what a store or its plan says."""
    return f"{ledger.url}/init.claim"


def _forget_all(ledger: RunLedger) -> None:
    """Remove what a ledger says of a store that is not there any more."""
    ledger.clear()
    for name in (PLAN, SEAL):
        ledger.remove(name)


def _is_changed(known: Mapping[str, Any], checked: Checked) -> bool:
    """Whether the plan that a ledger holds is another one."""
    job = checked.plan.job
    same = known.get("run") == job.digest and known.get("cube") == job.cube
    return not (same and known.get("count") == job.layout.count and "config" in known)


def _is_begun(stored: Mapping[str, Any], ledger: RunLedger) -> bool:
    """Whether a store is finished, or sealed as one that is begun: not the one that another
    version has begun, or whose process was killed in its last step."""
    if stored.get("complete"):
        return True
    seal = ledger.read_object(SEAL) or {"entries": {}}
    return seal["entries"] is None and digest_of(seal) == stored.get(NAMED)


def _is_surer(known: Mapping[str, Any], standing: Standing) -> bool:
    """Whether identities are known now that the plan of a ledger does not have."""
    asked = known.get("identities", {})
    return any(new and asked.get(item) != new for item, new in standing.identities.items())


def _create(checked: Checked, job: RunJob) -> None:
    """Write a store without any work item, and seal what is in it."""
    attributes = attributes_of(checked.run, job, checked.release, checked.cube)
    stamp = {"date_created": now(), "history": f"{now()} upscale init", "complete": 0}
    half_made = not is_empty(job.store) and not store_faults(job)
    uncertainty = uncertainty_of(checked.release)
    create_flux_cube(
        job.store, job.layout, attributes | stamp, uncertainty=uncertainty, overwrite=half_made
    )
    write_static(checked.cube, checked.plan)
    zarr.open_group(job.store, mode="r+", use_consolidated=False).attrs["initialised"] = 1
    seal_begun(job.store)
    consolidate(job.store)


def seal_begun(store: str) -> None:
    """Seal what no work item writes, so that its end can tell whether anybody has changed it."""
    attributes = zarr.open_group(store, mode="r+", use_consolidated=False).attrs
    attributes[NAMED] = seal_store(store, RunLedger(store))


def _revise(checked: Checked, stored: Mapping[str, Any]) -> None:
    """Let a store grow to the days of its plan, and take over what the drivers say now."""
    job = checked.plan.job
    group = zarr.open_group(job.store, mode="r+", use_consolidated=False)
    group.attrs["complete"] = 0  # whoever kills this process leaves a store that says so
    if layout_of(stored).count < job.layout.count:
        grow_flux_cube(job.store, job.layout)
    forget_unplanned(checked)
    mended = ", ".join(mend_metadata(checked))
    said = f"{now()} upscale init{f', which wrote anew: {mended}' if mended else ''}"
    mark = _making(checked) if stored.get("revision") else {}
    # opened again, because its attributes have changed
    group = zarr.open_group(job.store, mode="r+", use_consolidated=False)
    group.attrs.update({"history": f"{stored.get('history', '')}\n{said}", **mark})
    seal_begun(job.store)
    consolidate(job.store)


def forget_unplanned(checked: Checked) -> None:
    """Remove what a store holds of work items that its plan does not have: cells that the drivers
    do not know any more."""
    job, ledger = checked.plan.job, RunLedger(checked.plan.job.store)
    planned = {item.id for item in checked.plan.items()}
    arrays = item_arrays(open_flux_cube(job.store))
    for name in sorted(ledger.done(job.digest).keys() - planned):
        ledger.forget(name)
        remove_item(job.store, job.layout, item_from_id(name), arrays)


def _making(checked: Checked) -> Mapping[str, Any]:
    """What a store says of the revision that is being made of it; nothing where nothing is left."""
    layout, rows = checked.plan.job.layout, []
    for item in checked.plan.items():
        if item.id not in checked.standing.done:
            first, count = layout.span(item.block)
            rows.append((item.tile.id, first, first + count - 1))
    return making(checked.plan.job.revision, checked.why, rows) if rows else {}


def _plan_summary(checked: Checked, standing: Standing) -> dict[str, object]:
    """What `status` needs without the driver cube, and `repair` without RUN.yaml."""
    plan = checked.plan
    places = {"model": plan.job.model, "drivers": plan.job.drivers}
    return {
        "config": checked.run.model_dump(mode="json") | places,
        "run": plan.job.digest,
        "cube": plan.job.cube,
        "count": plan.job.layout.count,
        "store": store_name(plan.job.store),
        "items": [item.id for item in plan.items()],
        "identities": dict(standing.identities),
        "land": plan.land,
        "tiles": len(plan.tiles),
    }


def execute(checked: Checked, progress: Progress, part: Part = (1, 1)) -> RunOutcome:
    """Do every work item of a part that is not done."""
    plan, run, standing = checked.plan, checked.run, checked.standing
    ledger = RunLedger(plan.job.store)
    ledger.tidy()
    items = list(plan.items(part))
    left = [item for item in items if item.id not in standing.done]
    progress.start(len(items), len(items) - len(left))
    if not left:
        return RunOutcome()
    _reopen(checked)
    progress.stage("starting cluster")
    gpus = visible_gpus(run.cluster.device)
    with connect(run.cluster, _logs(ledger), gpus=gpus) as client:
        if standing.unsure:
            progress.stage("looking at embeddings")
            settle_embeddings(client, plan, [item for item in left if item.id in standing.unsure])
            standing = renew_plan(checked)
            left = [item for item in items if item.id not in standing.done]
            progress.start(len(items), len(items) - len(left))
        progress.stage("predicting")
        outcome = run_items(client, plan, left, ledger, run.retries, progress, standing.stale)
    ledger.tidy()
    ContextLedger(plan.job.context_store).tidy()
    if None in standing.identities.values():
        with suppress(OSError):  # a full disk: the next run tells `status`
            renew_plan(checked)
    return outcome


def renew_plan(checked: Checked) -> Standing:
    """Compare the plan with the ledger once more, when embeddings were made or looked at, and
    tell `status` of it.

    ConfigError where another machine has brought the store to other drivers or days meanwhile.
    """
    job, ledger = checked.plan.job, RunLedger(checked.plan.job.store)
    with claimed(_claim(ledger)):
        known = ledger.plan()
        if _is_changed(known, checked):
            raise ConfigError(
                f"{job.store}: planned here for {job.layout.count} days of drivers "
                f"{job.cube[:12]}, and meanwhile elsewhere for {known.get('count')} days of "
                f"{str(known.get('cube'))[:12]}; give all machines the same drivers and RUN.yaml, "
                "then run again"
            )
        standing = standing_of(checked.plan, checked.release, checked.cube)
        ledger.write_object(PLAN, _plan_summary(checked, standing))
    return standing


def _logs(ledger: RunLedger) -> Path | None:
    """Where the logs of workers are kept: with a ledger on this machine, nowhere else."""
    return None if is_url(ledger.url) else Path(ledger.url) / "logs"


def _reopen(checked: Checked) -> None:
    """Take the mark `complete` from a store of which something is to be done again, and say
    what of it will change."""
    store = checked.plan.job.store
    attributes = zarr.open_group(store, mode="r+", use_consolidated=False).attrs
    if attributes.get("complete"):
        attributes.update({"complete": 0, **_making(checked)})
        consolidate(store)


def status(store: str) -> Status:
    """How far the run of a store is, from the store and its ledger alone."""
    attributes = open_flux_group(store).attrs
    ledger = RunLedger(store)
    digest = str(attributes.get("run_digest"))
    plan = ledger.plan()
    if not plan or plan["run"] != digest:
        raise ValueError(f"{ledger.url}: no plan of this store; run `upscale init` again")
    held, failed = ledger.state(digest)
    done = _done(ledger, plan, held)
    missing = tuple(item for item in plan["items"] if item not in done)
    return Status(
        digest, len(plan["items"]), len(plan["items"]) - len(missing), missing,
        tuple(failed[item] for item in missing if item in failed),
    )  # fmt: skip


def _done(ledger: RunLedger, plan: Mapping[str, Any], held: Mapping[str, LightEntry]) -> set[str]:
    """Items with the entry that a plan asks for.

    A plan that was made before the embeddings of a tile does not know the identity of its items:
    then it is that of the worker which made them from the drivers of the plan.
    """
    if "identities" not in plan:  # a store of version 0.1
        return set(held)
    asked = plan["identities"]
    done = {item for item, entry in held.items() if entry.identity == asked.get(item)}
    unsure = [item for item in held if asked.get(item) is None]
    if unsure:
        entries = ledger.entries(plan["run"])
        done |= {item for item in unsure if _is_of(entries[item], plan)}
    return done


def _is_of(entry: RunEntry, plan: Mapping[str, Any]) -> bool:
    """Whether an entry was made from the drivers of a plan, with all days of its block."""
    left = plan["count"] - item_from_id(entry.item).block * BLOCK_DAYS
    return bool(entry.cube == plan["cube"] and entry.days == min(BLOCK_DAYS, left))


def finalise(store: str, found: Status | None = None) -> Status:
    """Mark a store complete and number its revision; ValueError names what is missing, or what of
    it was changed by others than its run.

    found: its status where it is known already.
    """
    found = found or status(store)
    _refuse_missing(store, found)
    complete = open_flux_group(store).attrs.get("complete")
    if not complete or not is_consolidated(store):
        with claimed(_claim(RunLedger(store))):  # nobody gives it another plan meanwhile
            found = found if complete else status(store)
            _refuse_missing(store, found)
            group = zarr.open_group(store, mode="r+", use_consolidated=False)
            if not group.attrs.get("complete"):
                _complete(group, store, found.run)
            if not is_consolidated(store):
                consolidate(store)
    RunLedger(store).tidy(0)
    return found


def _refuse_missing(store: str, found: Status) -> None:
    if found.missing:
        some = ", ".join(itertools.islice(found.missing, 5))
        more = f" and {len(found.missing) - 5} more" if len(found.missing) > 5 else ""
        raise ValueError(f"{store}: {len(found.missing)} work items are missing ({some}{more})")


def _refuse_other(store: str, attributes: Mapping[str, Any], ledger: RunLedger) -> None:
    """Refuse to finish what is not as its plan says, or as `init` has left it."""
    plan = ledger.plan()
    planned = plan.get("cube"), plan.get("count")
    found = attributes.get("driver_digest"), layout_of(attributes).count
    if "count" in plan and planned != found:
        raise ValueError(
            f"{store}: planned for {planned[1]} days of drivers {str(planned[0])[:12]}, and it has "
            f"{found[1]} days of {str(found[0])[:12]}; a run was killed in between, or others "
            f"changed it: `upscale run RUN.yaml` again, or `upscale repair {store}`"
        )
    faults = altered(store, ledger)
    log, number = read_log(store), attributes.get("revision", 0)
    if log and number not in (log[-1].number, log[-1].number - 1):  # the log is written first
        faults.append(f"revision is {number}, and the last in the log {log[-1].number}")
    if faults:
        raise ValueError(
            f"{store}: not as its run left it ({'; '.join(faults)}): `upscale repair {store}`, or "
            "`upscale run RUN.yaml` again"
        )


def _complete(group: zarr.Group, store: str, run: str) -> None:
    """Enter the revision of a store into its log, seal the store and mark it complete."""
    attributes, ledger = dict(group.attrs), RunLedger(store)
    _refuse_other(store, attributes, ledger)
    entries, last = ledger.entries(run), int(group.attrs.get("revision", 0))
    why = str(attributes.get("revision_why", "first made" if not last else NO_REASON))
    made = revision_of(last + 1, why, entries.values())
    if made is not None:
        enter_revision(store, made)
    stamp = now()
    said = {
        "revision": last + 1 if made is not None or not last else last,
        "date_modified": stamp,
        "history": f"{attributes['history']}\n{stamp} upscale finalise",
    }
    # at once, after the log: whoever is killed before it finds the reason of the revision again
    group.attrs.put({k: v for k, v in (attributes | said).items() if k not in IN_THE_MAKING})
    group.attrs.update({"seal": seal_store(store, ledger, entries), "complete": 1})
