"""Every published layout of ERA5 and ERA5-Land gives the same daily drivers."""

from __future__ import annotations

import datetime as dt
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from upscale.archives.era5 import ERA5, daily, read_era5
from upscale.archives.granule import ArchiveError
from upscale.archives.netcdf import Box
from upscale.variables import variable

Floats = NDArray[np.float64]

#: A season with a year boundary and a leap day, in hours of UTC.
FIRST, LAST = dt.datetime(2019, 12, 28), dt.datetime(2020, 3, 3)
COUNT = int((LAST - FIRST).total_seconds()) // 3600 + 1
UNITS = {"t2m": "K", "d2m": "K", "sp": "Pa", "u10": "m s**-1", "v10": "m s**-1",
         "ssrd": "J m**-2", "strd": "J m**-2", "tp": "m"}  # fmt: skip
LONG = {"t2m": "2m_temperature", "d2m": "2m_dewpoint_temperature", "sp": "surface_pressure",
        "u10": "10m_u_component_of_wind", "v10": "10m_v_component_of_wind",
        "ssrd": "surface_solar_radiation_downwards", "tp": "total_precipitation",
        "strd": "surface_thermal_radiation_downwards"}  # fmt: skip
AMOUNTS = ("ssrd", "strd", "tp")
DRIVERS = ("ta", "sw_in", "vpd", "p", "lw_in", "ws", "pa")


@dataclass(frozen=True)
class World:
    """Hourly truth: instants at the stamp, amounts of the hour that ends at the stamp."""

    lat: Floats
    lon: Floats
    values: dict[str, Floats]

    def stamps(self) -> Floats:
        start = (FIRST - dt.datetime(1970, 1, 1)).total_seconds() / 3600
        return start + np.arange(COUNT)

    def running(self) -> dict[str, Floats]:
        """The same with amounts as ERA5-Land gives them: since 00 UTC, 00 UTC closes the day."""
        made = dict(self.values)
        for name in AMOUNTS:
            total = np.zeros_like(self.values[name])
            for k in range(COUNT):
                opens = (FIRST + dt.timedelta(hours=k)).hour == 1
                total[k] = self.values[name][k] + (0 if opens or k == 0 else total[k - 1])
            made[name] = total
        return made


def make_world(lat: list[float], lon: list[float]) -> World:
    random = np.random.default_rng(7)
    hours = np.arange(COUNT)[:, None, None]
    shape = COUNT, len(lat), len(lon)
    sun = np.maximum(np.sin(2 * np.pi * (hours % 24 - 6) / 24), 0)
    t2m = 278 + 8 * sun + random.normal(0, 2, shape)
    values = {
        "t2m": t2m,
        "d2m": t2m - random.uniform(0.1, 8, shape),
        "sp": 95000 + random.normal(0, 500, shape),
        "u10": random.normal(0, 3, shape),
        "v10": random.normal(1, 3, shape),
        "ssrd": 3600 * 600 * sun * random.uniform(0.3, 1, shape),
        "strd": 3600 * random.uniform(200, 400, shape),
        "tp": random.gamma(0.2, 5e-4, shape),
    }
    for name in AMOUNTS:  # of the hour before the first stamp nothing is known
        values[name][0] = np.nan
    return World(np.array(lat), np.array(lon), values)


def reference(world: World, *, local: bool) -> dict[str, Any]:
    """Daily drivers hour by hour, `{name: {(date, row, col): value}}`."""
    made: dict[str, Any] = {name: {} for name in DRIVERS}
    for col, lon in enumerate(world.lon):
        east = (lon + 180) % 360 - 180
        ahead = dt.timedelta(hours=round(east / 15) if local else 0)
        for row in range(len(world.lat)):
            days: dict[dt.date, dict[str, list[float]]] = {}
            for k in range(COUNT):
                hour = {name: float(v[k, row, col]) for name, v in world.values.items()}
                stamp = FIRST + dt.timedelta(hours=k) + ahead
                now = days.setdefault(stamp.date(), {name: [] for name in DRIVERS})
                ended = (stamp - dt.timedelta(hours=1)).date()
                past = days.setdefault(ended, {name: [] for name in DRIVERS})
                t, d = hour["t2m"] - 273.15, hour["d2m"] - 273.15
                es, e = (6.1078 * math.exp(17.27 * x / (x + 237.3)) for x in (t, d))
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
    drivers: xr.Dataset, world: World, expected: dict[str, Any], rtol: float = 2e-5,
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


def write_new(path: Path, world: World, values: dict[str, Floats], hours: slice | None = None,
              units: dict[str, str] = UNITS) -> Path:  # fmt: skip
    """As the CDS writes NetCDF since 2024."""
    kept = hours or slice(0, COUNT)
    with netCDF4.Dataset(path, "w") as file:
        sizes = {"valid_time": world.stamps()[kept].size, "latitude": 3, "longitude": 4}
        for dim, size in sizes.items():
            file.createDimension(dim, size)
        file.createVariable("number", "i8", ())[...] = 0
        time = file.createVariable("valid_time", "i8", ("valid_time",))
        time.units, time.calendar = "seconds since 1970-01-01", "proleptic_gregorian"
        time[:] = (world.stamps()[kept] * 3600).astype(int)
        file.createVariable("latitude", "f8", ("latitude",))[:] = world.lat
        file.createVariable("longitude", "f8", ("longitude",))[:] = world.lon
        stream = file.createVariable("expver", str, ("valid_time",))
        stream[:] = np.array(["0001"] * (sizes["valid_time"] - 5) + ["0005"] * 5, dtype=object)
        for name, data in values.items():
            made = file.createVariable(name, "f4", tuple(sizes), fill_value=np.nan)
            made.units, made.coordinates = units[name], "number valid_time latitude longitude"
            made[:] = data[kept]
    return path


def write_legacy(path: Path, world: World, values: dict[str, Floats], *, streams: bool) -> Path:
    """As the old CDS wrote it: hours since 1900, int16 packed, perhaps an expver dimension."""
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        dims = ("time", "expver", "latitude", "longitude") if streams else (
            "time", "latitude", "longitude")  # fmt: skip
        for dim, size in zip(("time", "latitude", "longitude"), (COUNT, 3, 4), strict=True):
            file.createDimension(dim, size)
        time = file.createVariable("time", "i4", ("time",))
        time.units, time.calendar = "hours since 1900-01-01 00:00:00.0", "gregorian"
        time[:] = (world.stamps() + 25567 * 24).astype(int)
        file.createVariable("latitude", "f4", ("latitude",))[:] = world.lat
        file.createVariable("longitude", "f4", ("longitude",))[:] = world.lon
        if streams:
            file.createDimension("expver", 2)
            file.createVariable("expver", "i4", ("expver",))[:] = [1, 5]
        for name, data in ((n, np.ma.masked_invalid(v)) for n, v in values.items()):
            made = file.createVariable(name, "i2", dims, fill_value=-32767)
            made.units = UNITS[name]
            made.scale_factor = (np.nanmax(data) - np.nanmin(data)) / 65532
            made.add_offset = (np.nanmax(data) + np.nanmin(data)) / 2
            if streams:
                late = np.arange(COUNT)[:, None, None] >= COUNT - 400
                made[:, 0] = np.ma.masked_array(data, np.broadcast_to(late, data.shape))
                made[:, 1] = np.ma.masked_array(data, np.broadcast_to(~late, data.shape))
            else:
                made[:] = data
    return path


def write_zip(path: Path, world: World, values: dict[str, Floats]) -> Path:
    """As the CDS answers a request of instants and accumulations."""
    parts = {"instant": [n for n in values if n not in AMOUNTS], "accum": list(AMOUNTS)}
    with zipfile.ZipFile(path, "w") as archive:
        for kind, names in parts.items():
            member = f"data_stream-oper_stepType-{kind}.nc"
            write_new(path.parent / member, world, {name: values[name] for name in names})
            archive.write(path.parent / member, member)
    return path


def write_zarr(path: Path, world: World, values: dict[str, Floats], *, arco: bool) -> Path:
    """As the Earth Data Hub (short names, valid_time) or ARCO (long names, time) lay it out."""
    dims = ("time" if arco else "valid_time", "latitude", "longitude")
    times = (world.stamps() * 3600).astype("datetime64[s]").astype("datetime64[ns]")
    axes = dict(zip(dims, (times, world.lat, world.lon % 360), strict=True))
    arrays = {LONG[name] if arco else name: (dims, data.astype(np.float32), {"units": UNITS[name]})
              for name, data in values.items()}  # fmt: skip
    chunks = {LONG[n] if arco else n: {"chunks": (24, 3, 4) if arco else (360, 2, 2)}
              for n in values}  # fmt: skip
    xr.Dataset(arrays, axes).to_zarr(path, encoding=chunks, zarr_format=3 if arco else 2)
    return path


@pytest.fixture(scope="module")
def land() -> World:
    """Nodes of ERA5-Land on both sides of 7.5 degrees east, where the local hour changes."""
    return make_world([50.1, 50.0, 49.9], [7.3, 7.4, 7.5, 7.6])


@pytest.fixture(scope="module")
def local(land: World) -> dict[str, Any]:
    return reference(land, local=True)


@pytest.fixture(scope="module")
def utc(land: World) -> dict[str, Any]:
    return reference(land, local=False)


@pytest.fixture(scope="module")
def new(land: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_new(tmp_path_factory.mktemp("new") / "data_0.nc", land, land.running())


def test_new_netcdf_gives_local_days(new: Path, land: World, local: dict[str, Any]) -> None:
    dataset = read_era5([new])
    drivers = daily(dataset)
    assert dataset.attrs["product"] == "ERA5-Land"
    assert drivers.attrs["day_definition"] == "local-standard"
    assert drivers.attrs["preliminary_hours"] == 5
    assert_agrees(drivers, land, local)


def test_new_netcdf_gives_days_of_utc(new: Path, land: World, utc: dict[str, Any]) -> None:
    drivers = daily(read_era5([new]), day="utc")
    assert drivers.attrs["day_definition"] == "utc"
    assert_agrees(drivers, land, utc)


def test_a_zip_of_instants_and_accumulations(
    tmp_path: Path, land: World, local: dict[str, Any]
) -> None:
    path = write_zip(tmp_path / "download.nc", land, land.running())
    assert_agrees(daily(read_era5([path])), land, local)


@pytest.mark.parametrize("streams", [False, True])
def test_legacy_netcdf_is_unpacked(
    tmp_path: Path, land: World, local: dict[str, Any], streams: bool
) -> None:
    path = write_legacy(tmp_path / "old.nc", land, land.running(), streams=streams)
    assert_agrees(daily(read_era5([path])), land, local, packed=2e-3)


def test_small_negatives_are_counted_and_large_ones_refused(tmp_path: Path, land: World) -> None:
    values = {"tp": np.zeros((COUNT, 3, 4))}
    values["tp"][30, 1, 2] = 2e-5  # less than before one hour later: rounding
    drivers = daily(read_era5([write_new(tmp_path / "small.nc", land, values)]), day="utc")
    assert drivers["p"].attrs["clipped"] == 1
    assert float(drivers["p"].min()) == 0
    values["tp"][24, 0, 0] = -2e-5
    below = daily(read_era5([write_new(tmp_path / "below.nc", land, values)]), day="utc")
    assert float(below["p"].min()) == 0
    values["tp"][30, 1, 2] = 2e-3
    assert "tp: expected 0 to 0.5 m an hour, found -0.002" in refusal(
        [write_new(tmp_path / "large.nc", land, values)]
    )


def test_the_cloud_layout_is_read_in_place(
    tmp_path: Path, land: World, local: dict[str, Any]
) -> None:
    path = write_zarr(tmp_path / "era5-land-v0.zarr", land, land.running(), arco=False)
    period = (FIRST.date(), LAST.date())
    assert_agrees(daily(read_era5([path], period=period)), land, local)


def test_a_box_and_a_period_are_what_is_read(tmp_path: Path, land: World) -> None:
    path = write_zarr(tmp_path / "era5-land-v0.zarr", land, land.running(), arco=False)
    box, day = Box(49.95, 7.35, 50.05, 7.65), dt.date(2020, 2, 29)
    drivers = daily(read_era5([path], "ERA5-Land", box, (day, day)))
    whole = daily(read_era5([path])).sel(time=drivers["time"], lat=[50.0], lon=[7.4, 7.5, 7.6])
    assert np.datetime64("2020-02-29") in drivers["time"].values
    xr.testing.assert_allclose(drivers.sel(time="2020-02-29"), whole.sel(time="2020-02-29"))


def test_arco_era5_counts_hours_that_end_at_the_stamp(tmp_path: Path) -> None:
    world = make_world([50.25, 50.0, 49.75], [359.5, 359.75, 0.0, 0.25])
    path = write_zarr(tmp_path / "full_37-1h-0p25deg.zarr-v3", world, world.values, arco=True)
    dataset = read_era5([path])
    assert dataset.attrs["product"] == "ERA5"
    assert dataset["lon"].values.tolist() == [-0.5, -0.25, 0.0, 0.25]
    assert_agrees(daily(dataset), world, reference(world, local=True))


def test_days_on_both_sides_of_the_date_line(tmp_path: Path) -> None:
    world = make_world([-17.0, -17.1, -17.2], [179.8, 179.9, 180.0, 180.1])
    path = write_new(tmp_path / "data_0.nc", world, world.running())
    drivers = daily(read_era5([path]))
    assert drivers["lon"].values.tolist() == [-180.0, -179.9, 179.8, 179.9]
    assert_agrees(drivers, world, reference(world, local=True))


def test_a_map_from_south_to_north_is_turned(tmp_path: Path, land: World) -> None:
    turned = World(land.lat[::-1], land.lon, {n: v[:, ::-1] for n, v in land.values.items()})
    path = write_new(tmp_path / "data_0.nc", turned, turned.running())
    assert read_era5([path])["lat"].values.tolist() == [50.1, 50.0, 49.9]
    assert_agrees(daily(read_era5([path])), turned, reference(turned, local=True))


def test_files_of_months_and_of_single_variables_are_joined(
    tmp_path: Path, land: World, local: dict[str, Any]
) -> None:
    values, cut = land.running(), 24 * 20 + 1
    first = {name: values[name] for name in values if name != "tp"}
    paths = [
        write_new(tmp_path / "b.nc", land, first, slice(cut - 1, COUNT)),  # one stamp twice
        write_new(tmp_path / "a.nc", land, first, slice(0, cut)),
        write_new(tmp_path / "tp.nc", land, {"tp": values["tp"]}),
    ]
    assert_agrees(daily(read_era5(paths)), land, local)


def test_daily_statistics_with_accumulations_of_midnight(
    tmp_path: Path, land: World, utc: dict[str, Any]
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
    closing = {name: land.running()[name] for name in AMOUNTS}
    midnight = write_new(tmp_path / "midnight.nc", land, closing, slice(0, COUNT, 24))
    drivers = daily(read_era5([means, midnight]))
    assert drivers.attrs["day_definition"] == "utc"
    # Deficits and wind speeds of means would be others than means of them.
    assert_agrees(drivers, land, utc, names=("ta", "sw_in", "p", "lw_in", "pa"))


def test_a_missing_hour_makes_its_days_missing(tmp_path: Path, land: World) -> None:
    gap = 24 * 30 + 15
    values = land.running()
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


def test_sea_stays_missing(tmp_path: Path, land: World) -> None:
    values = {name: data.copy() for name, data in land.running().items()}
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


def test_a_wrong_product_is_refused(new: Path, tmp_path: Path, land: World) -> None:
    assert "running totals" in refusal([new], product="ERA5")
    hourly = write_new(tmp_path / "hourly.nc", land, land.values)
    assert "the other way round" in refusal([hourly])


def test_a_wrong_unit_is_refused(tmp_path: Path, land: World) -> None:
    values = land.running()
    named = write_new(tmp_path / "mm.nc", land, {"tp": values["tp"]}, units={"tp": "mm"})
    assert "tp: expected units 'm', found 'mm'" in refusal([named])
    celsius = write_new(tmp_path / "c.nc", land, {"t2m": values["t2m"] - 273.15})
    assert "t2m: expected 170 to 340 K" in refusal([celsius])


def test_dew_points_of_other_times_are_refused(tmp_path: Path, land: World) -> None:
    moved = {"t2m": land.values["t2m"], "d2m": land.values["d2m"] + 15}
    assert "above it" in refusal([write_new(tmp_path / "x.nc", land, moved)])


def test_files_that_disagree_are_refused(tmp_path: Path, land: World, new: Path) -> None:
    other = write_new(tmp_path / "x.nc", land, {"t2m": land.values["t2m"] + 1}, slice(0, 30))
    assert "t2m: expected each hour once, found 2019-12-28T00 and 29 more twice" in refusal(
        [new, other]
    )
    east = World(land.lat, land.lon + 1, land.values)
    area = write_new(tmp_path / "y.nc", east, {"tp": land.running()["tp"]})
    assert "the same nodes" in refusal([new, area])


def test_a_single_node_needs_a_product(new: Path) -> None:
    box = Box(50, 7.4, 50, 7.4)
    assert "say which product" in refusal([new], box=box)
    assert daily(read_era5([new], "ERA5-Land", box)).sizes["lat"] == 1


def test_daily_sums_without_a_day_are_refused(tmp_path: Path, land: World) -> None:
    store = write_new(tmp_path / "daily-utc.nc", land, {"tp": land.running()["tp"]},
                      slice(0, COUNT, 24))  # fmt: skip
    assert "no statement of the day" in refusal([store])


def test_part_of_a_day_is_refused(tmp_path: Path, land: World) -> None:
    part = write_new(tmp_path / "x.nc", land, {"t2m": land.values["t2m"]}, slice(0, 9))
    assert "expected all hours of at least one local-standard day" in refusal([part])


def test_monthly_means_are_refused(tmp_path: Path, land: World) -> None:
    path = write_new(tmp_path / "x.nc", land, {"tp": land.running()["tp"]}, slice(0, COUNT, 240))
    assert "stamps 10 days apart (monthly means?)" in refusal([path])


def test_a_box_outside_the_files_is_refused(new: Path) -> None:
    assert "check that the files cover them" in refusal([new], box=Box(-10, 0, 0, 10))
    long_ago = dt.date(1990, 1, 1)
    assert "check that the files cover them" in refusal([new], period=(long_ago, long_ago))


def test_a_file_that_breaks_off_is_refused(new: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.nc"
    part.write_bytes(new.read_bytes()[: new.stat().st_size // 2])
    assert "fetch it again" in refusal([part])
    assert ERA5.matches(str(part))
    page = tmp_path / "page.nc"
    page.write_text("<html>Please log in</html>")
    assert "expected NetCDF, ZIP or Zarr" in refusal([page])


def test_grib_gets_its_own_answer(tmp_path: Path) -> None:
    path = tmp_path / "era5.grib"
    path.write_bytes(b"GRIB" + bytes(64))
    assert "found GRIB" in refusal([path])


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


def test_inspection_sees_every_variable(new: Path, land: World) -> None:
    described = ERA5.describe(str(new))
    assert ERA5.matches(str(new))
    assert described.product == "ERA5-Land"
    assert described.date == "2019-12-28/2020-03-03"
    layers = {layer.name: layer for layer in ERA5.layers(str(new))}
    assert set(layers) == set(described.variables) == set(UNITS)
    np.testing.assert_allclose(layers["t2m"].values, land.values["t2m"], rtol=1e-6)
