"""The whole service on towers: drivers to map to skill, against the model outside the service."""

import datetime as dt
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from upscale.calendar import day_number, day_numbers
from upscale.drivers.from_towers import towers_on_grid
from upscale.engine.check import check_store
from upscale.evaluation.compare import compare, write_json
from upscale.evaluation.skill import read_skill
from upscale.evaluation.tower_model import tower_model
from upscale.grid import load_grid
from upscale.network.releases.release import load_release
from upscale.testing.runs import prepare, run_here
from upscale.testing.towers import write_towers
from upscale.towers.table import read_towers

#: The shipped release whose held-out towers are judged here, and all shipped ones.
MODEL = "tamrl-met-v1"
SHIPPED = [MODEL, "tamrl-v2"]
COLUMNS = {"tower", "cluster", "flux", "model", "split", "n", "rmse", "r2", "bias"}
REAL = Path(os.environ.get("UPSCALE_TEST_DATA", "")) / "towers"
HAS_REAL = "UPSCALE_TEST_DATA" in os.environ and REAL.is_dir()
WHY = "UPSCALE_TEST_DATA is not set: no real towers here"


@pytest.fixture(scope="module", params=SHIPPED)
def made(request, tmp_path_factory):
    """A model, towers, and the flux cube that the service makes of their whole record."""
    folder = tmp_path_factory.mktemp("towers")
    towers = write_towers(folder / "towers", count=6, satellite=True)
    placed = towers_on_grid(towers, str(folder / "drivers.zarr"), 2003, 2006)
    checked = prepare(request.param, folder / "drivers.zarr", folder / "fluxes.zarr",
                      period=("2003-01-01", "2006-12-31"))  # fmt: skip
    return request.param, towers, placed, run_here(checked)


def outside_the_service(model, tower, placed, grid):
    """The ensemble mean at a tower, from its own drivers and the latitude of its cell."""
    cell = next(kept for kept in placed.kept if kept.site == tower.site)
    runner = tower_model(load_release(model))
    return runner.predict(replace(tower, lat=float(grid.lat[cell.row]))), cell


def test_the_service_writes_at_towers_what_the_model_gives_outside_of_it(made):
    model, folder, placed, store = made
    grid = load_grid("global-0p05")
    fluxes = xr.open_zarr(store)
    first = int(day_numbers(fluxes.time.values[:1])[0])
    kept = {cell.site for cell in placed.kept}
    towers = [tower for tower in read_towers(folder) if tower.site in kept]
    assert len(towers) == 5
    for tower in towers:
        wanted, cell = outside_the_service(model, tower, placed, grid)
        index = tower.days - first
        inside = (index >= 0) & (index < len(fluxes.time))
        at = fluxes.isel(lat=cell.row, lon=cell.col)
        found = np.stack([at[name].values for name in ("gpp", "reco", "nee")], axis=1)
        assert np.isfinite(wanted[inside]).all(axis=1).mean() > 0.9
        np.testing.assert_allclose(found[index[inside]], wanted[inside], rtol=1e-5, atol=1e-5)


def test_the_json_of_compare_holds_one_row_for_each_tower_and_flux(made, tmp_path):
    model, folder, _, store = made
    comparison = compare(store, folder)
    write_json(comparison.rows, tmp_path / "rows.json")
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert set(rows[0]) == COLUMNS
    assert len(rows) == 5 * 3
    assert {row["flux"] for row in rows} == {"gpp", "reco", "nee"}
    assert {row["model"] for row in rows} == {model}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The real towers whose clusters were left out, over the years that hold most of them."""
    folder = tmp_path_factory.mktemp("real")
    towers_on_grid(REAL, str(folder / "drivers.zarr"), 2001, 2019)
    checked = prepare(MODEL, folder / "drivers.zarr", folder / "fluxes.zarr",
                      period=("2008-01-01", "2009-12-31"))  # fmt: skip
    return run_here(checked)


def test_fluxes_at_made_towers_pass_all_checks(made):
    report = check_store(made[-1])
    assert report.passed, report.describe()


@pytest.mark.skipif(not HAS_REAL, reason=WHY)
def test_fluxes_at_real_towers_pass_all_checks(real):
    report = check_store(real)
    assert report.passed, report.describe()


@pytest.mark.skipif(not HAS_REAL, reason=WHY)
def test_fluxes_at_real_towers_agree_as_well_as_the_skill_table_claims(real):
    release = load_release(MODEL)
    claimed = read_skill(release.path / "skill.csv")
    claimed = claimed[(claimed.model != "xgboost") & (claimed.split == "test")]
    claimed = claimed[claimed.model == "tamrl"].set_index(["tower", "flux"])
    rows = pd.DataFrame([vars(row) for row in compare(real, REAL).rows])
    found = rows[rows.n >= 250].set_index(["tower", "flux"])
    both = found.join(claimed.add_suffix("_claimed"), how="inner")
    assert len(both) >= 9
    for flux in ("gpp", "reco", "nee"):
        table = both.xs(flux, level="flux")
        assert table.rmse.mean() < 1.15 * table.rmse_claimed.mean(), table


@pytest.mark.skipif(not HAS_REAL, reason=WHY)
def test_real_towers_follow_the_release_bit_by_bit_of_its_rule(real):
    """One real tower with gaps, day by day: the service and the model outside of it."""
    grid = load_grid("global-0p05")
    tower = next(t for t in read_towers(REAL) if t.site == "US-Me2")
    row, col = grid.cell_of(tower.lat, tower.lon)
    span = day_number(dt.date(2001, 1, 1)), day_number(dt.date(2019, 12, 31))
    inside = (tower.days >= span[0]) & (tower.days <= span[1])
    kept = replace(
        tower, lat=float(grid.lat[row]), days=tower.days[inside], drivers=tower.drivers[inside],
        fluxes=tower.fluxes[inside], quality=tower.quality[inside], good=tower.good[inside],
    )  # fmt: skip
    wanted = tower_model(load_release(MODEL)).predict(kept)
    at = xr.open_zarr(real).isel(lat=row, lon=col)
    index = kept.days - int(day_numbers(at.time.values[:1])[0])
    there = (index >= 0) & (index < len(at.time))
    found = np.stack([at[name].values for name in ("gpp", "reco", "nee")], axis=1)
    np.testing.assert_allclose(found[index[there]], wanted[there], rtol=1e-5, atol=1e-5)
