"""A whole driver cube read and compared with its manifest, and cubes of version 0.1 sealed."""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import fsspec
import numpy as np
import zarr

from upscale.drivers.cube import KIND, DriverError, UnsealedCubeWarning, open_cube, open_root
from upscale.drivers.writer import seal
from upscale.stores.broken import BROKEN, in_short, refusing
from upscale.stores.manifest import (
    NAME,
    SEAL,
    ArrayManifest,
    Chunk,
    Manifest,
    check_attributes,
    check_seal,
    chunk_grid,
    stored_chunks,
    stored_manifests,
)
from upscale.stores.verified import VerifiedStore

_THREADS, _BATCH = 4, 256


@dataclass(frozen=True)
class CubeReport:
    """What was found in a driver cube.

    sealed: whether it has a manifest; ingested: whether an ingest made it; chunks: how many were
    read; faults: what is wrong, each with its path.
    """

    url: str
    sealed: bool
    ingested: bool
    chunks: int
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.faults


@dataclass(frozen=True)
class SealReport:
    """What was sealed. unchanged: whether the objects are those with which the cube was finished;
    None where that cannot be known."""

    url: str
    arrays: int
    chunks: int
    digest: str
    unchanged: bool | None


def is_driver_cube(url: str) -> bool:
    """Whether a Zarr store says that it is a driver cube, finished or not."""
    try:
        return bool(zarr.open_group(url, mode="r").attrs.get("kind") == KIND)
    except (OSError, *BROKEN):
        return False


def check_drivers(url: str) -> CubeReport:
    """Read every object of a driver cube: of a sealed one, all that its manifest lists has to be
    there and the same, and nothing else; every chunk has to decode.

    DriverError where there is no finished driver cube.
    """
    root = open_root(url)
    faults: list[str] = []
    found = root
    manifest = _manifest(url, root, faults) if SEAL in root.attrs else None
    if manifest is not None:
        found = zarr.open_group(
            VerifiedStore(root.store, manifest, url, DriverError), mode="r", use_consolidated=False
        )
        faults += _unlisted_nodes(url, root, manifest)
        faults += _lost_groups(found, manifest)
    read = 0
    for path, array in _arrays(root, found, manifest, faults):
        count, wrong = _check_array(url, path, array, manifest)
        read += count
        faults += wrong
    ingested = "ingest_digest" in root.attrs
    return CubeReport(url, manifest is not None, ingested, read, tuple(faults or _refused(url)))


def _refused(url: str) -> list[str]:
    """Why a cube without a fault in its objects cannot be opened."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnsealedCubeWarning)
        try:
            open_cube(url)
        except DriverError as error:
            return [str(error)]
    return []


def _manifest(url: str, root: zarr.Group, faults: list[str]) -> Manifest:
    """What is whole of the manifest of a cube; the rest is added to `faults`."""
    check_seal(url, root.attrs, DriverError)
    seal_of: Any = root.attrs[SEAL]
    arrays: dict[str, ArrayManifest] = {}
    try:
        check_attributes(url, root.attrs, DriverError)
    except DriverError as error:
        faults.append(str(error))
    for path, read in stored_manifests(url, seal_of["arrays"], DriverError).items():
        try:
            arrays[path] = read()
        except DriverError as error:
            faults.append(str(error))
    groups = {path: bytes.fromhex(digest) for path, digest in seal_of["groups"].items()}
    return Manifest(groups, arrays)


def _unlisted_nodes(url: str, root: zarr.Group, manifest: Manifest) -> Iterator[str]:
    known = manifest.groups.keys() | root.attrs[SEAL]["arrays"].keys()
    try:
        there = [path for path, _ in root.members(max_depth=None)]
    except BROKEN:  # metadata that is no metadata is named where it is looked for
        return
    for path in sorted(set(there) - known):
        yield f"{url}/{path}: expected nothing, found a group or an array that was not sealed"


def _lost_groups(found: zarr.Group, manifest: Manifest) -> Iterator[str]:
    for path in manifest.groups:
        try:
            found[path]
        except DriverError as error:
            yield str(error)
        except BROKEN as error:
            yield _broken(path, error)


def _arrays(
    root: zarr.Group, found: zarr.Group, manifest: Manifest | None, faults: list[str]
) -> Iterator[tuple[str, zarr.Array[Any]]]:
    """The arrays of a cube whose metadata can be read; others are added to `faults`."""
    with refusing(str(root.store_path), "metadata of groups and arrays", DriverError):
        paths = manifest.arrays if manifest else dict(root.members(max_depth=None))
    for path in sorted(paths):
        try:
            node = found[path]
        except DriverError as error:
            faults.append(str(error))
            continue
        except BROKEN as error:
            faults.append(_broken(path, error))
            continue
        if isinstance(node, zarr.Array):
            yield path, node


def _broken(path: str, error: Exception) -> str:
    return f"{path}/zarr.json: expected metadata, found something else ({in_short(error)})"


def _check_array(
    url: str, path: str, array: zarr.Array[Any], manifest: Manifest | None
) -> tuple[int, list[str]]:
    """How many chunks of an array were read, and what is wrong with it."""
    files, root = fsspec.core.url_to_fs(url)
    files.invalidate_cache()
    try:
        grid = chunk_grid(array)
    except ValueError as error:
        return 0, [str(error)]
    there = {place for place, _ in stored_chunks(files, root, path, grid)}
    listed = there
    if manifest is not None:
        listed = set(map(tuple, np.argwhere(manifest.arrays[path].stored).tolist()))
    faults = [
        f"{url}/{path}/{_key(place)}: expected nothing, found a chunk that was not sealed"
        for place in sorted(there - listed)
    ]
    faults += (fault for fault in _read_all(url, path, array, sorted(listed)) if fault)
    return len(listed), faults


def _read_all(
    url: str, path: str, array: zarr.Array[Any], places: Iterable[Chunk]
) -> Iterator[str]:
    """What is wrong with each chunk, empty where nothing is; several are read at a time."""
    sizes = array.metadata.chunk_grid.chunk_shape

    def read(place: Chunk) -> str:
        try:
            array[tuple(slice(p * n, (p + 1) * n) for p, n in zip(place, sizes, strict=True))]
        except DriverError as error:
            return str(error)
        except Exception as error:  # whatever a codec raises
            return f"{url}/{path}/{_key(place)}: cannot be decoded ({error})"
        return ""

    left = iter(places)
    with ThreadPoolExecutor(_THREADS) as pool:
        while batch := list(itertools.islice(left, _BATCH)):
            yield from pool.map(read, batch)


def _key(place: Chunk) -> str:
    return "/".join(["c", *map(str, place)])


def lost_chunks(url: str) -> Iterator[tuple[str, Chunk]]:
    """Array and position of every chunk that a cube had when it was last sealed, and has no more,
    whether it is being written or not; no chunk is read."""
    listed: Any = zarr.open_group(url, mode="r").attrs.get(SEAL, {})
    files, root = fsspec.core.url_to_fs(url)
    files.invalidate_cache()
    for path, read in stored_manifests(url, listed.get("arrays", {}), DriverError).items():
        with suppress(DriverError):  # an array that is gone, or has been made anew
            missing = read().stored
            for found, _ in stored_chunks(files, root, path, missing.shape):
                missing[found] = False
            yield from ((path, tuple(chunk)) for chunk in np.argwhere(missing).tolist())


def seal_as_it_is(url: str, *, again: bool = False) -> SealReport:
    """Give a finished cube of version 0.1 its manifest: it attests what is there now.

    A cube that an ingest made keeps its digest, which is made of values; another one keeps it
    where it agrees with the objects. again: seal a sealed cube anew, as it is now. DriverError
    where there is no finished driver cube, or it is sealed already.
    """
    root = open_root(url)
    if SEAL in root.attrs and not again:
        raise DriverError(
            f"{url}: expected a cube without a manifest, found a sealed one; `upscale check {url}` "
            "verifies it, --again seals it anew as it is now"
        )
    former: str | None = str(root.attrs["digest"])
    unchanged = None
    if "ingest_digest" not in root.attrs:
        unchanged = former == _digest_of_version_1(url) if SEAL not in root.attrs else None
        former = former if unchanged else None
    digest = seal(url, former)
    arrays: Any = zarr.open_group(url, mode="r").attrs[SEAL]["arrays"]
    made = [read() for read in stored_manifests(url, arrays, DriverError).values()]
    return SealReport(url, len(made), sum(int(m.stored.sum()) for m in made), digest, unchanged)


def _digest_of_version_1(url: str) -> str:
    """sha256 of the sorted keys of a store and the sha256 of each object except its root."""
    files, root = fsspec.core.url_to_fs(url)
    files.invalidate_cache()
    digest = hashlib.sha256()
    for path in sorted(files.find(root)):
        key = path.removeprefix(root).lstrip("/")
        if key != "zarr.json" and not key.endswith(f"/{NAME}"):
            digest.update(key.encode() + hashlib.sha256(files.cat_file(path)).digest())
    return digest.hexdigest()
