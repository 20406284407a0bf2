"""Several processes in one small cache: right contents, bounded bytes, and kills in the middle."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from upscale.remote.cache import Cache
from upscale.remote.listing import ListedFile, expand
from upscale.remote.retries import Patience
from upscale.testing.servers.http import Drop, Server, Slow, serve

SIZE = 300_000
FILES = {f"/g/f{at}.hdf": np.random.default_rng(at).bytes(SIZE) for at in range(12)}
LIMIT = int(2.5 * SIZE)

#: Read files in the order of a seed and print their sums; hold each for a moment.
READER = """
import hashlib, json, random, sys, time
from pathlib import Path
from upscale.remote.cache import Cache
from upscale.remote.retries import Patience
folder, limit, seed, hold, rows = sys.argv[1:]
cache = Cache(Path(folder), int(limit), patience=Patience(attempts=6, wait=0.05))
rows = json.loads(rows)
random.Random(int(seed)).shuffle(rows)
for url, size, stamp in rows:
    with cache.local(url, size=size, stamp=stamp) as path:
        time.sleep(float(hold))
        print(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), flush=True)
"""


def reader(
    folder: Path, listed: list[ListedFile], seed: int = 0, hold: float = 0.02
) -> subprocess.Popen[str]:
    rows = json.dumps([(row.url, row.size, row.stamp) for row in listed])
    command = [sys.executable, "-c", READER, str(folder), str(LIMIT), str(seed), str(hold), rows]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def sums(listed: list[ListedFile], server: Server) -> set[str]:
    paths = [row.url.removeprefix(server.url) for row in listed]
    return {f"{Path(p).name} {hashlib.sha256(server.files[p]).hexdigest()}" for p in paths}


def copies(folder: Path, name: str) -> list[str]:
    """Copies of a name; unlike those of pathlib, these wildcards bear folders that vanish."""
    return glob.glob(f"{folder}/*/{name}")


def held(folder: Path) -> int:
    """Bytes of the copies, whole and in the making, that are there right now."""
    total = 0
    for path in copies(folder, "*.hdf*"):
        try:
            total += os.path.getsize(path)
        except FileNotFoundError:
            continue
    return total


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited for 20 s"
        time.sleep(0.005)


def test_processes_share_a_small_cache(tmp_path: Path) -> None:
    with serve(FILES) as server:
        listed = expand([f"{server.url}/g/"])
        for path in FILES:
            server.script(path, Drop(200_000), Slow(0.001))
        running = [reader(tmp_path, listed, seed) for seed in range(4)]
        most = 0
        while any(process.poll() is None for process in running):
            most = max(most, held(tmp_path))
            time.sleep(0.002)
        for process in running:
            out, errors = process.communicate()
            assert process.returncode == 0, errors
            assert set(out.split("\n")[:-1]) == sums(listed, server)
    # each of four processes uses one file at a time
    assert LIMIT - SIZE < most <= LIMIT + 4 * SIZE
    assert held(tmp_path) <= LIMIT


def test_a_file_that_many_want_is_fetched_once(tmp_path: Path) -> None:
    with serve(FILES) as server:
        listed = expand([f"{server.url}/g/f0.hdf"])
        server.always["/g/f0.hdf"] = Slow(0.02)
        running = [reader(tmp_path, listed, hold=0.5) for _ in range(4)]
        assert [process.wait() for process in running] == [0] * 4
        assert server.count("/g/f0.hdf") == 1


def test_a_killed_download_is_gone_on_with(tmp_path: Path) -> None:
    with serve(FILES) as server:
        listed = expand([f"{server.url}/g/f0.hdf"])
        server.script("/g/f0.hdf", Slow(0.2, piece=1 << 16))
        victim = reader(tmp_path, listed)
        wait_for(lambda: held(tmp_path) >= 1 << 16)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert copies(tmp_path, "f0.hdf.part")
        after = reader(tmp_path, listed)
        out, errors = after.communicate(timeout=30)
        assert after.returncode == 0, errors
        assert set(out.split("\n")[:-1]) == sums(listed, server)
        assert [row.status for row in server.asked("/g/f0.hdf")] == [200, 206]


def test_one_waits_for_a_download_and_takes_it_over_when_its_process_dies(tmp_path: Path) -> None:
    with serve(FILES) as server:
        listed = expand([f"{server.url}/g/f0.hdf"])
        server.script("/g/f0.hdf", Slow(60, piece=1 << 17))
        first = reader(tmp_path, listed)
        wait_for(lambda: held(tmp_path) > 0)
        second = reader(tmp_path, listed)
        time.sleep(1.5)
        assert second.poll() is None
        first.kill()
        out, errors = second.communicate(timeout=30)
        assert second.returncode == 0, errors
        assert set(out.split("\n")[:-1]) == sums(listed, server)


def test_a_file_in_use_by_another_process_is_not_removed_until_it_dies(tmp_path: Path) -> None:
    with serve(FILES) as server:
        listed = expand([f"{server.url}/g/"])
        user = reader(tmp_path, listed[:1], hold=60)
        wait_for(lambda: bool(copies(tmp_path, "f0.hdf")))
        for _ in range(2):
            others = reader(tmp_path, listed[1:])
            assert others.wait(timeout=30) == 0
            assert copies(tmp_path, "f0.hdf")
        user.send_signal(signal.SIGKILL)
        user.wait()
        assert reader(tmp_path, listed[1:]).wait(timeout=30) == 0
        assert not copies(tmp_path, "f0.hdf")


def test_kills_at_any_moment_leave_a_cache_that_works(tmp_path: Path) -> None:
    with serve(FILES) as server:
        listed = expand([f"{server.url}/g/"])
        for path in FILES:
            server.always[path] = Slow(0.01, piece=1 << 15)
        chance = random.Random(3)
        for seed in range(6):
            pair = [reader(tmp_path, listed, seed), reader(tmp_path, listed, seed + 100)]
            time.sleep(0.4 + 0.6 * chance.random())
            for process in pair:
                os.kill(process.pid, signal.SIGKILL)
                out, _ = process.communicate()
                assert set(out.split("\n")[:-1]) <= sums(listed, server)
        server.always.clear()
        last = reader(tmp_path, listed)
        out, errors = last.communicate(timeout=60)
        assert last.returncode == 0, errors
        assert set(out.split("\n")[:-1]) == sums(listed, server)
        assert held(tmp_path) <= LIMIT


def test_a_cache_travels_to_workers(tmp_path: Path) -> None:
    cache = Cache(tmp_path, LIMIT, ("nasa.gov",), Patience(attempts=2))
    assert pickle.loads(pickle.dumps(cache)) == cache
