"""Commands read of a compacted ledger a few objects, however many items it holds."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from upscale.engine.ledger import RunLedger
from upscale.engine.report import make_report
from upscale.engine.run import execute, finalise, init, status
from upscale.jobs.progress import make_progress
from upscale.testing.runs import prepare, run_here

_SEEN: list[tuple[str, str]] = []
_FOLDER: list[str] = []


def _see(event: str, arguments: tuple[object, ...]) -> None:
    if _FOLDER and event in ("open", "os.listdir", "os.scandir") and arguments:
        path = str(arguments[0])
        if path.startswith(_FOLDER[0]):
            _SEEN.append((event, os.path.relpath(path, _FOLDER[0])))


@pytest.fixture(scope="module", autouse=True)
def audit() -> None:
    """Python tells of every file that it opens and every folder that it lists."""
    sys.addaudithook(_see)


def read_by(folder: Path, act: Callable[[], object]) -> tuple[int, list[str]]:
    """How often the ledger was listed, and what of it was opened."""
    _SEEN.clear()
    _FOLDER[:] = [str(folder)]
    try:
        act()
    finally:
        _FOLDER.clear()
    opened = [name for event, name in _SEEN if event == "open"]
    return len(_SEEN) - len(opened), [name for name in opened if name != "."]


def test_a_finished_store_is_read_from_the_index_alone(world, tmp_path):
    checked = prepare(world.model, world.drivers, tmp_path / "f.zarr", period=world.period)
    store, folder = run_here(checked), tmp_path / "f.ledger"
    checked = prepare(world.model, world.drivers, tmp_path / "f.zarr", period=world.period)
    init(checked)
    index = "compact-000001.index.jsonl"
    (entries,) = (path.name for path in folder.glob("*.entries.jsonl"))
    assert len(RunLedger(store).entries(checked.plan.job.digest)) == 18

    assert read_by(folder, lambda: status(store)) == (1, ["plan.json", index])
    listed, opened = read_by(
        folder,
        lambda: prepare(world.model, world.drivers, tmp_path / "f.zarr", period=world.period),
    )
    assert (listed, sorted(opened)) == (1, [index, "plan.json"])
    listed, opened = read_by(folder, lambda: execute(checked, make_progress(1e9)))
    assert (listed, opened) == (1, [])  # validation has read it
    listed, opened = read_by(folder, lambda: finalise(store))
    assert (listed, opened) == (2, ["plan.json", index])
    listed, opened = read_by(folder, lambda: make_report(store, 0.0))
    assert (listed, sorted(opened)) == (2, [entries, index, "plan.json", "report.json"])
