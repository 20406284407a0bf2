"""A map by boosted trees: the same run, the same store, the same promises as with a network."""

import datetime as dt
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
import yaml

from upscale.calendar import day_number
from upscale.drivers.cube import open_cube
from upscale.drivers.tiles import read_features, read_surface
from upscale.engine.check import check_store
from upscale.network.classes import Classes
from upscale.network.releases.release import load_release
from upscale.product.quality import Quality, has
from upscale.testing.releases import fake_tree_release
from upscale.testing.runs import differences, prepare, run_here, same_bits

for name in ("xgboost", "lightgbm"):
    pytest.importorskip(name)

FEATURES = ("ta", "sw_in", "vpd", "p", "sw_pot", "day_length", "ndvi")
PERIOD = ("2012-03-10", "2012-07-05")


@pytest.fixture(scope="module", params=["xgboost", "lightgbm"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / request.param
    return fake_tree_release(folder, request.param, FEATURES, members=3).path


@pytest.fixture(scope="module")
def store(world, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return run_here(prepare(model, world.drivers, folder / "f.zarr", period=PERIOD))


def test_every_land_cell_has_a_value_on_every_day_and_the_checks_pass(store):
    fluxes = xr.open_zarr(store)
    land = ~has(fluxes.quality.values, Quality.WATER | Quality.ICE | Quality.NOT_PRODUCED)
    assert land.any()
    for flux in ("gpp", "reco", "nee"):
        assert np.array_equal(np.isfinite(fluxes[flux].values), land)
        assert (fluxes[f"{flux}_sd"].values[land] > 0).any()
    failed = [check for check in check_store(store).checks if not check.passed]
    assert failed == []


def by_hand(world, model, date, row, col):
    """Members' fluxes `(member, 3)` of one day of one cell, with the library itself."""
    cube = open_cube(str(world.drivers))
    surface = read_surface(cube, slice(row, row + 1), slice(col, col + 1))
    day = day_number(dt.date.fromisoformat(date))
    features = read_features(cube, surface, FEATURES, day, 1).values[0]
    content = yaml.safe_load((model / "release.yaml").read_text())
    classes = Classes(*(tuple(content["classes"][kind]) for kind in ("igbp", "koppen")))
    onehot = classes.onehot(np.array([[surface.igbp[0, 0], surface.koppen[0, 0]]]))
    table = np.concatenate([features, onehot], axis=1)
    found = [predict(content["model"], model / file["file"], table) for file in content["trees"]]
    return np.array(found).reshape(3, 3)


def predict(library, path, table):
    if library == "xgboost":
        from xgboost import Booster, DMatrix

        return Booster(model_file=str(path)).predict(DMatrix(table))[0]
    from lightgbm import Booster

    return Booster(model_file=str(path)).predict(table)[0]


@pytest.mark.parametrize("date", ["2012-03-10", "2012-05-01", "2012-07-05"])
def test_a_day_is_the_mean_of_what_the_library_itself_predicts(world, model, store, date):
    fluxes = xr.open_zarr(store).sel(time=date)
    row, col = (int(i) for i in np.argwhere(np.isfinite(fluxes.nee.values))[11])
    members = by_hand(world, model, date, row, col)
    members[:, :2] = np.maximum(members[:, :2], 0)
    for position, flux in enumerate(("gpp", "reco", "nee")):
        wanted, found = members[:, position], fluxes.isel(lat=row, lon=col)
        np.testing.assert_allclose(found[flux], wanted.mean(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found[f"{flux}_sd"], wanted.std(ddof=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tile", [3, 7, 20])
def test_results_do_not_depend_on_the_size_of_tiles(world, model, store, tile, tmp_path):
    other = prepare(model, world.drivers, tmp_path / "f.zarr", period=PERIOD, output={"tile": tile})
    changed = differences(store, run_here(other))
    assert set(changed) <= {"@layout", "@run_digest", "@config", "@rules"}


def test_a_day_needs_no_other_day(world, model, store, tmp_path):
    alone = ("2012-05-01", "2012-05-01")
    part = xr.open_zarr(run_here(prepare(model, world.drivers, tmp_path / "f.zarr", period=alone)))
    whole = xr.open_zarr(store).sel(time=part.time)
    for each in ("gpp", "reco", "nee", "nee_sd", "quality", "filled_share"):
        assert same_bits(part[each].values, whole[each].values), each
    first = ("2011-01-01", "2011-01-03")
    early = run_here(prepare(model, world.drivers, tmp_path / "first.zarr", period=first))
    quality = xr.open_zarr(early).quality.values
    assert not has(quality, Quality.SPINUP_SHORT | Quality.TOO_SHORT | Quality.CONTEXT_SHORT).any()


def test_a_run_names_the_library_to_cite(model, store):
    references = xr.open_zarr(store).attrs["references"]
    assert {"xgboost": "Chen", "lightgbm": "Ke G."}[
        load_release(model).manifest.model
    ] in references


def test_trees_ask_for_a_worker_on_each_core_and_no_gpu(world, model, tmp_path):
    cluster = {"workers": 1, "memory": 4.0, "device": "cuda"}
    checked = prepare(model, world.drivers, tmp_path / "f.zarr", period=PERIOD, cluster=cluster)
    assert checked.run.cluster.device == checked.plan.job.device == "cpu"
    assert any("compute on the CPU" in warning for warning in checked.warnings)


def write_run(world, model, folder):
    run = {
        "model": str(model), "drivers": str(world.drivers), "output": {"store": "fluxes.zarr"},
        "period": {"start": PERIOD[0], "end": PERIOD[1]},
        "cluster": {"workers": 2, "memory": 2.0},
    }  # fmt: skip
    (folder / "RUN.yaml").write_text(yaml.safe_dump(run))


def upscale(*arguments, cwd):
    command = [sys.executable, "-m", "upscale", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.mark.cluster
def test_the_command_makes_the_same_map_on_a_real_cluster(world, model, store, tmp_path):
    write_run(world, model, tmp_path)
    planned = upscale("plan", "RUN.yaml", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    done = upscale("run", "RUN.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert differences(store, str(tmp_path / "fluxes.zarr")) == []


def test_trees_without_their_library_are_refused_before_the_run(world, model, tmp_path):
    write_run(world, model, tmp_path)
    library = load_release(model).manifest.model
    program = (
        f"import sys; sys.modules[{library!r}] = None; from upscale.commands import main; main()"
    )
    command = [sys.executable, "-c", program, "validate", "RUN.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert f"trees of {library}, which cannot be loaded here" in said
    assert "upscale[train]" in said
