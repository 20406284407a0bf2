"""Preliminary hours are counted as such, and those of which nothing is said are unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from upscale.archives.reanalysis.era5 import daily, read_era5
from upscale.remote.errors import ArchiveError

#: Three days and the hour after; the last 24 hours are preliminary.
COUNT, LATE = 73, 24
EARLY = np.arange(COUNT) >= COUNT - LATE
STAMPS = np.datetime64("2023-07-01") + np.arange(COUNT).astype("timedelta64[h]")
AXES: dict[str, Any] = {
    "time": STAMPS.astype("datetime64[ns]"), "latitude": [50.25, 50.0], "longitude": [10.0, 10.25],
}  # fmt: skip
DIMS = tuple(AXES)


def plain(name: str = "t2m", value: float = 293.15) -> xr.Dataset:
    units = {"t2m": "K", "tp": "m"}[name]
    return xr.Dataset({name: (DIMS, np.full((COUNT, 2, 2), value, "f4"), {"units": units})}, AXES)


def with_axis(numbers: list[int]) -> xr.Dataset:
    """Values at one place of an axis `expver`, missing values at the other."""
    held = plain()["t2m"]
    streams = [held.where(~EARLY[:, None, None]), held.where(EARLY[:, None, None])]
    parts = streams if len(numbers) == 2 else [held]
    whole = xr.concat(parts, xr.DataArray(numbers, dims="expver", name="expver"))
    return xr.Dataset({"t2m": whole.transpose("time", "expver", ...)})


def per_stamp(said: Any) -> xr.Dataset:
    return plain().assign_coords(expver=("time", said))


TEXT = np.where(EARLY, "0005", "0001")
CASES: dict[str, tuple[xr.Dataset, int | str]] = {
    "axis": (with_axis([1, 5]), LATE),
    "axis, preliminary first": (with_axis([5, 1]), COUNT - LATE),
    "axis of final hours alone": (with_axis([1]), 0),
    "axis of preliminary hours alone": (with_axis([5]), COUNT),
    "text for each stamp": (per_stamp(TEXT), LATE),
    "number for each stamp": (per_stamp(np.where(EARLY, 5, 1)), LATE),
    "bytes for each stamp": (per_stamp(TEXT.astype("S4")), LATE),
    "variable for each stamp": (per_stamp(np.where(EARLY, 5, 1)).reset_coords("expver"), LATE),
    "one final text for all": (plain().assign_coords(expver="0001"), 0),
    "one preliminary number for all": (plain().assign_coords(expver=5), COUNT),
    "nothing": (plain(), "unknown"),
    "another version": (plain().assign_coords(expver="0070"), "unknown"),
    "some stamps of another version": (
        per_stamp(np.where(EARLY, "0005", "0070")), "unknown"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_hours_are_counted_or_unknown(tmp_path: Path, case: str) -> None:
    dataset, expected = CASES[case]
    dataset.to_netcdf(path := tmp_path / "data.nc")
    assert read_era5([path]).attrs["preliminary_hours"] == expected
    np.testing.assert_allclose(daily(read_era5([path]), "utc")["ta"], 20, rtol=1e-5)


def test_an_axis_of_other_versions_is_refused(tmp_path: Path) -> None:
    with_axis([1, 70]).to_netcdf(path := tmp_path / "data.nc")
    with pytest.raises(ArchiveError, match=r"expected an axis expver of 1 .* \[1, 70\]"):
        read_era5([path])


def test_files_of_variables_are_not_counted_twice(tmp_path: Path) -> None:
    paths = []
    for name, value in (("t2m", 293.15), ("tp", 0.0)):
        dataset = plain(name, value).assign_coords(expver=("time", TEXT))
        dataset.to_netcdf(tmp_path / f"{name}.nc")
        paths.append(tmp_path / f"{name}.nc")
    assert read_era5(paths).attrs["preliminary_hours"] == LATE
    plain("tp", 0.0).to_netcdf(paths[1])
    assert read_era5(paths).attrs["preliminary_hours"] == f"at least {LATE}"


def test_final_hours_of_another_file_take_the_place_of_preliminary_ones(tmp_path: Path) -> None:
    early = plain(value=300.0).assign_coords(expver=("time", TEXT)).isel(time=slice(48, None))
    final = plain().assign_coords(expver="0001").isel(time=slice(0, 60))
    final.to_netcdf(tmp_path / "final.nc")
    early.isel(time=slice(1, None)).to_netcdf(tmp_path / "early.nc")
    found = read_era5([tmp_path / "early.nc", tmp_path / "final.nc"])
    assert found.attrs["preliminary_hours"] == COUNT - 60
    np.testing.assert_allclose(found["t2m"][:60], 293.15, rtol=1e-6)
    np.testing.assert_allclose(found["t2m"][60:], 300, rtol=1e-6)
