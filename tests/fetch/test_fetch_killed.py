"""A fetch that is killed at any time goes on where it was, and ends with whole files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from upscale.fetch.ledger import PARTS, FetchLedger
from upscale.testing.archives import Archive
from upscale.testing.servers.http import Slow


def started(config: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "upscale", "fetch", str(config), "--rate", "1000"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for(what: Any, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while not what():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < end
        time.sleep(0.005)


def test_kill_9_in_the_middle_loses_nothing_that_came(
    whole: Archive, half: Archive, sources: Any, tmp_path: Path
) -> None:
    for path in (half.folder / "modis").iterdir():
        path.unlink()  # all is to be fetched
    content = sources.content(half, tmp_path / "cube.zarr")
    config = tmp_path / "ingest.yaml"
    config.write_text(yaml.safe_dump(content))
    slow = {path: Slow(0.02, 1 << 13) for path in sources.files.files if "MOD09GA" in path}
    sources.files.always.update(slow)
    ledger = FetchLedger(half.folder / "modis")

    def parts() -> int:
        return sum(path.stat().st_size for path in ledger.parts.glob("*.part") if path.exists())

    for count in (0, 6):
        process = started(config)
        wait_for(lambda least=count: len(ledger.read()) >= least and parts() > 50_000, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
    sources.files.always.clear()
    last = started(config)
    _, said = last.communicate(timeout=60)
    assert last.returncode == 0, said.decode()
    for name in ("modis", "fapar"):
        for path in (whole.folder / name).iterdir():
            assert (half.folder / name / path.name).read_bytes() == path.read_bytes()
        assert [p.name for p in (half.folder / name / PARTS).iterdir()] == [".lock"]
    assert any("range" in row.headers for row in sources.files.requests)
    granules = [path for path in sources.files.files if "MOD09GA" in path]
    sent = sum(sources.files.sent(path) for path in granules)
    size = sum(len(sources.files.files[path]) for path in granules)
    assert sent < 1.5 * size  # what is on its way when a process dies is sent again


def test_ctrl_c_ends_a_fetch_soon_and_the_next_one_completes_it(
    whole: Archive, half: Archive, sources: Any, tmp_path: Path
) -> None:
    config = tmp_path / "ingest.yaml"
    config.write_text(yaml.safe_dump(sources.content(half, tmp_path / "cube.zarr")))
    fapar = [path for path in sources.files.files if "MCD15A2H" in path]
    sources.files.always.update({path: Slow(0.02, 1 << 10) for path in fapar})
    process = started(config)
    wait_for(lambda: list((half.folder / "fapar" / PARTS).glob("*.part")), process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "run the same command again" in said.decode()
    sources.files.always.clear()
    last = started(config)
    _, said = last.communicate(timeout=60)
    assert last.returncode == 0, said.decode()
    assert len(FetchLedger(half.folder / "fapar").read()) == 4
