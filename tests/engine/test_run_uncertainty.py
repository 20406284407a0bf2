"""A run says of every cell and step how unlike the training data it is, however it is cut."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from upscale.calendar import STEP_DAYS, day_number
from upscale.drivers.cube import open_cube
from upscale.drivers.tiles import read_features, read_surface
from upscale.engine.check import check_store
from upscale.network.releases.release import Release
from upscale.product.quality import Quality, has
from upscale.product.reader import interval
from upscale.product.uncertainty import STEP_ARRAYS
from upscale.testing.releases import fake_release, fake_tree_release
from upscale.testing.runs import differences, prepare, run_here, same_bits
from upscale.testing.uncertainty import with_made_uncertainty

#: Days that begin and end in the middle of a step.
QUARTER = ("2012-03-05", "2012-06-02")

MET = ("ta", "sw_in", "vpd", "p", "sw_pot", "day_length")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("model")
    return with_made_uncertainty(
        fake_release(folder / "limited", features=MET, members=3, hidden=16)
    )


@pytest.fixture(scope="module")
def store(world, model, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("whole")
    return run_here(prepare(model.path, world.drivers, folder / "f.zarr", period=world.period))


@pytest.fixture(scope="module")
def fluxes(store: str) -> xr.Dataset:
    return xr.open_zarr(store).load()


def test_it_passes_every_check(store: str) -> None:
    report = check_store(store)
    assert report.passed, report.describe()
    assert "applicability" in {check.name for check in report.checks}


def test_without_uncertainty_a_run_is_what_it_was(world, store, model, tmp_path) -> None:
    plain = run_here(prepare(world.model, world.drivers, tmp_path / "f.zarr", period=world.period))
    changed = {
        "@config", "@rules", "@run_digest", "@model_digest", "@model_name", "@source", "@summary",
        "quality", "gpp_sd", "reco_sd", "nee_sd", "step", "step_bnds", *STEP_ARRAYS,
    }  # fmt: skip
    assert set(differences(store, plain)) == changed
    one, other = xr.open_zarr(store), xr.open_zarr(plain)
    for flux in ("gpp", "reco", "nee"):
        assert same_bits(one[f"{flux}_sd"].values, other[f"{flux}_sd"].values)
        assert not any("calibration" in key for key in other[f"{flux}_sd"].attrs)
    assert same_bits(one.quality.values & np.uint32(~768 & 0xFFFFFFFF), other.quality.values)
    assert "outside" not in other.quality.flag_meanings.replace("outside_training_range", "")


def by_hand(world, model: Release, step: int, row: int, col: int) -> tuple[float, int, str]:
    """Index, density and driver of one cell and step, with loops in float64."""
    area = model.applicability
    assert area is not None
    space, features = area.drivers, model.manifest.features
    cube = open_cube(str(world.drivers))
    surface = read_surface(cube, slice(row, row + 1), slice(col, col + 1))
    names = model.scaler.names
    drivers = read_features(cube, surface, names, step * STEP_DAYS - 30, 45).values[0]
    point = []
    for position, feature in enumerate(features):
        days = drivers[:, position].astype(np.float64)
        days = np.log1p(days) if feature.transform == "log1p" else days
        point.append(np.nanmean((days - feature.mean) / feature.std))
    row_point = np.array(point) * space.weights
    apart = np.sqrt(((row_point - space.points.astype(np.float64)) ** 2).sum(axis=1))
    apart /= space.distance
    nearest = int(apart.argmin())
    driver = names[int(((row_point - space.points[nearest]) ** 2).argmax())]
    return float(apart.min()), int(space.counts[apart <= space.threshold].sum()), driver


@pytest.mark.parametrize("date", ["2012-01-20", "2012-04-02", "2012-07-17", "2012-10-10"])
def test_a_cell_has_the_numbers_of_their_definition(world, model, fluxes, date) -> None:
    step = day_number(dt.date.fromisoformat(date)) // STEP_DAYS
    here = fluxes.sel(step=date, method="ffill")
    names = here.extrapolation_driver.flag_meanings.split()
    seen = set()
    for row, col in np.argwhere(np.isfinite(here.extrapolation.values))[::9]:
        cell = here.isel(lat=row, lon=col)
        index, density, driver = by_hand(world, model, step, int(row), int(col))
        np.testing.assert_allclose(cell.extrapolation, index, rtol=1e-4)
        assert int(cell.point_density) == pytest.approx(density, abs=1)
        assert names[int(cell.extrapolation_driver)] == driver
        seen.add(driver)
    assert seen


def test_every_land_cell_has_an_index_in_every_step(fluxes: xr.Dataset) -> None:
    land = np.isfinite(fluxes.gpp.values).any(axis=0)
    for name in ("extrapolation", "extrapolation_embedding", "point_density"):
        assert np.array_equal(np.isfinite(fluxes[name].values).all(axis=0), land)
        assert np.array_equal(np.isfinite(fluxes[name].values).any(axis=0), land)
    assert len(np.unique(fluxes.extrapolation.values[np.isfinite(fluxes.extrapolation.values)])) > 9


def test_places_do_not_change_but_their_weather_does(fluxes: xr.Dataset) -> None:
    places = fluxes.extrapolation_embedding.values
    land = np.isfinite(places).all(axis=0)
    assert (places[:, land] == places[0, land]).all()
    assert (np.ptp(fluxes.extrapolation.values[:, land], axis=0) > 0).all()


def test_bits_are_set_above_the_thresholds_of_the_release(model, fluxes) -> None:
    for name, bit, space in (
        ("extrapolation", Quality.OUTSIDE_APPLICABILITY, model.applicability.drivers),
        ("extrapolation_embedding", Quality.OUTSIDE_EMBEDDING, model.applicability.embedding),
    ):
        assert fluxes[name].applicability_threshold == space.threshold
        daily = fluxes[name].sel(step=fluxes.time, method="ffill")
        np.testing.assert_array_equal(
            has(fluxes.quality.values, bit), (daily > space.threshold).values
        )


@pytest.fixture(scope="module")
def quarter(world, model, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("quarter")
    return run_here(prepare(model.path, world.drivers, folder / "f.zarr", period=QUARTER))


@pytest.mark.parametrize("tile", [3, 20])
def test_indices_do_not_depend_on_the_size_of_tiles(world, model, quarter, tile, tmp_path) -> None:
    other = prepare(model.path, world.drivers, tmp_path / "f.zarr", period=QUARTER,
                    output={"tile": tile})  # fmt: skip
    changed = differences(quarter, run_here(other))
    assert set(changed) <= {"@layout", "@run_digest", "@config", "@rules"}


def test_a_step_does_not_depend_on_the_period_that_was_asked_for(quarter, fluxes) -> None:
    part = xr.open_zarr(quarter)
    for name in STEP_ARRAYS:
        daily, whole = (each[name].sel(step=part.time, method="ffill") for each in (part, fluxes))
        assert same_bits(daily.values, whole.values), name
    assert same_bits(part.quality.values, fluxes.quality.sel(time=part.time).values)


def test_the_first_days_of_the_record_have_no_index(world, model, tmp_path) -> None:
    early = prepare(model.path, world.drivers, tmp_path / "f.zarr",
                    period=("2011-01-01", "2011-02-10"))  # fmt: skip
    url = run_here(early)
    found = xr.open_zarr(url)
    land = np.isfinite(found.gpp.values).any(axis=0)
    known = np.isfinite(found.extrapolation.values[:, land])
    # the first step holds fewer than fifteen days of drivers, all later ones at least fifteen
    days = [int(end) - day_number(dt.date(2011, 1, 1)) for end in (found.step_bnds[:, 1].values
            - np.datetime64("2000-01-01")) / np.timedelta64(1, "D")]  # fmt: skip
    assert known.all(axis=1).tolist() == [count >= 15 for count in days]
    assert (known.all(axis=1) == known.any(axis=1)).all()
    assert "applicability" not in check_store(url).failures


def test_trees_have_indices_of_drivers_alone(world, tmp_path) -> None:
    model = with_made_uncertainty(fake_tree_release(tmp_path / "trees", features=MET))
    checked = prepare(model.path, world.drivers, tmp_path / "f.zarr",
                      period=QUARTER)  # fmt: skip
    url = run_here(checked)
    found = xr.open_zarr(url)
    assert "extrapolation_embedding" not in found
    assert np.isfinite(found.extrapolation.values).any()
    assert check_store(url).passed
    # the step that the period begins in the middle of looks back 45 days, too
    whole = prepare(model.path, world.drivers, tmp_path / "g.zarr",
                    period=("2012-02-01", "2012-06-02"))  # fmt: skip
    other = xr.open_zarr(run_here(whole)).sel(time=found.time)
    daily, again = (
        each.extrapolation.sel(step=found.time, method="ffill") for each in (found, other)
    )
    assert same_bits(daily.values, again.values)


def test_an_optional_driver_that_the_cube_lacks_is_left_out_of_the_distance(
    world, tmp_path: Path
) -> None:
    features = ("ta", "sw_in", "ws")
    model = with_made_uncertainty(
        fake_release(tmp_path / "model", features=features, members=2, hidden=16)
    )
    checked = prepare(model.path, world.drivers, tmp_path / "f.zarr",
                      period=("2012-06-01", "2012-06-30"))  # fmt: skip
    found = xr.open_zarr(run_here(checked))
    assert np.isfinite(found.extrapolation.values).any()
    assert 3 not in found.extrapolation_driver.values
    assert found.extrapolation_driver.flag_meanings == "none ta sw_in ws"


def test_intervals_come_with_the_store(model, fluxes) -> None:
    low, high = interval(fluxes, "nee", 0.9)
    flux = model.manifest.calibration.fluxes[2]
    sd = np.sqrt(
        flux.floor**2 + (flux.factor * fluxes.nee_sd) ** 2 + (flux.share * fluxes.nee) ** 2
    )
    np.testing.assert_allclose(high - low, 2 * flux.multipliers[3] * sd, rtol=1e-5)


def test_every_past_has_an_embedding_index_of_its_own(world, model, tmp_path) -> None:
    checked = prepare(model.path, world.drivers, tmp_path / "f.zarr",
                      period=("2011-12-01", "2012-12-31"),
                      context={"strict_past": True}, output={"tile": 20})  # fmt: skip
    found = xr.open_zarr(run_here(checked)).extrapolation_embedding.values
    blocks = [checked.plan.job.layout.steps_of(block) for block in (0, 1)]
    early, late = (found[steps][:, np.isfinite(found).all(axis=0)] for steps in blocks)
    assert (early == early[0]).all()
    assert (late == late[0]).all()
    assert (early[0] != late[0]).any()
