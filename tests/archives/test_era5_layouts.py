"""Every published layout of ERA5 and ERA5-Land gives the same daily drivers."""

from __future__ import annotations

import datetime as dt
import math
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from upscale.archives.reanalysis.era5 import daily, read_era5
from upscale.archives.reanalysis.era5_files import ERA5
from upscale.archives.reanalysis.netcdf import NodeBounds
from upscale.remote.errors import ArchiveError
from upscale.testing.hourly import (
    AMOUNTS,
    SUFFIXES,
    UNITS,
    Accumulation,
    HourlyWorld,
    Layout,
    make_hourly,
    write_layout,
    write_months,
)
from upscale.variables import variable

Floats = NDArray[np.float64]

#: A season with a year boundary and a leap day, in hours of UTC.
FIRST, LAST = dt.datetime(2019, 12, 28), dt.datetime(2020, 3, 3)
COUNT = int((LAST - FIRST).total_seconds()) // 3600 + 1
DRIVERS = ("ta", "sw_in", "vpd", "p", "lw_in", "ws", "pa")


def reference(world: HourlyWorld, *, local: bool) -> dict[str, Any]:
    """Daily drivers hour by hour, `{name: {(date, row, col): value}}`."""
    made: dict[str, Any] = {name: {} for name in DRIVERS}
    for col, lon in enumerate(world.lon):
        east = (lon + 180) % 360 - 180
        ahead = dt.timedelta(hours=round(east / 15) if local else 0)
        for row in range(len(world.lat)):
            days: dict[dt.date, dict[str, list[float]]] = {}
            for k in range(world.count):
                hour = {name: float(v[k, row, col]) for name, v in world.values.items()}
                stamp = world.first + dt.timedelta(hours=k) + ahead
                now = days.setdefault(stamp.date(), {name: [] for name in DRIVERS})
                ended = (stamp - dt.timedelta(hours=1)).date()
                past = days.setdefault(ended, {name: [] for name in DRIVERS})
                t, d = hour["t2m"] - 273.15, hour["d2m"] - 273.15
                es, e = (6.1094 * math.exp(17.625 * x / (x + 243.04)) for x in (t, d))
                now["ta"].append(t)
                now["vpd"].append(max(es - e, 0))
                now["pa"].append(hour["sp"] / 1000)
                now["ws"].append(math.hypot(hour["u10"], hour["v10"]))
                past["sw_in"].append(hour["ssrd"] / 3600)
                past["lw_in"].append(hour["strd"] / 3600)
                past["p"].append(hour["tp"] * 1000 * 24)
            for date, rows in days.items():
                for name, row_values in rows.items():
                    full = len(row_values) == 24
                    made[name][date, row, col] = sum(row_values) / 24 if full else math.nan
    return made


def assert_agrees(
    drivers: xr.Dataset, world: HourlyWorld, expected: dict[str, Any], rtol: float = 2e-5,
    names: tuple[str, ...] = DRIVERS, packed: float = 0.0,
) -> None:  # fmt: skip
    """Every day of every node is as in the reference, missing days included."""
    dates = drivers["time"].values.astype("datetime64[D]").astype(object)
    assert set(drivers.data_vars) == set(names)
    for name in names:
        table = np.full(drivers[name].shape, np.nan)
        for row, lat in enumerate(world.lat):
            for col, lon in enumerate(world.lon):
                place = {"lat": lat, "lon": (lon + 180) % 360 - 180}
                i = int(np.abs(drivers["lat"].values - place["lat"]).argmin())
                j = int(np.abs(drivers["lon"].values - place["lon"]).argmin())
                table[:, i, j] = [expected[name].get((day, row, col), np.nan) for day in dates]
        assert np.isfinite(table).sum() > 50 * table[0].size
        outside = [v for (day, _, _), v in expected[name].items() if day not in set(dates)]
        assert not np.isfinite(outside).any()
        spread = float(np.nanmax(table) - np.nanmin(table))
        atol = 2e-6 * max(1, abs(np.nanmax(table))) + packed * spread
        np.testing.assert_allclose(drivers[name], table, rtol=rtol, atol=atol, err_msg=name)
        assert drivers[name].attrs["units"] == variable(name).units


def write_new(
    path: Path, world: HourlyWorld, values: Mapping[str, Floats], hours: slice = slice(None)
) -> Path:
    """As the CDS writes NetCDF since 2024, these values as they are, five hours preliminary."""
    held = replace(world, values=values)
    return write_layout(path, held, "netcdf", "hourly", hours=hours, preliminary=5)


def of_season(lat: list[float], lon: list[float]) -> HourlyWorld:
    return make_hourly(lat, lon, FIRST, LAST)


@pytest.fixture(scope="module")
def land() -> HourlyWorld:
    """Nodes of ERA5-Land on both sides of 7.5 degrees east, where the local hour changes."""
    return of_season([50.1, 50.0, 49.9], [7.3, 7.4, 7.5, 7.6])


@pytest.fixture(scope="module")
def local(land: HourlyWorld) -> dict[str, Any]:
    return reference(land, local=True)


@pytest.fixture(scope="module")
def utc(land: HourlyWorld) -> dict[str, Any]:
    return reference(land, local=False)


@pytest.fixture(scope="module")
def new(land: HourlyWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_new(tmp_path_factory.mktemp("new") / "data_0.nc", land, land.running().values)


def test_new_netcdf_gives_local_days(new: Path, land: HourlyWorld, local: dict[str, Any]) -> None:
    dataset = read_era5([new])
    drivers = daily(dataset)
    assert dataset.attrs["product"] == "ERA5-Land"
    assert drivers.attrs["day_definition"] == "local-standard"
    assert drivers.attrs["preliminary_hours"] == 5
    assert_agrees(drivers, land, local)


def test_new_netcdf_gives_days_of_utc(new: Path, land: HourlyWorld, utc: dict[str, Any]) -> None:
    drivers = daily(read_era5([new]), day="utc")
    assert drivers.attrs["day_definition"] == "utc"
    assert_agrees(drivers, land, utc)


def test_a_zip_of_instants_and_accumulations(
    tmp_path: Path, land: HourlyWorld, local: dict[str, Any]
) -> None:
    path = write_layout(tmp_path / "download.nc", land, "zip")
    assert_agrees(daily(read_era5([path])), land, local)


@pytest.mark.parametrize("layout", ["legacy", "legacy-expver"])
def test_legacy_netcdf_is_unpacked(
    tmp_path: Path, land: HourlyWorld, local: dict[str, Any], layout: Layout
) -> None:
    path = write_layout(tmp_path / "old.nc", land, layout, preliminary=24)
    drivers = daily(read_era5([path]))
    assert drivers.attrs["preliminary_hours"] == (24 if layout == "legacy-expver" else "unknown")
    assert_agrees(drivers, land, local, packed=2e-3)


def test_small_negatives_are_counted_and_large_ones_refused(
    tmp_path: Path, land: HourlyWorld
) -> None:
    values = {"tp": np.zeros((COUNT, 3, 4))}
    values["tp"][30, 1, 2] = 2e-5  # less than before one hour later: rounding
    drivers = daily(read_era5([write_new(tmp_path / "small.nc", land, values)]), day="utc")
    assert drivers["p"].attrs["clipped"] == 1
    assert float(drivers["p"].min()) == 0
    values["tp"][24, 0, 0] = -2e-5
    below = daily(read_era5([write_new(tmp_path / "below.nc", land, values)]), day="utc")
    assert float(below["p"].min()) == 0
    values["tp"][30, 1, 2] = 2e-3
    assert "tp: expected hourly values of 0 to 0.5 m, found -0.002" in refusal(
        [write_new(tmp_path / "large.nc", land, values)]
    )


def test_the_cloud_layout_is_read_in_place(
    tmp_path: Path, land: HourlyWorld, local: dict[str, Any]
) -> None:
    path = write_layout(tmp_path / "era5-land-v0.zarr", land, "earthdatahub")
    period = (FIRST.date(), LAST.date())
    assert_agrees(daily(read_era5([path], period=period)), land, local)


def test_a_box_and_a_period_are_what_is_read(tmp_path: Path, land: HourlyWorld) -> None:
    path = write_layout(tmp_path / "era5-land-v0.zarr", land, "earthdatahub")
    box, day = NodeBounds(49.95, 7.35, 50.05, 7.65), dt.date(2020, 2, 29)
    drivers = daily(read_era5([path], "ERA5-Land", box, (day, day)))
    whole = daily(read_era5([path])).sel(time=drivers["time"], lat=[50.0], lon=[7.4, 7.5, 7.6])
    assert np.datetime64("2020-02-29") in drivers["time"].values
    xr.testing.assert_allclose(drivers.sel(time="2020-02-29"), whole.sel(time="2020-02-29"))


def test_arco_era5_counts_hours_that_end_at_the_stamp(tmp_path: Path) -> None:
    world = of_season([50.25, 50.0, 49.75], [359.5, 359.75, 0.0, 0.25])
    path = write_layout(tmp_path / "full_37-1h-0p25deg.zarr-v3", world, "arco", "hourly")
    dataset = read_era5([path])
    assert dataset.attrs["product"] == "ERA5"
    assert dataset["lon"].values.tolist() == [-0.5, -0.25, 0.0, 0.25]
    assert_agrees(daily(dataset), world, reference(world, local=True))


def test_days_on_both_sides_of_the_date_line(tmp_path: Path) -> None:
    world = of_season([-17.0, -17.1, -17.2], [179.8, 179.9, 180.0, 180.1])
    path = write_new(tmp_path / "data_0.nc", world, world.running().values)
    drivers = daily(read_era5([path]))
    assert drivers["lon"].values.tolist() == [-180.0, -179.9, 179.8, 179.9]
    assert_agrees(drivers, world, reference(world, local=True))


def test_a_map_from_south_to_north_is_turned(tmp_path: Path, land: HourlyWorld) -> None:
    turned = replace(
        land, lat=land.lat[::-1], values={n: v[:, ::-1] for n, v in land.values.items()}
    )
    path = write_new(tmp_path / "data_0.nc", turned, turned.running().values)
    assert read_era5([path])["lat"].values.tolist() == [50.1, 50.0, 49.9]
    assert_agrees(daily(read_era5([path])), turned, reference(turned, local=True))


def test_files_of_months_and_of_single_variables_are_joined(
    tmp_path: Path, land: HourlyWorld, local: dict[str, Any]
) -> None:
    values, cut = land.running().values, 24 * 20 + 1
    first = {name: values[name] for name in values if name != "tp"}
    paths = [
        write_new(tmp_path / "b.nc", land, first, slice(cut - 1, COUNT)),  # one stamp twice
        write_new(tmp_path / "a.nc", land, first, slice(0, cut)),
        write_new(tmp_path / "tp.nc", land, {"tp": values["tp"]}),
    ]
    assert_agrees(daily(read_era5(paths)), land, local)


def test_daily_statistics_with_accumulations_of_midnight(
    tmp_path: Path, land: HourlyWorld, utc: dict[str, Any]
) -> None:
    instants = {n: land.values[n][: COUNT // 24 * 24].reshape(-1, 24, 3, 4).mean(axis=1)
                for n in ("t2m", "d2m", "sp")}  # fmt: skip
    days = np.arange(COUNT // 24) + np.datetime64(FIRST.date(), "D")
    arrays = {n: (("valid_time", "latitude", "longitude"), v, {"units": UNITS[n]})
              for n, v in instants.items()}  # fmt: skip
    axes = {
        "valid_time": days.astype("datetime64[ns]"),
        "latitude": land.lat,
        "longitude": land.lon,
    }
    means = tmp_path / "2m_temperature_stream-oper_daily-mean.nc"
    xr.Dataset(arrays, axes).to_netcdf(means)
    closing = {name: land.running().values[name] for name in AMOUNTS}
    midnight = write_new(tmp_path / "midnight.nc", land, closing, slice(0, COUNT, 24))
    drivers = daily(read_era5([means, midnight]))
    assert drivers.attrs["day_definition"] == "utc"
    # Deficits and wind speeds of means would be others than means of them.
    assert_agrees(drivers, land, utc, names=("ta", "sw_in", "p", "lw_in", "pa"))


@pytest.mark.parametrize("by_variable", [False, True])
def test_months_fetched_one_by_one_are_joined(
    tmp_path: Path, land: HourlyWorld, local: dict[str, Any], by_variable: bool
) -> None:
    paths = write_months(tmp_path, land, "netcdf", by_variable=by_variable)
    assert len(paths) == 4 * (8 if by_variable else 1)
    assert_agrees(daily(read_era5(paths)), land, local)


#: A leap year of two by three nodes with a day before and after it, west of Greenwich.
YEAR = dt.datetime(2019, 12, 31), dt.datetime(2021, 1, 2)
OF_A_YEAR: list[tuple[Layout, Accumulation]] = [
    ("netcdf", "running"), ("netcdf", "hourly"), ("zip", "running"), ("zip", "hourly"),
    ("legacy", "running"), ("legacy", "hourly"), ("legacy-expver", "running"),
    ("earthdatahub", "running"), ("arco", "hourly"), ("grib", "running"), ("grib", "hourly"),
]  # fmt: skip
Years = dict[Accumulation, tuple[HourlyWorld, dict[bool, dict[str, Any]]]]


@pytest.fixture(scope="module")
def years() -> Years:
    """Worlds of ERA5-Land and of ERA5, each with its drivers of days of UTC and local time."""
    worlds: dict[Accumulation, HourlyWorld] = {
        "running": make_hourly([60.1, 60.0], [-7.6, -7.5, -7.4], *YEAR),
        "hourly": make_hourly([-30.0, -30.25], [-67.75, -67.5, -67.25], *YEAR, seed=8),
    }
    return {
        kind: (world, {local: reference(world, local=local) for local in (False, True)})
        for kind, world in worlds.items()
    }


@pytest.mark.parametrize(("layout", "accumulation"), OF_A_YEAR)
def test_a_leap_year_is_the_same_in_every_layout(
    tmp_path: Path, years: Years, layout: Layout, accumulation: Accumulation
) -> None:
    names: tuple[str, ...] | None = None
    rules: tuple[str, ...] = DRIVERS
    if layout == "grib":  # thousands of messages: one or two variables take long enough
        if find_spec("eccodes") is None:
            pytest.skip("eccodes is not installed")
        names, rules = ("t2m", "tp"), ("ta", "p")
        if accumulation == "hourly":
            names, rules = ("tp",), ("p",)
    world, expected = years[accumulation]
    path = tmp_path / f"year{SUFFIXES[layout]}"
    write_layout(path, world, layout, accumulation, names=names, preliminary=1000)
    dataset = read_era5([path])
    assert dataset.attrs["product"] == ("ERA5-Land" if accumulation == "running" else "ERA5")
    for local, day in ((False, "utc"), (True, "local-standard")):
        drivers = daily(dataset, day)
        packed = 2e-3 if "legacy" in layout else 0.0
        assert_agrees(drivers, world, expected[local], names=rules, packed=packed)
        leap = drivers.sel(time=["2020-02-29", "2020-12-31"])
        assert all(bool(leap[name].notnull().all()) for name in rules)


def test_a_missing_hour_makes_its_days_missing(tmp_path: Path, land: HourlyWorld) -> None:
    gap = 24 * 30 + 15
    values = land.running().values
    parts = [write_new(tmp_path / f"{k}.nc", land, values, part)
             for k, part in enumerate((slice(0, gap), slice(gap + 1, COUNT)))]  # fmt: skip
    drivers = daily(read_era5(parts))
    day = np.datetime64(FIRST.date(), "D") + 30
    lost = drivers.sel(time=day)
    assert all(bool(lost[name].isnull().all()) for name in DRIVERS)
    around = drivers.sel(time=[day - 1, day + 1])
    assert not any(bool(around[name].isnull().any()) for name in DRIVERS)
    # In days of UTC, the total at midnight is known without the missing hour.
    totals = daily(read_era5(parts), day="utc").sel(time=day)
    assert bool(totals["p"].notnull().all())
    assert bool(totals["ta"].isnull().all())


def test_sea_stays_missing(tmp_path: Path, land: HourlyWorld) -> None:
    values = {name: data.copy() for name, data in land.running().values.items()}
    for data in values.values():
        data[:, 0, 1] = np.nan
    drivers = daily(read_era5([write_new(tmp_path / "data_0.nc", land, values)]))
    missing = drivers["ta"].isel(time=20).isnull().values
    assert missing.sum() == 1
    assert missing[0, 1]


def refusal(paths: list[Path], **options: Any) -> str:
    with pytest.raises(ArchiveError) as caught:
        daily(read_era5(paths, **options))
    return str(caught.value)


def test_a_wrong_product_is_refused(new: Path, tmp_path: Path, land: HourlyWorld) -> None:
    assert "running totals" in refusal([new], product="ERA5")
    hourly = write_new(tmp_path / "hourly.nc", land, land.values)
    assert "vice versa" in refusal([hourly])


def test_a_wrong_unit_is_refused(tmp_path: Path, land: HourlyWorld) -> None:
    values = land.running().values
    named = write_new(tmp_path / "mm.nc", land, {"tp": values["tp"]})
    with netCDF4.Dataset(named, "a") as file:
        file["tp"].units = "mm"
    assert "tp: expected units 'm', found 'mm'" in refusal([named])
    celsius = write_new(tmp_path / "c.nc", land, {"t2m": values["t2m"] - 273.15})
    assert "t2m: expected hourly values of 170 to 340 K" in refusal([celsius])


def test_dew_points_of_other_times_are_refused(tmp_path: Path, land: HourlyWorld) -> None:
    moved = {"t2m": land.values["t2m"], "d2m": land.values["d2m"] + 15}
    assert "above it" in refusal([write_new(tmp_path / "x.nc", land, moved)])


def test_files_that_disagree_are_refused(tmp_path: Path, land: HourlyWorld, new: Path) -> None:
    other = write_new(tmp_path / "x.nc", land, {"t2m": land.values["t2m"] + 1}, slice(0, 30))
    assert "t2m: expected each hour once, found 2019-12-28T00 and 29 others repeated" in refusal(
        [new, other]
    )
    east = replace(land, lon=land.lon + 1)
    area = write_new(tmp_path / "y.nc", east, {"tp": land.running().values["tp"]})
    assert "the same nodes" in refusal([new, area])


def test_a_single_node_needs_a_product(new: Path) -> None:
    box = NodeBounds(50, 7.4, 50, 7.4)
    assert "say which product" in refusal([new], box=box)
    assert daily(read_era5([new], "ERA5-Land", box)).sizes["lat"] == 1


def test_daily_sums_without_a_day_are_refused(tmp_path: Path, land: HourlyWorld) -> None:
    store = write_new(tmp_path / "daily-utc.nc", land, {"tp": land.running().values["tp"]},
                      slice(0, COUNT, 24))  # fmt: skip
    assert "tp: expected a statistic that drivers take" in refusal([store])


def test_part_of_a_day_is_refused(tmp_path: Path, land: HourlyWorld) -> None:
    part = write_new(tmp_path / "x.nc", land, {"t2m": land.values["t2m"]}, slice(0, 9))
    assert "expected all hours of at least one local-standard day" in refusal([part])


def test_monthly_means_are_refused(tmp_path: Path, land: HourlyWorld) -> None:
    path = write_new(
        tmp_path / "x.nc", land, {"tp": land.running().values["tp"]}, slice(0, COUNT, 240)
    )
    assert "found unknown (GRIB step type 'accum'; stamps 10 days apart)" in refusal([path])


def test_a_box_outside_the_files_is_refused(new: Path) -> None:
    assert "check that the files cover them" in refusal([new], box=NodeBounds(-10, 0, 0, 10))
    long_ago = dt.date(1990, 1, 1)
    assert "check that the files cover them" in refusal([new], period=(long_ago, long_ago))


def test_a_file_that_breaks_off_is_refused(new: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.nc"
    part.write_bytes(new.read_bytes()[: new.stat().st_size // 2])
    assert "fetch it again" in refusal([part])
    assert ERA5.matches(str(part))
    page = tmp_path / "page.nc"
    page.write_text("<html>Please log in</html>")
    assert "expected NetCDF, GRIB, ZIP or Zarr" in refusal([page])


@pytest.mark.parametrize("name", ["../out.nc", "/tmp/out.nc", "a/../../out.nc", "..\\out.nc"])
def test_members_that_lead_out_of_a_zip_are_refused(tmp_path: Path, new: Path, name: str) -> None:
    path = tmp_path / "in" / "bad.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(new, "good.nc")
        archive.writestr(name, b"CDF\x01")
    assert "leads out of the archive" in refusal([path])
    assert not (tmp_path / "out.nc").exists()


def test_links_and_damaged_zips_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("data.nc")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/hostname")
    assert "leads out" in refusal([tmp_path / "link.zip"])
    (tmp_path / "cut.zip").write_bytes((tmp_path / "link.zip").read_bytes()[:40])
    assert "damaged ZIP" in refusal([tmp_path / "cut.zip"])


def test_inspection_sees_every_variable(new: Path, land: HourlyWorld) -> None:
    described = ERA5.describe(str(new))
    assert ERA5.matches(str(new))
    assert described.product == "ERA5-Land"
    assert described.date == "2019-12-28/2020-03-03"
    layers = {layer.name: layer for layer in ERA5.layers(str(new))}
    assert set(layers) == set(described.variables) == set(UNITS)
    np.testing.assert_allclose(layers["t2m"].values, land.values["t2m"], rtol=1e-6)
