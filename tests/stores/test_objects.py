"""Stored objects are written and removed whole, whatever is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from upscale.stores.arrays import create_array
from upscale.stores.axes import DAILY
from upscale.stores.objects import remove_objects, replace_objects


@pytest.fixture
def group(tmp_path: Path) -> zarr.Group:
    return zarr.create_group(url(tmp_path), zarr_format=3)


def url(folder: Path) -> str:
    return str(folder / "a.zarr")


@pytest.fixture
def sharded(group: zarr.Group) -> Any:
    return create_array(
        group, "x", (500, 25, 25), np.float32, DAILY, fill=np.nan, chunks=(30, 5, 5),
        shards=(360, 10, 10),
    )  # fmt: skip


#: The shard at the far ends of `sharded`, which it does not fill.
LAST = slice(360, 500), slice(20, 25), slice(20, 25)


def noise(region: tuple[slice, ...]) -> Any:
    shape = [part.stop - part.start for part in region]
    return np.random.default_rng(0).random(shape).astype(np.float32)


def test_whole_objects_are_written_as_zarr_writes_them(sharded: Any, tmp_path: Path) -> None:
    replace_objects(url(tmp_path), sharded, LAST, noise(LAST))
    file = tmp_path / "a.zarr" / "x" / "c" / "1" / "2" / "2"
    assert np.array_equal(sharded[LAST], noise(LAST))
    assert np.isnan(sharded[:360]).all()
    content = file.read_bytes()
    file.unlink()
    sharded.with_config({"write_empty_chunks": True})[LAST] = noise(LAST)
    assert file.read_bytes() == content


def test_a_damaged_object_is_replaced_and_removed(sharded: Any, tmp_path: Path) -> None:
    file = tmp_path / "a.zarr" / "x" / "c" / "1" / "2" / "2"
    for _ in range(2):
        replace_objects(url(tmp_path), sharded, LAST, noise(LAST))
        file.write_bytes(file.read_bytes()[:-40])
        with pytest.raises((ValueError, RuntimeError)):
            sharded[LAST]
    replace_objects(url(tmp_path), sharded, LAST, noise(LAST))
    assert np.array_equal(sharded[LAST], noise(LAST))
    file.write_bytes(b"torn")
    remove_objects(url(tmp_path), sharded, LAST)
    assert np.isnan(sharded[LAST]).all()
    assert not file.exists()


def test_an_empty_object_is_stored(group: zarr.Group, tmp_path: Path) -> None:
    array = create_array(group, "y", (3, 20), np.float32, ("a", "b"), fill=np.nan, chunks=(3, 10))
    replace_objects(
        url(tmp_path), array, (slice(0, 3), slice(10, 20)), np.full((3, 10), np.nan, np.float32)
    )
    assert [f.name for f in (tmp_path / "a.zarr" / "y" / "c" / "0").iterdir()] == ["1"]


def test_a_part_of_an_object_is_refused(sharded: Any, tmp_path: Path) -> None:
    region = slice(30, 60), slice(0, 10), slice(0, 10)
    with pytest.raises(ValueError, match="expected a region of whole objects"):
        replace_objects(url(tmp_path), sharded, region, noise(region))
