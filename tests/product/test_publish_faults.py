"""Killed, or out of room: no half file ever stands under a name that somebody reads."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from upscale.product.netcdf import MANIFEST, PublishError, publish_netcdf

_PUBLISH = """
import resource, sys
from pathlib import Path
from upscale.product.netcdf import PublishError, publish_netcdf
store, out, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
print("begun", flush=True)
try:
    publish_netcdf(store, Path(out), ("nee",), say=lambda line: print(line, flush=True))
except PublishError as error:
    print("refused:", error)
    sys.exit(3)
"""


def start(store: str, out: Path, limit: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PUBLISH, store, str(out), str(limit)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.fixture(scope="module")
def undisturbed(made_store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_netcdf(made_store, tmp_path_factory.mktemp("undisturbed"), ("nee",)).folder


def digests(folder: Path) -> set[str]:
    return set((folder / MANIFEST).read_text().splitlines())


@pytest.mark.parametrize("moment", ["first file", "third file", "a partial file", "at once"])
def test_kill_9_leaves_whole_files_and_the_next_try_finishes(
    made_store: str, undisturbed: Path, tmp_path: Path, moment: str
) -> None:
    out = tmp_path / "killed"
    process = start(made_store, out)
    wait_for(process, moment, out)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all(is_whole(path, undisturbed / path.name) for path in out.glob("*.nc"))
    again = publish_netcdf(made_store, out, ("nee",))
    assert len(again.written) + len(again.kept) == 4
    assert digests(out) == digests(undisturbed)
    assert not list(out.glob(".*.partial"))


def wait_for(process: subprocess.Popen[str], moment: str, out: Path) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    lines = {"first file": 1, "third file": 3}.get(moment, 0)
    for _ in range(lines):
        process.stdout.readline()
    while moment == "a partial file" and not list(out.glob(".*.nc.partial")):
        assert process.poll() is None
        time.sleep(0.001)


def is_whole(path: Path, other: Path) -> bool:
    return path.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("limit", [5_000, 30_000, 60_000])
def test_a_file_size_limit_is_said_and_leaves_nothing(
    made_store: str, tmp_path: Path, limit: int
) -> None:
    process = start(made_store, tmp_path / "out", limit)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert f"file-size limit {limit} bytes" in said
    assert "make room or choose another folder" in said
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == [".publish.lock"]


def test_two_publications_into_one_folder_do_not_meet(made_store: str, tmp_path: Path) -> None:
    with (tmp_path / ".publish.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(PublishError, match="another process publishes"):
            publish_netcdf(made_store, tmp_path)
