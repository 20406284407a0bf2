"""A climate that no map gives follows from a year of weather."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from upscale.archives.reanalysis.era5 import daily, read_era5
from upscale.drivers.koppen import classify
from upscale.drivers.writer import unseal
from upscale.ingest.climate import CLIMATE
from upscale.ingest.config import Ingest
from upscale.ingest.entry import IngestLedger
from upscale.testing.archives import Archive, config_of, ingest_here, write_hours
from upscale.testing.scenes import SceneBounds, write_map

pytest.importorskip("pyhdf.SD")

SMALL = SceneBounds(south=50.0, north=50.2, west=15.0, east=15.2)


def forest(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    return np.full(np.broadcast(lat, lon).shape, 4, np.uint8)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ingest, list[Path]]:
    """An ingest of a year of weather without a map of the climate, done, and its hours."""
    folder = tmp_path_factory.mktemp("year")
    archive = Archive(folder, dt.date(2019, 1, 1), dt.date(2019, 12, 31))
    (folder / "hours").mkdir()
    hours = write_hours(archive, box=SMALL)
    cover = write_map(folder / "cover.tif", SMALL, 0.05, {"of": forest})
    region = {"south": SMALL.south, "north": SMALL.north, "west": SMALL.west, "east": SMALL.east}
    ingest = config_of(
        archive, folder / "c.zarr", satellite=[], region=region, static={"igbp": str(cover)}
    )
    ingest_here(ingest)
    return ingest, hours


def test_the_climate_is_that_of_the_monthly_means(year: tuple[Ingest, list[Path]]) -> None:
    ingest, hours = year
    days = daily(read_era5(hours)).sel(time="2019")
    months = days.resample(time="MS").mean()
    ta, p = months.ta, months.p * months.time.dt.days_in_month
    found = xr.open_zarr(ingest.cube, group="static", consolidated=False).koppen
    at = [x.interp(lat=found.lat, lon=found.lon) for x in (ta, p)]
    expected = classify(at[0].values, at[1].values, np.asarray(found.lat)[:, None])
    assert found.shape == (4, 4)
    np.testing.assert_array_equal(found, expected)
    assert (found > 0).all()


@pytest.mark.parametrize("first", [True, False])
def test_weather_that_cannot_be_decoded_is_named(
    year: tuple[Ingest, list[Path]], tmp_path: Path, first: bool
) -> None:
    """In the first days, from which the land nodes follow, and in others."""
    ingest, _ = year
    folder = Path(shutil.copytree(Path(ingest.cube).parent, tmp_path / "copied"))
    copied = ingest.model_copy(update={"cube": str(folder / "c.zarr")})
    blocks = sorted((folder / "c.zarr/meteo/ta/c").iterdir(), key=lambda block: int(block.name))
    chunk = blocks[0 if first else -1] / "0/0"
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"!")
    unseal(copied.cube)
    IngestLedger(copied.cube).forget(CLIMATE)
    (entry,) = ingest_here(copied).failed
    assert entry.item == CLIMATE
    assert f"{chunk}: expected a chunk as it was written" in entry.error
