"""The tasks of a run: work items go to the cluster, each after the embeddings of its tile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from distributed import Client, wait

from upscale.drivers.cube import DriverError
from upscale.engine.ledger import RunEntry, RunLedger
from upscale.engine.plan import RunJob, RunPlan
from upscale.engine.work.entries import failed_entry
from upscale.engine.work.worker import (
    EnsemblePlugin,
    embed_on_worker,
    plugin_name,
    predict_on_worker,
)
from upscale.grid import Tile
from upscale.jobs.loop import Attempts, Outcome, enter, entries_of
from upscale.jobs.progress import Progress
from upscale.jobs.queue import Future
from upscale.product.layout import WorkItem

#: How a run ended: entries of this session, and the items that failed.
RunOutcome = Outcome[RunEntry]


def run_items(
    client: Client,
    plan: RunPlan,
    items: Sequence[WorkItem],
    ledger: RunLedger,
    retries: int,
    progress: Progress,
    stale: Mapping[str, RunEntry],
) -> RunOutcome:
    """Do the work items on the cluster; one that fails never stops the others.

    stale: entries of items that are to be replaced.

    Raises ClusterError where the scheduler is lost; what was done is in the ledger.
    """
    client.register_plugin(EnsemblePlugin(plan.job))
    attempts = Attempts(retries, final=(DriverError,))
    failed = partial(failed_entry, plan.job)
    try:
        found = entries_of(client, items, _Tasks(client, plan, stale).submit, failed, attempts)
        return enter(found, ledger, progress)
    finally:
        _forget(client, plan.job)


def settle_embeddings(client: Client, plan: RunPlan, items: Iterable[WorkItem]) -> None:
    """Look at the embeddings of some items, and make those anew whose support has changed.

    An error is left to the items themselves, which meet it again and are entered with it.
    """
    client.register_plugin(EnsemblePlugin(plan.job))
    name = plugin_name(plan.job)
    tiles = sorted({(item.tile, plan.job.context_block(item.block)) for item in items})
    try:
        wait(
            [
                client.submit(
                    embed_on_worker, name, *tile, pure=False,
                    key=f"{name}-settle-{tile[0].id}-{tile[1]}",
                )
                for tile in tiles
            ]
        )  # fmt: skip
    finally:
        _forget(client, plan.job)


def _forget(client: Client, job: RunJob) -> None:
    """Take the ensemble from a cluster that goes on without this run."""
    with suppress(Exception):  # whatever the state of a cluster that is being lost
        client.unregister_worker_plugin(plugin_name(job))


class _Tasks:
    """Submits the tasks of a run: an item after the embeddings of its tile."""

    def __init__(self, client: Client, plan: RunPlan, stale: Mapping[str, RunEntry]) -> None:
        self.client = client
        self.job = plan.job
        self.stale = stale
        self.land = {tile.tile: tile.land > 0 for tile in plan.tiles}
        self.contexts: dict[tuple[Tile, int], Future] = {}

    def submit(self, item: WorkItem, tried: int) -> Future:
        """The future of an item; another attempt makes its embeddings anew, too."""
        land, name = self.land[item.tile], plugin_name(self.job)
        after = self._context(item, tried) if land and not self.job.query_context else None
        key = f"{name}-{item.id}-{tried}"
        before = self.stale.get(item.id)
        return self.client.submit(
            predict_on_worker, name, item, land, after, before, key=key, pure=False
        )

    def _context(self, item: WorkItem, tried: int) -> Future:
        """The future of the item's embeddings, shared by all blocks of its tile."""
        key = item.tile, self.job.context_block(item.block)
        if key not in self.contexts or tried:
            name = plugin_name(self.job)
            self.contexts[key] = self.client.submit(
                embed_on_worker, name, *key, pure=False,
                key=f"{name}-context-{key[0].id}-{key[1]}-{item.id}-{tried}",
            )  # fmt: skip
        return self.contexts[key]
