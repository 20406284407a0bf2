"""What reads, fetches and ingests files starts without torch, which takes seconds to load."""

from __future__ import annotations

import subprocess
import sys

import pytest

_IMPORT_ALL = """
import importlib, pkgutil, sys
room = importlib.import_module("upscale." + sys.argv[1])
modules = [found.name for found in pkgutil.walk_packages(room.__path__, room.__name__ + ".")]
for name in modules:
    importlib.import_module(name)
print(len(modules), *sorted({name.split(".")[0] for name in sys.modules} & {"torch", "numpy"}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("room", ["ingest", "fetch", "archives", "drivers", "jobs"])
def test_all_modules_of_a_room_load_no_torch(room: str) -> None:
    command = [sys.executable, "-c", _IMPORT_ALL, room]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, *loaded = done.stdout.split()
    assert int(count) >= 9
    assert loaded == ["numpy"]
