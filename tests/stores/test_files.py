"""A file that others read is the old one or the new one, whatever happens to its writer."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from upscale.stores.files import (
    PART,
    first_bytes,
    replacing,
    take_place,
    unfinished,
    write_whole,
)

#: Writes a file of one letter over and over, in pieces, until it is killed.
_WRITES = """
import itertools, sys
from pathlib import Path
from upscale.stores.files import replacing
path, letters = Path(sys.argv[1]), sys.argv[2]
for letter in itertools.cycle(letters):
    with replacing(path) as part, part.open("wb") as file:
        for _ in range(64):
            file.write(letter.encode() * 4096)
            file.flush()
"""
SIZE = 64 * 4096

#: Comes to the middle of a file and no further.
_STOPS = """
import sys, time
from pathlib import Path
from upscale.stores.files import replacing
with replacing(Path(sys.argv[1])) as part:
    part.write_bytes(b"half of")
    print("half", flush=True)
    time.sleep(600)
"""


def writer(path: Path, letters: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _WRITES, str(path), letters])


def wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    while not condition():
        assert process.poll() is None
        time.sleep(0.0005)


def is_whole(content: bytes) -> bool:
    return len(content) == SIZE and len(set(content)) == 1


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_whole(path, b"old")
    process = subprocess.Popen([sys.executable, "-c", _STOPS, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"half\n"
    process.kill()
    process.wait()
    (half,) = unfinished(tmp_path)
    assert (path.read_bytes(), half.read_bytes()) == (b"old", b"half of")
    write_whole(path, b"half of it and the rest")
    assert path.read_bytes() == b"half of it and the rest"


def test_processes_that_write_one_file_at_once_leave_one_of_theirs(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    processes = [writer(path, "ab"), writer(path, "cd")]
    try:
        for process in processes:
            wait_for(path.exists, process)
        seen = {path.read_bytes() for _ in range(300)}
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert all(map(is_whole, seen))
    assert len(seen) > 1


def test_threads_that_write_one_file_at_once_do_not_share_a_name(tmp_path: Path) -> None:
    path, names = tmp_path / "a.json", set()
    gate = threading.Barrier(8)

    def write(letter: str) -> None:
        with replacing(path) as part:
            names.add(part)
            gate.wait(10)
            part.write_text(letter * 100)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 8
    assert len(set(path.read_text())) == 1
    assert os.listdir(tmp_path) == ["a.json"]


def test_what_raises_in_the_middle_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path,
) -> None:
    def half_of(path: Path) -> None:
        with replacing(path) as part:
            part.write_text("half")
            raise ZeroDivisionError

    path = tmp_path / "a.csv"
    write_whole(path, "ä old\n")
    with pytest.raises(ZeroDivisionError):
        half_of(path)
    assert path.read_text(encoding="utf-8") == "ä old\n"
    assert os.listdir(tmp_path) == ["a.csv"]


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_leaves_the_old_file_and_no_half_one(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        write_whole(disk / "a.bin", b"old")
        for name in ("a.bin", "b.bin"):
            with pytest.raises(OSError, match="No space left"):
                write_whole(disk / name, bytes(1 << 17))
        assert os.listdir(disk) == ["a.bin"]
        assert (disk / "a.bin").read_bytes() == b"old"


def test_a_limit_on_the_size_of_files_leaves_the_old_file_and_no_half_one(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from upscale.stores.files import write_whole\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "write_whole(Path(sys.argv[1]), bytes(100_000))"
    )
    write_whole(tmp_path / "a.bin", b"old")
    for name in ("a.bin", "b.bin"):
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        ended = subprocess.run(command, capture_output=True, text=True)
        assert "File too large" in ended.stderr
    assert os.listdir(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_a_whole_copy_takes_the_place_of_the_file_before_it(tmp_path: Path) -> None:
    (tmp_path / "a.hdf.part").write_bytes(b"new")
    (tmp_path / "a.hdf").write_bytes(b"old")
    take_place(tmp_path / "a.hdf.part", tmp_path / "a.hdf")
    assert (tmp_path / "a.hdf").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.hdf"]


def test_the_name_of_a_file_in_the_making_is_hidden_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "fluxes.nc"
    with replacing(path) as part:
        assert (part.name[0], part.name.endswith(f".fluxes.nc{PART}")) == (".", True)
        part.touch()
        assert unfinished(tmp_path) == [part]
    assert (path.exists(), unfinished(tmp_path)) == (True, [])


def test_the_first_bytes_of_no_file_are_none(tmp_path: Path) -> None:
    assert first_bytes(str(tmp_path / "none")) == b""
    (tmp_path / "a").write_bytes(b"0123456789")
    assert first_bytes(str(tmp_path / "a"), 4) == b"0123"
