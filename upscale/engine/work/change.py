"""What a revision changes in one work item: which days, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.engine.ledger import RunEntry
from upscale.engine.plan import RunJob
from upscale.engine.work.kept import layout_then
from upscale.product.layout import WorkItem
from upscale.product.shards import TileFluxes, read_arrays
from upscale.variables import FLUXES

Totals = Mapping[str, list[list[float]]]
Arrays = Mapping[str, NDArray[Any]]


def change_of(
    job: RunJob, item: WorkItem, before: RunEntry | None, fluxes: TileFluxes, totals: Totals
) -> dict[str, Any]:
    """What differs from the earlier entry of an item; empty where nothing does.

    `first`, `last`: day numbers; `largest`: difference of each flux in one cell and day that had a
    value before and has one now, g m-2 d-1; `total`: difference of the total of each flux, g, mean
    of the members. totals: of the item as it is now, as in `RunEntry`.
    """
    old = _daily_before(job, item, before)
    first, count = job.layout.span(item.block)
    days = np.flatnonzero(_differing(fluxes.daily, old, count))
    if not days.size:
        return {}
    former = before.totals if before is not None else {}
    return {
        "first": int(days[0]) + first,
        "last": int(days[-1]) + first,
        "largest": {flux: _largest(fluxes.daily.get(flux), old.get(flux)) for flux in FLUXES},
        "total": {flux: _mean_total(totals, flux) - _mean_total(former, flux) for flux in FLUXES},
    }


def _daily_before(job: RunJob, item: WorkItem, before: RunEntry | None) -> Arrays:
    """The fluxes and the quality of an item as they were written last, as far as they can be
    decoded."""
    if before is None:
        return {}
    names = [name for name in (*FLUXES, "quality") if name in before.digests]
    found = read_arrays(job.store, layout_then(job, item, before), item, names)
    return {name: values for name, values in found if values is not None}


def _differing(now: Arrays, old: Arrays, count: int) -> NDArray[np.bool_]:
    """Days `(day,)` on which any value is not the same, bit for bit; all where nothing is known."""
    differs = np.zeros(count, bool)
    for name in (*FLUXES, "quality"):
        if name not in now and name not in old:
            continue
        if name not in now or name not in old:
            return np.ones(count, bool)
        both = min(len(old[name]), count)
        one, other = (_bits(values[:both]) for values in (now[name], old[name]))
        differs[:both] |= (one != other).any(axis=1)
        differs[both:] = True
    return differs


def _bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of each day `(day, byte)`."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)


def _largest(now: NDArray[Any] | None, old: NDArray[Any] | None) -> float:
    if now is None or old is None:
        return 0.0
    both = min(len(now), len(old))
    gap = np.abs(now[:both].astype(np.float64) - old[:both])
    return float(np.nanmax(gap, initial=0.0, where=np.isfinite(gap)))


def _mean_total(totals: Totals, flux: str) -> float:
    members: NDArray[np.float64] = np.asarray(totals.get(flux, []), np.float64)
    return float(members.mean(axis=1).sum()) if members.size else 0.0
