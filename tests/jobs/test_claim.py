"""A claim keeps others out for as long as its holder lives."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from upscale.jobs.claim import claimed
from upscale.jobs.settings import ConfigError


def write_claim(path: Path, **other: object) -> None:
    me = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
    }
    path.write_text(json.dumps(me | other))


def test_a_claim_is_there_while_it_is_held_and_gone_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "c.claim"

    def fail_with_claim() -> None:
        with claimed(str(path)):
            assert json.loads(path.read_text())["pid"] == os.getpid()
            raise KeyError

    with pytest.raises(KeyError):
        fail_with_claim()
    assert not path.exists()


def test_who_comes_second_waits(tmp_path: Path) -> None:
    path, order = tmp_path / "c.claim", []

    def second() -> None:
        with claimed(str(path)):
            order.append("second")

    thread = threading.Thread(target=second)
    with claimed(str(path)):
        thread.start()
        time.sleep(0.5)
        order.append("first")
    thread.join(timeout=30)
    assert order == ["first", "second"]


def test_the_claim_of_a_process_that_was_killed_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "c.claim"
    text = "import sys, time; from upscale.jobs.claim import claimed\n"
    text += "with claimed(sys.argv[1]): print('held', flush=True); time.sleep(600)"
    holder = subprocess.Popen([sys.executable, "-c", text, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(ConfigError, match=f"claimed by process {holder.pid} on .*delete this file"):
        claimed(str(path), patience=0.1).__enter__()
    holder.kill()
    holder.communicate()
    assert path.exists()
    with claimed(str(path), patience=5):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_process_number_that_was_given_again_is_not_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "c.claim"
    write_claim(path, started=1.0)
    with claimed(str(path), patience=5):
        pass


def test_a_holder_on_another_machine_is_never_taken_for_dead(tmp_path: Path) -> None:
    path = tmp_path / "c.claim"
    write_claim(path, host="elsewhere", started=1.0)
    with pytest.raises(ConfigError, match="on elsewhere"), claimed(str(path), patience=0.1):
        pass
    assert path.exists()


def test_a_full_disk_leaves_no_claim_of_nobody(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # no file may have a byte
    try:
        with pytest.raises(OSError, match="too large"), claimed(str(tmp_path / "c.claim")):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []
