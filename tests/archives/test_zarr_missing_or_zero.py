"""In a Zarr store a zero is a value, and what was never written is missing, whatever the fill."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from numpy.typing import NDArray

from upscale.archives.reanalysis.era5 import daily, read_era5
from upscale.archives.reanalysis.stores import ZERO_FILLED, unwritten_stamps

DAYS = 4
#: Sun for twelve hours a day: 50 W m-2 in the mean, and 1 mm of rain in one hour of each day.
HOUR = np.arange(24 * DAYS) % 24
SUN = np.where((HOUR > 6) & (HOUR <= 18), np.sin(np.pi * (HOUR - 6) / 13), 0.0)
SUN *= 50 * 86400 / SUN[:24].sum()
RAIN = np.where(HOUR == 5, 1e-3, 0.0)
#: Versions of Zarr and fill values; Zarr 3 has no array without one.
FILLS = [(2, 0.0), (2, float("nan")), (2, None), (3, 0.0), (3, float("nan"))]


def store_of(
    path: Path, values: NDArray[Any], units: str, name: str, zarr_format: int, *,
    written: int | None = None, shards: bool = False, attributes: dict[str, Any] | None = None,
    **array: Any,
) -> Path:  # fmt: skip
    """A store of one variable on 2 x 2 nodes every quarter degree, written by zarr alone; of the
    hours only the first `written`, in chunks of a day."""
    dims = ("time", "latitude", "longitude")
    times = np.datetime64("2023-07-01") + np.arange(values.size).astype("timedelta64[h]")
    axes = {
        "time": times.astype("datetime64[ns]"),
        "latitude": [0.25, 0.0],
        "longitude": [10, 9.75],
    }
    xr.Dataset(coords=axes).to_zarr(path, zarr_format=zarr_format, consolidated=False)
    group = zarr.open_group(path, mode="a", zarr_format=zarr_format)
    more: dict[str, Any] = {"dimension_names": dims} if zarr_format == 3 else {}
    if shards:
        more["shards"] = (48, 2, 2)
    made = group.create_array(name, shape=(values.size, 2, 2), chunks=(24, 2, 2), **array, **more)
    made[:written] = np.broadcast_to(values[:written, None, None], (*values[:written].shape, 2, 2))
    made.attrs.update({"units": units} | (attributes or {}))
    if zarr_format == 2:
        made.attrs["_ARRAY_DIMENSIONS"] = list(dims)
    return path


def days_of(path: Path, name: str) -> list[float]:
    """Days of a driver at one node, from the first of July on."""
    values = daily(read_era5([path]), "utc")[name].sel(time=slice("2023-07-01", None))
    return [float(day) for day in values[:, 0, 0]]


@pytest.mark.parametrize(("zarr_format", "fill"), FILLS)
def test_nights_and_dry_hours_are_zero(tmp_path: Path, zarr_format: int, fill: Any) -> None:
    for name, units, values, driver, day in (
        ("ssrd", "J m**-2", SUN, "sw_in", 50.0), ("tp", "m", RAIN, "p", 1.0),
    ):  # fmt: skip
        path = store_of(tmp_path / f"{name}.zarr", values, units, name, zarr_format, dtype="f4",
                        fill_value=fill)  # fmt: skip
        found = days_of(path, driver)
        np.testing.assert_allclose(found[: DAYS - 1], day, rtol=1e-6)


@pytest.mark.parametrize("written", [24, 48])
@pytest.mark.parametrize(
    ("zarr_format", "fill", "shards"),
    [*((*row, False) for row in FILLS), *((3, fill, True) for fill in (0.0, float("nan")))],
)
def test_hours_that_were_never_written_are_missing(
    tmp_path: Path, zarr_format: int, fill: Any, written: int, shards: bool
) -> None:
    """Also a chunk inside a shard that is there."""
    path = store_of(tmp_path / "x.zarr", RAIN, "m", "tp", zarr_format, dtype="f4", fill_value=fill,
                    written=written, shards=shards)  # fmt: skip
    array = read_era5([path])["tp"]
    assert np.isfinite(array[:written]).all()
    assert np.isnan(array[written:]).all()
    named = unwritten_stamps(array)
    if array.attrs.get(ZERO_FILLED):
        assert named.size == RAIN.size - written
        assert named[0] == array["time"].values[written]
    else:
        assert np.isnan(fill)
        assert named.size == 0


@pytest.mark.parametrize("kind", ["i2", "u2", "i4"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_packed_integers_keep_their_zeros_and_lose_what_is_not_there(
    tmp_path: Path, zarr_format: int, kind: str
) -> None:
    """The packed number 0 is a temperature like any other."""
    packed = np.where(HOUR < 12, 0, 1000)
    scaling = {"scale_factor": 0.01, "add_offset": 290.0}
    path = store_of(tmp_path / "x.zarr", packed, "K", "t2m", zarr_format, dtype=kind, fill_value=0,
                    written=48, attributes=scaling)  # fmt: skip
    found = days_of(path, "ta")
    np.testing.assert_allclose(found[:2], 295 - 273.15, rtol=1e-5)
    assert np.isnan(found[2:]).all()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_mark_of_missing_values_of_the_store_still_holds(
    tmp_path: Path, zarr_format: int
) -> None:
    packed = np.where(HOUR < 12, -32767, 1000)
    marks = {"scale_factor": 0.01, "add_offset": 290.0}
    if zarr_format == 3:
        marks["_FillValue"] = -32767
    path = store_of(tmp_path / "x.zarr", packed, "K", "t2m", zarr_format, dtype="i2",
                    fill_value=-32767, attributes=marks)  # fmt: skip
    values = read_era5([path])["t2m"].values
    np.testing.assert_array_equal(np.isnan(values[:, 0, 0]), HOUR < 12)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_consolidated_metadata_are_read_the_same_way(tmp_path: Path, zarr_format: int) -> None:
    path = store_of(tmp_path / "x.zarr", RAIN, "m", "tp", zarr_format, dtype="f4", fill_value=0.0,
                    written=48)  # fmt: skip
    zarr.consolidate_metadata(str(path))
    array = read_era5([path])["tp"]
    assert np.isfinite(array[:48]).all()
    assert np.isnan(array[48:]).all()


def test_the_node_at_zero_degrees_keeps_its_place(tmp_path: Path) -> None:
    path = store_of(tmp_path / "x.zarr", RAIN, "m", "tp", 2, dtype="f4", fill_value=0.0)
    assert read_era5([path])["lat"].values.tolist() == [0.25, 0.0]
    day = dt.date(2023, 7, 2)
    rain = daily(read_era5([path], period=(day, day)), "utc")["p"].sel(time="2023-07-02")
    np.testing.assert_allclose(rain, 1.0, rtol=1e-6)
