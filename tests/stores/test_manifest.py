"""The manifest of a store: what it lists, and that nothing else is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr

from upscale.stores.arrays import create_array
from upscale.stores.blocksums import block_sums, mix, sums_of
from upscale.stores.manifest import (
    SEAL,
    ArrayManifest,
    object_digest,
    place_of,
    read_manifest,
    write_manifest,
)
from upscale.stores.verified import VerifiedStore


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of two arrays, one without a chunk in its middle, and a scalar; sealed."""
    fsspec.filesystem("memory").store.clear()
    url = str(tmp_path / "s.zarr") if request.param == "disk" else "memory://stores/s.zarr"
    root = zarr.create_group(url, zarr_format=3, attributes={"title": "made"})
    values = create_array(root, "a/values", (5, 7), "i2", ("y", "x"), fill=0, chunks=(2, 3))
    values[...] = np.arange(1, 36).reshape(5, 7)
    values[2:4, 3:6] = 0
    sharded = create_array(
        root, "a/sharded", (8, 8), "f4", ("y", "x"), fill=0, chunks=(2, 2), shards=(4, 8)
    )
    sharded[...] = np.arange(1, 65).reshape(8, 8)
    create_array(root, "one", (), "i4", (), fill=0, chunks=())[...] = 7
    root.attrs[SEAL] = write_manifest(url)
    return url


def opened(url: str) -> zarr.Group:
    root = zarr.open_group(url, mode="r")
    manifest = read_manifest(url, root.attrs, LookupError)
    return zarr.open_group(VerifiedStore(root.store, manifest, url, LookupError), mode="r")


def change(url: str, key: str, how: Callable[[bytes], bytes]) -> None:
    files, root = fsspec.core.url_to_fs(url)
    files.pipe_file(f"{root}/{key}", how(files.cat_file(f"{root}/{key}")))


def remove(url: str, key: str) -> None:
    files, root = fsspec.core.url_to_fs(url)
    files.rm_file(f"{root}/{key}")


def test_what_was_sealed_is_read(store: str) -> None:
    root: Any = opened(store)
    expected = np.arange(1, 36).reshape(5, 7)
    expected[2:4, 3:6] = 0
    np.testing.assert_array_equal(root["a/values"][...], expected)
    np.testing.assert_array_equal(root["a/sharded"][1:7, 3:5], expected_shards()[1:7, 3:5])
    assert root["one"][...] == 7
    assert dict(root.members()).keys() == {"a", "one"}
    assert sorted(root["a"].array_keys()) == ["sharded", "values"]


def expected_shards() -> np.ndarray:
    return np.arange(1, 65, dtype=np.float32).reshape(8, 8)


KEYS = ["a/values/c/0/0", "a/values/c/2/2", "a/sharded/c/1/0", "one/c", "a/values/zarr.json"]


def read_all(url: str) -> None:
    root: Any = opened(url)
    for array in (root["a"]["values"], root["a"]["sharded"], root["one"]):
        array[...]


@pytest.mark.parametrize("key", [*KEYS, "a/zarr.json", "one/manifest"])
@pytest.mark.parametrize(
    ("how", "found"),
    [
        (None, "found none: it was lost"),
        (lambda b: b[:-1], "other bytes: it was cut or changed"),
        (lambda b: b[:-1] + bytes([b[-1] ^ 1]), "other bytes: it was cut or changed"),
        (lambda b: b"", "found 0 other bytes"),
    ],
)
def test_what_is_lost_cut_or_changed_is_named(store: str, key: str, how: Any, found: str) -> None:
    remove(store, key) if how is None else change(store, key, how)
    with pytest.raises(LookupError, match=f"s.zarr/{key}: expected the object that was sealed, "):
        read_all(store)
    with pytest.raises(LookupError, match=found):
        read_all(store)


def test_attributes_of_the_root_are_the_sealed_ones(store: str) -> None:
    zarr.open_group(store, mode="r+").attrs["title"] = "another"
    with pytest.raises(LookupError, match=r"s.zarr/zarr.json: expected the attributes that were"):
        opened(store)


def test_what_is_not_listed_is_not_there(store: str) -> None:
    root = zarr.open_group(store, mode="r+")
    root["a"].create_array("later", data=np.ones(3))
    root["a/values"][2:4, 3:6] = 9
    sealed: Any = opened(store)
    assert "later" not in sealed["a"]
    assert not sealed["a/values"][2:4, 3:6].any()


def test_a_seal_of_another_form_is_refused(store: str) -> None:
    root = zarr.open_group(store, mode="r+")
    root.attrs[SEAL] = dict(root.attrs[SEAL]) | {"form": 9}
    with pytest.raises(LookupError, match="expected a seal of form 1, found 9"):
        opened(store)


@pytest.mark.parametrize("grid", [(), (1,), (3, 5), (2, 3, 4)])
def test_the_manifest_of_an_array_comes_back(grid: tuple[int, ...]) -> None:
    random = np.random.default_rng(1)
    digests = random.integers(0, 256, (*grid, 16), np.uint8)
    digests[random.random(grid) < 0.4] = 0
    made = ArrayManifest(object_digest(b"metadata"), digests)
    again = ArrayManifest.from_bytes(made.to_bytes())
    assert again.metadata == made.metadata
    np.testing.assert_array_equal(again.digests, digests)
    stored = int(digests.any(axis=-1).sum())
    assert len(made.to_bytes()) < 120 + 16 * stored
    with pytest.raises(ValueError, match="at the beginning"):
        ArrayManifest.from_bytes(b"something else")


def test_keys_of_chunks_are_told_from_others() -> None:
    assert place_of("meteo/ta/c/3/0/12") == ("meteo/ta", (3, 0, 12))
    assert place_of("one/c") == ("one", ())
    for key in ("meteo/ta/zarr.json", "meteo/ta/c/3/.1.partial", "meteo/ta/c/3/0.ab.partial"):
        assert place_of(key)[1] is None


def test_a_block_is_summed_as_its_chunks_are() -> None:
    digests = np.random.default_rng(2).integers(0, 256, (6, 9, 16), np.uint8)
    sums = sums_of(digests)
    each = sums[1:, 1:] - sums[:-1, 1:] - sums[1:, :-1] + sums[:-1, :-1]
    rows = np.array([[1, 4], [0, 6], [2, 2]])
    left, right = np.array([[0, 2], [3, 9], [1, 5]]), np.array([[8, 9], [0, 0], [0, 0]])
    for found, (top, bottom), one, other in zip(
        block_sums(sums, [rows], [left, right]), rows, left, right, strict=True
    ):
        expected = each[top:bottom, slice(*one)].sum((0, 1))
        expected += each[top:bottom, slice(*other)].sum((0, 1))
        np.testing.assert_array_equal(found, expected)
    moved = digests.copy()
    moved[[0, 5], [1, 2]] = digests[[5, 0], [2, 1]]
    assert (sums_of(moved)[-1, -1] != sums[-1, -1]).all()


def test_mixing_is_one_to_one_and_spreads_bits() -> None:
    values = np.arange(20_000, dtype=np.uint64)
    mixed = mix(values)
    assert np.unique(mixed).size == values.size
    flipped = np.bitwise_count(mix(values ^ np.uint64(1)) ^ mixed) if hasattr(
        np, "bitwise_count") else np.full(1, 32)  # fmt: skip
    assert 31 < flipped.mean() < 33
