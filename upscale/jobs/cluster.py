"""The Dask cluster that does the work: one that is started here, or one that stands elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from dask.system import CPU_COUNT
from distributed import Client
from distributed.system import MEMORY_LIMIT

from upscale.jobs.sections import Cluster

#: Tasks that a worker process holds at once: one computes, one reads or writes.
TASKS_PER_WORKER = 2

#: Dask settings of the processes that are started here. A frozen worker is given up after two
#: minutes, and so is a task that kills three workers. Freed memory is kept for the next tile:
#: Dask's own default returns every page, which doubled the time of a run
#: (docs/performance.md).
_SETTINGS = {
    "distributed": {
        "scheduler": {"worker-ttl": "120s", "allowed-failures": 3, "no-workers-timeout": "10m"},
        "nanny": {
            "pre-spawn-environ": {
                "MALLOC_TRIM_THRESHOLD_": 2**30,
                "MALLOC_MMAP_THRESHOLD_": 2**30,
                "OMP_NUM_THREADS": 1,
                "MKL_NUM_THREADS": 1,
                "OPENBLAS_NUM_THREADS": 1,
            }
        },
    }
}


class ClusterError(Exception):
    """There is no cluster, or it was lost; the work that was finished is kept."""


@contextmanager
def connect(
    cluster: Cluster,
    logs: Path | None = None,
    tasks: int = TASKS_PER_WORKER,
    gpus: Sequence[str] = (),
) -> Iterator[Client]:
    """A client of a cluster that has at least one worker.

    logs: folder for the logs of the processes that are started here; tasks: how many a worker
    holds at once; gpus: those that workers may use, as CUDA_VISIBLE_DEVICES names them, none
    where the work needs none. Raises ClusterError where no scheduler answers or no worker joins
    in time.
    """
    with ExitStack() as stack:
        address, alive = cluster.address, _always
        if address is None:
            address, alive = stack.enter_context(_local_cluster(cluster, logs, tasks, gpus))
        client = _client(address, cluster.wait, alive)
        stack.callback(_close, client)
        _await_worker(client, cluster.wait, alive)
        yield client


Alive = Callable[[], bool]


def _always() -> bool:
    return True


def _close(client: Client) -> None:
    client.close(timeout=5)


def _client(address: str, wait: float, alive: Alive) -> Client:
    """Connect in attempts of a few seconds, so that nobody waits for a scheduler that died."""
    deadline = time.monotonic() + wait
    while alive():
        try:
            return Client(address, timeout=min(wait, 5), set_as_default=False)
        except OSError as error:
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"no Dask scheduler answers at {address} ({error}); start it, or leave out "
                    "cluster.address to start one here"
                ) from None
    raise ClusterError("the Dask scheduler ended before it answered; run the same command again")


def _await_worker(client: Client, wait: float, alive: Alive) -> None:
    """Wait for the first worker; ClusterError where the scheduler ends or no worker joins."""
    deadline = time.monotonic() + wait
    while not _workers(client):
        if not alive() or client.status != "running":
            raise ClusterError("the Dask scheduler was lost; run the same command again")
        if time.monotonic() > deadline:
            raise ClusterError(
                f"no worker joined the Dask scheduler within {wait:g} s; look at the workers, "
                "or raise cluster.wait"
            )
        time.sleep(0.1)


def _workers(client: Client) -> int:
    """How many workers the scheduler knows; 0 where it does not answer."""
    try:
        return len(client.nthreads())
    except OSError:
        return 0


def worker_count(cluster: Cluster, gpus: Sequence[str] = ()) -> int:
    """Worker processes to start: one for each GPU, else one for each `threads` cores."""
    if cluster.workers != "auto":
        return cluster.workers
    return len(gpus) or max(1, int(CPU_COUNT) // cluster.threads)


def worker_memory(cluster: Cluster, gpus: Sequence[str] = ()) -> int:
    """Bytes that each worker may use."""
    if cluster.memory != "auto":
        return int(cluster.memory * 2**30)
    return int(0.9 * MEMORY_LIMIT / worker_count(cluster, gpus))


@contextmanager
def _local_cluster(
    cluster: Cluster, logs: Path | None, tasks: int, gpus: Sequence[str]
) -> Iterator[tuple[str, Alive]]:
    """Scheduler and workers as processes of their own, which end with the context.

    Gives the address of the scheduler, and a function that says whether it still runs.
    """
    with tempfile.TemporaryDirectory(prefix="upscale-") as folder, ExitStack() as stack:
        place = Path(folder)
        file = place / "scheduler.json"
        settings = place / "dask.yaml"
        settings.write_text(yaml.safe_dump(_SETTINGS))
        start = _Starter(logs or place, settings)
        scheduler = stack.enter_context(start("scheduler", _scheduler_arguments(file)))
        _await_file(file, scheduler, start.log("scheduler"))
        memory = worker_memory(cluster, gpus)
        for number in range(worker_count(cluster, gpus)):
            arguments = _worker_arguments(file, place, number, memory, tasks)
            gpu = gpus[number % len(gpus)] if gpus else None
            stack.enter_context(start(f"worker-{number}", arguments, gpu))
        yield address_in(file), lambda: scheduler.poll() is None


def _scheduler_arguments(file: Path) -> list[str]:
    return [
        "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file), "--no-dashboard",
    ]  # fmt: skip


def _worker_arguments(file: Path, place: Path, number: int, memory: int, tasks: int) -> list[str]:
    return [
        "--scheduler-file", str(file), "--name", f"worker-{number}", "--nworkers", "1",
        "--nthreads", str(tasks), "--memory-limit", str(memory),
        "--no-dashboard", "--host", "127.0.0.1", "--death-timeout", "30",
        "--local-directory", str(place / f"worker-{number}"),
    ]  # fmt: skip


@dataclass(frozen=True)
class _Starter:
    """Starts processes that end with this one, each with a log of its own in `logs`."""

    logs: Path
    settings: Path

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    @contextmanager
    def __call__(
        self, name: str, arguments: list[str], gpu: str | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A child that ends with this process, or at the end of the context."""
        environment = os.environ | {"DASK_CONFIG": str(self.settings)}
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpu
        role = name.split("-")[0]
        command = [sys.executable, "-m", "upscale.jobs.processes", role, *arguments]
        self.logs.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("wb") as output:
            child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment,
                start_new_session=True,
            )  # fmt: skip
        try:
            yield child
        finally:
            _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    finally:
        if child.stdin:
            child.stdin.close()


def _await_file(file: Path, scheduler: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    while not address_in(file):
        if scheduler.poll() is not None or time.monotonic() > deadline:
            raise ClusterError(f"the Dask scheduler did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


def address_in(file: Path) -> str:
    """What a scheduler says in its file; empty as long as it is not there, or is being written."""
    try:
        return str(json.loads(file.read_text())["address"])
    except (FileNotFoundError, json.JSONDecodeError):
        return ""
