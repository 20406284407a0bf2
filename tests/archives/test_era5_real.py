"""Real hourly ERA5 and ERA5-Land, read again by netCDF4 and numpy alone.

Skipped where UPSCALE_TEST_DATA does not name the folder of real files.
"""

from __future__ import annotations

import os
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from numpy.typing import NDArray

from upscale.archives.reanalysis.era5 import daily, read_era5
from upscale.archives.reanalysis.era5_files import ERA5
from upscale.remote.errors import ArchiveError

ROOT = Path(os.environ.get("UPSCALE_TEST_DATA", "/nonexistent")) / "grids"
FINSE = sorted((ROOT / "TopoPyScale_examples").glob("*.nc"))
BERLIN = ROOT / "feedinlib" / "ERA5_example_data.nc"
NEW = sorted((ROOT / "zampy").glob("*.nc"))
MONTHLY = sorted((ROOT / "oggm-sample-data").glob("*_monthly_*.nc"))
INVARIANT = sorted((ROOT / "oggm-sample-data").glob("*_invariant.nc"))
CITIES = sorted((ROOT / "xclim-testdata").glob("*.nc"))
OTHERS = sorted((ROOT / "CAETE-DVM").glob("*.nc")) + sorted((ROOT / "xclim-testdata").glob("*.nc"))

pytestmark = pytest.mark.skipif(not BERLIN.is_file(), reason="UPSCALE_TEST_DATA is unset")


def raw(path: Path, name: str) -> NDArray[np.float64]:
    """Values `(time, lat, lon)`, unpacked here from what is stored."""
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        held = file[name]
        stored = held[:].astype(np.float64)
        stored[held[:] == getattr(held, "_FillValue", np.nan)] = np.nan
        return stored * getattr(held, "scale_factor", 1.0) + getattr(held, "add_offset", 0.0)


def days(hourly: NDArray[np.float64], ahead: int, ending: int) -> NDArray[np.float64]:
    """Means of the days that have 24 hours in a series that begins at 00 UTC."""
    start = (ending - ahead) % 24
    count = (hourly.shape[0] - start) // 24
    return hourly[start : start + 24 * count].reshape(count, 24, *hourly.shape[1:]).mean(axis=1)


def saturation(kelvin: NDArray[np.float64]) -> NDArray[np.float64]:
    celsius = kelvin - 273.15
    return 6.1094 * np.exp(17.625 * celsius / (celsius + 243.04))


def compare(found: NDArray[np.float32], expected: NDArray[np.float64], atol: float) -> None:
    """The days that are whole, wherever their axis begins; nothing else has values."""
    whole = found[np.isfinite(found).all(axis=(1, 2))]
    assert np.isnan(found).all(axis=(1, 2)).sum() == found.shape[0] - whole.shape[0] <= 2
    assert whole.shape == expected.shape
    np.testing.assert_allclose(whole, expected, rtol=1e-5, atol=atol)


@pytest.mark.parametrize(("day", "local"), [("utc", False), ("local-standard", True)])
def test_three_months_over_finse(day: str, local: bool) -> None:
    drivers = daily(read_era5(FINSE), "local-standard" if local else "utc")
    hourly = {name: np.concatenate([raw(path, name) for path in FINSE])
              for name in ("t2m", "d2m", "ssrd", "strd", "tp", "sp")}  # fmt: skip
    vpd = np.maximum(saturation(hourly["t2m"]) - saturation(hourly["d2m"]), 0)
    series = {
        "ta": (hourly["t2m"] - 273.15, 0, 1e-4), "vpd": (vpd, 0, 1e-4),
        "pa": (hourly["sp"] / 1000, 0, 1e-4), "sw_in": (hourly["ssrd"] / 3600, 1, 1e-4),
        "lw_in": (hourly["strd"] / 3600, 1, 1e-4), "p": (hourly["tp"] * 24000, 1, 1e-4),
    }  # fmt: skip
    lon = drivers["lon"].values
    assert drivers.attrs["day_definition"] == day
    assert set(drivers.data_vars) == set(series)
    for ahead in (0, 1) if local else (0,):
        cols = np.rint(lon / 15) == ahead if local else np.full(lon.size, True)
        assert cols.any()
        for name, (values, ending, atol) in series.items():
            found = drivers[name].values[:, :, cols]
            compare(found, days(values, ahead, ending)[:, :, cols], atol)


def test_the_quirks_of_finse_are_counted() -> None:
    drivers = daily(read_era5(FINSE))
    ssrd = np.concatenate([raw(path, "ssrd") for path in FINSE])
    assert drivers["sw_in"].attrs["clipped"] == pytest.approx((ssrd < 0).sum(), rel=0.01)
    assert float(drivers["sw_in"].min()) >= 0
    assert drivers["vpd"].attrs["clipped"] > 0
    assert float(drivers["vpd"].min()) >= 0


def test_a_year_over_berlin() -> None:
    drivers = daily(read_era5([BERLIN]), day="utc")
    ssrd, t2m = raw(BERLIN, "ssrd"), raw(BERLIN, "t2m")
    wind = np.hypot(raw(BERLIN, "u10"), raw(BERLIN, "v10"))
    assert set(drivers.data_vars) == {"ta", "sw_in", "ws", "pa"}
    assert drivers.sizes["time"] == 365
    compare(drivers["ta"].values, days(t2m, 0, 0) - 273.15, 1e-4)
    compare(drivers["sw_in"].values, days(ssrd, 0, 1) / 3600, 1e-4)
    compare(drivers["ws"].values, days(wind, 0, 0), 1e-5)


@pytest.mark.parametrize("path", [*NEW, *FINSE, BERLIN], ids=lambda path: path.name)
def test_inspection_gives_the_values_of_every_variable(path: Path) -> None:
    assert ERA5.matches(str(path))
    described = ERA5.describe(str(path))
    land = "era5-land" in path.name
    assert described.product == ("ERA5-Land" if land else "ERA5")
    layers = list(ERA5.layers(str(path)))
    assert tuple(layer.name for layer in layers) == described.variables
    for layer in layers:
        np.testing.assert_allclose(layer.values, raw(path, layer.name), rtol=1e-5, atol=1e-12)
        assert np.isnan(layer.values).all() == land  # 64 nodes of open sea


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_other_netcdf_is_not_taken_for_era5(path: Path) -> None:
    assert not ERA5.matches(str(path))


@pytest.mark.parametrize("path", MONTHLY, ids=lambda path: path.name)
def test_monthly_means_are_no_days(path: Path) -> None:
    name = "tp" if "prcp" in path.name else "t2m"
    with pytest.raises(ArchiveError, match=rf"{name}: .* found monthly \(stamps a month apart\)"):
        read_era5([path])
    with pytest.raises(ArchiveError, match="stated as daily-"):
        read_era5([path], stated={name: "daily-total" if name == "tp" else "daily-mean"})


@pytest.mark.parametrize("path", [*INVARIANT, *CITIES], ids=lambda path: path.name)
def test_files_without_weather_of_a_map_are_refused(path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"found lsm, z|found location, time"):
        read_era5([path])


@pytest.mark.parametrize("path", [*NEW, *FINSE, BERLIN], ids=lambda path: path.name)
def test_inspection_says_what_hours_stand_for(path: Path) -> None:
    kinds = ("t2m: instant", "d2m: instant", "ssrd: hourly-amount", "mtpr: hourly-mean")
    believed = ERA5.describe(str(path)).believes
    assert believed
    assert any(remark.startswith(kinds) for remark in believed)
    assert not any("unknown" in remark for remark in believed)
