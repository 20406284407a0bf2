"""Figures: what they are drawn from, where things land, what colours say, and that they draw."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.image import imread

from upscale.calendar import day_number
from upscale.grid import Grid
from upscale.product.composite import Composite, State, composite
from upscale.product.layout import FluxLayout
from upscale.product.maps import scale_to, view_of
from upscale.product.plots import plot_cube
from upscale.product.reader import open_flux_cube
from upscale.testing.flux_cubes import make_flux_cube, small_layout


@pytest.fixture(scope="module")
def made(year_store: str) -> Composite:
    return composite(open_flux_cube(year_store))


def test_a_composite_holds_the_means_of_the_period(made: Composite, year_store: str) -> None:
    cube = xr.open_zarr(year_store, consolidated=False)
    for flux in ("gpp", "reco", "nee"):
        expected = cube[flux].mean("time").values
        np.testing.assert_allclose(made.means[flux], expected, rtol=1e-5, atol=1e-6)


def test_the_spread_of_a_mean_comes_from_the_members(made: Composite, year_store: str) -> None:
    cube = xr.open_zarr(year_store, consolidated=False)
    means = cube.nee_member.sum("segment") / cube.segment_days.sum("segment")
    expected = means.std("member", ddof=1).values
    np.testing.assert_allclose(made.spreads["nee"], expected, rtol=1e-4, atol=1e-6)


def test_a_coarse_composite_weighs_by_area_of_land(year_store: str) -> None:
    coarse = composite(open_flux_cube(year_store), columns=12)
    assert coarse.grid.shape == (6, 12)
    cube = xr.open_zarr(year_store, consolidated=False)
    land = (cube.areacella * cube.sftlf / 100).where(cube.gpp.notnull())
    top = (cube.gpp * land).coarsen(lat=3, lon=3).sum().sum("time")
    expected = top / land.coarsen(lat=3, lon=3).sum().sum("time")
    np.testing.assert_allclose(coarse.means["gpp"], expected.values, rtol=1e-5, atol=1e-6)


def test_cells_without_a_value_show_their_reason(made: Composite, year_store: str) -> None:
    cube = xr.open_zarr(year_store, consolidated=False)
    water, ice = (cube.sftlf == 0).values, ((cube.quality[0] & 16384) > 0).values
    assert (made.state[water] == State.WATER).all()
    assert (made.state[ice] == State.ICE).all()
    assert (made.state[~water & ~ice] == State.VALUE).all()


def test_the_season_is_a_mean_over_the_land_of_a_row(made: Composite, year_store: str) -> None:
    cube = xr.open_zarr(year_store, consolidated=False)
    land = (cube.areacella * cube.sftlf / 100).where(cube.gpp.notnull())
    carbon = (cube.gpp * land).isel(time=slice(0, 5)).sum(["time", "lon"])
    expected = carbon / land.isel(time=slice(0, 5)).sum(["time", "lon"])
    with np.errstate(invalid="ignore"):
        found = made.season[0, :, 0] / made.season_area[:, 0]
    np.testing.assert_allclose(found, expected.values, rtol=1e-5, atol=1e-6)


def test_zero_is_in_the_middle_of_the_colours_of_nee() -> None:
    scale = scale_to("nee", [np.array([[-3.2, 0.4], [0.1, np.nan]])], np.array([10.0, -10.0]))
    assert (scale.low, scale.high) == (-4, 4)


def test_a_few_extremes_do_not_stretch_the_colours() -> None:
    field = np.ones((10, 100))
    field[0, 0] = 50
    scale = scale_to("gpp", [field], np.linspace(40, -40, 10))
    assert (scale.low, scale.high, scale.extend) == (0, 1, "max")


def test_a_year_is_drawn_as_maps_and_a_seasonal_cycle(year_store: str, tmp_path: Path) -> None:
    names = [path.name for path in plot_cube(year_store, tmp_path)]
    maps = [f"map_{name}.png" for name in ("gpp", "reco", "nee", "nee_spread")]
    assert names == ["maps.png", *maps, "seasonal_cycle.png"]
    for name in names:
        picture = imread(tmp_path / name)
        assert picture.shape[1] >= 1400
        assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 100


def test_the_planet_is_called_synthetic_in_red(year_store: str, tmp_path: Path) -> None:
    assert red_of(year_store, tmp_path) > 200


def test_the_earth_is_not(tmp_path: Path) -> None:
    layout = small_layout(dt.date(2012, 6, 1), dt.date(2012, 6, 30), members=1)
    url = str(tmp_path / "earth.zarr")
    make_flux_cube(url, layout, {"synthetic": False, "title": "Fluxes"})
    assert red_of(url, tmp_path) == 0


def red_of(store: str, folder: Path) -> int:
    """Pixels in the colour of the warning in the headline."""
    (path,) = (p for p in plot_cube(store, folder) if p.name == "seasonal_cycle.png")
    head = imread(path)[:180, :, :3]
    wanted = np.array([0xB3, 0x26, 0x1E]) / 255
    return int((np.abs(head - wanted).max(axis=2) < 0.01).sum())


def test_a_region_without_sums_is_drawn_in_plain_degrees(tmp_path: Path) -> None:
    grid = Grid("made", 20, 30, 1.0, 50, -5)
    layout = FluxLayout(grid, day_number(dt.date(2012, 5, 1)), 40, 10, 3, "none", 60)
    url = str(tmp_path / "region.zarr")
    make_flux_cube(url, layout)
    view = view_of(composite(open_flux_cube(url)))
    assert (view.world, view.west, view.east, view.south, view.north) == (False, -5, 25, 30, 50)
    names = [path.name for path in plot_cube(url, tmp_path)]
    assert "map_nee_spread.png" not in names
    assert "map_nee.png" in names


def test_towers_are_drawn_as_dots_in_their_surroundings() -> None:
    grid = Grid("global", 180, 360, 1.0)
    state = np.zeros(grid.shape, np.uint8)
    state[[40, 45], [185, 200]] = State.VALUE
    empty = np.zeros((3, 180, 73))
    towers = Composite(grid, state, {}, {}, empty, empty[0])
    assert towers.sparse
    lon, lat = towers.points()
    assert list(zip(lon, lat, strict=True)) == [(5.5, 49.5), (20.5, 44.5)]
    view = view_of(towers)
    assert not view.world
    assert view.west < 5.5 < 20.5 < view.east


def test_drawing_touches_no_global_state_of_pyplot(year_store: str, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from upscale.product.plots import plot_cube;"
        f"plot_cube({year_store!r}, Path({str(tmp_path)!r}));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
