"""kill -9 while a store grows, is corrected or repaired, and what its readers meet meanwhile."""

import datetime as dt
import multiprocessing as mp
import shutil

import numpy as np
import pytest
import xarray as xr
import yaml

from upscale.checks.seal import SEAL
from upscale.engine.check import check_store
from upscale.engine.run import finalise
from upscale.testing.cubes import grow_cube, mend
from upscale.testing.killed import run_until
from upscale.testing.runs import differences, prepare, process_here, repair_here, run_here
from upscale.testing.spoilt import rot, spoil_metadata

MARCH, MAY, JUNE = "2012-03-01", "2012-05-31", dt.date(2012, 6, 30)

#: Moments of a kill, as shares of all writes of what is killed: the first while the store itself is
#: brought to its days, the others between its work items.
MOMENTS = (0.15, 0.6, 0.85)


def grow(whole, cube):
    """Drivers of one more month; the last day that the run then makes."""
    grow_cube(cube, whole, JUNE)
    return str(JUNE)


def correct(_whole, cube):
    """Other temperatures on the days that are there."""
    mend(cube, "meteo/ta", lambda stored: np.add(stored, 100, out=stored))
    return MAY


def write_config(folder, model, end):
    config = {
        "model": str(model), "drivers": str(folder / "d.zarr"),
        "period": {"start": MARCH, "end": end}, "output": {"store": str(folder / "f.zarr")},
        "cluster": {"workers": 1, "memory": 4.0},
    }  # fmt: skip
    path = folder / "RUN.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module", params=[grow, correct], ids=["grow", "correct"])
def revised(request, whole, ndvi_model, finished, tmp_path_factory):
    """A folder with drivers that changed and the store of before; the number of writes that bring
    the store to them; and that store."""
    folder = tmp_path_factory.mktemp("revised")
    shutil.copytree(finished, folder, dirs_exist_ok=True)
    end = request.param(whole, folder / "d.zarr")
    done = shutil.copytree(folder, tmp_path_factory.mktemp("done"), dirs_exist_ok=True)
    writes = run_until(write_config(done, ndvi_model, end))
    return folder, end, writes, str(done / "f.zarr")


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_revision_that_is_killed_is_finished_to_the_same_store(
    revised, ndvi_model, moment, tmp_path
):
    folder, end, writes, done = revised
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    assert writes > 100
    assert run_until(write_config(tmp_path, ndvi_model, end), int(moment * writes)) == 0
    store = str(tmp_path / "f.zarr")
    checked = prepare(ndvi_model, tmp_path / "d.zarr", store, period=(MARCH, end))
    assert moment < 0.2 or len(checked.standing.done) > 0
    run_here(checked)
    assert set(differences(store, done)) <= {"@config"}, "which says where the drivers lie"


@pytest.fixture(scope="module")
def spoilt(june_run, tmp_path_factory):
    """A folder with a spoilt store, and the number of writes that mend it."""
    folder = shutil.copytree(june_run, tmp_path_factory.mktemp("spoilt"), dirs_exist_ok=True)
    store = str(folder / "f.zarr")
    spoil_metadata(store)
    rot(store, "gpp", (0, 1, 1))
    rot(store, "nee_member", (0, 0, 1, 1))
    mended = shutil.copytree(folder, tmp_path_factory.mktemp("mended"), dirs_exist_ok=True)
    return folder, run_until(mended / "f.zarr")


#: The first while metadata and layers are mended, the last while work items are made again.
@pytest.mark.parametrize("moment", [0.1, 0.4, 0.8])
def test_a_repair_that_is_killed_is_finished_to_the_same_store(june_run, spoilt, moment, tmp_path):
    folder, writes = spoilt
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    assert writes > 100
    assert run_until(tmp_path / "f.zarr", int(moment * writes)) == 0
    store = str(tmp_path / "f.zarr")
    repair_here(store)
    assert differences(store, str(june_run / "f.zarr")) == []
    seals = [folder / "f.ledger" / SEAL for folder in (tmp_path, june_run)]
    assert seals[0].read_bytes() == seals[1].read_bytes()
    assert check_store(store).passed


def read_on(store, found, stop):
    """Read fluxes of a store over and over, opened once; every different value of each cell."""
    opened = xr.open_zarr(store, consolidated=True)
    seen, rounds = [], 0
    while not stop.is_set() or rounds < 2:
        try:
            values = opened.gpp.values
        except (RuntimeError, ValueError):  # an old index beside a new object: told, not shown
            continue
        rounds += 1
        if not seen or not np.array_equal(values, seen[-1], equal_nan=True):
            seen.append(values)
    found.put((rounds, np.stack(seen)))


def test_a_reader_meets_values_of_one_of_two_revisions(ndvi_model, living):
    cube, store = living
    before = xr.open_zarr(store).gpp.values
    mend(cube, "meteo/ta", lambda stored: np.add(stored, 100, out=stored))
    context = mp.get_context("spawn")
    found, stop = context.Queue(), context.Event()
    reader = context.Process(target=read_on, args=(store, found, stop))
    reader.start()
    try:
        process_here(prepare(ndvi_model, cube, store, period=(MARCH, MAY)))
    finally:
        stop.set()
    rounds, seen = found.get(timeout=120)
    reader.join()
    finalise(store)
    after = xr.open_zarr(store).gpp.values
    assert rounds >= 2
    assert not np.array_equal(before, after, equal_nan=True)
    missing = np.isnan(before)
    for values in seen:
        assert ((values == before) | (values == after) | missing).all()
        assert np.array_equal(np.isnan(values), missing)
