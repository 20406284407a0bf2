"""What a revision changes in one work item: which days, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.engine.ledger import RunEntry, Withdrawn
from upscale.engine.plan import RunJob
from upscale.engine.work.kept import layout_then
from upscale.product.layout import WorkItem
from upscale.product.shards import TileFluxes, arrays_of, digest_of, is_daily, read_arrays
from upscale.variables import FLUXES

Change = dict[str, Any]
Totals = Mapping[str, list[list[float]]]


@dataclass
class _Difference:
    """Days `(day,)` on which any value is not the same, bit for bit, and the largest difference of
    each flux where there was a value."""

    days: NDArray[np.bool_]
    largest: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FLUXES, 0.0))


def change_of(
    job: RunJob,
    item: WorkItem,
    before: RunEntry | None,
    fluxes: TileFluxes,
    totals: Totals,
) -> Change:
    """What differs from the earlier entry of an item; empty where nothing does.

    `first`, `last`: day numbers; `largest`: difference of each flux in one cell and day that had a
    value before and has one now, g m-2 d-1; `total`: difference of the total of each flux, g, mean
    of the members. totals: of the item as it is now, as in `RunEntry`.
    """
    first, count = job.layout.span(item.block)
    found = _difference(job, item, before, fluxes, count)
    days = np.flatnonzero(found.days)
    if not days.size:
        return {}
    former = before.totals if before is not None else {}
    return {
        "first": int(days[0]) + first,
        "last": int(days[-1]) + first,
        "largest": found.largest,
        "total": {flux: _mean_total(totals, flux) - _mean_total(former, flux) for flux in FLUXES},
    }


def change_of_revision(
    job: RunJob,
    identity: str,
    before: RunEntry | None,
    withdrawn: Withdrawn | None,
    change: Change,
) -> Change:
    """What an item differs in from the revision of the store before, where it is made for a second
    time in one revision.

    That happens where drivers change once more before the revision is finished, and where its
    writer was killed between its arrays. The largest difference is at most what is given then.
    identity: of the item as it is now; change: from `before`, or from the entry that was withdrawn.
    """
    if withdrawn is not None and withdrawn.revision == job.revision:
        if withdrawn.identity == identity:
            return withdrawn.change
        return _joined(withdrawn.change, change, change["total"]) if change else {}
    if before is None or before.revision != job.revision:
        return change
    if not before.change or not change:
        return before.change or change
    former = before.change["total"]
    total = {flux: former[flux] + change["total"][flux] for flux in FLUXES}
    return _joined(before.change, change, total)


def _joined(earlier: Change, later: Change, total: Mapping[str, float]) -> Change:
    """Two changes one after the other, with the total of both."""
    if not earlier:
        return later
    return {
        "first": min(earlier["first"], later["first"]),
        "last": max(earlier["last"], later["last"]),
        "largest": {f: earlier["largest"][f] + later["largest"][f] for f in FLUXES},
        "total": dict(total),
    }


def _difference(
    job: RunJob, item: WorkItem, before: RunEntry | None, fluxes: TileFluxes, count: int
) -> _Difference:
    """Compare every array of an item with what its earlier entry vouches for.

    An array that is not the one of the entry, or is new, differs on all days; so do all days where
    only sums or indices differ, which belong to no day.
    """
    found = _Difference(np.zeros(count, bool))
    if before is None:
        found.days[:] = True
        return found
    now, known = arrays_of(fluxes), before.digests
    daily = [name for name in known if is_daily(name)]
    for name, old in read_arrays(job.store, layout_then(job, item, before), item, daily):
        if old is None or digest_of(old) != known[name] or name not in now:
            found.days[:] = True
        else:
            _compare(found, name, now[name], old)
    rest = {name for name in now if name not in known or not is_daily(name)}
    if not found.days.any() and any(digest_of(now[name]) != known.get(name) for name in rest):
        found.days[:] = True
    return found


def _compare(found: _Difference, name: str, now: NDArray[Any], old: NDArray[Any]) -> None:
    """Enter how an array `(day, row, col)` differs from the one of before."""
    both = min(len(old), len(now))
    found.days[:both] |= (_bits(now[:both]) != _bits(old[:both])).any(axis=1)
    found.days[both:] = True
    if name in found.largest:
        gap = np.abs(now[:both].astype(np.float64) - old[:both])
        found.largest[name] = float(np.nanmax(gap, initial=0.0, where=np.isfinite(gap)))


def _bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of each day `(day, byte)`."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)


def _mean_total(totals: Totals, flux: str) -> float:
    members: NDArray[np.float64] = np.asarray(totals.get(flux, []), np.float64)
    return float(members.mean(axis=1).sum()) if members.size else 0.0
