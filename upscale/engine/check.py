"""The final check of a store: its values, and that they still are those that were computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from upscale.checks.cube import check_cube
from upscale.checks.metadata import item_arrays
from upscale.checks.piece import UNREADABLE, extent, read_item
from upscale.checks.report import Check, CheckReport, repair, verdict
from upscale.checks.seal import seal_faults
from upscale.engine.ledger import RunEntry, RunLedger
from upscale.engine.run import Status, status
from upscale.product.layout import item_from_id
from upscale.product.reader import CellSlices, FluxCube, open_flux_cube
from upscale.product.shards import digest_of
from upscale.variables import FLUXES

#: Relative difference between the totals of an entry and those of the stored sums and areas.
_TOTALS = 1e-5


def check_store(store: str) -> CheckReport:
    """All checks of the values, that every work item is there, that every array still has the
    digest that the ledger holds, and that all else is as it was sealed."""
    report = check_cube(store)
    try:
        found = status(store)
    except ValueError as error:  # the attribute or the plan that names the run was changed
        lost = Check("ledger", False, str(error), repair(store))
        return replace(report, checks=(*report.checks, lost))
    ledger = RunLedger(store)
    entries = ledger.entries(found.run)
    seal = seal_faults(store, ledger, entries)
    mine = (_complete(store, found), _unchanged(store, entries), *seal)
    return replace(report, checks=(*report.checks, *mine))


def _complete(store: str, found: Status) -> Check:
    some = ", ".join(found.missing[:3])
    text = f"{found.done} of {found.total} work items done" + (f"; missing {some}" if some else "")
    return Check("ledger", not found.missing, text, repair(store), items=found.missing)


def _unchanged(store: str, entries: dict[str, RunEntry]) -> Check:
    """Every array of every work item has the digest of its entry, and none of them lacks one."""
    cube = open_flux_cube(store)
    faults, items = [], []
    for name, entry in entries.items():
        bad = list(changed_arrays(cube, entry))
        if bad:
            place = extent(cube.layout, item_from_id(name))
            faults.append(f"{name} {', '.join(bad)} ({place})")
            items.append(name)
    good = f"{len(entries)} work items read back with the digests of the ledger"
    return verdict("digests", faults, good, repair(store), items)


def changed_arrays(cube: FluxCube, entry: RunEntry) -> Iterator[str]:
    """Each array whose values are not the ones that the ledger knows, and what it says of them."""
    names = tuple(entry.digests)
    if not names:
        yield "no digest in the ledger"
    absent = set(item_arrays(cube)) - set(names) if entry.counts.get("land") else set()
    yield from (f"{name} without a digest in the ledger" for name in sorted(absent))
    item, sums = item_from_id(entry.item), {}
    for name in names:
        values = read_item(cube, item, name)
        if values is None:
            yield f"{name} cannot be read"
        elif digest_of(values) != entry.digests[name]:
            yield f"{name} changed"
        elif name.endswith("_member"):
            sums[name.removesuffix("_member")] = values
    yield from _other_totals(cube, entry, sums)


def _other_totals(
    cube: FluxCube, entry: RunEntry, sums: dict[str, NDArray[np.float32]]
) -> Iterator[str]:
    """Fluxes whose totals in the ledger are not those of their sums and the area of land."""
    _, rows, cols = cube.layout.region(item_from_id(entry.item))
    try:
        area = cube.land_area(CellSlices(rows, cols))
    except (KeyError, *UNREADABLE):
        return  # named by the checks of the layers
    for flux in filter(sums.__contains__, FLUXES):
        found = np.nansum(sums[flux] * area, axis=(2, 3), dtype=np.float64).T
        known = np.asarray(entry.totals.get(flux, ()), np.float64)
        size = np.nansum(np.abs(sums[flux]) * area, dtype=np.float64)
        if known.shape != found.shape or not np.allclose(known, found, rtol=0, atol=_TOTALS * size):
            yield f"totals of {flux} unlike its sums"
