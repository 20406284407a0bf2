"""What a plan says of files and bytes is what a run then writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from upscale.commands.forecast import plan_facts
from upscale.testing.runs import prepare, run_here


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("members", ["monthly", "none"])
def test_the_plan_counts_the_files_of_the_run(world, tmp_path, members):
    """At most three more: what holds nothing but its fill value is not stored."""
    checked = prepare(
        world.model, world.drivers, tmp_path / "f.zarr", period=("2011-03-01", "2012-03-31"),
        output={"members": members},
    )  # fmt: skip
    facts = plan_facts(checked)
    land = [tile for tile in checked.plan.tiles if tile.land]
    assert 0 < len(land) < len(checked.plan.tiles)
    assert facts["files"]["ledger_at_work"] == 6 + 2 * len(checked.plan.tiles) + len(land)
    run_here(checked)
    store, embeddings = files_of(tmp_path / "f.zarr"), files_of(tmp_path / "f.context.zarr")
    assert 0 <= facts["files"]["store"] - len(store) <= 3
    empty = len(land)  # a tile without a short context stores no flags of one
    assert 0 <= facts["files"]["embeddings"] - len(embeddings) <= empty
    written = sum(path.stat().st_size for path in store if path.name != "zarr.json")
    assert 0.3 < written / facts["store_bytes"] < 3  # the shares of so small tiles are rough


def test_the_plan_gives_time_and_memory_of_all_workers(world, tmp_path):
    checked = prepare(
        world.model, world.drivers, tmp_path / "f.zarr", period=("2011-03-01", "2012-03-31"),
        cluster={"workers": 3, "memory": 4.0},
    )  # fmt: skip
    facts = plan_facts(checked, rate=10.0)
    assert facts["cell_days_left"] == checked.plan.land * (365 + 32)
    assert facts["worker_seconds"] == round(facts["cell_days_left"] / 10)
    assert facts["memory_bytes"] == 3 * facts["worker_bytes"] > 3 * 700 * 2**20
    halves = [plan_facts(checked, (part, 2)) for part in (1, 2)]
    for name in ("cell_days_left", "work_items"):
        assert sum(half[name] for half in halves) == facts[name]
    assert facts["rate"] == 10.0
    assert halves[0]["worker_seconds"] is None


def test_what_is_done_takes_no_time(world, tmp_path):
    checked = prepare(
        world.model, world.drivers, tmp_path / "f.zarr", period=("2011-03-01", "2011-03-31")
    )
    run_here(checked)
    again = prepare(
        world.model, world.drivers, tmp_path / "f.zarr", period=("2011-03-01", "2011-03-31")
    )
    facts = plan_facts(again, rate=10.0)
    assert facts["done"] == facts["work_items"]
    assert (facts["cell_days_left"], facts["worker_seconds"]) == (0, 0)
