"""The loop of a run: work items go to the cluster in a sliding window, results to the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from distributed import Client, as_completed
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from upscale.drivers.cube import DriverError
from upscale.engine.cluster import ClusterError
from upscale.engine.ledger import Entry, Ledger
from upscale.engine.plan import Job, Plan
from upscale.engine.progress import Progress
from upscale.engine.worker import (
    EnsemblePlugin,
    embed_on_worker,
    failed_entry,
    plugin_name,
    predict_on_worker,
)
from upscale.grid import Tile
from upscale.product.layout import WorkItem

#: A Dask future; its class says nothing of what it holds.
Future = Any

#: Errors that another attempt cannot mend.
_FINAL = (DriverError, KilledWorker)


@dataclass
class Outcome:
    """How the loop ended: entries of this session, and the items that failed."""

    done: list[Entry] = field(default_factory=list)
    failed: list[Entry] = field(default_factory=list)


def run_items(
    client: Client,
    plan: Plan,
    items: Sequence[WorkItem],
    ledger: Ledger,
    retries: int,
    progress: Progress,
) -> Outcome:
    """Do the work items on the cluster; one that fails never stops the others.

    Raises ClusterError where the scheduler is lost; what was done is in the ledger.
    """
    client.register_plugin(EnsemblePlugin(plan.job))
    loop = _Loop(client, plan, retries)
    outcome = Outcome()
    try:
        for item, future in loop.results(items):
            entry = _entry_of(future, plan.job, item, client)
            if entry.status == "failed" and loop.again(item, future):
                continue
            if entry.status == "failed":
                _record(ledger, entry)
                outcome.failed.append(entry)
            else:
                outcome.done.append(entry)
            progress.advance(entry)
    except (CancelledError, CommClosedError) as error:
        raise _lost(error) from None
    finally:
        _forget(client, plan.job)
    return outcome


def _forget(client: Client, job: Job) -> None:
    """Take the ensemble from a cluster that goes on without this run."""
    with suppress(Exception):  # whatever the state of a cluster that is being lost
        client.unregister_worker_plugin(plugin_name(job))


def _record(ledger: Ledger, entry: Entry) -> None:
    """Enter a failure; where the disk is full, the report of this session alone names it."""
    with suppress(OSError):
        ledger.write(entry)


class _Loop:
    """Submits items so that every worker has one more than it holds, and no item waits long."""

    def __init__(self, client: Client, plan: Plan, retries: int) -> None:
        self.client = client
        self.job = plan.job
        self.retries = retries
        self.land = {tile.tile: tile.land > 0 for tile in plan.tiles}
        self.attempts: dict[str, int] = {}
        self.contexts: dict[tuple[Tile, int], Future] = {}
        self.items: dict[str, WorkItem] = {}
        self.pool = as_completed([], loop=client.loop)

    def results(self, items: Sequence[WorkItem]) -> Iterator[tuple[WorkItem, Future]]:
        """Finished futures, as they come; new items are submitted as others finish."""
        waiting = iter(items)
        for item in islice(waiting, self._width()):
            self._submit(item)
        for future in self.pool:
            item = self.items.pop(future.key)
            yield item, future
            for following in islice(waiting, self._room()):
                self._submit(following)

    def again(self, item: WorkItem, future: Future) -> bool:
        """Submit an item once more, if its error may pass; False where it is given up."""
        if future.status == "cancelled" or isinstance(future.exception(), _FINAL):
            return False
        tried = self.attempts.get(item.id, 0)
        if tried >= self.retries:
            return False
        self.attempts[item.id] = tried + 1
        self.contexts.pop(self._context_key(item), None)
        self._submit(item)
        return True

    def _width(self) -> int:
        threads = self.client.nthreads()
        return max(2, int(sum(threads.values())) + len(threads))

    def _room(self) -> int:
        return max(0, self._width() - len(self.items))

    def _submit(self, item: WorkItem) -> None:
        land, name = self.land[item.tile], plugin_name(self.job)
        after = self._context(item) if land and not self.job.query_context else None
        key = f"{name}-{item.id}-{self.attempts.get(item.id, 0)}"
        future = self.client.submit(predict_on_worker, name, item, land, after, key=key, pure=False)
        self.items[key] = item
        self.pool.add(future)

    def _context_key(self, item: WorkItem) -> tuple[Tile, int]:
        return item.tile, item.block if self.job.strict_past else 0

    def _context(self, item: WorkItem) -> Future:
        """The future of the item's embeddings, shared by all blocks of its tile."""
        key = self._context_key(item)
        if key not in self.contexts:
            tried = self.attempts.get(item.id, 0)
            name = plugin_name(self.job)
            self.contexts[key] = self.client.submit(
                embed_on_worker, name, *key, pure=False,
                key=f"{name}-context-{key[0].id}-{key[1]}-{item.id}-{tried}",
            )  # fmt: skip
        return self.contexts[key]


def _entry_of(future: Future, job: Job, item: WorkItem, client: Client) -> Entry:
    """What became of an item; waits for it where its worker died with the result in hand.

    A future that is done may be pending again a moment later: the state is asked for only once,
    by `result`, which waits until the cluster has computed a lost result anew.
    """
    try:
        entry: Entry = future.result()
    except (CancelledError, CommClosedError):
        raise
    except Exception as error:
        if client.status != "running":
            raise _lost(error) from None
        return failed_entry(job, item, error)
    return entry


def _lost(error: BaseException | None) -> ClusterError:
    detail = f" ({error})" if error and str(error) else ""
    return ClusterError(
        f"the Dask scheduler was lost{detail}; what is done is kept: run the same command again"
    )
