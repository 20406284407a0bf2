"""One seal over a finished store: whatever is changed in it is found, and named with its place."""

import shutil
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from upscale.checks.seal import SEAL
from upscale.engine.check import check_store
from upscale.engine.ledger import RunLedger
from upscale.engine.run import finalise, status
from upscale.jobs.ledger import beside
from upscale.product.published.netcdf import publish_netcdf
from upscale.testing.spoilt import rot


@pytest.fixture
def store(june_run, tmp_path):
    """A copy of the run, to be spoilt."""
    return str(shutil.copytree(june_run, tmp_path / "run") / "f.zarr")


def group_of(store):
    return zarr.open_group(store, mode="r+", use_consolidated=False)


def change(store, name, new):
    array = group_of(store)[name]
    array[...] = new(array[...])


def shuffled(values):
    return np.random.default_rng(0).permutation(values.ravel()).reshape(values.shape)


def set_attribute(store, name, value, array=None):
    group = group_of(store)
    (group[array] if array else group).attrs[name] = value


def edit_entry(store, change, item="r000c001-b000"):
    """A later entry of an item, as an editor would leave it."""
    ledger = RunLedger(store)
    entry = asdict(ledger.entries(status(store).run)[item])
    ledger.write_object(f"{item}.{time.time_ns():019d}-00000000.done.json", entry | change)


#: What is done to a store: the checks that fail at least, and the words that name the place.
SPOILT = {
    "sftlf is rewritten": (
        lambda s: change(s, "sftlf", lambda v: v * np.float32(0.99)), "fixed", "sftlf"),
    "a static layer is deleted": (
        lambda s: shutil.rmtree(Path(s) / "koppen"), "metadata", "koppen is gone"),
    "igbp is shuffled": (lambda s: change(s, "igbp", shuffled), "fixed", "igbp"),
    "segment_bnds are zeroed": (
        lambda s: change(s, "segment_bnds", lambda v: v * 0), "fixed", "segment_bnds"),
    "the model has another name": (
        lambda s: set_attribute(s, "model_name", "x"), "attributes", "model_name is 'x'"),
    "the drivers have another digest": (
        lambda s: set_attribute(s, "driver_digest", "0" * 64), "attributes", "driver_digest"),
    "a calibration is added": (
        lambda s: set_attribute(s, "calibration_floor", 0.1, "gpp_sd"), "metadata",
        "gpp_sd: calibration_floor = 0.1 was not there"),
    "totals are emptied": (
        lambda s: edit_entry(s, {"totals": {}}), "digests", "r000c001-b000 totals of gpp"),
    "digests are emptied": (
        lambda s: edit_entry(s, {"digests": {}}), "entries", "r000c001-b000"),
    "a done file says failed": (
        lambda s: edit_entry(s, {"status": "failed"}), "", "r000c001-b000"),
    "entries are of two releases": (
        lambda s: edit_entry(s, {"release": "1" * 64}), "agreement",
        "r000c001-b000 is of release 1111"),
    "entries are of two versions": (
        lambda s: edit_entry(s, {"version": "9"}), "agreement", "r000c001-b000 is of version 9"),
    "a shard has rotten": (rot, "readable", "r001c001-b000 gpp, "),
    "a shard of sums has rotten": (
        lambda s: rot(s, "reco_member", (0, 0, 1, 1)), "readable", "r001c001-b000 reco_member, "),
    "a layer has rotten": (lambda s: rot(s, "igbp", (0, 0)), "layers", "igbp cannot be read"),
    "the seal is gone": (
        lambda s: (Path(beside(s, "ledger")) / SEAL).unlink(), "seal", "names a seal that is not"),
    "the seal was changed": (
        lambda s: (Path(beside(s, "ledger")) / SEAL).write_text("{}"), "seal", "not the one"),
}  # fmt: skip


def test_a_finished_store_agrees_with_its_seal(june_run):
    report = check_store(str(june_run / "f.zarr"))
    assert report.passed, report.describe()
    assert {"seal", "attributes", "metadata", "fixed", "entries", "agreement"} <= {
        check.name for check in report.checks
    }


@pytest.mark.parametrize("fault", SPOILT)
def test_what_is_changed_is_found_and_named(store, fault):
    spoil, name, words = SPOILT[fault]
    spoil(store)
    report = check_store(store)
    failed = [check for check in report.checks if not check.passed]
    assert not name or name in report.failures, report.describe()
    assert any(words in check.found for check in failed), report.describe()
    for check in failed:
        assert check.remedy.endswith("`") or "upscale repair" in check.remedy, check


def corner(store):
    """The corners of the tile r001c001."""
    tile = xr.open_zarr(store).isel(lat=slice(5, 10), lon=slice(5, 10))
    (north, *_, south), (west, *_, east) = tile.lat.values, tile.lon.values
    return f"{-north:g} S {-west:g} W to {-south:g} S {-east:g} W"


def test_a_bad_shard_is_named_with_its_place_and_dates(store):
    rot(store)
    found = {check.name: check for check in check_store(store).checks}
    place = f"{corner(store)}, 2012-06-01 to 2012-06-30"
    assert found["readable"].items == ("r001c001-b000",)
    assert "r001c001-b000 gpp, " in found["readable"].found
    assert place in found["readable"].found
    assert f"r001c001-b000 gpp cannot be read ({place})" in found["digests"].found


def test_a_store_without_a_seal_is_checked_as_before_and_says_so(store):
    del group_of(store).attrs["seal"]
    (Path(beside(store, "ledger")) / SEAL).unlink()
    report = check_store(store)
    assert report.passed, report.describe()
    (seal,) = (check for check in report.checks if check.name == "seal")
    assert seal.told
    assert "none" in seal.found


def test_a_complete_store_is_not_sealed_once_more(store):
    change(store, "igbp", shuffled)
    finalise(store)
    assert "fixed" in check_store(store).failures


def test_no_reader_stumbles_on_the_seal(store, tmp_path, recwarn):
    xr.open_zarr(store, consolidated=False).load()
    assert "seal" in xr.open_zarr(store).attrs
    assert not [w for w in recwarn if "not recognized" in str(w.message)]
    assert publish_netcdf(store, tmp_path / "out", ("gpp",))
