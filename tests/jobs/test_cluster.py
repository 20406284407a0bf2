"""How many workers a cluster has and which GPU each one sees; the caller says which there are."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from dask.system import CPU_COUNT

from upscale.engine.devices import visible_gpus
from upscale.jobs.cluster import (
    ClusterError,
    address_in,
    connect,
    worker_count,
    worker_memory,
)
from upscale.jobs.sections import Cluster


def test_there_is_a_worker_for_each_gpu_or_else_for_each_core() -> None:
    assert worker_count(Cluster(), gpus=("0", "3")) == 2
    assert worker_count(Cluster()) == CPU_COUNT
    assert worker_count(Cluster(threads=10_000)) == 1
    assert worker_count(Cluster(workers=5), gpus=("0",)) == 5


def test_workers_share_the_memory_evenly() -> None:
    assert worker_memory(Cluster(memory=1.5)) == int(1.5 * 2**30)
    alone, four = worker_memory(Cluster(), gpus=("0",)), worker_memory(Cluster(), gpus="0123")
    assert four == pytest.approx(alone / 4, abs=1)


def test_a_run_on_the_cpu_asks_for_no_gpu() -> None:
    assert visible_gpus("cpu") == ()


@pytest.mark.cluster
def test_each_worker_sees_its_own_gpu_and_none_has_loaded_torch(tmp_path: Path) -> None:
    cluster = Cluster(workers=3, memory=1)
    with connect(cluster, tmp_path / "logs", gpus=("GPU-a", "GPU-b")) as client:
        client.wait_for_workers(3, timeout=60)
        seen = client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
        loaded = client.run(lambda: "torch" in sys.modules)
    assert sorted(seen.values()) == ["GPU-a", "GPU-a", "GPU-b"]
    assert not any(loaded.values())
    assert {path.stem for path in (tmp_path / "logs").iterdir()} == {
        "scheduler", "worker-0", "worker-1", "worker-2",
    }  # fmt: skip


def test_no_scheduler_at_an_address_is_said_with_a_remedy() -> None:
    cluster = Cluster(address="tcp://127.0.0.1:9", wait=0.5)
    with pytest.raises(
        ClusterError, match=r"no Dask scheduler answers.*leave out cluster\.address"
    ):
        connect(cluster).__enter__()


def test_a_file_of_a_scheduler_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    whole = '{"address": "tcp://127.0.0.1:8786"}'
    for content in ("", whole[:12], whole):
        file.write_text(content)
        assert address_in(file) == ("tcp://127.0.0.1:8786" if content == whole else "")
    file.unlink()
    assert address_in(file) == ""
