"""The final check of a store: its values, and that they still are those that were computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from upscale.checks.cube import Check, CheckReport, check_cube
from upscale.engine.ledger import RunEntry, RunLedger
from upscale.engine.run import Status, status
from upscale.product.cube import layout_of, open_flux_group
from upscale.product.layout import item_from_id
from upscale.product.shards import digest_of, read_arrays


def check_store(store: str) -> CheckReport:
    """All checks of the values, that every work item is there, and that every array still has
    the digest that the ledger holds."""
    report, found = check_cube(store), status(store)
    return replace(report, checks=(*report.checks, _complete(found), _unchanged(store, found)))


def _complete(found: Status) -> Check:
    some = ", ".join(found.missing[:3])
    text = f"{found.done} of {found.total} work items done" + (f"; missing {some}" if some else "")
    return Check("ledger", not found.missing, text, "run the same RUN.yaml again")


def _unchanged(store: str, found: Status) -> Check:
    entries = RunLedger(store).entries(found.run)
    changed = [place for entry in entries.values() for place in changed_arrays(store, entry)]
    text = f"{len(entries)} work items read back with the digests of the ledger"
    if changed:
        text = f"{len(changed)} arrays changed since they were written: {', '.join(changed[:3])}"
    return Check("digests", not changed, text, "delete their ledger entries and run again")


def changed_arrays(store: str, entry: RunEntry) -> Iterator[str]:
    """`item/array` of each array whose values are not the ones that the ledger knows."""
    layout = layout_of(open_flux_group(store).attrs)
    arrays = read_arrays(store, layout, item_from_id(entry.item), tuple(entry.digests))
    for name, values in arrays:
        if values is None or digest_of(values) != entry.digests[name]:
            yield f"{entry.item}/{name}"
