"""A global map from weights of the released code: MODIS, weather, place; the query as context."""

import datetime as dt

import numpy as np
import pytest
import torch
import xarray as xr

from upscale.calendar import day_number
from upscale.drivers.cube import open_cube
from upscale.drivers.features import FEATURE_SETS
from upscale.drivers.tiles import read_features, read_surface
from upscale.grid import load_grid
from upscale.jobs.settings import ConfigError
from upscale.network.released_code.release import import_release
from upscale.network.released_code.scaling import FEATURES, MINIMAL, MODIS
from upscale.planet.cube import write_planet
from upscale.product.quality import Quality, has
from upscale.testing.carbonfluxbench import released_state
from upscale.testing.releases import fake_release
from upscale.testing.runs import differences, prepare, run_here

PERIOD = ("2012-05-01", "2012-06-29")


@pytest.fixture(scope="module")
def planet(tmp_path_factory):
    """Four months of a cold coast: 12 x 14 cells with all that weights of MOD09GA read."""
    grid = load_grid("global-1p0").crop(slice(148, 160), slice(28, 42))
    path = tmp_path_factory.mktemp("planet") / "drivers.zarr"
    days = dt.date(2012, 3, 1), dt.date(2012, 7, 14)
    write_planet(str(path), grid, load_grid("nodes-2p0"), days, satellite=MODIS,
                 meteorology=MINIMAL, tile=6)  # fmt: skip
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    files = [folder / f"{seed}.pt" for seed in (27, 28)]
    for seed, file in zip((27, 28), files, strict=True):
        torch.save(released_state(seed, hidden=24, latent=10), file)
    return import_release(files, folder / "imported").release


@pytest.fixture(scope="module")
def store(planet, model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("map")
    return run_here(prepare(model.path, planet, folder / "f.zarr", period=PERIOD))


def test_every_land_cell_has_a_flux_on_every_day(store):
    fluxes = xr.open_zarr(store)
    land = ~has(fluxes.quality.values, Quality.WATER | Quality.ICE | Quality.NOT_PRODUCED)
    assert len(fluxes.time) == 60
    assert land.mean() > 0.2
    for flux in ("gpp", "reco", "nee"):
        assert np.array_equal(np.isfinite(fluxes[flux].values), land)
    assert np.nanstd(fluxes.nee.values) > 0.01


def by_hand(planet, model, day, row, col):
    """Members' fluxes `(member, 3)` of one day of one cell, from its window of 30 days."""
    cube = open_cube(str(planet))
    surface = read_surface(cube, slice(row, row + 1), slice(col, col + 1))
    codes = np.array([[surface.igbp[0, 0], surface.koppen[0, 0]]])
    start = day // 15 * 15 - 15  # windows end on days 15, 30, ... since 2000-01-01
    values = read_features(cube, surface, FEATURES, start, 30).values
    x = torch.from_numpy(model.scaler.scale(values))
    onehot = torch.from_numpy(model.classes.onehot(codes))
    with torch.inference_mode():
        each = [n.decode(x, n.embed(x, onehot))[0, day - start].numpy() for n in model.networks()]
    return model.scaler.unscale(np.stack(each))


def test_a_day_of_a_cell_is_what_its_own_window_gives(planet, model, store):
    fluxes = xr.open_zarr(store)
    cells = np.argwhere(np.isfinite(fluxes.nee.values[0]))[::9]
    for row, col in cells:
        for index in (0, 29, 59):
            day = day_number(dt.date(2012, 5, 1)) + index
            members = by_hand(planet, model, day, row, col)
            members[:, :2] = np.maximum(members[:, :2], 0)
            found = [fluxes[flux].values[index, row, col] for flux in ("gpp", "reco", "nee")]
            np.testing.assert_allclose(found, members.mean(axis=0), rtol=1e-4, atol=1e-4)


def test_the_result_does_not_depend_on_tiles(planet, model, store, tmp_path):
    other = run_here(
        prepare(model.path, planet, tmp_path / "f.zarr", period=PERIOD, output={"tile": 14})
    )
    for name in ("gpp", "reco", "nee", "nee_sd"):
        np.testing.assert_array_equal(xr.open_zarr(other)[name], xr.open_zarr(store)[name])


def test_a_cube_without_the_bands_is_refused_before_the_run(world, model, tmp_path):
    with pytest.raises(ConfigError, match="needs 'sur_refl_b01', which the cube lacks"):
        prepare(model.path, world.drivers, tmp_path / "f.zarr", period=PERIOD)


def test_the_feature_set_of_modis_bands_runs_where_they_are_and_where_they_are_not(
    planet, world, tmp_path
):
    names = FEATURE_SETS["met+modis"]
    assert set(MODIS) < set(names)
    fake_release(tmp_path / "model", names, members=1)
    stores = [
        run_here(prepare(tmp_path / "model", drivers, tmp_path / f"{k}.zarr", period=PERIOD))
        for k, drivers in enumerate((planet, world.drivers))
    ]
    seen, masked = (xr.open_zarr(each) for each in stores)
    assert np.isfinite(seen.nee).any()
    assert np.isfinite(masked.nee).any()
    missing = Quality.DRIVERS_MISSING
    assert has(masked.quality.values[np.isfinite(masked.nee.values)], missing).all()
    assert not has(seen.quality.values[np.isfinite(seen.nee.values)], missing).any()
    assert differences(*stores)
