"""What belongs to a place is found by its label; what belongs to none is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import upscale
from upscale.drivers.cube import DriverError
from upscale.network.releases.release import Release
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
