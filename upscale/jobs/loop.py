"""One loop for all work on a cluster: submit, collect, try again, enter.

The cluster gives entries as work items end (`entries_of`); `enter` puts failures into the ledger
and tells the progress. A worker enters what it has done itself, so that nothing is lost with the
process that asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, Protocol, TypeVar

from distributed import Client
from distributed.comm.core import CommClosedError

from upscale.jobs.ledger import Ledger, LedgerEntry
from upscale.jobs.progress import Counted, Progress
from upscale.jobs.queue import Item, SubmissionQueue, Submit, lost, result_of


class LoopEntry(LedgerEntry, Counted, Protocol):
    """An entry of the ledger that also says how many values it stands for."""


I = TypeVar("I", bound=Item)  # noqa: E741
E = TypeVar("E", bound=LoopEntry)


@dataclass
class Outcome(Generic[E]):
    """How work ended: entries of this session, and those of the items that failed."""

    done: list[E] = field(default_factory=list)
    failed: list[E] = field(default_factory=list)


@dataclass(frozen=True)
class Attempts:
    """How often an item is tried: once and `retries` times more, unless its error is `final`,
    one that another attempt cannot mend."""

    retries: int
    final: tuple[type[BaseException], ...] = ()


def entries_of(
    client: Client,
    items: Sequence[I],
    submit: Submit[I],
    failed: Callable[[I, BaseException], E],
    attempts: Attempts,
) -> Iterator[E]:
    """The entry of each item as it ends: of the work, or of its failure after all attempts.

    submit: starts an item for the n-th time; failed: makes the entry of an error. One item that
    fails never stops the others. Raises ClusterError where the scheduler is lost.
    """
    queue = SubmissionQueue(client, submit, attempts.retries, attempts.final)
    try:
        for item, future in queue.results(items):
            entry = result_of(future, client, partial(failed, item))
            if entry.status == "failed" and queue.again(item, future):
                continue
            yield entry
    except (CancelledError, CommClosedError) as error:
        raise lost(error) from None


def enter(entries: Iterable[E], ledger: Ledger[E], progress: Progress) -> Outcome[E]:
    """Take the entries as they come; failures go into the ledger.

    Where the disk is full, the outcome of this session alone names a failure.
    """
    outcome = Outcome[E]()
    for entry in entries:
        if entry.status == "failed":
            with suppress(OSError):
                ledger.write(entry)
            outcome.failed.append(entry)
        else:
            outcome.done.append(entry)
        progress.advance(entry)
    return outcome
