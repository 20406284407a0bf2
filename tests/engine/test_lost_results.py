"""The loop's reading of futures, on a real cluster whose worker dies at the worst moment."""

import os
import time
from functools import partial
from types import SimpleNamespace

import pytest
from distributed import Client, LocalCluster, wait

from upscale.engine.worker import failed_entry
from upscale.grid import Tile
from upscale.jobs.queue import result_of
from upscale.product.layout import WorkItem

pytestmark = pytest.mark.cluster

ITEM = WorkItem(0, Tile(0, 0))
JOB = SimpleNamespace(digest="d", release="r", cube="c")


@pytest.fixture
def client():
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def until(holds) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "nothing happened for a minute"
        time.sleep(0.005)


def test_a_result_that_died_with_its_worker_is_waited_for(client):
    future = client.submit(failed_entry, JOB, ITEM, ValueError("made"), pure=False)
    wait(future)
    [pid] = client.run(os.getpid).values()
    os.kill(pid, 9)
    until(lambda: future.status != "finished")
    assert result_of(future, client, partial(failed_entry, JOB, ITEM)).error == "ValueError: made"


def test_an_error_of_the_task_becomes_its_entry(client):
    future = client.submit(int, "no number", pure=False)
    entry = result_of(future, client, partial(failed_entry, JOB, ITEM))
    assert entry.status == "failed"
    assert "no number" in entry.error
