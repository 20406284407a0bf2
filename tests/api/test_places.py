"""What belongs to a place is found by its label; what belongs to none is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import upscale
from upscale.drivers.cube import DriverError
from upscale.network.releases.release import Release
from upscale.product.quality import Quality, has
from upscale.testing.releases import fake_release

DAYS = pd.date_range("2011-01-01", periods=400)


def place(warmth: float) -> xr.Dataset:
    season = np.sin(np.arange(len(DAYS)) / 58)
    series = {"ta": 10 + warmth + 8 * season, "sw_in": 150 + 90 * season}
    return xr.Dataset({name: ("time", values) for name, values in series.items()}, {"time": DAYS})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("model") / "model"
    return fake_release(folder, features=("ta", "sw_in", "sw_pot"), members=2, hidden=8)


@pytest.fixture(scope="module")
def sites() -> xr.Dataset:
    return xr.concat([place(0), place(12)], dim="site").assign_coords(site=["A", "B"])


@pytest.fixture(scope="module")
def grid() -> xr.Dataset:
    """Two latitudes and three longitudes, each place as warm as it likes."""
    rows = [xr.concat([place(3 * row + col) for col in range(3)], dim="lon") for row in range(2)]
    return xr.concat(rows, dim="lat").assign_coords(lat=[48.0, 47.0], lon=[10.0, 11.0, 12.0])


def along(dim: str, values: list[object], labels: list[object] | None = None) -> xr.DataArray:
    return xr.DataArray(values, dims=dim, coords={dim: labels} if labels else None)


GIVEN = {
    "lat": along("site", [47.0, -35.0], ["A", "B"]),
    "igbp": along("site", ["GRA", "ENF"], ["A", "B"]),
    "koppen": along("site", ["Cfb", "Dfc"], ["A", "B"]),
}


@pytest.mark.parametrize("name", GIVEN)
def test_an_argument_is_selected_by_its_labels(model, sites, name):
    others = {key: value for key, value in GIVEN.items() if key != name}
    wanted = upscale.predict(model, sites, **GIVEN)
    found = upscale.predict(model, sites, **others, **{name: GIVEN[name][::-1]})
    xr.testing.assert_identical(found.drop_attrs(), wanted.drop_attrs())
    swapped = upscale.predict(model, sites, **others, **{name: GIVEN[name].drop_vars("site")[::-1]})
    assert float(np.abs(swapped.gpp - wanted.gpp).max()) > 0


def test_a_class_on_a_map_is_selected_by_latitude_even_in_single_precision(model, grid):
    igbp = along("lat", ["GRA", "ENF"], [48.0, 47.0])
    wanted = upscale.predict(model, grid, igbp=igbp)
    single = igbp[::-1].assign_coords(lat=np.float32([47.0, 48.0]))
    np.testing.assert_array_equal(upscale.predict(model, grid, igbp=single).gpp, wanted.gpp)


def test_an_argument_with_other_labels_is_refused(model, sites):
    wrong = GIVEN["igbp"].assign_coords(site=["A", "X"])
    with pytest.raises(DriverError, match=r"igbp: .*along site A, B, found A, X"):
        upscale.predict(model, sites, lat=47.0, igbp=wrong)


@pytest.mark.parametrize(
    ("igbp", "words"),
    [
        (xr.DataArray(np.full((3, 2), "GRA"), dims=("lat", "lon")), "2 along lat, found 3"),
        (xr.DataArray(np.full((6, 1), "GRA"), dims=("lat", "lon")), "2 along lat, found 6"),
        (along("lon", ["GRA", "ENF"]), "3 along lon, found 2"),
    ],
)
def test_an_argument_of_another_shape_is_refused(model, grid, igbp, words):
    with pytest.raises(DriverError, match=words):
        upscale.predict(model, grid, igbp=igbp)


def test_a_history_is_paired_by_its_labels(model, sites):
    lat = GIVEN["lat"]
    wanted = upscale.predict(model, sites, lat=lat, history=sites)
    for other in (sites.isel(site=[1, 0]), sites.isel(site=[1, 0]).assign_coords(lat=lat)):
        found = upscale.predict(model, sites, lat=lat, history=other)
        np.testing.assert_array_equal(found.gpp, wanted.gpp)
    unnamed = sites.isel(site=[1, 0]).drop_vars("site")
    swapped = upscale.predict(model, sites, lat=lat, history=unnamed)
    assert float(np.abs(swapped.gpp - wanted.gpp).max()) > 0


def test_the_history_of_a_map_may_have_any_order(model, grid):
    wanted = upscale.predict(model, grid, history=grid)
    other = grid.isel(lat=[1, 0], lon=[2, 0, 1]).transpose("lon", "time", "lat")
    np.testing.assert_array_equal(upscale.predict(model, grid, history=other).gpp, wanted.gpp)


def test_a_history_with_other_labels_is_refused(model, sites, grid):
    other = sites.assign_coords(site=["A", "X"])
    with pytest.raises(DriverError, match=r"history: .*along site A, B, found A, X"):
        upscale.predict(model, sites, lat=47.0, history=other)
    with pytest.raises(DriverError, match=r"history: .*along lon 10\.0, 11\.0, 12\.0, found 10"):
        upscale.predict(model, grid, history=grid.assign_coords(lon=[10.0, 11.0, 13.0]))
    one, two = sites.isel(site=0), sites.isel(site=1)
    with pytest.raises(DriverError, match=r"history: .*site A\), found site B"):
        upscale.predict(model, one, lat=47.0, history=two)
    with pytest.raises(DriverError, match=r"along site, found no dimension but time"):
        upscale.predict(model, sites, lat=47.0, history=place(0))


def test_degrees_beside_a_dimension_of_degrees_are_refused(model, grid):
    bare = grid.drop_vars("lat")
    for lat in (47.0, along("lat", [48.0, 47.0])):
        with pytest.raises(DriverError, match=r"dimension lat, found none; call assign_coords"):
            upscale.predict(model, bare, lat=lat)
    with pytest.raises(DriverError, match="dimension lon, found none"):
        upscale.predict(model, grid.drop_vars("lon"), lon=[[1.0, 2.0, 3.0]] * 2)
    wanted = upscale.predict(model, grid)
    np.testing.assert_array_equal(upscale.predict(model, grid.drop_vars("lon")).gpp, wanted.gpp)
    np.testing.assert_array_equal(upscale.predict(model, grid, history=bare).gpp, wanted.gpp)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"lat": "47N"}, "lat: expected numbers, found <U3"),
        ({"lat": True}, "lat: expected numbers, found bool"),
        ({"lat": 47.0, "lon": "8E"}, "lon: expected numbers"),
        ({"lat": 47.0, "igbp": True}, "igbp: expected one of .*found True"),
        ({"lat": 47.0, "koppen": np.True_}, "koppen: expected one of .*found True"),
    ],
)
def test_degrees_are_numbers_and_classes_are_codes_or_names(model, given, words):
    with pytest.raises(DriverError, match=words):
        upscale.predict(model, place(0), **given)


def test_a_driver_that_is_true_or_false_is_refused_and_a_flag_is_not(model):
    drivers = place(0)
    with pytest.raises(DriverError, match="ta: expected numbers, found bool"):
        upscale.predict(model, drivers.assign(ta=drivers.ta > 0), lat=47.0)
    filled = upscale.predict(model, drivers.assign(ta_filled=drivers.ta > 0), lat=47.0)
    np.testing.assert_array_equal(
        has(filled.quality.values, Quality.DRIVERS_FILLED), (drivers.ta > 0).values
    )


@pytest.mark.parametrize("device", ["gpu", "tpu9", "", "meta"])
def test_a_device_that_is_not_known_is_refused(model, device):
    with pytest.raises(ValueError, match="expected auto, cpu or cuda"):
        upscale.predict(model, place(0), lat=47.0, device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(model):
    with pytest.raises(ValueError, match="expected a GPU for cuda, found none"):
        upscale.predict(model, place(0), lat=47.0, device="cuda")
