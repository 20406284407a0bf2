"""What stands in the cube is what a plain computation makes of the same archive."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from upscale.archives.reanalysis.era5 import daily, read_era5
from upscale.archives.satellite.indices import index
from upscale.calendar import day_number
from upscale.drivers.cube import open_cube
from upscale.drivers.gaps import GapRule, fill_gaps
from upscale.drivers.packing import packing_of
from upscale.testing.archives import BOX, Archive
from upscale.testing.scenes import cloudy, fapar, land_class, reflectance

RADIUS = 6371007.181
PIXEL = np.pi * RADIUS / 18 / 2400


def opened(cube: Path, group: str) -> xr.Dataset:
    return xr.open_zarr(cube, group=group, consolidated=False).load()


def pixels() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Latitude, longitude, cell row and cell column of every 500 m pixel in the box, and
    which 1 km pixel it is of; from the formulas of the projection alone."""
    rows = np.arange(int((90 - BOX.north) * 240) - 2, int((90 - BOX.south) * 240) + 2)
    lat = 90 - (rows + 0.5) / 240
    lon_all, lat_all, km = [], [], []
    for row, y in zip(rows, lat, strict=True):
        width = np.degrees(PIXEL / (RADIUS * np.cos(np.radians(y))))
        first, end = int(BOX.west / width) - 2, int(BOX.east / width) + 2
        cols = np.arange(first, end)
        lon = (cols + 0.5) * width
        inside = (lon > BOX.west) & (lon < BOX.east) & (BOX.south < y < BOX.north)
        lon_all.append(lon[inside])
        lat_all.append(np.full(inside.sum(), y))
        km.append(np.stack([np.full(inside.sum(), row // 2), cols[inside] // 2], axis=1))
    places = np.concatenate(lat_all), np.concatenate(lon_all)
    return *places, np.concatenate(km)[:, 0], np.concatenate(km)[:, 1]


def clear(lat: np.ndarray, lon: np.ndarray, day: dt.date, km: tuple) -> np.ndarray:
    """Pixels whose 1 km pixel has no cloudy one of its four."""
    centre_lat = 90 - (km[0] + 0.5) / 120
    hidden = np.zeros(lat.size, bool)
    for down in (-0.25, 0.25):
        y = centre_lat + down / 120
        width = np.degrees(PIXEL / (RADIUS * np.cos(np.radians(y))))
        for right in (0.5, 1.5):
            hidden |= cloudy(y, (2 * km[1] + right) * width, day)
    return ~hidden


@pytest.mark.parametrize("after", [0, 1, 9, 24, 49])
def test_indices_are_those_of_the_mean_reflectances_of_clear_pixels(
    cube: Path, archive: Archive, after: int
) -> None:
    day = archive.days[after]
    lat, lon, *km = pixels()
    good = clear(lat, lon, day, tuple(km))
    row = ((BOX.north - lat) / 0.05).astype(int)
    col = ((lon - BOX.west) / 0.05).astype(int)
    cell = (row * 20 + col)[good]
    count = np.bincount(cell, minlength=320)
    means = {
        band: np.bincount(cell, reflectance(band, lat, lon, day)[good], 320) / np.maximum(count, 1)
        for band in (1, 2, 3)
    }
    stored, flags = (opened(cube, "satellite")[n].values[after] for n in ("ndvi", "ndvi_filled"))
    land = opened(cube, "static").sftlf.values > 0
    observed = (count.reshape(16, 20) > 0) & land
    assert observed.sum() > 200 if after != 9 else True
    for name in ("ndvi", "evi", "nirv"):
        expected = index(name, {b: m.astype(np.float32) for b, m in means.items()}).reshape(16, 20)
        stored = opened(cube, "satellite")[name].values[after]
        step = packing_of(name).scale
        np.testing.assert_allclose(stored[observed], expected[observed], atol=0.51 * step)
    assert not flags[observed].any()
    missing = ~np.isfinite(stored)
    assert not (missing & observed).any()


def test_composites_stand_on_each_of_their_days(cube: Path, archive: Archive) -> None:
    series = opened(cube, "satellite").fapar
    lat, lon, *_ = pixels()
    cell = ((BOX.north - lat) / 0.05).astype(int) * 20 + ((lon - BOX.west) / 0.05).astype(int)
    count = np.bincount(cell, minlength=320)
    for first in (dt.date(2019, 2, 26), dt.date(2019, 3, 30)):
        mean = np.bincount(cell, fapar(lat, lon, first), 320) / count
        land = np.isfinite(series.values[0])
        for later in (0, 7):
            day = np.datetime64(first + dt.timedelta(days=later))
            found = series.sel(time=day).values
            np.testing.assert_allclose(found[land], mean.reshape(16, 20)[land], atol=2e-5)
    assert archive.first < dt.date(2019, 2, 26)


def test_weather_is_that_of_the_reader_on_the_same_files(cube: Path, archive: Archive) -> None:
    meteo = opened(cube, "meteo")
    expected = daily(read_era5(sorted((archive.folder / "hours").iterdir())))
    assert set(expected.data_vars) <= set(meteo.data_vars)
    for name in expected.data_vars:
        there = expected[name].sel(time=meteo.time, lat=meteo.lat, lon=meteo.lon, method="nearest")
        assert np.isfinite(there).all()
        step = packing_of(str(name)).scale
        np.testing.assert_allclose(meteo[name], there, atol=0.51 * step, rtol=1e-6)
    assert open_cube(str(cube)).day_definition == "local-standard"


def test_classes_are_the_most_frequent_of_land_and_its_share(cube: Path) -> None:
    static = opened(cube, "static")
    lat, lon, *_ = pixels()
    cell = ((BOX.north - lat) / 0.05).astype(int) * 20 + ((lon - BOX.west) / 0.05).astype(int)
    classes = land_class(lat, lon)
    counts = np.stack([np.bincount(cell[classes == c], minlength=320) for c in range(18)])
    land = counts[1:17].sum(axis=0)
    expected = np.where(land > 0, 1 + counts[1:17].argmax(axis=0), 17).reshape(16, 20)
    np.testing.assert_array_equal(static.igbp, expected)
    share = (100 * land / counts.sum(axis=0)).reshape(16, 20)
    np.testing.assert_allclose(static.sftlf, share, rtol=1e-6)
    assert 0 < (share == 0).sum() < 100
    assert ((share > 0) & (share < 100)).sum() > 0
    assert set(np.unique(static.koppen)) == {15, 26}


def test_gaps_are_filled_by_the_rule_and_say_so(cube: Path, archive: Archive) -> None:
    series = opened(cube, "satellite")
    raw = xr.open_zarr(cube, group="satellite", consolidated=False, mask_and_scale=False).load()
    flags = series.ndvi_filled.values
    observed = np.where(flags == 0, series.ndvi.values, np.nan).astype(np.float32)
    made = fill_gaps(observed, day_number(archive.first), GapRule(4, 30))
    np.testing.assert_array_equal(made.method, flags)
    np.testing.assert_array_equal(made.distance, raw.ndvi_distance.values)
    step = packing_of("ndvi").scale
    np.testing.assert_allclose(made.values, series.ndvi.values, atol=0.51 * step)
    cloudy_days = [n for n, day in enumerate(archive.days) if day.toordinal() % 11 == 3]
    land = opened(cube, "static").sftlf.values > 0
    assert (flags[cloudy_days][:, land] == 1).mean() > 0.99


def test_a_run_opens_the_cube(cube: Path) -> None:
    found = open_cube(str(cube))
    assert set(found.variables) >= {"ta", "sw_in", "vpd", "p", "ndvi", "evi", "nirv", "fapar"}
    assert found.attributes["source"] == "ERA5-Land, MOD09GA, MCD15A2H"


def test_a_cube_says_which_legend_its_map_of_climates_had(cube: Path) -> None:
    """The map of the archive has codes 15 and 26 without names, at home in Bohemia."""
    said = opened(cube, "static").koppen.attrs["map_legend"]
    assert said.startswith("legend Beck: 100 % of its classes stand where such climates are")
