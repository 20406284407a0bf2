"""Repair makes again what is bad, and nothing else: the store is what it was, bit for bit."""

import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import zarr

from upscale.checks.seal import SEAL
from upscale.engine.check import check_store
from upscale.engine.ledger import PLAN, RunLedger
from upscale.engine.repair import checked_repair, mend
from upscale.engine.run import status
from upscale.jobs.progress import make_progress
from upscale.jobs.settings import ConfigError
from upscale.testing.runs import differences
from upscale.testing.spoilt import rot, spoil_metadata


@pytest.fixture
def store(june_run, tmp_path):
    """A copy of the run, to be spoilt and mended."""
    return str(shutil.copytree(june_run, tmp_path / "run") / "f.zarr")


def stamps(store):
    found = RunLedger(store).entries(status(store).run)
    return {name: entry.finished + entry.worker for name, entry in found.items()}


def edit_entry(store, item, **change):
    """A later entry of an item, as an editor would leave it."""
    ledger = RunLedger(store)
    entry = asdict(ledger.entries(status(store).run)[item])
    ledger.write_object(f"{item}.{time.time_ns():019d}-00000000.done.json", entry | change)


@pytest.mark.cluster
def test_what_is_bad_is_made_again_and_nothing_else(june_run, store):
    """Rot in a shard, at the edge of the grid, and in sums; an emptied entry; layers, axes and
    attributes of others."""
    before = stamps(store)
    rot(store, "gpp", (0, 1, 1))
    rot(store, "quality", (0, 2, 2))
    rot(store, "nee_member", (0, 0, 1, 1))
    edit_entry(store, "r000c001-b000", digests={})
    spoil_metadata(store)
    command = [sys.executable, "-m", "upscale", "repair", store, "cluster.workers=1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    words = "made again: 3 work items, gpp, igbp, koppen, lat, segment_bnds, sftlf"
    assert words in " ".join(done.stderr.split())
    assert differences(str(june_run / "f.zarr"), store) == []
    seals = [Path(s).with_name("f.ledger") / SEAL for s in (june_run / "f.zarr", store)]
    assert seals[0].read_bytes() == seals[1].read_bytes()
    after = stamps(store)
    again = {name for name in before if before[name] != after[name]}
    assert again == {"r000c001-b000", "r001c001-b000", "r002c002-b000"}
    assert check_store(store).passed


def test_metadata_and_layers_are_mended_without_a_cluster(june_run, store):
    spoil_metadata(store)
    checked = checked_repair(store)
    report = check_store(store)
    done = mend(checked, report, make_progress(30))
    assert done.items == ()
    assert set(done.arrays) == {"gpp", "igbp", "koppen", "lat", "segment_bnds", "sftlf"}
    assert differences(str(june_run / "f.zarr"), store) == []
    assert check_store(store).passed, check_store(store).describe()


def test_a_repair_takes_drivers_that_have_moved(world, store, tmp_path):
    plan = RunLedger(store).read_object(PLAN)
    plan["config"]["drivers"] = str(tmp_path / "gone.zarr")
    RunLedger(store).write_object(PLAN, plan)
    with pytest.raises(ConfigError, match="drivers:"):
        checked_repair(store)
    checked = checked_repair(store, [f"drivers={world.drivers}"])
    assert checked.plan.job.drivers == str(world.drivers)


def test_a_store_of_other_drivers_is_not_mended_with_these(world, store):
    with pytest.raises(ConfigError, match=r"output\.store"):
        checked_repair(store, ["output.tile=6"])


def test_a_ledger_without_the_run_is_refused_with_the_way(store):
    plan = RunLedger(store).read_object(PLAN)
    del plan["config"]
    RunLedger(store).write_object(PLAN, plan)
    with pytest.raises(ConfigError, match=r"upscale init RUN\.yaml"):
        checked_repair(store)


def test_another_version_does_not_mend(store):
    for item in RunLedger(store).entries(status(store).run):
        edit_entry(store, item, version="0.0.9")
    with pytest.raises(ConfigError, match=r"made by upscale 0\.0\.9"):
        checked_repair(store)


def test_a_lost_attribute_of_the_run_is_named(store):
    zarr.open_group(store, mode="r+", use_consolidated=False).attrs["run_digest"] = "0" * 64
    report = check_store(store)
    assert "ledger" in report.failures
    assert np.all([check.remedy for check in report.checks if not check.passed])
