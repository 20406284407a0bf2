"""One process at a time: a claim that others see, on any file system that fsspec opens.

Many machines start the parts of a run at once, and one of them alone may create the store.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
import psutil

from upscale.jobs.settings import ConfigError
from upscale.stores.location import is_local

#: Seconds to wait for a claim that another process holds.
PATIENCE = 600.0


@contextmanager
def claimed(url: str, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the claim at `url` during the context; wait while another process holds it.

    A claim of a process of this machine that has ended is taken over. ConfigError where another
    process keeps its claim for longer than `patience` seconds.
    """
    fs, path = fsspec.core.url_to_fs(url)
    deadline = time.monotonic() + patience
    while not _take(fs, path):
        holder = _holder(fs, path)
        if holder is not None and _is_gone(holder):
            _remove(fs, path)
        elif time.monotonic() > deadline:
            who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
            raise ConfigError(
                f"{url}: claimed by {who}; if it has ended, delete this file and run again"
            )
        else:
            time.sleep(0.2)
    try:
        yield
    finally:
        _remove(fs, path)


def _me() -> dict[str, Any]:
    started = psutil.Process().create_time()
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": started}


def _take(fs: Any, path: str) -> bool:
    """Create the claim unless it is there."""
    payload = json.dumps(_me()).encode()
    try:
        if is_local(fs):
            fs.makedirs(os.path.dirname(path), exist_ok=True)
            _create(path, payload)
        else:
            fs.pipe_file(path, payload, mode="create")
    except FileExistsError:
        return False
    return True


def _create(path: str, payload: bytes) -> None:
    """Create a local file; a disk that is full gets no empty one, which would be nobody's claim."""
    # not `create_object`: on a disk without links two processes could succeed
    file = open(path, "xb")  # noqa: SIM115, closing it may fail, too
    try:
        with file:
            file.write(payload)
    except OSError:
        os.remove(path)
        raise


def _holder(fs: Any, path: str) -> dict[str, Any] | None:
    """Who holds the claim; None where it is being written or was just removed."""
    try:
        found: dict[str, Any] = json.loads(fs.cat_file(path))
    except (FileNotFoundError, ValueError):
        return None
    return found


def _is_gone(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    if holder["host"] != socket.gethostname():
        return False
    try:
        return bool(psutil.Process(holder["pid"]).create_time() != holder["started"])
    except psutil.NoSuchProcess:
        return True


def _remove(fs: Any, path: str) -> None:
    try:
        fs.rm_file(path)
    except FileNotFoundError:
        return
