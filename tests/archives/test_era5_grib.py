"""GRIB of ERA5 and ERA5-Land is read as its NetCDF is, or refused with a word on what to do."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from upscale.archives.formats.grib import library, open_grib
from upscale.archives.reanalysis.era5 import Day, daily, read_era5
from upscale.archives.reanalysis.era5_files import ERA5
from upscale.archives.reanalysis.netcdf import (
    DamagedError,
    NodeBounds,
    each_variable,
    read_published,
)
from upscale.commands import main
from upscale.remote.errors import ArchiveError
from upscale.testing.hourly import (
    AMOUNTS,
    Accumulation,
    HourlyWorld,
    make_hourly,
    write_layout,
)

# Not by importing it here: it must come after the libraries that it gets in the way of.
pytestmark = pytest.mark.skipif(find_spec("eccodes") is None, reason="eccodes is not installed")

INSTANTS = ("t2m", "d2m", "sp", "u10", "v10")
DAYS: tuple[Day, ...] = ("local-standard", "utc")


@pytest.fixture(scope="module")
def week() -> HourlyWorld:
    """Four days over the turn of a year, with one node of sea."""
    world = make_hourly([50.1, 50.0], [7.3, 7.4, 7.5], dt.datetime(2019, 12, 30),
                        dt.datetime(2020, 1, 3))  # fmt: skip
    values = {name: data.copy() for name, data in world.values.items()}
    for data in values.values():
        data[:, 1, 2] = np.nan
    return replace(world, values=values)


@pytest.fixture(scope="module")
def grib(week: HourlyWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_layout(tmp_path_factory.mktemp("grib") / "data.grib", week, "grib")


def stored(path: Path) -> list[bytes]:
    """The messages of a file of GRIB 1, whose fifth to seventh byte are their length."""
    rest, messages = path.read_bytes(), []
    while rest:
        length = int.from_bytes(rest[4:7], "big")
        messages.append(rest[:length])
        rest = rest[length:]
    return messages


def changed(message: bytes, **keys: Any) -> bytes:
    """A message with other keys of the library."""
    eccodes = library()
    handle = eccodes.codes_new_from_message(message)
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    made: bytes = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return made


def undecodable(message: bytes) -> bytes:
    """A message whose header is whole, but whose values have 77 bits: nothing can read them."""
    eccodes = library()
    handle = eccodes.codes_new_from_message(message)
    place = eccodes.codes_get(handle, "offsetSection4") + 10
    eccodes.codes_release(handle)
    return message[:place] + b"\x4d" + message[place + 1 :]


def refusal(call: Callable[[], Any], kind: type[ArchiveError] = ArchiveError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize("accumulation", ["running", "hourly"])
def test_a_season_is_the_same_as_in_netcdf(tmp_path: Path, accumulation: Accumulation) -> None:
    lat, lon = {"running": ([50.1, 50.0], [7.4, 7.5, 7.6]),
                "hourly": ([50.25, 50.0], [359.75, 0.0, 0.25])}[accumulation]  # fmt: skip
    world = make_hourly(lat, lon, dt.datetime(2019, 12, 30), dt.datetime(2020, 3, 2))
    names = ("t2m", "d2m", "ssrd", "tp") if accumulation == "hourly" else None
    for name, layout in (("data.grib", "grib"), ("data_0.nc", "netcdf")):
        write_layout(tmp_path / name, world, layout, accumulation, names=names, preliminary=30)
    told, plain = (read_era5([tmp_path / name]) for name in ("data.grib", "data_0.nc"))
    assert told.attrs == plain.attrs
    assert told.attrs["preliminary_hours"] == 30
    for day in DAYS:
        found, expected = daily(told, day), daily(plain, day)
        xr.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
        assert bool(found.sel(time="2020-02-29").notnull().all().to_array().all())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.grib", "data_0.nc"]


def test_the_fields_have_the_shape_of_netcdf(week: HourlyWorld, grib: Path, tmp_path: Path) -> None:
    (found,) = read_published(grib)
    (expected,) = read_published(write_layout(tmp_path / "x.nc", week, "netcdf"))
    assert set(found) == set(expected)
    assert found.attrs["preliminary"].tolist() == expected.attrs["preliminary"].tolist() == []
    for name, array in found.items():
        assert array.dtype == np.float32
        for key in ("units", "GRIB_stepType", "name_in_file"):
            assert array.attrs[key] == expected[name].attrs[key]
        np.testing.assert_array_equal(array.isnull(), expected[name].isnull())
    xr.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_nodes_from_the_south_and_over_the_date_line_are_put_in_order(tmp_path: Path) -> None:
    start = dt.datetime(2020, 2, 28)
    world = make_hourly([-17.2, -17.1], [179.8, 179.9, 180.0, 180.1], start,
                        start + dt.timedelta(hours=5))  # fmt: skip
    (found,) = read_published(write_layout(tmp_path / "x.grib", world, "grib", names=("t2m",)))
    assert found["lat"].values.tolist() == [-17.1, -17.2]
    assert found["lon"].values.tolist() == [-180.0, -179.9, 179.8, 179.9]
    expected = world.values["t2m"][:, ::-1][:, :, [2, 3, 0, 1]]
    np.testing.assert_allclose(found["t2m"], expected, rtol=1e-6)


def test_both_editions_may_stand_in_one_file(grib: Path, tmp_path: Path) -> None:
    messages = stored(grib)[::8]
    path = tmp_path / "mixed.grib"
    path.write_bytes(b"".join(changed(m, edition=2) if k % 2 else m
                              for k, m in enumerate(messages)))  # fmt: skip
    whole = read_era5([path], "ERA5-Land")["t2m"]
    xr.testing.assert_allclose(whole, read_era5([grib])["t2m"], rtol=1e-6)


def test_a_value_that_is_the_default_of_missing_ones_stays(
    week: HourlyWorld, tmp_path: Path
) -> None:
    values = {"sp": np.full(week.values["sp"].shape, 9999.0)}
    values["sp"][:, 0, 0] = np.nan
    path = write_layout(tmp_path / "x.grib", replace(week, values=values), "grib")
    (found,) = read_published(path)
    np.testing.assert_allclose(found["sp"], values["sp"])


@pytest.mark.parametrize("final_first", [True, False])
def test_final_data_go_before_preliminary_ones(
    week: HourlyWorld, tmp_path: Path, final_first: bool
) -> None:
    early = replace(week, values={"t2m": week.values["t2m"] + 1})
    last = week.first + dt.timedelta(hours=49)
    parts = [
        write_layout(tmp_path / "final", week, "grib", hours=week.between(week.first, last),
                     names=("t2m",)),
        write_layout(tmp_path / "early", early, "grib", hours=slice(40, None),
                     preliminary=week.count),
    ][:: 1 if final_first else -1]  # fmt: skip
    path = tmp_path / "both.grib"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    (found,) = read_published(path)
    assert found.attrs["preliminary_hours"] == week.count - 50
    expected = np.concatenate([week.values["t2m"][:50], early.values["t2m"][50:]])
    np.testing.assert_allclose(found["t2m"], expected, rtol=1e-6)


def test_a_stamp_may_come_twice_where_its_values_agree(
    week: HourlyWorld, grib: Path, tmp_path: Path
) -> None:
    other = replace(week, values={"t2m": week.values["t2m"] + 1})
    path = tmp_path / "twice.grib"
    path.write_bytes(grib.read_bytes() + b"".join(stored(grib)[:80]))
    xr.testing.assert_identical(read_era5([path]), read_era5([grib]))
    more = write_layout(tmp_path / "more.grib", other, "grib", hours=slice(3, 7))
    path.write_bytes(grib.read_bytes() + more.read_bytes())
    assert "found 2019-12-30T03 and 3 others repeated" in refusal(lambda: read_era5([path]))


def test_only_the_messages_that_are_wanted_are_decoded(
    week: HourlyWorld, grib: Path, tmp_path: Path
) -> None:
    messages = stored(grib)
    messages[-1] = undecodable(messages[-1])  # rain of the last hour, 2020-01-03 00 UTC
    path = tmp_path / "broken.grib"
    path.write_bytes(b"".join(messages))
    (header,) = read_published(path, header=True)
    assert header.sizes["time"] == week.count
    day = dt.date(2019, 12, 31)
    early = read_published(path, period=(day, day))[0]
    assert str(early["time"].values[-1])[:13] == "2020-01-02T00"
    box = NodeBounds(50.05, 7.35, 51, 8)
    near = read_published(path, box, period=(day, day))[0]
    xr.testing.assert_identical(near, early.sel(lat=[50.1], lon=[7.4, 7.5]))
    assert read_published(path, NodeBounds(0, 0, 1, 1))[0].sizes["lat"] == 0
    assert str(path) in refusal(lambda: read_published(path), DamagedError)
    names = []

    def all_names() -> None:
        for array in each_variable(path):
            names.append(str(array.name))

    assert str(path) in refusal(all_names, DamagedError)
    assert names == ["t2m", "d2m", "sp", "u10", "v10", "ssrd", "strd"]


def test_a_file_that_shrinks_while_it_is_read_is_refused(grib: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.grib"
    path.write_bytes(grib.read_bytes())
    (header,) = open_grib(path)
    path.write_bytes(grib.read_bytes()[:-3])
    assert header["t2m"].load().shape == (97, 2, 3)
    with pytest.raises(OSError, match="has no end"):
        header["tp"].load()


@pytest.mark.parametrize("lost", [1, 30, 120])
def test_a_file_that_breaks_off_is_refused(grib: Path, tmp_path: Path, lost: int) -> None:
    path = tmp_path / "part.grib"
    path.write_bytes(grib.read_bytes()[:-lost])
    for header in (True, False):
        message = refusal(partial(read_published, path, header=header), DamagedError)
        assert message.startswith(f"{path}: expected a whole GRIB file")
        assert "fetch it again" in message


def test_bytes_of_no_message_are_refused(grib: Path, tmp_path: Path) -> None:
    messages = stored(grib)
    path = tmp_path / "x.grib"
    for junk in (b"<html>", messages[0][4:]):
        for place in (7, len(messages)):
            path.write_bytes(b"".join([*messages[:place], junk, *messages[place:]]))
            assert "belong to no message" in refusal(lambda: read_published(path), DamagedError)
    path.write_bytes(b"".join([*messages[:7], bytes(50), *messages[7:], bytes(5)]))  # padding
    assert len(read_published(path, header=True)) == 1
    path.write_bytes(b"GRIB" + bytes(64))
    refusal(lambda: read_published(path), DamagedError)


def test_other_levels_and_other_grids_are_refused(grib: Path, tmp_path: Path) -> None:
    first = stored(grib)[0]
    aloft = changed(first, indicatorOfTypeOfLevel=100, level=500)
    path = tmp_path / "x.grib"
    path.write_bytes(aloft)
    assert "found levels isobaricInhPa" in refusal(lambda: read_published(path))
    path.write_bytes(aloft + first)
    assert [list(part) for part in read_published(path)] == [["t2m"]]
    eccodes = library()
    handle = eccodes.codes_grib_new_from_samples("reduced_gg_sfc_grib1")
    path.write_bytes(eccodes.codes_get_message(handle))
    eccodes.codes_release(handle)
    assert "found reduced_gg" in refusal(lambda: read_published(path))


def test_a_zip_of_grib_is_read(week: HourlyWorld, grib: Path, tmp_path: Path) -> None:
    path = tmp_path / "download.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, names in (("a", INSTANTS), ("b", AMOUNTS)):
            part = write_layout(tmp_path / f"{name}.grib", week, "grib", names=names)
            archive.write(part, f"{name}/{part.name}")
    xr.testing.assert_identical(daily(read_era5([path])), daily(read_era5([grib])))
    assert len(list(each_variable(path))) == 8


@pytest.mark.parametrize("name", ["../data.grib", "/tmp/data.grib", "a/../../data.grib"])
def test_members_that_lead_out_of_a_zip_are_refused(tmp_path: Path, grib: Path, name: str) -> None:
    path = tmp_path / "in" / "bad.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(grib, "good.grib")
        archive.writestr(name, b"GRIB")
    assert "leads out of the archive" in refusal(lambda: read_published(path))
    assert not (tmp_path / "data.grib").exists()


def test_a_member_that_is_no_grib_is_refused(tmp_path: Path, grib: Path) -> None:
    path = tmp_path / "page.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(grib, "data.grib")
        archive.writestr("page.grib", "<html>Please log in</html>")
    assert "page.grib: expected NetCDF, GRIB" in refusal(lambda: read_published(path))


def test_threads_read_what_one_reads(grib: Path) -> None:
    (expected,) = read_published(grib)
    with ThreadPoolExecutor(4) as pool:
        for parts in pool.map(read_published, [grib] * 8):
            xr.testing.assert_identical(parts[0], expected)


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_the_extra_to_install_is_named_where_the_package_is_missing(grib: Path) -> None:
    code = (
        "import sys; sys.modules['eccodes'] = None\n"
        "from upscale.archives.reanalysis.era5_files import ERA5\n"
        "assert ERA5.matches(sys.argv[1])\n"
        "ERA5.describe(sys.argv[1])"
    )
    ended = python(code, str(grib))
    assert ended.returncode == 1
    assert "ArchiveError: expected the package 'eccodes'" in ended.stderr
    assert "pip install 'upscale[grib]'" in ended.stderr


def test_projections_are_still_known_after_reading(grib: Path) -> None:
    code = (
        "import sys\n"
        "from upscale.archives.reanalysis.netcdf import read_published\n"
        "read_published(sys.argv[1])\n"
        "import pyproj, rasterio.warp\n"
        "to = pyproj.Transformer.from_crs(4326, 32632, always_xy=True).transform(9.0, 50.0)\n"
        "xs, ys = rasterio.warp.transform('EPSG:4326', 'EPSG:32632', [9.0], [50.0])\n"
        "print(round(to[0]), round(xs[0]))"
    )
    ended = python(code, str(grib))
    assert (ended.returncode, ended.stdout) == (0, "500000 500000\n"), ended.stderr


def test_inspection_tells_what_a_file_holds(
    week: HourlyWorld, grib: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["inspect", "--json", str(grib)])
    assert not end.value.code
    told = json.loads(capsys.readouterr().out)
    assert (told["product"], told["date"]) == ("ERA5-Land", "2019-12-30/2020-01-03")
    assert told["grid"].startswith("2 x 3 nodes")
    rows = {row["name"]: row for row in told["variables"]}
    assert set(rows) == set(week.values) == set(ERA5.describe(str(grib)).variables)
    assert rows["t2m"]["valid_share"] == pytest.approx(5 / 6)
    assert rows["t2m"]["mean"] == pytest.approx(np.nanmean(week.values["t2m"]), rel=1e-6)
    assert rows["tp"]["units"] == "m"
