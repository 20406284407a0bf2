"""kill -9 of an ingest, or of one of its workers: run it again, and the cube is the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from upscale.testing.archives import Archive, content_of, same_contents

pytestmark = pytest.mark.cluster


def write_config(archive: Archive, folder: Path) -> Path:
    path = folder / "INGEST.yaml"
    path.write_text(yaml.safe_dump(content_of(archive, folder / "c.zarr")))
    return path


def start(config: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "upscale", "ingest", str(config)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def entries(folder: Path) -> int:
    return len(list((folder / "c.ledger").glob("*.done.json")))


def await_entries(folder: Path, count: int, driver: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while entries(folder) < count and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def workers(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that do the work: those that a nanny started."""
    found = []
    for child in psutil.Process(driver.pid).children(recursive=True):
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def finish(config: Path) -> str:
    done = start(config)
    output = done.communicate(timeout=300)[0].decode()
    assert done.returncode == 0, output
    return output


def test_an_ingest_killed_at_random_moments_ends_with_the_same_cube(
    archive: Archive, cube: Path, tmp_path: Path
) -> None:
    config, moments = write_config(archive, tmp_path), random.Random(11)
    for count in (1, 9, 21):
        driver = start(config)
        await_entries(tmp_path, count, driver)
        time.sleep(moments.uniform(0, 0.4))
        children = psutil.Process(driver.pid).children(recursive=True)
        os.kill(driver.pid, signal.SIGKILL)
        driver.communicate()
        psutil.wait_procs(children, timeout=30)
    finish(config)
    assert same_contents(cube, tmp_path / "c.zarr") == []
    assert "nothing to do" in finish(config)


def test_a_killed_worker_is_replaced_and_the_ingest_ends_well(
    archive: Archive, cube: Path, tmp_path: Path
) -> None:
    driver = start(write_config(archive, tmp_path))
    await_entries(tmp_path, 3, driver)
    os.kill(workers(driver)[0].pid, signal.SIGKILL)
    output = driver.communicate(timeout=300)[0].decode()
    assert driver.returncode == 0, output
    assert same_contents(cube, tmp_path / "c.zarr") == []


def test_two_ingests_of_one_cube_take_turns(archive: Archive, cube: Path, tmp_path: Path) -> None:
    config = write_config(archive, tmp_path)
    both = [start(config), start(config)]
    outputs = [one.communicate(timeout=300)[0].decode() for one in both]
    assert [one.returncode for one in both] == [0, 0], outputs
    assert same_contents(cube, tmp_path / "c.zarr") == []
