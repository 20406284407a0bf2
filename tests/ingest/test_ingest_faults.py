"""A file that cannot be used gets its own message, and the ingest goes on with the rest."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
import yaml

from upscale.commands import main
from upscale.drivers.audit import check_drivers
from upscale.drivers.cube import open_cube
from upscale.ingest.report import notes
from upscale.ingest.scan import scan
from upscale.jobs.settings import ConfigError
from upscale.remote.errors import ArchiveError
from upscale.testing.archives import BOX, Archive, config_of, content_of, ingest_here
from upscale.testing.granules import StoredGrid, tile_corners, write_modis
from upscale.testing.scenes import write_mod09ga

DAY = dt.date(2019, 3, 5)
NAME = "MOD09GA.A2019064.h18v03.061.2020001000000.hdf"
ROW = (DAY - dt.date(2019, 2, 20)).days


def ndvi(cube: Path) -> np.ndarray:
    series = xr.open_zarr(cube, group="satellite", consolidated=False)
    return series.ndvi.where(series.ndvi_filled == 0).values


def truncated(folder: Path) -> None:
    path = folder / "modis" / NAME
    path.write_bytes(path.read_bytes()[:3000])


def wrong_grid(folder: Path) -> None:
    (folder / "modis" / NAME).unlink()
    other = write_mod09ga(folder, BOX, (19, 3), DAY)
    other.rename(folder / "modis" / NAME)


def swapped_hemisphere(folder: Path) -> None:
    left, top, right, bottom = tile_corners(18, 14)
    layers = {"sur_refl_b01_1": (np.zeros((2400, 2400), np.int16), {})}
    grid = StoredGrid("MODIS_Grid_500m_2D", (left, top, right, bottom), layers)
    write_modis(folder / "modis" / NAME, grid)


def answer_of_a_server(folder: Path) -> None:
    (folder / "modis" / NAME).write_text("<html>please log in</html>")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncated, "damaged or truncated"),
        (wrong_grid, "expected the grid of tile h18v03"),
        (swapped_hemisphere, "north and south are swapped"),
        (answer_of_a_server, "expected an HDF4 file"),
    ],
)
def test_a_broken_granule_is_left_out_and_the_others_are_read(
    own: Archive, cube: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(own.folder)
    path = tmp_path / "c.zarr"
    outcome = ingest_here(config_of(own, path))
    assert not outcome.failed
    assert {file for file, _ in outcome.faults} == {NAME}
    assert all(message in why for _, why in outcome.faults), outcome.faults
    whole, part = ndvi(cube), ndvi(path)
    others = np.arange(len(whole)) != ROW
    np.testing.assert_array_equal(part[others], whole[others])
    assert np.isfinite(part[ROW]).sum() < np.isfinite(whole[ROW]).sum()
    again = ingest_here(config_of(own, path))
    assert (again.changed, again.faults) == (False, outcome.faults)


def test_a_mended_granule_is_read_in_the_next_ingest(
    archive: Archive, own: Archive, cube: Path, tmp_path: Path
) -> None:
    truncated(own.folder)
    path = tmp_path / "c.zarr"
    ingest_here(config_of(own, path))
    shutil.copy(archive.folder / "modis" / NAME, own.folder / "modis" / NAME)
    outcome = ingest_here(config_of(own, path))
    assert outcome.faults == []
    np.testing.assert_array_equal(ndvi(path), ndvi(cube))


def test_missing_days_and_tiles_are_named_before_anything_is_read(
    own: Archive, tmp_path: Path
) -> None:
    modis = own.folder / "modis"
    for path in modis.glob("*.A2019064.*"):
        path.unlink()
    (modis / "MOD09GA.A2019070.h19v04.061.2020001000000.hdf").unlink()
    next((own.folder / "fapar").glob("*.A2019065.h18v03.*")).unlink()
    found = scan(config_of(own, tmp_path / "c.zarr"))
    reflectance, fapar = (held.missing for held in found.holdings)
    assert reflectance[0].days == (DAY,)
    assert reflectance[0].tiles == ((dt.date(2019, 3, 11), (19, 4)),)
    assert fapar[0].days == (dt.date(2019, 2, 18),)  # it stands for the first days, too
    assert fapar[0].tiles == ((dt.date(2019, 3, 6), (18, 3)),)


def test_hours_that_are_missing_are_named_by_driver(own: Archive, tmp_path: Path) -> None:
    month = next((own.folder / "hours").glob("2019-03*"))
    with xr.open_dataset(month) as file:
        kept = file.where(file.valid_time != np.datetime64("2019-03-31T23"), drop=True)
        late = kept.load()
    late.to_netcdf(month)
    gaps = scan(config_of(own, tmp_path / "c.zarr")).weather.missing
    assert {gap.driver for gap in gaps} == {"ta", "sw_in", "vpd", "p", "lw_in", "ws", "pa"}
    lacking = {(gap.driver, gap.first, gap.last) for gap in gaps}
    assert ("ta", dt.date(2019, 4, 1), dt.date(2019, 4, 1)) in lacking
    path = tmp_path / "c.zarr"
    ingest_here(config_of(own, path, satellite=[]))
    meteo = xr.open_zarr(path, group="meteo", consolidated=False)
    absent = meteo.time.values[np.isnan(meteo.ta).all(("lat", "lon")).values]
    assert absent.astype("datetime64[D]").tolist() == [dt.date(2019, 4, 1)]


def test_a_day_that_is_there_twice_is_named_and_used_once(
    own: Archive, cube: Path, tmp_path: Path
) -> None:
    (own.folder / "modis" / "again").mkdir()
    shutil.copy(own.folder / "modis" / NAME, own.folder / "modis" / "again" / NAME)
    ingest = config_of(own, tmp_path / "c.zarr")
    faults = scan(ingest).faults
    assert len(faults) == 1
    assert "expected one granule of each product, day and tile" in faults[0].reason
    ingest_here(ingest)
    np.testing.assert_array_equal(ndvi(tmp_path / "c.zarr"), ndvi(cube))


def relabel(folder: Path, name: str, units: str) -> None:
    for path in (folder / "hours").iterdir():
        with netCDF4.Dataset(path, "a") as file:
            file[name].units = units


def test_a_wrong_unit_costs_its_driver_which_is_an_error_and_no_other(
    own: Archive, cube: Path, tmp_path: Path
) -> None:
    relabel(own.folder, "tp", "mm")
    path = tmp_path / "c.zarr"
    outcome = ingest_here(config_of(own, path, satellite=[]))
    [failed] = outcome.failed
    assert "found none of p on any day" in failed.error
    assert {file for file, _ in outcome.faults} == hour_files(own)
    assert all("tp: expected units 'm', found 'mm'" in why for _, why in outcome.faults)
    made, whole = (xr.open_zarr(c, group="meteo", consolidated=False) for c in (path, cube))
    assert np.isnan(made.p).all()
    np.testing.assert_array_equal(made.ta, whole.ta)


def hour_files(archive: Archive) -> set[str]:
    return {path.name for path in (archive.folder / "hours").iterdir()}


@pytest.mark.parametrize(
    ("name", "units", "lost"), [("strd", "W m-2", {"lw_in"}), ("d2m", "degC", {"vpd"})]
)
def test_a_wrong_unit_of_one_month_costs_its_driver_that_month(
    own: Archive, cube: Path, tmp_path: Path, name: str, units: str, lost: set[str]
) -> None:
    [march] = (own.folder / "hours").glob("2019-03*")
    with netCDF4.Dataset(march, "a") as file:
        file[name].units = units
    path = tmp_path / "c.zarr"
    outcome = ingest_here(config_of(own, path, satellite=[]))
    assert not outcome.failed
    assert {file for file, _ in outcome.faults} == {march.name}
    made, whole = (xr.open_zarr(c, group="meteo", consolidated=False).load() for c in (path, cube))
    month = made.time.dt.month
    for driver in ("ta", "vpd", "lw_in", "sw_in"):
        if driver in lost:
            assert np.isnan(made[driver].sel(time=month == 3)[1:-1]).all()
            assert np.isfinite(made[driver].sel(time=month != 3)[:-1]).any()
        else:
            np.testing.assert_array_equal(made[driver], whole[driver])
    np.testing.assert_array_equal(made.land, whole.land)


def test_an_impossible_hour_costs_the_drivers_of_its_file_and_no_other(
    own: Archive, cube: Path, tmp_path: Path
) -> None:
    [march] = (own.folder / "hours").glob("2019-03*")
    with netCDF4.Dataset(march, "a") as file:
        file["t2m"][300, 2, 2] = 400.0
    path = tmp_path / "c.zarr"
    outcome = ingest_here(config_of(own, path, satellite=[]))
    assert {file for file, _ in outcome.faults} == {march.name}
    assert "t2m: expected hourly values of 170 to 340 K" in outcome.faults[0][1]
    made, whole = (xr.open_zarr(c, group="meteo", consolidated=False).load() for c in (path, cube))
    np.testing.assert_array_equal(made.sw_in, whole.sw_in)
    assert np.isfinite(made.ta.sel(time="2019-02")).any()


def test_final_hours_go_before_preliminary_ones_of_another_file(
    own: Archive, cube: Path, tmp_path: Path
) -> None:
    [march] = (own.folder / "hours").glob("2019-03*")
    early = own.folder / "hours" / "early.nc"
    shutil.copy(march, early)
    with netCDF4.Dataset(early, "a") as file:
        file["expver"][:] = np.full(file["expver"].shape, "0005", object)
        file["t2m"][:] = file["t2m"][:] + 1.0
    path = tmp_path / "c.zarr"
    outcome = ingest_here(config_of(own, path, satellite=[]))
    assert outcome.faults == []
    weather = [e.counts for e in outcome.done if e.item.startswith("weather-d00000")]
    assert weather
    assert not any(counts.get("preliminary") for counts in weather)
    made, whole = (xr.open_zarr(c, group="meteo", consolidated=False).load() for c in (path, cube))
    np.testing.assert_array_equal(made.ta, whole.ta)
    assert (made.preliminary == 0).all()
    assert (whole.preliminary == 0).all()


def test_days_with_preliminary_hours_are_told_by_the_cube(own: Archive, tmp_path: Path) -> None:
    [march] = (own.folder / "hours").glob("2019-03*")
    with netCDF4.Dataset(march, "a") as file:
        streams = file["expver"][:]
        streams[12 + 9 * 24 :] = "0005"  # from noon of 10 March on
        file["expver"][:] = streams
    path = tmp_path / "c.zarr"
    assert not ingest_here(config_of(own, path, satellite=[])).failed
    made = xr.open_zarr(path, group="meteo", consolidated=False).load()
    # east of 7.5 degrees, 1 April begins in the last hour of March, UTC
    early = (made.time >= np.datetime64("2019-03-10")) & (made.time < np.datetime64("2019-04-02"))
    np.testing.assert_array_equal(made.preliminary == 1, early)
    np.testing.assert_array_equal(made.preliminary == 0, ~early)
    assert not check_drivers(str(path)).faults


def test_days_of_preliminary_hours_are_counted(own: Archive, tmp_path: Path) -> None:
    [march] = (own.folder / "hours").glob("2019-03*")
    with netCDF4.Dataset(march, "a") as file:
        said = np.full(file["expver"].shape, "0001", object)
        said[24 * 9 : 24 * 10] = "0005"
        file["expver"][:] = said
    outcome = ingest_here(config_of(own, tmp_path / "c.zarr", satellite=[]))
    counts = [e.counts for e in outcome.done if e.item.startswith("weather-d00000")]
    assert {held["preliminary"] for held in counts} == {24}


def test_land_cover_that_is_broken_or_missing_is_named(own: Archive, tmp_path: Path) -> None:
    broken, gone = sorted((own.folder / "cover").iterdir())[:2]
    broken.write_bytes(broken.read_bytes()[:2000])
    gone.unlink()
    write_mod09ga(own.folder / "cover", BOX, (18, 3), DAY)
    ingest = config_of(own, tmp_path / "c.zarr", satellite=[])
    found = scan(ingest)
    assert found.uncovered == ((18, 4),)
    outcome = ingest_here(ingest)
    assert {file for file, _ in outcome.faults} == {broken.name}
    static = xr.open_zarr(tmp_path / "c.zarr", group="static", consolidated=False)
    assert 0 < int((static.igbp == 0).sum()) < static.igbp.size


def test_a_land_cover_in_another_form_is_told_from_a_wrong_path(
    archive: Archive, tmp_path: Path
) -> None:
    cover, climate = tmp_path / "cover.nc", archive.folder / "koppen.tif"
    cover.write_bytes(b"CDF")
    static = {"igbp": str(cover), "koppen": str(climate)}
    with pytest.raises(ArchiveError, match=r"found cover\.nc in .*convert a NetCDF map to GeoTIFF"):
        scan(config_of(archive, tmp_path / "c.zarr", satellite=[], static=static))


def test_a_layer_that_granules_lack_costs_its_variable_alone(
    own: Archive, cube: Path, tmp_path: Path
) -> None:
    asked = [{"files": str(own.folder / "modis"), "variables": ["ndvi", "sensor_zenith"]}]
    path = tmp_path / "c.zarr"
    outcome = ingest_here(config_of(own, path, satellite=asked))
    assert not outcome.failed
    assert all("expected layer SensorZenith_1" in why for _, why in outcome.faults)
    np.testing.assert_array_equal(ndvi(path), ndvi(cube))


def test_a_grid_between_the_cells_of_the_sensors_is_refused(
    archive: Archive, tmp_path: Path
) -> None:
    with pytest.raises(ArchiveError, match="cells begin at 90 N and 180 W"):
        scan(config_of(archive, tmp_path / "c.zarr", grid="era5-land-0p1"))


def test_a_refused_ingest_leaves_a_finished_cube_open(
    archive: Archive, cube: Path, own: Archive, tmp_path: Path
) -> None:
    path = tmp_path / "c.zarr"
    shutil.copytree(cube, path)
    shutil.copytree(cube.with_suffix(".ledger"), path.with_suffix(".ledger"))
    for month in (own.folder / "hours").iterdir():
        with xr.open_dataset(month) as file:
            smaller = file.isel(latitude=slice(1, None)).load()
        smaller.to_netcdf(month)
    with pytest.raises(ConfigError, match="give files of the same area"):
        ingest_here(config_of(own, path))
    assert open_cube(str(path)).digest == open_cube(str(cube)).digest
    (own.folder / "koppen.tif").write_bytes(b"no map")
    keys = {"meteo": {"files": str(archive.folder / "hours")}}
    outcome = ingest_here(config_of(own, path, **keys))
    assert [entry.item[:6] for entry in outcome.failed] == ["static"]
    assert open_cube(str(path)).digest == open_cube(str(cube)).digest


def test_hours_of_another_area_are_left_out(own: Archive, tmp_path: Path) -> None:
    with xr.open_dataset(next((own.folder / "hours").glob("2019-03*"))) as file:
        moved = file.isel(latitude=slice(0, 6)).load()
    moved.to_netcdf(own.folder / "hours" / "elsewhere.nc")
    (own.folder / "hours" / "broken.nc").write_bytes(b"CDF\x01 nothing more")
    found = scan(config_of(own, tmp_path / "c.zarr"))
    reasons = {Path(fault.file).name: fault.reason for fault in found.faults}
    assert "expected nodes as most files have" in reasons["elsewhere.nc"]
    assert "truncated or damaged" in reasons["broken.nc"]
    assert found.weather.missing == ()


def test_the_command_says_what_it_left_out_and_exits_with_1(
    own: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truncated(own.folder)
    config = tmp_path / "INGEST.yaml"
    config.write_text(yaml.safe_dump(content_of(own, tmp_path / "c.zarr")))
    with pytest.raises(SystemExit) as end:
        main(["ingest", str(config)])
    said = capsys.readouterr().err
    assert end.value.code == 1
    assert f"left out: {NAME}" in said
    assert "ERA5-Land" in said
    assert open_cube(str(tmp_path / "c.zarr")).digest


def test_work_that_a_worker_cannot_hold_is_said_beforehand(
    archive: Archive, tmp_path: Path
) -> None:
    def said(**keys: Any) -> list[str]:
        return notes(scan(config_of(archive, tmp_path / "c.zarr", **keys)))

    assert said(memory=1.5) == []
    [note] = said(memory=3)
    assert "may take 3 GiB, a worker has 2.0" in note
    [note] = said(memory=1.5, tile=1000)
    assert note.startswith("filling gaps takes 2.2 GiB, a worker has 2.0")
    assert said(memory=9, cluster={"address": "tcp://elsewhere:8786"}) == []


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"meteo": {"files": "nowhere/*.nc"}}, "expected files, found none"),
    ({"day": "noon"}, "day"),
    ({"meteo": {"files": "https://h/a.nc?sig=x"}}, r"expected a URL without a query"),
    ({"gaps": {"linear": 9, "limit": 3}}, "lies above limit"),
    ({"static": {"igbp": "x.tif", "colour": 1}}, "unknown key"),
    ({"satellite": [{"files": "x", "variables": ["ta"]}]}, "expected satellite variables"),
]


@pytest.mark.parametrize(("keys", "message"), REFUSED)
def test_an_ingest_that_cannot_be_is_refused(
    archive: Archive, tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        scan(config_of(archive, tmp_path / "c.zarr", **keys))
    assert not (tmp_path / "c.zarr").exists()


def test_climate_is_derived_from_whole_years_alone(archive: Archive, tmp_path: Path) -> None:
    keys = {"static": {"igbp": str(archive.folder / "cover")}, "satellite": []}
    with pytest.raises(ArchiveError, match="ingest a whole year"):
        scan(config_of(archive, tmp_path / "c.zarr", **keys))
