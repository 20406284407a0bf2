"""How a result is read, on a real cluster whose worker dies at the worst moment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest
from distributed import Client, LocalCluster, wait

from upscale.jobs.queue import result_of

pytestmark = pytest.mark.cluster


@pytest.fixture
def frail() -> Iterator[Client]:
    """A cluster of one worker, which may be killed."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "nothing happened for a minute"
        time.sleep(0.005)


def test_a_result_that_died_with_its_worker_is_waited_for(frail: Client) -> None:
    future = frail.submit("made".upper, pure=False)
    wait(future)
    [pid] = frail.run(os.getpid).values()
    os.kill(pid, 9)
    until(lambda: future.status != "finished")
    assert result_of(future, frail, repr) == "MADE"


def test_an_error_of_the_task_becomes_what_the_caller_makes_of_it(client: Client) -> None:
    future = client.submit(int, "no number", pure=False)
    assert "no number" in result_of(future, client, repr)
