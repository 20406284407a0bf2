"""A climate that no map gives follows from a year of weather."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from upscale.archives.reanalysis.era5 import daily, read_era5
from upscale.drivers.koppen import classify
from upscale.testing.archives import Archive, config_of, ingest_here, write_hours
from upscale.testing.scenes import SceneBounds, write_map

pytest.importorskip("pyhdf.SD")

SMALL = SceneBounds(south=50.0, north=50.2, west=15.0, east=15.2)


def forest(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    return np.full(np.broadcast(lat, lon).shape, 4, np.uint8)


def test_the_climate_is_that_of_the_monthly_means(tmp_path: Path) -> None:
    archive = Archive(tmp_path, dt.date(2019, 1, 1), dt.date(2019, 12, 31))
    (tmp_path / "hours").mkdir()
    hours = write_hours(archive, box=SMALL)
    cover = write_map(tmp_path / "cover.tif", SMALL, 0.05, {"of": forest})
    region = {"south": SMALL.south, "north": SMALL.north, "west": SMALL.west, "east": SMALL.east}
    ingest_here(
        config_of(
            archive, tmp_path / "c.zarr", satellite=[], region=region, static={"igbp": str(cover)}
        )
    )
    days = daily(read_era5(hours)).sel(time="2019")
    months = days.resample(time="MS").mean()
    ta, p = months.ta, months.p * months.time.dt.days_in_month
    found = xr.open_zarr(tmp_path / "c.zarr", group="static", consolidated=False).koppen
    at = [x.interp(lat=found.lat, lon=found.lon) for x in (ta, p)]
    expected = classify(at[0].values, at[1].values, np.asarray(found.lat)[:, None])
    assert found.shape == (4, 4)
    np.testing.assert_array_equal(found, expected)
    assert (found > 0).all()
