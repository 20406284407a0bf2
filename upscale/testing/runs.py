"""A run without a cluster: every work item in this process, one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from upscale.engine.check import check_store
from upscale.engine.config import parse_run
from upscale.engine.ledger import RunEntry
from upscale.engine.loop import RunOutcome
from upscale.engine.repair import checked_repair, mend, needs_mending
from upscale.engine.revisions import NO_REASON
from upscale.engine.run import finalise, init, renew_plan
from upscale.engine.validate import Checked, validate
from upscale.engine.work.worker import embed_item, open_session, process
from upscale.jobs.progress import make_progress
from upscale.product.layout import WorkItem

#: Attributes that depend on the time of the run, or follow from all others, and are not compared.
_STAMPS = ("date_created", "date_modified", "history", "seal")


def run_here(checked: Checked, items: Iterable[WorkItem] | None = None) -> str:
    """Init, process all work items that are not done (or the given ones, in their order) and
    finalise.

    Returns the URL of the store.
    """
    process_here(checked, items)
    finalise(checked.run.output.store)
    return checked.run.output.store


def process_here(checked: Checked, items: Iterable[WorkItem] | None = None) -> list[RunEntry]:
    """As `run_here`, without the end; the entries of what was done."""
    init(checked)
    session, standing = open_session(checked.plan.job), checked.standing
    land = {tile.tile: tile.land > 0 for tile in checked.plan.tiles}
    if standing.unsure:
        for item in checked.plan.items():
            if item.id in standing.unsure:
                embed_item(session, item)
        standing = renew_plan(checked)
    left = [item for item in checked.plan.items() if item.id not in standing.done]
    return [
        process(session, item, land[item.tile], before=standing.stale.get(item.id))
        for item in (left if items is None else items)
    ]


def repair_here(store: str) -> None:
    """Check a store and make again what is bad in it, as `upscale repair` does."""
    checked = checked_repair(store)
    report = check_store(store)
    if needs_mending(store, report):
        mend(checked, report, make_progress(60), lambda c, _: RunOutcome(process_here(c)))


def prepare(model: Path | str, drivers: Path | str, store: Path | str, **keys: Any) -> Checked:
    """A checked run of the days in `keys['period']` (start, end), with other keys of RUN.yaml;
    `keys['why']`: the reason of its revision."""
    start, end = keys.pop("period")
    why = keys.pop("why", NO_REASON)
    output = {"store": str(store)} | keys.pop("output", {})
    content = {
        "model": str(model),
        "drivers": str(drivers),
        "period": {"start": start, "end": end},
        "output": output,
        "cluster": {"workers": 1, "memory": 4.0},
    }
    return validate(parse_run(content | keys, "run"), why)


def differences(one: str, other: str) -> list[str]:
    """Names of the arrays and attributes that differ between two stores in any bit.

    Time stamps (`history`, `date_*`) and the digest `seal` are ignored.
    """
    first, second = (zarr.open_group(url, mode="r") for url in (one, other))
    names = sorted({name for group in (first, second) for name in group.array_keys()})
    found = [name for name in names if not _same_array(first.get(name), second.get(name))]
    left, right = (
        {key: value for key, value in group.attrs.items() if key not in _STAMPS}
        for group in (first, second)
    )
    keys = sorted(left.keys() | right.keys())
    return found + [f"@{key}" for key in keys if left.get(key) != right.get(key)]


def _same_array(one: Any, other: Any) -> bool:
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    return dict(one.attrs) == dict(other.attrs) and same_bits(one[...], other[...])


def same_bits(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Equality of every bit, NaN included."""
    return np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()
