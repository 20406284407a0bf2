"""What a run writes is what the model says, once for every day, however the work is cut."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from upscale.calendar import day_number
from upscale.drivers.cube import open_cube
from upscale.drivers.tiles import read_features, read_surface
from upscale.network.ensemble import load_ensemble
from upscale.network.releases.release import load_release
from upscale.product.quality import Quality, has
from upscale.testing.releases import fake_release
from upscale.testing.runs import differences, prepare, run_here, same_bits


def test_the_world_of_these_tests_holds_land_and_water(world):
    cube = open_cube(str(world.drivers))
    surface = read_surface(cube, slice(None), slice(None))
    assert surface.land.sum() > 30
    assert surface.water.sum() > 10


@pytest.fixture(scope="module")
def store(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return run_here(prepare(world.model, world.drivers, folder / "f.zarr", period=world.period))


def test_every_land_cell_has_a_value_on_every_day_of_the_period(store):
    fluxes = xr.open_zarr(store)
    land = ~has(fluxes.quality.values, Quality.WATER | Quality.ICE | Quality.NOT_PRODUCED)
    assert len(fluxes.time) == 366
    for flux in ("gpp", "reco", "nee"):
        assert np.array_equal(np.isfinite(fluxes[flux].values), land)


def test_a_cell_without_fluxes_has_its_reason_in_the_quality_layer(store):
    fluxes = xr.open_zarr(store)
    missing = np.isnan(fluxes.nee.values)
    assert missing.any()
    assert has(fluxes.quality.values[missing], Quality.WATER | Quality.ICE).all()


def by_hand(world, day, row, col):
    """Members' fluxes `(member, 3)` of one day of one cell: rule, window and model in a loop."""
    cube = open_cube(str(world.drivers))
    surface = read_surface(cube, slice(row, row + 1), slice(col, col + 1))
    release = load_release(world.model)
    ensemble = load_ensemble(release)
    codes = np.array([[surface.igbp[0, 0], surface.koppen[0, 0]]])
    names = ensemble.scaler.names
    windows = []
    for year in (2011, 2012):
        first = day_number(dt.date(year, 1, 1))
        read = read_features(cube, surface, names, first, 360).values[0]
        windows += [read[start : start + 45] for start in range(0, 360, 45)]
    support = np.stack(windows)[None]
    z = ensemble.encode(support, np.ones((1, len(windows)), bool), codes)
    end = (day // 15) * 15 + 14
    end = min(end, day_number(dt.date(2012, 12, 31)))
    window = read_features(cube, surface, names, end - 44, 45).values
    return ensemble.decode(window, z)[:, 0, day - (end - 44)]


@pytest.mark.parametrize("date", ["2012-01-01", "2012-02-29", "2012-07-17", "2012-12-31"])
def test_a_day_is_the_mean_of_the_members_in_the_window_that_the_rule_names(world, store, date):
    fluxes = xr.open_zarr(store).sel(time=date)
    row, col = np.argwhere(np.isfinite(fluxes.nee.values))[7]
    members = by_hand(world, day_number(dt.date.fromisoformat(date)), int(row), int(col))
    members[:, :2] = np.maximum(members[:, :2], 0)
    for position, flux in enumerate(("gpp", "reco", "nee")):
        wanted, found = members[:, position], fluxes.isel(lat=row, lon=col)
        np.testing.assert_allclose(found[flux], wanted.mean(), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found[f"{flux}_sd"], wanted.std(ddof=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tile", [3, 7, 20])
def test_results_do_not_depend_on_the_size_of_tiles(world, store, tile, tmp_path):
    other = prepare(world.model, world.drivers, tmp_path / "f.zarr", period=world.period,
                    output={"tile": tile})  # fmt: skip
    changed = differences(store, run_here(other))
    assert set(changed) <= {"@layout", "@run_digest", "@config", "@rules"}


def test_results_do_not_depend_on_the_order_of_tiles(world, store, tmp_path):
    other = prepare(world.model, world.drivers, tmp_path / "f.zarr", period=world.period)
    items = list(other.plan.items())
    assert len(items) > 10
    assert differences(store, run_here(other, items[::-1])) == []


def test_a_day_does_not_depend_on_the_period_that_was_asked_for(world, store, tmp_path):
    short = prepare(world.model, world.drivers, tmp_path / "f.zarr",
                    period=("2012-03-05", "2012-04-02"))  # fmt: skip
    part = xr.open_zarr(run_here(short))
    whole = xr.open_zarr(store).sel(time=part.time)
    for name in ("gpp", "reco", "nee", "nee_sd", "quality", "filled_share"):
        assert same_bits(part[name].values, whole[name].values), name


def test_the_first_month_of_the_record_is_flagged_for_its_short_past(world, tmp_path):
    early = prepare(world.model, world.drivers, tmp_path / "f.zarr",
                    period=("2011-01-01", "2011-03-01"))  # fmt: skip
    fluxes = xr.open_zarr(run_here(early))
    land = np.isfinite(fluxes.nee.values)
    flagged = has(fluxes.quality.values, Quality.SPINUP_SHORT)
    assert land.any()
    assert np.array_equal(flagged[:30], land[:30])
    assert not flagged[30:].any()


def test_sums_of_members_add_up_to_the_daily_means(store):
    fluxes = xr.open_zarr(store)
    assert fluxes.segment_days.sum("segment").values.max() == 366
    for flux in ("gpp", "reco", "nee"):
        total = fluxes[f"{flux}_member"].mean("member").sum("segment", min_count=1)
        np.testing.assert_allclose(total, fluxes[flux].sum("time", min_count=1), rtol=2e-5)


def test_a_model_with_satellite_features_streams_them(world, tmp_path):
    fake_release(tmp_path / "model", features=("ta", "sw_in", "ndvi"), members=2, hidden=16)
    checked = prepare(tmp_path / "model", world.drivers, tmp_path / "f.zarr", period=world.period)
    fluxes = xr.open_zarr(run_here(checked))
    land = np.isfinite(fluxes.nee.values)
    filled = has(fluxes.quality.values, Quality.DRIVERS_FILLED)
    assert filled[land].any()
    assert not filled[land].all()
    share = fluxes.filled_share.values
    assert (share[~land] == 255).all()
    assert 0 < share[land].mean() < 100


def test_an_optional_feature_that_the_cube_lacks_is_masked_and_flagged(world, tmp_path):
    fake_release(tmp_path / "model", features=("ta", "sw_in", "ws"), members=2, hidden=16)
    checked = prepare(tmp_path / "model", world.drivers, tmp_path / "f.zarr",
                      period=("2012-06-01", "2012-06-30"))  # fmt: skip
    assert any("ws" in warning for warning in checked.warnings)
    fluxes = xr.open_zarr(run_here(checked))
    land = np.isfinite(fluxes.nee.values)
    assert has(fluxes.quality.values[land], Quality.DRIVERS_MISSING).all()


def test_the_window_itself_can_be_the_context(world, tmp_path):
    fake_release(tmp_path / "model", features=("ta", "sw_in"), members=2, hidden=16,
                 context={"rule": "query"})  # fmt: skip
    checked = prepare(tmp_path / "model", world.drivers, tmp_path / "f.zarr",
                      period=("2012-06-01", "2012-06-30"))  # fmt: skip
    store = run_here(checked)
    assert np.isfinite(xr.open_zarr(store).nee.values).any()
    assert not Path(checked.plan.job.context_store).exists()


def test_strict_past_uses_no_year_after_the_block(world, tmp_path):
    checked = prepare(world.model, world.drivers, tmp_path / "f.zarr", period=world.period,
                      context={"strict_past": True})  # fmt: skip
    run_here(checked)
    context = xr.open_zarr(checked.plan.job.context_store, group=checked.plan.job.embeddings[:16])
    assert set(np.unique(context.support_years.values[0])) <= {0, 2011}


def test_no_attribute_of_what_a_run_reads_and_writes_is_a_truth_value(world, store):
    """NetCDF has none: `xarray` could not write a part of such a store."""
    for url in (str(store), str(world.drivers)):
        root = zarr.open_group(url, mode="r")
        for name, node in [("", root), *root.members(max_depth=None)]:
            assert not [k for k, v in node.attrs.items() if isinstance(v, bool)], f"{url}/{name}"
