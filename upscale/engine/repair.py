"""Mending a store: what a check finds bad is made again, and nothing else.

Metadata, axes and cell areas are those of an empty cube that is made for this beside; static
layers come from the drivers, and work items are forgotten and done again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from upscale.checks.metadata import item_arrays
from upscale.checks.report import CheckReport
from upscale.checks.seal import MAY_CHANGE, UNREADABLE_VALUES, digest_of_array
from upscale.engine.check import check_store
from upscale.engine.config import parse_run
from upscale.engine.identity import standing_of
from upscale.engine.ledger import PLAN, RunEntry, RunLedger, Withdrawn
from upscale.engine.loop import RunOutcome
from upscale.engine.provenance import attributes_of
from upscale.engine.revisions import read_log
from upscale.engine.run import execute, finalise, init, seal_begun, status, write_static
from upscale.engine.validate import Checked, validate
from upscale.engine.work.uncertainty import uncertainty_of
from upscale.jobs.progress import Progress
from upscale.jobs.settings import ConfigError, with_overrides
from upscale.product.cube import consolidate, create_flux_cube, open_flux_group
from upscale.product.growth import IN_THE_MAKING
from upscale.product.reader import open_flux_cube
from upscale.product.shards import remove_item, remove_values
from upscale.stores.documents import read_documents, write_document
from upscale.version import __version__

#: Does the work items of a run that are not done.
DoItems = Callable[[Checked, Progress], RunOutcome]

#: Static layers that come from the drivers.
_DRIVEN = ("sftlf", "igbp", "koppen")
#: Root attributes that the making of a store adds to those of its run.
_MADE = frozenset(("initialised", "revision"))
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
    _no_revision_in_the_making(store)
    _name_the_run(store, ledger, plan["run"])
    checked = validate(parse_run(content, f"the run of {store}"), why=REASON)
    _same_drivers(checked, plan["cube"])
    return _of_this_revision(checked)


def _no_revision_in_the_making(store: str) -> None:
    """Refuse a store whose revision was begun: what is made again belongs to it, or to the one
    before, and only the run that makes it can tell."""
    try:
        attributes = open_flux_group(store).attrs
    except ValueError:
        return  # what it is called is mended
    number, first = (attributes.get(name) for name in IN_THE_MAKING[:2])
    if number is not None and not attributes.get("complete"):
        raise ConfigError(
            f"{store}: revision {number} is in the making ({first}); finish it with `upscale run "
            "RUN.yaml`, then repair what `upscale check` finds"
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
    """A run whose items belong to the revision that the store has: a repair changes no value."""
    job = checked.plan.job
    same = replace(job, revision=max(1, job.revision - 1))
    return replace(checked, plan=replace(checked.plan, job=same))


def mend(
    checked: Checked, report: CheckReport, progress: Progress, do: DoItems = execute
) -> Mended:
    """Make again what a report finds bad, then finish the store and seal it.

    Layers are mended first and the store is checked again, because wrong layers make all work
    items look wrong. do: does the work items that are left, by default on a cluster.
    """
    job = checked.plan.job
    zarr.open_group(job.store, mode="r+", use_consolidated=False).attrs["complete"] = 0
    arrays = _mend_metadata(checked)
    found = check_store(job.store) if arrays else report
    items = [item for item in checked.plan.items() if item.id in set(found.items)]
    ledger = RunLedger(job.store)
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
    if item in entries:
        ledger.withdraw(Withdrawn(entries[item], "", revision, {}))
    else:
        ledger.forget(item)


def _mend_metadata(checked: Checked) -> tuple[str, ...]:
    """Write attributes, metadata, axes and layers anew where they differ; names of the arrays."""
    job = checked.plan.job
    with tempfile.TemporaryDirectory() as folder:
        empty = str(Path(folder) / "empty.zarr")
        attributes = attributes_of(checked.run, job, checked.release, checked.cube)
        create_flux_cube(empty, job.layout, attributes, uncertainty=uncertainty_of(checked.release))
        _mend_attributes(empty, job.store)
        changed = _mend_documents(empty, job.store)
        changed += _mend_axes(empty, job.store)
    before = _digests(job.store, _DRIVEN)
    for name in [name for name, digest in before.items() if digest == UNREADABLE_VALUES]:
        remove_values(job.store, name)
    write_static(checked.cube, checked.plan)
    after = _digests(job.store, _DRIVEN)
    changed += [name for name in _DRIVEN if before[name] != after[name]]
    return tuple(sorted(set(changed)))


def _mend_attributes(empty: str, store: str) -> None:
    """The root attributes of the run; when the store was made stays as it is."""
    wanted = dict(zarr.open_group(empty, mode="r").attrs)
    attributes = zarr.open_group(store, mode="r+", use_consolidated=False).attrs
    found = dict(attributes)
    kept = {key: value for key, value in found.items() if key in MAY_CHANGE | _MADE}
    if found != wanted | kept:
        attributes.put(wanted | kept)


def _mend_documents(empty: str, store: str) -> list[str]:
    wanted, found = read_documents(empty), read_documents(store)
    changed = [name for name, document in wanted.items() if found.get(name) != document]
    for name in changed:
        write_document(store, name, wanted[name])
    return changed


def _mend_axes(empty: str, store: str) -> list[str]:
    """Axes, bounds and cell areas: what is the same in every cube of this layout."""
    cube, made = open_flux_cube(store), open_flux_cube(empty)
    names = [n for n in read_documents(empty) if n not in {*item_arrays(made), *_DRIVEN}]
    root: Any = zarr.open_group(store, mode="r+", use_consolidated=False)
    changed = []
    for name in names:
        if digest_of_array(cube.group, name) != digest_of_array(made.group, name):
            remove_values(store, name)
            root[name][...] = np.asarray(made.array(name)[...])
            changed.append(name)
    return changed


def _digests(store: str, names: Sequence[str]) -> dict[str, str]:
    group = open_flux_cube(store).group
    return {name: digest_of_array(group, name) for name in names}
