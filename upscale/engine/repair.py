"""Mending a store: what a check finds bad is made again, and nothing else.

What lies beside work items is written anew, and work items are forgotten and done again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import zarr

from upscale.checks.metadata import item_arrays
from upscale.checks.report import CheckReport
from upscale.engine.check import check_store
from upscale.engine.config import parse_run
from upscale.engine.identity import standing_of
from upscale.engine.ledger import PLAN, RunEntry, RunLedger, Withdrawn
from upscale.engine.loop import RunOutcome
from upscale.engine.metadata import mend_metadata
from upscale.engine.revisions import read_log
from upscale.engine.run import execute, finalise, forget_unplanned, init, seal_begun, status
from upscale.engine.validate import Checked, validate
from upscale.jobs.progress import Progress
from upscale.jobs.settings import ConfigError, with_overrides
from upscale.product.cube import consolidate, open_flux_group
from upscale.product.growth import IN_THE_MAKING
from upscale.product.reader import open_flux_cube
from upscale.product.shards import remove_item
from upscale.version import __version__

#: Does the work items of a run that are not done.
DoItems = Callable[[Checked, Progress], RunOutcome]

#: What a store says while it is repaired.
REASON = "repair"


@dataclass(frozen=True)
class Mended:
    """What was made again: arrays whose metadata or values were written anew, and work items."""

    arrays: tuple[str, ...]
    items: tuple[str, ...]
    outcome: RunOutcome


def checked_repair(store: str, overrides: Sequence[str] = ()) -> Checked:
    """The run of a store, from its ledger; overrides: `key=value` of RUN.yaml, such as
    `drivers=/elsewhere/drivers.zarr` where the drivers have moved.

    Raises ConfigError where the ledger does not hold RUN.yaml, where another version of the code
    made the store, and where the run cannot succeed.
    """
    ledger = RunLedger(store)
    plan = ledger.plan()
    if "config" not in plan:
        raise ConfigError(
            f"{ledger.url}/{PLAN}: expected the keys of RUN.yaml, found none; run "
            "`upscale init RUN.yaml` with the file that the store was made with, then repair it"
        )
    content = with_overrides(plan["config"], overrides)
    content["output"]["store"] = store
    _same_version(ledger, plan["run"])
    _name_the_run(store, ledger, plan["run"])
    _no_half_made_revision(store)
    checked = validate(parse_run(content, f"the run of {store}"), why=REASON)
    _same_drivers(checked, plan["cube"])
    return checked if _in_the_making(store) else _of_this_revision(checked)


def _in_the_making(store: str) -> Any:
    """The number of the revision that is being made of a store, None where none is."""
    attributes = zarr.open_group(store, mode="r", use_consolidated=False).attrs
    return None if attributes.get("complete") else attributes.get(IN_THE_MAKING[0])


def _no_half_made_revision(store: str) -> None:
    """Refuse a store of whose next revision work items are missing: a run makes them."""
    number = _in_the_making(store)
    if number is not None and status(store).missing:
        raise ConfigError(
            f"{store}: revision {number} is in the making; finish it with `upscale run RUN.yaml`, "
            "then repair what `upscale check` finds"
        )


def _same_drivers(checked: Checked, cube: str) -> None:
    """Refuse drivers that were corrected or have grown: that is a revision, and no repair."""
    if checked.cube.digest != cube:
        raise ConfigError(
            f"drivers: {checked.run.drivers} has the digest {checked.cube.digest[:12]}, and the "
            f"store was made from {cube[:12]}; `upscale run RUN.yaml` brings the store to these "
            "drivers, or give those that it was made from as drivers=..."
        )


def _same_version(ledger: RunLedger, run: str) -> None:
    """Refuse another version of the code than that which made the last revision."""
    entries = ledger.entries(run).values()
    last = max((entry.revision for entry in entries), default=1)
    versions = [entry.version for entry in entries if entry.revision == last]
    made = max(set(versions), key=versions.count, default=__version__)
    if made != __version__:
        raise ConfigError(
            f"{ledger.url}: the store was made by upscale {made}, and this is {__version__}: a "
            f"part made anew might not fit to the others; repair it with {made}"
        )


def _name_the_run(store: str, ledger: RunLedger, run: str) -> None:
    """Give a store back the attributes by which its run knows it."""
    log = read_log(store)
    wanted: dict[str, Any] = {"run_digest": run}
    wanted |= {"revision": log[-1].number} if log else {}
    wanted |= {"initialised": 1} if ledger.done(run) else {}
    attributes = zarr.open_group(store, mode="r+", use_consolidated=False).attrs
    if {key: attributes.get(key) for key in wanted} != wanted:
        attributes.update(wanted)


def _of_this_revision(checked: Checked) -> Checked:
    """A run whose items belong to the revision that a store has: a repair changes no value."""
    job = checked.plan.job
    same = replace(job, revision=max(1, job.revision - 1))
    return replace(checked, plan=replace(checked.plan, job=same))


def needs_mending(store: str, report: CheckReport) -> bool:
    """Whether a store has something bad, or has its end still before it: a repair was killed."""
    return not (report.passed and open_flux_group(store).attrs.get("complete"))


def mend(
    checked: Checked, report: CheckReport, progress: Progress, do: DoItems = execute
) -> Mended:
    """Make again what a report finds bad, then finish the store and seal it.

    Layers are mended first and the store is checked again, because wrong layers make all work
    items look wrong. do: does the work items that are left, by default on a cluster.
    """
    job = checked.plan.job
    zarr.open_group(job.store, mode="r+", use_consolidated=False).attrs["complete"] = 0
    arrays = mend_metadata(checked)
    found = check_store(job.store) if arrays else report
    items = [item for item in checked.plan.items() if item.id in set(found.items)]
    ledger = RunLedger(job.store)
    forget_unplanned(checked)
    names, entries = item_arrays(open_flux_cube(job.store)), ledger.entries(job.digest)
    for item in items:
        _forget(ledger, item.id, entries, job.revision)
        remove_item(job.store, job.layout, item, names)
    seal_begun(job.store)  # not before: the last seal tells which entries were changed
    standing = standing_of(checked.plan, checked.release, checked.cube)
    checked = replace(checked, standing=standing)
    init(checked)
    outcome = do(checked, progress)
    if not status(job.store).missing:
        finalise(job.store)
    consolidate(job.store)
    return Mended(arrays, tuple(item.id for item in items), outcome)


def _forget(ledger: RunLedger, item: str, entries: Mapping[str, RunEntry], revision: int) -> None:
    """Withdraw the entry of an item, if it has one: should a run go on where a repair was killed,
    then its log does not take for new what was there."""
    entry = entries.get(item)
    if entry is not None and entry.revision == revision:  # what it changed is known already
        ledger.withdraw(Withdrawn(entry, entry.identity, revision, entry.change))
    elif entry is not None:
        ledger.withdraw(Withdrawn(entry, "", revision, {}))
    else:
        ledger.forget(item)
