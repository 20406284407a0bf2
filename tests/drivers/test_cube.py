"""The door of the driver cube: what is wrong is refused, with the reason."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr

from upscale.calendar import CALENDAR, TIME_UNITS, date_of
from upscale.drivers.audit import check_drivers
from upscale.drivers.cube import DriverError, open_cube
from upscale.drivers.tiles import missing_features, read_features, read_surface
from upscale.drivers.writer import create_cube, seal, write_series

EVERYWHERE = slice(0, 40), slice(0, 60)


def edit(url: str, path: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the metadata of one node of a cube and seal it, as a wrong writer would."""
    file = Path(url) / path / "zarr.json"
    content = json.loads(file.read_text())
    change(content["attributes"])
    file.write_text(json.dumps(content))
    seal(url)


def remove(url: str, path: str) -> None:
    """Seal a cube without one of its nodes."""
    shutil.rmtree(Path(url) / path)
    seal(url)


def test_an_open_cube_tells_what_it_holds(packed: Any) -> None:
    cube = open_cube(packed.url)
    assert sorted(cube.variables) == ["ndvi", "p", "sw_in", "ta", "vpd"]
    assert (cube.first, cube.last) == (4380, 4429)
    assert cube.grid.shape == (40, 60)
    assert cube.series["meteo"].grid.resolution == 0.1
    assert cube.day_definition == "utc"
    assert not cube.synthetic
    assert len(cube.digest) == 64


def test_drivers_come_in_the_order_of_the_table(packed: Any) -> None:
    assert open_cube(packed.url).variables == ("ta", "sw_in", "vpd", "p", "ndvi")


def test_a_cube_tells_which_features_it_lacks(packed: Any) -> None:
    cube = open_cube(packed.url)
    assert missing_features(cube, ("ta", "sw_pot", "ndvi", "day_length")) == ()
    assert missing_features(cube, ("ta", "lw_in", "evi", "gpp")) == ("lw_in", "evi", "gpp")


def test_xarray_alone_opens_every_group(packed: Any) -> None:
    meteo = xr.open_zarr(packed.url, group="meteo", consolidated=False)
    assert meteo.ta.attrs["units"] == "degC"
    assert str(meteo.time.values[0])[:10] == str(date_of(4380))
    stated = meteo.ta.encoding["scale_factor"]
    np.testing.assert_allclose(
        meteo.ta.values[:, :, :20], packed.meteo["ta"][:, :, :20], atol=stated / 2 + 1e-5
    )
    static = xr.open_zarr(packed.url, group="static", consolidated=False)
    assert static.igbp.attrs["flag_meanings"].split()[:2] == ["unknown", "ENF"]


def test_xarray_alone_sees_packed_missing_values_as_missing(packed: Any) -> None:
    meteo = xr.open_zarr(packed.url, group="meteo", consolidated=False)
    assert np.isnan(meteo.ta.values[:, ~packed.land]).all()


def test_packed_missing_values_read_as_missing(packed: Any) -> None:
    cube = open_cube(packed.url)
    rows, cols = np.arange(25), np.arange(35)
    values = cube.series["meteo"].read("ta", slice(0, 50), rows, cols)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(values[0]), ~packed.land)


def test_unpacked_values_come_back_bit_for_bit(unpacked: Any) -> None:
    meteo = open_cube(unpacked.url).series["meteo"]
    values = meteo.read("vpd", slice(3, 30), np.arange(4, 9), np.arange(7, 20))
    np.testing.assert_array_equal(values, unpacked.meteo["vpd"][3:30, 4:9, 7:20])


def test_the_digest_follows_the_content_and_not_the_place(
    tmp_path: Path, cube_writer: Callable[..., Any]
) -> None:
    one, two = (cube_writer(str(tmp_path / name)) for name in ("one.zarr", "two.zarr"))
    first = open_cube(one.url).digest
    assert open_cube(two.url).digest == first
    assert seal(one.url) == first
    write_series(two.url, "meteo", "ta", (0, 0, 0), two.meteo["ta"][:20, :10, :10] + 1)
    assert seal(two.url) != first


def test_a_changed_unit_changes_the_digest(scratch: Any) -> None:
    before = zarr.open_group(scratch.url, mode="r").attrs["digest"]
    edit(scratch.url, "meteo/ta", lambda a: a.update(units="K"))
    assert seal(scratch.url) != before


def test_nothing_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="no Zarr group there; give the path of a driver cube"):
        open_cube(str(tmp_path / "nothing.zarr"))


def test_another_store_is_refused(tmp_path: Path) -> None:
    zarr.open_group(str(tmp_path / "other.zarr"), mode="w")
    with pytest.raises(DriverError, match="a Zarr store, but no driver cube"):
        open_cube(str(tmp_path / "other.zarr"))


def test_an_unfinished_cube_is_refused(tmp_path: Path, cube_writer: Callable[..., Any]) -> None:
    cube_writer(str(tmp_path / "half.zarr"), sealed=False)
    with pytest.raises(DriverError, match="never finished"):
        open_cube(str(tmp_path / "half.zarr"))


@pytest.mark.parametrize("group", ["static", "meteo"])
def test_a_missing_group_is_named(scratch: Any, group: str) -> None:
    remove(scratch.url, group)
    with pytest.raises(DriverError, match=f"no group '{group}'"):
        open_cube(scratch.url)


@pytest.mark.parametrize("layer", ["igbp", "koppen", "sftlf", "elevation"])
def test_a_missing_static_layer_is_named(scratch: Any, layer: str) -> None:
    remove(scratch.url, f"static/{layer}")
    with pytest.raises(DriverError, match=layer):
        open_cube(scratch.url)


def test_a_cube_without_satellite_is_a_cube(scratch: Any) -> None:
    remove(scratch.url, "satellite")
    assert sorted(open_cube(scratch.url).variables) == ["p", "sw_in", "ta", "vpd"]


@pytest.mark.parametrize(
    ("path", "name", "wrong", "right"),
    [("meteo", "ta", "K", "degC"), ("meteo", "p", "m", "mm d-1"), ("static", "sftlf", "1", "%")],
)
def test_wrong_units_are_refused_with_both(
    scratch: Any, path: str, name: str, wrong: str, right: str
) -> None:
    edit(scratch.url, f"{path}/{name}", lambda a: a.update(units=wrong))
    message = f"{path}/{name}: expected units '{right}', found '{wrong}'; convert the data"
    with pytest.raises(DriverError, match=message):
        open_cube(scratch.url)


def test_missing_units_are_refused(scratch: Any) -> None:
    edit(scratch.url, "meteo/ta", lambda a: a.pop("units"))
    with pytest.raises(DriverError, match="expected units 'degC', found None"):
        open_cube(scratch.url)


def test_an_unknown_variable_is_refused(scratch: Any) -> None:
    (Path(scratch.url) / "meteo" / "ta").rename(Path(scratch.url) / "meteo" / "t2m")
    seal(scratch.url)
    with pytest.raises(DriverError, match=r"unknown variable 't2m'; known: .*ta"):
        open_cube(scratch.url)


def test_a_gap_in_the_calendar_is_refused_with_its_day(scratch: Any) -> None:
    time: Any = zarr.open_group(scratch.url, mode="r+")["meteo/time"]
    time[20:] = time[20:] + 3
    seal(scratch.url)
    with pytest.raises(DriverError, match="found a step of 4 days after day number 4399"):
        open_cube(scratch.url)


@pytest.mark.parametrize("group", ["meteo", "satellite"])
@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("units", "days since 1970-01-01", TIME_UNITS),
        ("units", "hours since 2000-01-01", TIME_UNITS),
        ("calendar", "noleap", CALENDAR),
        ("calendar", None, CALENDAR),
    ],
)
def test_another_calendar_is_refused_with_both(
    scratch: Any, group: str, name: str, wrong: str | None, right: str
) -> None:
    """Days counted from elsewhere would move every season without a word."""
    edit(scratch.url, f"{group}/time", lambda a: a.pop(name))
    if wrong:
        edit(scratch.url, f"{group}/time", lambda a: a.update({name: wrong}))
    message = f"{group}/time: expected {name} {right!r}, found {wrong!r}; convert the days"
    with pytest.raises(DriverError, match=message):
        open_cube(scratch.url)


def replace(url: str, path: str, values: np.ndarray) -> None:
    """Write other values at an array of one axis, and seal the cube."""
    root = zarr.open_group(url, mode="r+")
    attributes = dict(root[path].attrs)
    root.create_array(path, data=values, attributes=attributes, overwrite=True)
    seal(url)


def test_days_that_are_no_whole_numbers_are_refused(scratch: Any) -> None:
    replace(scratch.url, "meteo/time", np.arange(4380, 4430) + 0.5)
    with pytest.raises(DriverError, match="meteo/time: expected whole days as integers, found flo"):
        open_cube(scratch.url)


def test_a_group_without_days_is_refused(scratch: Any) -> None:
    replace(scratch.url, "meteo/time", np.empty(0, np.int32))
    with pytest.raises(DriverError, match="meteo/time: expected one row per day, found no days"):
        open_cube(scratch.url)


@pytest.mark.parametrize("group", ["static", "meteo", "satellite"])
@pytest.mark.parametrize("axis", ["lat", "lon"])
def test_coordinates_that_are_not_those_of_the_grid_are_refused(
    scratch: Any, group: str, axis: str
) -> None:
    """South-up data, or longitudes from 0 to 360, would put every cell elsewhere."""
    coordinate: Any = zarr.open_group(scratch.url, mode="r+")[f"{group}/{axis}"]
    right = coordinate[:]
    for wrong in (right[::-1], right + 0.01, right + 360):
        coordinate[:] = wrong
        seal(scratch.url)
        message = rf"{group}/{axis}: expected the \d+ centres from .*, found .* {wrong[0]:.6f} to"
        with pytest.raises(DriverError, match=message):
            open_cube(scratch.url)
    coordinate[:] = right + 1e-7
    seal(scratch.url)
    open_cube(scratch.url)
    replace(scratch.url, f"{group}/{axis}", right[:-1])
    with pytest.raises(DriverError, match=f"found {right.size - 1} centres"):
        open_cube(scratch.url)


@pytest.mark.parametrize("name", ["time", "lat", "lon"])
def test_a_missing_coordinate_is_named(scratch: Any, name: str) -> None:
    remove(scratch.url, f"meteo/{name}")
    with pytest.raises(DriverError, match=f"meteo: .* found no {name}; add it"):
        open_cube(scratch.url)


def test_a_value_that_no_unit_explains_is_refused_with_day_and_place(scratch: Any) -> None:
    kelvin = scratch.meteo["ta"].copy()
    kelvin[7, :10, :10] += 273.15
    write_series(scratch.url, "meteo", "ta", (0, 0, 0), kelvin)
    seal(scratch.url)
    cube = open_cube(scratch.url)
    surface = read_surface(cube, *EVERYWHERE)
    message = rf"ta: \d+ values outside -95..65 degC, the first .* on {date_of(4387)} at 48\.\d+ N"
    with pytest.raises(DriverError, match=message):
        read_features(cube, surface, ("ta",), 4380, 50)
    other_days = read_features(cube, surface, ("ta",), 4390, 10)
    assert np.isfinite(other_days.values).all()


@dataclass(frozen=True)
class Bucket:
    """A made cube in a bucket of an S3 server on loopback."""

    cube: str
    endpoint: str


@pytest.fixture(scope="module")
def bucket(cube_writer: Callable[..., Any]) -> Iterator[Bucket]:
    """The server is found through the environment, as the clients of the cloud do."""
    server_module = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        for key in list(os.environ):
            if key.startswith("AWS_") or key.lower().endswith("_proxy"):
                environment.delenv(key)
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("cubes")
        cube_writer("s3://cubes/drivers.zarr")
        yield Bucket("s3://cubes/drivers.zarr", f"http://{host}:{port}")
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_a_cube_in_an_s3_bucket_is_the_cube_on_disk(bucket: Bucket, packed: Any) -> None:
    there, here = open_cube(bucket.cube), open_cube(packed.url)
    assert there.digest == here.digest
    features = ("ta", "p", "ndvi", "sw_pot")
    one, other = (
        read_features(cube, read_surface(cube, *EVERYWHERE), features, 4375, 40)
        for cube in (there, here)
    )
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.filled, other.filled)


def test_a_chunk_that_is_lost_from_an_s3_bucket_is_named(bucket: Bucket) -> None:
    files = fsspec.filesystem("s3")
    files.copy("cubes/drivers.zarr", "cubes/broken.zarr", recursive=True)
    files.rm_file("cubes/broken.zarr/meteo/p/c/1/0/0")
    files.pipe("cubes/broken.zarr/static/igbp/c/0/0", b"another")
    cube = open_cube("s3://cubes/broken.zarr")
    with pytest.raises(DriverError, match=r"s3://cubes/broken.zarr/meteo/p/c/1/0/0: .* was lost"):
        cube.series["meteo"].read("p", slice(0, 30), np.arange(3), np.arange(3))
    with pytest.raises(DriverError, match=r"s3://.*/static/igbp/c/0/0: .* 7 other bytes"):
        read_surface(cube, *EVERYWHERE)
    assert len(check_drivers("s3://cubes/broken.zarr").faults) == 2


def test_nothing_in_an_s3_bucket_is_refused(bucket: Bucket) -> None:
    with pytest.raises(DriverError, match="no Zarr group there"):
        open_cube(bucket.cube.replace("drivers", "nothing"))


def test_what_lies_in_an_s3_bucket_is_replaced_only_where_it_may_be(
    bucket: Bucket, cube_writer: Callable[..., Any]
) -> None:
    text = {"title": "new", "source": "test", "day_definition": "utc"}
    files = fsspec.filesystem("s3")
    files.pipe("cubes/theses/one.txt", b"mine")
    for taken in ("s3://cubes/theses", "s3://cubes/theses/one.txt", "s3://cubes"):
        with pytest.raises(FileExistsError, match="no driver cube; give another path"):
            create_cube(taken, **text, overwrite=True)
    assert files.cat("cubes/theses/one.txt") == b"mine"
    with pytest.raises(FileExistsError, match=r"finished driver cube .* exists already"):
        create_cube(bucket.cube, **text)
    copy = bucket.cube.replace("drivers", "copy")
    files.touch("cubes/copy.zarr/")  # a folder as some tools make it
    digest = open_cube(cube_writer(copy).url).digest
    assert digest == open_cube(bucket.cube).digest
    create_cube(copy, **text, overwrite=True)
    files.invalidate_cache()
    assert [key for key in files.find("cubes/copy.zarr") if key[-1] != "/"] == [
        "cubes/copy.zarr/zarr.json"
    ]


def test_the_place_of_an_s3_bucket_may_be_given_as_options(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(key)
    options = {"endpoint_url": bucket.endpoint, "key": "testing", "secret": "testing"}
    assert "ta" in open_cube(bucket.cube, options).variables
