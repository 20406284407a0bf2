"""The ledger: one small JSON object per finished work item, beside the store.

Done means a valid entry here, never that a shard exists: an entry is written after its
shards were written and read back.
"""

from __future__ import annotations

from dataclasses import dataclass

from upscale.jobs.ledger import Ledger, Status

#: Name of the object that says what a run consists of.
PLAN = "plan.json"


@dataclass(frozen=True)
class RunEntry:
    """What is known of one work item.

    run: digest of the run that it belongs to; release, cube: digests of model and drivers;
    version: of the code; digests: of every array written; counts: cells and flags; stats:
    {flux: {min, mean, max}} g m-2 d-1; totals: {flux: for each segment of the block the total
    of each member} g; seconds: by stage; memory: peak of the worker, bytes; worker: host,
    process and device; error: why it failed.
    """

    item: str
    run: str
    release: str
    cube: str
    version: str
    status: Status
    digests: dict[str, str]
    counts: dict[str, int]
    stats: dict[str, dict[str, float]]
    totals: dict[str, list[list[float]]]
    seconds: dict[str, float]
    memory: int
    worker: str
    finished: str
    error: str = ""


class RunLedger(Ledger[RunEntry]):
    """The entries of one flux cube."""

    def __init__(self, store: str) -> None:
        super().__init__(store, RunEntry)
