"""A sealed cube gives what was sealed, or says which object is not."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import zarr

from upscale.drivers.audit import check_drivers, is_driver_cube, seal_as_it_is
from upscale.drivers.cube import DriverCube, DriverError, UnsealedCubeWarning, open_cube
from upscale.drivers.tiles import read_features, read_surface
from upscale.drivers.writer import seal

FIRST, DAYS = 4380, 50
FEATURES = ("ta", "sw_in", "vpd", "p", "ndvi")


def read_all(cube: DriverCube) -> np.ndarray:
    surface = read_surface(cube, slice(0, 40), slice(0, 60))
    return read_features(cube, surface, FEATURES, FIRST, DAYS).values


def chunks_of(url: str, *arrays: str) -> list[str]:
    """Keys of the stored chunks of some arrays, or of all."""
    files = sorted(Path(url).rglob("c/**/*"))
    keys = [path.relative_to(url).as_posix() for path in files if path.is_file()]
    return [key for key in keys if not arrays or key.startswith(tuple(f"{a}/c" for a in arrays))]


def refused(url: str, key: str, found: str) -> None:
    """A cube that cannot be read names the object that is not the sealed one."""
    with pytest.raises(DriverError, match=f"{url}/{key}: expected the object .*{found}.*; restore"):
        read_all(open_cube(url))


@pytest.mark.parametrize("array", ["meteo/ta", "meteo/land", "meteo/p", "static/igbp"])
@pytest.mark.parametrize("how", ["lost", "cut", "empty"])
def test_a_chunk_that_is_lost_or_cut_is_named(scratch: Any, array: str, how: str) -> None:
    key = chunks_of(scratch.url, array)[0]
    file = Path(scratch.url) / key
    content = file.read_bytes()
    file.unlink()
    if how != "lost":
        file.write_bytes(content[: len(content) // 2 if how == "cut" else 0])
    refused(scratch.url, key, "it was lost" if how == "lost" else "it was cut or changed")
    report = check_drivers(scratch.url)
    assert len(report.faults) == 1
    assert f"{scratch.url}/{key}: " in report.faults[0]


def test_every_flipped_bit_is_found_by_its_path(scratch: Any) -> None:
    """One bit in each chunk, each at another place of it; also with the plain reader of Zarr."""
    random = np.random.default_rng(0)
    keys = [key for key in chunks_of(scratch.url) if "/lat/" not in key and "/lon/" not in key]
    root: Any = zarr.open_group(scratch.url, mode="r")
    before = {array: root[array][...] for array in {key.split("/c")[0] for key in keys}}
    assert len(keys) > 20
    for key in keys:
        content = bytearray((Path(scratch.url) / key).read_bytes())
        content[random.integers(len(content))] ^= 1 << int(random.integers(8))
        (Path(scratch.url) / key).write_bytes(content)
    report = check_drivers(scratch.url)
    assert sorted(fault.split(": ")[0] for fault in report.faults) == [
        f"{scratch.url}/{key}" for key in sorted(keys)
    ]
    for array, values in before.items():
        try:
            found = root[array][...]
        except Exception:  # what a codec raises
            continue
        np.testing.assert_array_equal(found, values)  # the bit decided nothing


def test_a_valid_chunk_of_another_place_is_found(scratch: Any) -> None:
    one, other = (Path(scratch.url) / key for key in chunks_of(scratch.url, "meteo/ta")[:2])
    shutil.copy(one, other)
    refused(scratch.url, other.relative_to(scratch.url).as_posix(), "it was cut or changed")


@pytest.mark.parametrize("key", ["meteo/ta", "meteo", "static/sftlf", "meteo/time"])
def test_metadata_that_changed_is_named(scratch: Any, key: str) -> None:
    zarr.open_group(scratch.url, mode="r+")[key].attrs["scale_factor"] = 2.0
    refused(scratch.url, f"{key}/zarr.json", "it was cut or changed")
    assert f"{key}/zarr.json: " in check_drivers(scratch.url).faults[0]


def test_a_root_and_a_manifest_that_changed_are_named(scratch: Any) -> None:
    zarr.open_group(scratch.url, mode="r+").attrs["day_definition"] = "local-standard"
    manifest = Path(scratch.url) / "satellite/ndvi/manifest"
    manifest.write_bytes(manifest.read_bytes()[:-1])
    with pytest.raises(DriverError, match=r"zarr.json: expected the attributes that were sealed"):
        open_cube(scratch.url)
    faults = check_drivers(scratch.url).faults
    assert [fault.split(": ")[0].removeprefix(scratch.url) for fault in faults] == [
        "/zarr.json", "/satellite/ndvi/manifest"
    ]  # fmt: skip


def test_what_was_not_sealed_is_not_read_and_is_named(scratch: Any) -> None:
    root: Any = zarr.open_group(scratch.url, mode="r+")
    values = root["meteo/p"][:20, :20, :20]
    root["meteo/p"][:20, :20, :20] = root["meteo/p"].fill_value
    seal(scratch.url)
    expected = read_all(open_cube(scratch.url))
    assert np.isnan(expected).any()
    root["meteo/p"][:20, :20, :20] = values
    shutil.copytree(Path(scratch.url) / "meteo/ta", Path(scratch.url) / "meteo/extra")
    np.testing.assert_array_equal(read_all(open_cube(scratch.url)), expected)
    found = "expected nothing, found a"
    assert check_drivers(scratch.url).faults == (
        f"{scratch.url}/meteo/extra: {found} group or an array that was not sealed",
        f"{scratch.url}/meteo/p/c/0/0/0: {found} chunk that was not sealed",
    )


def old_form(url: str) -> str:
    """Make a cube one of version 0.1; its digest then."""
    for file in Path(url).rglob("manifest"):
        file.unlink()
    root = zarr.open_group(url, mode="r+")
    root.attrs.pop("seal")
    digest = hashlib.sha256()
    for file in sorted(f for f in Path(url).rglob("*") if f.is_file()):
        if (key := file.relative_to(url).as_posix()) != "zarr.json":
            digest.update(key.encode() + hashlib.sha256(file.read_bytes()).digest())
    root.attrs.update({"schema": 1, "digest": digest.hexdigest()})
    return digest.hexdigest()


def test_a_cube_of_version_1_opens_with_a_warning_and_can_be_sealed(scratch: Any) -> None:
    former = old_form(scratch.url)
    with pytest.warns(UnsealedCubeWarning, match=f"`upscale seal {scratch.url}` seals it"):
        cube = open_cube(scratch.url)
    assert not cube.sealed
    expected = read_all(cube)
    report = check_drivers(scratch.url)
    assert (report.sealed, report.passed) == (False, True)
    done = seal_as_it_is(scratch.url)
    assert (done.digest, done.unchanged, done.chunks) == (former, True, report.chunks)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cube = open_cube(scratch.url)
    assert cube.sealed
    assert (cube.digest, cube.attributes["schema"]) == (former, 2)
    np.testing.assert_array_equal(read_all(cube), expected)
    key = chunks_of(scratch.url, "meteo/vpd")[1]
    (Path(scratch.url) / key).unlink()
    refused(scratch.url, key, "it was lost")


def test_sealing_an_old_cube_says_that_something_changed_since(scratch: Any) -> None:
    former = old_form(scratch.url)
    (Path(scratch.url) / chunks_of(scratch.url, "meteo/ta")[0]).unlink()
    done = seal_as_it_is(scratch.url)
    assert done.unchanged is False
    assert done.digest != former
    read_all(open_cube(scratch.url))


def test_what_was_sealed_is_sealed_again_only_on_request(scratch: Any) -> None:
    with pytest.raises(DriverError, match=r"found a sealed one; `upscale check .*--again"):
        seal_as_it_is(scratch.url)
    zarr.open_group(scratch.url, mode="r+").attrs["title"] = "another"
    assert seal_as_it_is(scratch.url, again=True).unchanged is None
    assert open_cube(scratch.url).attributes["title"] == "another"


def test_a_cube_without_a_seal_is_not_sealed_from_outside(
    tmp_path: Path, cube_writer: Callable[..., Any]
) -> None:
    url = cube_writer(str(tmp_path / "half.zarr"), sealed=False).url
    for refuse in (seal_as_it_is, check_drivers):
        with pytest.raises(DriverError, match="never finished"):
            refuse(url)
    assert is_driver_cube(url)
    assert not is_driver_cube(str(tmp_path))
    assert not is_driver_cube(str(tmp_path / "nothing"))


def test_a_cube_in_memory_is_verified_as_one_on_disk(packed: Any) -> None:
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.put(packed.url, "/sealed.zarr", recursive=True)
    url = "memory://sealed.zarr"
    np.testing.assert_array_equal(read_all(open_cube(url)), read_all(open_cube(packed.url)))
    files.rm_file("/sealed.zarr/meteo/sw_in/c/1/0/0")
    refused(url, "meteo/sw_in/c/1/0/0", "it was lost")
    assert len(check_drivers(url).faults) == 1


def test_sealing_twice_changes_nothing(scratch: Any) -> None:
    def stamps() -> dict[str, int]:
        root = Path(scratch.url) / "zarr.json"
        return {str(root): root.stat().st_mtime_ns}

    before, digest = stamps(), open_cube(scratch.url).digest
    assert seal(scratch.url) == digest
    assert stamps() == before


def test_all_that_is_sealed_is_listed(packed: Any) -> None:
    manifest = open_cube(packed.url).manifest
    assert manifest is not None
    listed = {
        "/".join([path, "c", *map(str, place)])
        for path, array in manifest.arrays.items()
        for place in itertools.product(*map(range, array.digests.shape[:-1]))
        if array.at(place)
    }
    assert listed == set(chunks_of(packed.url))
