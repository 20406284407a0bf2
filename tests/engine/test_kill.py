"""kill -9 of any process of a run, at any moment: run it again, and the store is the same."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from upscale.engine.ledger import RunLedger
from upscale.engine.run import status
from upscale.testing.runs import differences, prepare, run_here

pytestmark = pytest.mark.cluster

MOMENTS = [0, 5]


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory):
    """The store of a run that nobody disturbed, without any cluster."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return run_here(prepare(world.model, world.drivers, folder / "f.zarr", period=world.period))


def write_config(world, folder: Path, **keys) -> Path:
    config = {
        "model": str(world.model),
        "drivers": str(world.drivers),
        "period": {"start": world.period[0], "end": world.period[1]},
        "output": {"store": str(folder / "f.zarr")},
        "cluster": {"workers": 2, "memory": 2.0},
        "interval": 1,
    }
    path = folder / "RUN.yaml"
    path.write_text(yaml.safe_dump(config | keys))
    return path


def command(config: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "upscale", "run", str(config), *options]


def start(config: Path) -> subprocess.Popen:
    return subprocess.Popen(
        command(config),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=heed_interrupts,
    )


def heed_interrupts() -> None:
    """What a shell starts in the background ignores SIGINT, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(config: Path) -> str:
    done = subprocess.run(command(config), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def processes(driver: subprocess.Popen, role: str) -> list[psutil.Process]:
    """Processes of a run: `scheduler`, `nanny`, or `worker` (which the nanny started)."""
    children = children_of(psutil.Process(driver.pid), recursive=True)
    nannies = [c for c in children if {"upscale.jobs.processes", "worker"} <= set(words(c))]
    found = {
        "scheduler": [c for c in children if "scheduler" in words(c)],
        "nanny": nannies,
        "worker": [w for n in nannies for w in children_of(n) if "spawn_main" in str(words(w))],
    }
    return found[role]


def children_of(process: psutil.Process, recursive: bool = False) -> list[psutil.Process]:
    """Children of a process; none of one that has just ended."""
    try:
        return process.children(recursive=recursive)
    except psutil.NoSuchProcess:
        return []


def words(process: psutil.Process) -> list[str]:
    """The command line of a process; empty for one that has just ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def await_items(store: Path, count: int, driver: subprocess.Popen) -> None:
    """Wait until `count` work items are done and the workers are there."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and driver.poll() is None:
        names = list(store.with_suffix(".ledger").glob("*.done.json"))
        if len(names) >= count and processes(driver, "worker"):
            return
        time.sleep(0.02)
    raise AssertionError(f"never saw {count} items: {driver.communicate()}")


def kill(process: psutil.Process) -> None:
    os.kill(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_worker_is_replaced_and_the_run_ends_well(world, undisturbed, moment, tmp_path):
    driver = start(write_config(world, tmp_path))
    await_items(tmp_path / "f.zarr", moment, driver)
    kill(processes(driver, "worker")[0])
    output = driver.communicate(timeout=300)[0].decode()
    assert driver.returncode == 0, output
    assert differences(undisturbed, str(tmp_path / "f.zarr")) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_scheduler_ends_the_run_which_then_goes_on(world, undisturbed, moment, tmp_path):
    config = write_config(world, tmp_path)
    driver = start(config)
    await_items(tmp_path / "f.zarr", moment, driver)
    kill(processes(driver, "scheduler")[0])
    output = driver.communicate(timeout=120)[0].decode()
    assert driver.returncode == 3, output
    assert "run the same command again" in " ".join(output.split())
    finish(config)
    assert differences(undisturbed, str(tmp_path / "f.zarr")) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_driver_leaves_nothing_running_and_goes_on(world, undisturbed, moment, tmp_path):
    config = write_config(world, tmp_path)
    driver = start(config)
    await_items(tmp_path / "f.zarr", moment, driver)
    family = psutil.Process(driver.pid).children(recursive=True)
    kill(psutil.Process(driver.pid))
    driver.wait()
    before = len(RunLedger(str(tmp_path / "f.zarr")).entries(status(str(tmp_path / "f.zarr")).run))
    gone, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    assert len(gone) >= 3
    finish(config)
    report = json.loads((tmp_path / "f.ledger" / "report.json").read_text())
    assert report["done"] == report["items"] == 18
    assert before >= moment
    assert differences(undisturbed, str(tmp_path / "f.zarr")) == []


def test_an_interrupted_run_says_how_to_go_on(world, undisturbed, tmp_path):
    config = write_config(world, tmp_path)
    driver = start(config)
    await_items(tmp_path / "f.zarr", 2, driver)
    driver.send_signal(signal.SIGINT)
    output = driver.communicate(timeout=120)[0].decode()
    assert driver.returncode == 130, output
    assert "run the same command again" in output
    finish(config)
    assert differences(undisturbed, str(tmp_path / "f.zarr")) == []


def test_one_worker_or_three_write_the_same_store(world, undisturbed, tmp_path):
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        folder.mkdir()
        cluster = {"workers": workers, "memory": 2.0}
        finish(write_config(world, folder, cluster=cluster))
        assert differences(undisturbed, str(folder / "f.zarr")) == []


def test_parts_on_several_machines_make_one_store(world, undisturbed, tmp_path):
    config = write_config(world, tmp_path)
    for part in ("2/2", "1/2"):
        done = subprocess.run(command(config, "--part", part), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "all" in done.stderr
    assert differences(undisturbed, str(tmp_path / "f.zarr")) == []


def test_a_finished_run_computes_nothing_again(world, tmp_path):
    config = write_config(world, tmp_path)
    finish(config)
    store = str(tmp_path / "f.zarr")
    ledger, run = RunLedger(store), status(store).run
    entries, compacted = ledger.entries(run), list((tmp_path / "f.ledger").glob("compact-*"))
    assert len(entries) == 18
    finish(config)
    assert ledger.entries(run) == entries  # with the moment at which each was finished
    assert list((tmp_path / "f.ledger").glob("compact-*")) == compacted


def test_parts_that_start_at_once_make_one_store(world, undisturbed, tmp_path):
    config = write_config(world, tmp_path, cluster={"workers": 1, "memory": 2.0})
    parts = [
        subprocess.Popen(
            [*command(config), "--part", f"{number}/3"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for number in (1, 2, 3)
    ]  # fmt: skip
    outputs = [part.communicate(timeout=300)[0] for part in parts]
    assert [part.returncode for part in parts] == [0, 0, 0], outputs
    finish(config)
    assert differences(undisturbed, str(tmp_path / "f.zarr")) == []


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.3])
def test_a_driver_killed_while_it_creates_the_store_begins_again(
    world, undisturbed, seconds, tmp_path
):
    config = write_config(world, tmp_path)
    driver = start(config)
    ledger = tmp_path / "f.ledger"
    while not ledger.exists() and driver.poll() is None:
        time.sleep(0.005)
    time.sleep(seconds)
    kill(psutil.Process(driver.pid))
    driver.wait()
    finish(config)
    assert differences(undisturbed, str(tmp_path / "f.zarr")) == []


def test_a_lost_ledger_costs_the_work_but_not_the_store(world, undisturbed, tmp_path):
    config = write_config(world, tmp_path)
    finish(config)
    shutil.rmtree(tmp_path / "f.ledger")
    finish(config)
    # nothing is left that could tell that the second revision equals the first
    assert differences(undisturbed, str(tmp_path / "f.zarr")) == ["@revision"]
