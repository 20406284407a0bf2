"""A queue of tasks: a cluster gets a few more than it can hold, and others as these finish."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from distributed import Client, as_completed
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from upscale.jobs.cluster import ClusterError

#: A Dask future; its class says nothing of what it holds.
Future = Any


class Item(Protocol):
    """The work item of a task."""

    @property
    def id(self) -> str: ...


I = TypeVar("I", bound=Item)  # noqa: E741
T = TypeVar("T")

#: Submits an item for the n-th time, counted from 0.
Submit = Callable[[I, int], Future]


class SubmissionQueue(Generic[I]):
    """Submits items so that every worker has one more than it holds, and no item waits long.

    retries: more attempts at an item; final: errors that another attempt cannot mend.
    """

    def __init__(
        self,
        client: Client,
        submit: Submit[I],
        retries: int,
        final: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.client = client
        self._submit_item = submit
        self._retries = retries
        self._final: tuple[type[BaseException], ...] = (KilledWorker, *final)
        self._attempts: dict[str, int] = {}
        self._items: dict[str, I] = {}
        self._pool = as_completed([], loop=client.loop)

    def results(self, items: Sequence[I]) -> Iterator[tuple[I, Future]]:
        """Finished futures, as they come; new items are submitted as others finish."""
        waiting = iter(items)
        for item in islice(waiting, self._width()):
            self._submit(item)
        for future in self._pool:
            item = self._items.pop(future.key)
            yield item, future
            for following in islice(waiting, self._room()):
                self._submit(following)

    def again(self, item: I, future: Future) -> bool:
        """Submit an item once more where that may help; False where it is given up."""
        if future.status == "cancelled" or isinstance(future.exception(), self._final):
            return False
        tried = self._attempts.get(item.id, 0)
        if tried >= self._retries:
            return False
        self._attempts[item.id] = tried + 1
        self._submit(item)
        return True

    def _width(self) -> int:
        threads = self.client.nthreads()
        return max(2, int(sum(threads.values())) + len(threads))

    def _room(self) -> int:
        return max(0, self._width() - len(self._items))

    def _submit(self, item: I) -> None:
        future = self._submit_item(item, self._attempts.get(item.id, 0))
        self._items[future.key] = item
        self._pool.add(future)


def result_of(future: Future, client: Client, failed: Callable[[Exception], T]) -> T:
    """What became of an item; waits for it where its worker died with the result in hand.

    A future that is done may be pending again a moment later: the state is asked for only once,
    by `result`, which waits until the cluster has computed a lost result anew. failed: makes
    the result of an error. Raises ClusterError where the scheduler is lost.
    """
    try:
        result: T = future.result()
    except (CancelledError, CommClosedError):
        raise
    except Exception as error:
        if client.status != "running":
            raise lost(error) from None
        return failed(error)
    return result


def lost(error: BaseException | None) -> ClusterError:
    """The error of a scheduler that is gone."""
    detail = f" ({error})" if error and str(error) else ""
    return ClusterError(
        f"the Dask scheduler was lost{detail}; what is done is kept: run the same command again"
    )
