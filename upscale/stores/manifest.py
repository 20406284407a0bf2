"""The manifest of a Zarr store: every object that belongs to it, with its digest.

Beside the metadata of each array lies an object `manifest`: the digest of the metadata, which
chunks are stored, and the digest of each. An attribute of the root, the seal, holds the digests
of these objects, of the metadata of all groups, and of the other attributes of the root. So
whoever has the root can tell of every object whether it is the one that was sealed.

A digest is the first 16 bytes of a sha256: of what the standard library offers, the fastest on
processors that have instructions for it (`benchmarks/sealed_reading.py`).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import fsspec
import numpy as np
import zarr
from numpy.typing import NDArray

from upscale.stores.blocksums import Lanes, sums_of
from upscale.stores.broken import refusing
from upscale.stores.location import write_object

#: Attribute of the root that holds the seal, and its form.
SEAL, FORM = "seal", 1

#: Name of the object beside the metadata of an array.
NAME = "manifest"

#: Bytes of a digest.
SIZE = 16

#: A path of a group or array in a store, and a digest in hexadecimal numbers.
_PATH, _HEX = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*"), re.compile(r"[0-9a-f]{32}")

_MAGIC = b"upscale manifest 1\n"
_THREADS, _BATCH = 8, 1024

Chunk = tuple[int, ...]

#: Makes an exception of what is wrong, and adds the remedy.
Fault = Callable[[str], Exception]


def object_digest(content: Any) -> bytes:
    """The digest of the bytes of an object."""
    return hashlib.sha256(content).digest()[:SIZE]


def digests_by_part(mask: NDArray[np.bool_], parts: tuple[int, int]) -> NDArray[np.uint8]:
    """Digests `(row, col, 16)` of the values of parts of a mask, the last ones padded."""
    (rows, cols), (down, across) = mask.shape, parts
    whole = np.pad(mask, ((0, -rows % down), (0, -cols % across)))
    blocks = whole.reshape(len(whole) // down, down, -1, across).swapaxes(1, 2)
    packed = np.packbits(blocks.reshape(*blocks.shape[:2], -1), axis=-1)
    digests = [object_digest(part.tobytes()) for row in packed for part in row]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(*packed.shape[:2], -1)


@dataclass(frozen=True)
class ArrayManifest:
    """The objects of an array. metadata: digest of its metadata; digests: `(*chunk, 16)` uint8 by
    position in the grid of chunks, zeros where no chunk is stored."""

    metadata: bytes
    digests: NDArray[np.uint8]

    def at(self, place: Chunk) -> bytes | None:
        """The digest of a chunk; None where none is stored."""
        grid = self.digests.shape[:-1]
        if len(place) != len(grid) or any(p >= n for p, n in zip(place, grid, strict=True)):
            return None
        found = self.digests[place].tobytes()
        return found if any(found) else None

    @property
    def stored(self) -> NDArray[np.bool_]:
        """Which chunks are stored, `(*chunk,)`."""
        return np.asarray(self.digests.any(axis=-1))

    @cached_property
    def sums(self) -> Lanes:
        """Sums of the digests from the first corner on: see `blocksums`."""
        return sums_of(self.digests)

    def to_bytes(self) -> bytes:
        """The object that holds it: two lines of text, a bit for each chunk, stored digests."""
        head = {"metadata": self.metadata.hex(), "grid": list(self.digests.shape[:-1])}
        stored = self.stored
        text = json.dumps(head).encode() + b"\n"
        return _MAGIC + text + np.packbits(stored).tobytes() + self.digests[stored].tobytes()

    @classmethod
    def from_bytes(cls, content: bytes) -> ArrayManifest:
        """What `to_bytes` gave. ValueError for anything else."""
        if not content.startswith(_MAGIC):
            raise ValueError(f"expected {_MAGIC!r} at the beginning, found {content[:20]!r}")
        with refusing("manifest of an array", "digests as they were written", ValueError):
            return cls._parsed(content)

    @classmethod
    def _parsed(cls, content: bytes) -> ArrayManifest:
        text, _, body = content[len(_MAGIC) :].partition(b"\n")
        head = json.loads(text)
        count = math.prod(head["grid"])
        if not 0 <= count <= 8 * len(body) or len(head["metadata"]) != 2 * SIZE:
            raise ValueError(f"{count} chunks and a digest {str(head['metadata'])[:40]}")
        bits, packed = -(-count // 8), np.frombuffer(body, np.uint8)
        stored = np.unpackbits(packed[:bits], count=count).astype(bool)
        digests = np.zeros((count, SIZE), np.uint8)
        digests[stored] = packed[bits:].reshape(-1, SIZE)
        return cls(bytes.fromhex(head["metadata"]), digests.reshape(*head["grid"], SIZE))


@dataclass(frozen=True)
class Manifest:
    """All objects of a store. groups: digest of the metadata of each group but the root; arrays:
    of each array; both by path in the store."""

    groups: Mapping[str, bytes]
    arrays: Mapping[str, ArrayManifest]

    def digest(self, key: str) -> bytes | None:
        """The digest of an object by its key; None where no such object belongs to the store."""
        node, _, last = key.rpartition("/")
        if last == "zarr.json":
            array = self.arrays.get(node)
            return self.groups.get(node) if array is None else array.metadata
        node, place = place_of(key)
        array = self.arrays.get(node)
        return None if array is None or place is None else array.at(place)

    def children(self, path: str) -> list[str]:
        """Names of the groups and arrays in a group."""
        parent = path.strip("/")
        nodes = (node.rpartition("/") for node in (*self.groups, *self.arrays))
        return [name for above, _, name in nodes if above == parent]


def place_of(key: str) -> tuple[str, Chunk | None]:
    """The array of a chunk and its position in the grid of chunks; None where the key is not
    that of a chunk."""
    node, found, numbers = key.rpartition("/c/")
    if not found:
        return (key[:-2], ()) if key.endswith("/c") else (key, None)
    parts = numbers.split("/")
    whole = all(part.isdecimal() for part in parts)
    return node, tuple(map(int, parts)) if whole else None


def write_manifest(
    url: str, known: Mapping[str, NDArray[np.bool_]] | None = None
) -> dict[str, Any]:
    """Read every object of the store at `url`, write the manifest of each array, and return the
    seal, which belongs into the root. Memory is bounded by the chunks of one array.

    known: by array, the chunks `(*chunk,)` that nobody has written since the store was last
    sealed: they are listed as they were then, and not read.
    """
    files, root = fsspec.core.url_to_fs(url)
    files.invalidate_cache()
    group = zarr.open_group(url, mode="r", use_consolidated=False)
    former = _former(url, group.attrs, known or {})
    groups, arrays = {}, {}
    for path, node in sorted(group.members(max_depth=None)):
        metadata = object_digest(files.cat_file(f"{root}/{path}/zarr.json"))
        if isinstance(node, zarr.Group):
            groups[path] = metadata.hex()
            continue
        digests = _digests(files, root, path, node, *former.get(path, ()))
        made = ArrayManifest(metadata, digests).to_bytes()
        write_object(files, f"{root}/{path}/{NAME}", made)
        arrays[path] = object_digest(made).hex()
    about = attributes_digest(group.attrs)
    return {"form": FORM, "attributes": about, "groups": groups, "arrays": arrays}


def _former(
    url: str, attributes: Mapping[str, Any], known: Mapping[str, NDArray[np.bool_]]
) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Digests of the last seal, and which of them still hold, by array; none of an array whose
    manifest is not whole."""
    listed: Any = dict(attributes.get(SEAL) or {}).get("arrays", {})
    asked = {path: digest for path, digest in listed.items() if path in known}
    former = {}
    for path, read in stored_manifests(url, asked, ValueError).items():
        with suppress(ValueError):
            former[path] = read().digests, known[path]
    return former


def attributes_digest(attributes: Mapping[str, Any]) -> str:
    """Digest of the attributes of a root but for the seal and the digest of the store."""
    others = {key: value for key, value in attributes.items() if key not in {SEAL, "digest"}}
    return object_digest(json.dumps(others, sort_keys=True).encode()).hex()


def _digests(
    files: Any,
    root: str,
    path: str,
    array: zarr.Array[Any],
    former: NDArray[np.uint8] | None = None,
    known: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """The digests `(*chunk, 16)` of the stored chunks of an array; the known ones are taken from
    the former."""
    digests = np.zeros((*chunk_grid(array), SIZE), np.uint8)
    kept = np.zeros(digests.shape[:-1], bool)
    if former is not None and known is not None:
        both = tuple(slice(0, min(a, b)) for a, b in zip(kept.shape, former.shape, strict=False))
        kept[both] = known[both]
        digests[kept] = former[both][kept[both]]
    stored = stored_chunks(files, root, path, kept.shape)
    keys = {place: file for place, file in stored if not kept[place]}
    for place, digest in zip(keys, read_digests(files, keys.values()), strict=True):
        digests[place] = np.frombuffer(digest, np.uint8)
    return digests


def chunk_grid(array: zarr.Array[Any]) -> Chunk:
    """Numbers of stored objects along each axis of an array.

    ValueError where they are not named as this package names them.
    """
    metadata: Any = array.metadata
    keys = getattr(metadata, "chunk_key_encoding", None)
    if (getattr(keys, "name", ""), getattr(keys, "separator", "")) != ("default", "/"):
        raise ValueError(
            f"{array.store_path}: expected chunks that are named as in c/0/1, found another "
            "encoding of their keys; write the array again with the default of Zarr 3"
        )
    sizes = metadata.chunk_grid.chunk_shape
    return tuple(-(-n // size) for n, size in zip(array.shape, sizes, strict=True))


def stored_chunks(files: Any, root: str, path: str, grid: Chunk) -> Iterator[tuple[Chunk, str]]:
    """Position and file of every chunk of an array that is there and lies in its grid."""
    for file in files.find(f"{root}/{path}/c"):
        _, place = place_of(file)
        if place is None or len(place) != len(grid):
            continue
        if all(p < n for p, n in zip(place, grid, strict=True)):
            yield place, file


def read_digests(files: Any, paths: Iterable[str]) -> Iterator[bytes]:
    """The digest of each object, in order; several are read at a time."""
    left = iter(paths)
    with ThreadPoolExecutor(_THREADS) as pool:
        while batch := list(itertools.islice(left, _BATCH)):
            yield from pool.map(lambda path: object_digest(files.cat_file(path)), batch)


def read_manifest(
    url: str, attributes: Mapping[str, Any], fault: Fault, options: Mapping[str, Any] | None = None
) -> Manifest:
    """The manifest of the store at `url`, whose root has these attributes.

    Raises what `fault` makes where the manifest or the attributes are not the sealed ones.
    """
    check_attributes(url, attributes, fault)
    groups = {path: bytes.fromhex(d) for path, d in attributes[SEAL]["groups"].items()}
    found = stored_manifests(url, attributes[SEAL]["arrays"], fault, options)
    return Manifest(groups, {path: read() for path, read in found.items()})


def check_seal(url: str, attributes: Mapping[str, Any], fault: Fault) -> None:
    """Raise what `fault` makes where the seal of a root is no list of digests by path."""
    sealed = attributes[SEAL]
    parts = [sealed.get(name) for name in ("groups", "arrays")] if isinstance(sealed, dict) else []
    listed = [row for part in parts if isinstance(part, dict) for row in part.items()]
    good = len(parts) == 2 and all(isinstance(part, dict) for part in parts)
    if not good or not all(_PATH.fullmatch(p) and _HEX.fullmatch(str(d)) for p, d in listed):
        raise fault(f"{url}/zarr.json: expected a seal with the digest of each group and array, "
                    "found another one: it was changed")  # fmt: skip


def check_attributes(url: str, attributes: Mapping[str, Any], fault: Fault) -> None:
    """Raise what `fault` makes where the attributes of a root are not the sealed ones."""
    check_seal(url, attributes, fault)
    form = attributes[SEAL].get("form")
    if form != FORM:
        raise fault(
            f"{url}: expected a seal of form {FORM}, found {form}, which another version of "
            "upscale wrote"
        )
    if attributes_digest(attributes) != attributes[SEAL].get("attributes"):
        raise fault(f"{url}/zarr.json: expected the attributes that were sealed, found others")


def stored_manifests(
    url: str, arrays: Mapping[str, str], fault: Fault, options: Mapping[str, Any] | None = None
) -> dict[str, Callable[[], ArrayManifest]]:
    """What gives the manifest of each array, or raises what `fault` makes where it is not the
    sealed one. arrays: digest of each manifest by path; all are read at once."""
    files, root = fsspec.core.url_to_fs(url, **(options or {}))
    paths = {array: f"{root}/{array}/{NAME}" for array in arrays}
    found = files.cat(list(paths.values()), on_error="return") if paths else {}

    def read(array: str) -> ArrayManifest:
        content = found.get(paths[array])
        if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
            raise content
        whole = None if isinstance(content, Exception) else content
        known = bytes.fromhex(arrays[array])
        where = f"{url}/{array}/{NAME}"
        sealed = verified(where, whole, known, fault)
        with refusing(where, "the manifest of an array", fault, "it was changed"):
            return ArrayManifest.from_bytes(sealed)

    return {array: partial(read, array) for array in arrays}


def verified(where: str, content: Any, expected: bytes, fault: Fault) -> Any:
    """The content of an object, if it is the sealed one; raises what `fault` makes otherwise.

    where: URL or path of the object; content: None where there is none.
    """
    if content is None:
        found = "found none: it was lost"
    elif object_digest(content) != expected:
        found = f"found {len(content):,} other bytes: it was cut or changed"
    else:
        return content
    raise fault(f"{where}: expected the object that was sealed, {found}")
