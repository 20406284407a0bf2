"""Killed, or out of room: no half file ever stands under a name that somebody reads."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from upscale.product.published.index import INDEX, MANIFEST
from upscale.product.published.netcdf import publish_netcdf
from upscale.product.published.plan import FileOptions
from upscale.product.published.safely import PublishError

_PUBLISH = """
import os, resource, signal, sys
from pathlib import Path
from upscale.product.published.netcdf import publish_netcdf
from upscale.product.published.plan import FileOptions
from upscale.product.published.safely import PublishError
store, out, limit, writes = sys.argv[1:]
left = int(writes)

def count(event, arguments):
    global left
    changes = event in ("os.rename", "os.remove")
    changes |= event == "open" and bool(int(arguments[2]) & (os.O_WRONLY | os.O_RDWR))
    if changes and str(arguments[0]).startswith(out):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
sys.addaudithook(count)
print("begun", flush=True)
try:
    publish_netcdf(store, Path(out), ("nee",), say=lambda line: print(line, flush=True))
except PublishError as error:
    print("refused:", error)
    sys.exit(3)
"""


def start(store: str, out: Path, limit: int = 0, writes: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PUBLISH, store, str(out), str(limit), str(writes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.fixture(scope="module")
def undisturbed(made_store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_netcdf(made_store, tmp_path_factory.mktemp("undisturbed"), ("nee",)).folder


@pytest.fixture(scope="module")
def former(made_store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same files, packed less: all of them have to be made anew."""
    folder = tmp_path_factory.mktemp("former")
    return publish_netcdf(made_store, folder, ("nee",), FileOptions(level=1)).folder


def digests(folder: Path) -> set[str]:
    return set((folder / MANIFEST).read_text().splitlines())


def faults_of(folder: Path) -> str:
    """What sha256sum says against a folder."""
    command = ["sha256sum", "--check", "--strict", "--quiet", MANIFEST]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


#: Writes, renames and removals before which a publication is killed: before the first file has its
#: name, and before it is entered into the index; and somewhere in the second file.
WRITES = (8, 10, 24)


@pytest.mark.parametrize("writes", WRITES)
def test_kill_9_leaves_whole_files_that_the_sums_confirm_and_the_next_try_finishes(
    made_store: str, undisturbed: Path, former: Path, tmp_path: Path, writes: int
) -> None:
    out = shutil.copytree(former, tmp_path / "killed")
    process = start(made_store, out, writes=writes)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert faults_of(out) == ""
    files = list(out.glob("*.nc"))
    assert len(files) == 4
    assert all(is_one_of(path, former, undisturbed) for path in files)
    publish_netcdf(made_store, out, ("nee",))
    assert digests(out) == digests(undisturbed)
    assert (out / INDEX).read_bytes() == (undisturbed / INDEX).read_bytes()
    assert not list(out.glob(".*.partial"))


def test_kill_9_within_the_first_file_leaves_nothing_under_its_name(
    made_store: str, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    process = start(made_store, out)
    while not list(out.glob(".*.nc.partial")):
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert all(is_one_of(path, undisturbed) for path in out.glob("*.nc"))
    publish_netcdf(made_store, out, ("nee",))
    assert digests(out) == digests(undisturbed)


def is_one_of(path: Path, *folders: Path) -> bool:
    return path.read_bytes() in [(folder / path.name).read_bytes() for folder in folders]


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
