"""How arrays are encoded, and what their axes say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from pyproj import CRS
from zarr.errors import ContainsArrayError

from upscale.calendar import dates_of
from upscale.grid import load_grid
from upscale.stores.arrays import (
    CHECKED,
    PLAIN,
    create_array,
    packed,
    put_array,
    shuffled,
)
from upscale.stores.axes import AXES, CELLS, DAILY, put_axes, put_bare_axes, put_stretches

GRID = load_grid("global-1p0").crop(slice(40, 52), slice(180, 187))
DAYS = np.arange(4375, 4385)


@pytest.fixture
def group(tmp_path: Path) -> zarr.Group:
    return zarr.create_group(str(tmp_path / "a.zarr"), zarr_format=3)


def codecs(array: Any) -> list[dict[str, Any]]:
    return [codec.to_dict() for codec in array.compressors]


def test_what_was_never_written_reads_as_the_fill_value(group: zarr.Group) -> None:
    array = create_array(group, "a", (4, 6), np.uint8, CELLS, fill=255, chunks=(2, 3))
    assert (np.asarray(array[...]) == 255).all()
    assert array.metadata.dimension_names == CELLS
    assert codecs(array) == [CHECKED.to_dict()]


def test_a_shard_holds_chunks(group: zarr.Group) -> None:
    array = create_array(
        group, "a", (10, 12, 7), np.float32, DAILY, fill=np.nan, chunks=(5, 3, 7), shards=(10, 6, 7)
    )
    array[:10, :6] = 1.5
    assert (array.chunks, array.shards) == ((5, 3, 7), (10, 6, 7))
    assert np.isnan(array[:, 6:]).all()
    assert array.nchunks_initialized == 4  # those of one shard, which is one object
    assert len(list(Path(str(group.store_path.store.root)).rglob("c/*/*/*"))) == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_bits_are_shuffled_by_the_size_of_a_value(group: zarr.Group, dtype: Any) -> None:
    array = create_array(
        group, "a", (4,), dtype, ("time",), fill=0, chunks=(4,), codec=shuffled(dtype)
    )
    codec, checksum = array.compressors
    assert checksum.to_dict()["name"] == "crc32c"
    assert (codec.typesize, codec.shuffle.value) == (np.dtype(dtype).itemsize, "bitshuffle")


def test_an_array_that_is_there_is_replaced_only_on_demand(group: zarr.Group) -> None:
    put_array(group, "a", np.arange(3), ("x",))
    with pytest.raises(ContainsArrayError):
        put_array(group, "a", np.arange(4), ("x",))
    put_array(group, "a", np.arange(4), ("x",), overwrite=True)
    np.testing.assert_array_equal(group["a"][...], np.arange(4))


def test_a_layer_is_cut_and_a_single_value_is_not(group: zarr.Group) -> None:
    put_array(group, "layer", np.zeros((5, 3), np.float32), CELLS, {"units": "m"}, chunk=4)
    put_array(group, "single", np.array(7, np.int32), ())
    assert group["layer"].chunks == (4, 3)
    assert group["layer"].attrs["units"] == "m"
    assert np.isnan(group["layer"].fill_value)
    assert (group["single"].chunks, int(group["single"][()])) == ((), 7)


def test_described_axes_are_read_by_xarray_as_days_and_degrees(group: zarr.Group) -> None:
    put_axes(group, GRID, DAYS)
    opened = xr.open_zarr(str(group.store_path), consolidated=False)
    np.testing.assert_array_equal(opened["time"].values.astype("datetime64[D]"), dates_of(DAYS))
    np.testing.assert_array_equal(opened["lat"].values, GRID.lat)
    np.testing.assert_array_equal(opened["lon_bnds"].values, GRID.lon_bounds)
    assert {*opened.variables} == {*AXES}
    assert CRS(opened["crs"].attrs["crs_wkt"]) == CRS(4326)


def test_every_described_axis_names_bounds_that_enclose_it(group: zarr.Group) -> None:
    put_axes(group, GRID, DAYS)
    stretches = np.array([[4375, 4380], [4380, 4395]], np.int32)
    put_stretches(group, "step", stretches)
    for name in ("time", "lat", "lon", "step"):
        text = dict(group[name].attrs)
        bounds = np.sort(group[text["bounds"]][...], axis=1)
        assert (bounds[:, 0] <= group[name][...]).all(), name
        assert (group[name][...] < bounds[:, 1]).all(), name
        assert text["long_name"]
    assert group["step"].attrs["units"] == group["time"].attrs["units"]


def test_bare_axes_have_no_names_for_people_and_are_replaced(group: zarr.Group) -> None:
    put_bare_axes(group, GRID, DAYS)
    put_bare_axes(group, GRID, DAYS[:3])
    assert {name: dict(array.attrs) for name, array in group.arrays()} == {
        "lat": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
        "lon": {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
        "time": {
            "standard_name": "time",
            "units": "days since 2000-01-01",
            "calendar": "proleptic_gregorian",
        },
    }
    np.testing.assert_array_equal(group["time"][...], DAYS[:3])
    assert all(codecs(array) == [PLAIN.to_dict()] for _, array in group.arrays())


def test_static_layers_have_no_time(group: zarr.Group) -> None:
    put_bare_axes(group, GRID)
    assert sorted(group.array_keys()) == ["lat", "lon"]


@pytest.mark.parametrize("dtype", [np.float32, np.uint32, np.uint8])
def test_a_flipped_bit_in_a_chunk_of_fluxes_is_refused(group: zarr.Group, dtype: Any) -> None:
    values = np.arange(4000).astype(dtype)
    array = create_array(
        group, "a", (4000,), dtype, ("time",), fill=0, chunks=(4000,), codec=packed(dtype)
    )
    array[...] = values
    path = Path(str(group.store_path.store.root)) / "a" / "c" / "0"
    content = path.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises((ValueError, RuntimeError)):
            array[...]
    path.write_bytes(content)
    np.testing.assert_array_equal(np.asarray(array[...]), values)
