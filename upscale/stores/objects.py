"""The stored objects of a Zarr array, written and removed whole.

Zarr reads an object before it writes a part of it, also where the part is all that an array has of
it: so a damaged one could never be replaced. Here nothing is read of what is there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import fsspec
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr import AsyncArray
from zarr.storage import MemoryStore, StorePath

from upscale.stores.location import write_object

Region = tuple[slice, ...]


def replace_objects(url: str, array: zarr.Array[Any], region: Region, values: NDArray[Any]) -> None:
    """Write a region of an array of the store at `url`, which begins at the edges of objects.

    A reader meets an old object or a new one, never half of one, and what is written is on the
    disk. Objects are stored also where they hold nothing but the fill value. ValueError where the
    region begins inside an object, OSError where the store refuses.
    """
    fs, root = fsspec.core.url_to_fs(url)
    for key, content in zip(_keys(array, region), _encoded(array, values), strict=True):
        write_object(fs, f"{root}/{key}", content)


def remove_objects(url: str, array: zarr.Array[Any], region: Region) -> None:
    """Remove the objects of a region, which reads as the fill value from then on.

    Takes no room, and does not look at what is there. ValueError as for `replace_objects`.
    """
    fs, root = fsspec.core.url_to_fs(url)
    for key in _keys(array, region):
        with suppress(FileNotFoundError):
            fs.rm_file(f"{root}/{key}")


def _keys(array: Any, region: Region) -> list[str]:
    """Keys of the objects of a region, in the order of their places."""
    edges = array.shards or array.chunks
    if any(part.start % edge for part, edge in zip(region, edges, strict=True)):
        raise ValueError(
            f"{array.name}: expected a region of whole objects {edges}, found {region}; write "
            "whole work items"
        )
    sides = [range(s.start // e, -(-s.stop // e)) for s, e in zip(region, edges, strict=True)]
    places = itertools.product(*sides)
    return [f"{array.path}/{array.metadata.encode_chunk_key(place)}" for place in places]


def _encoded(array: Any, values: NDArray[Any]) -> Iterator[bytes]:
    """The objects that hold values of an array, in the order of their places."""
    memory: dict[str, Any] = {}
    metadata = replace(array.metadata, shape=values.shape)
    config = {"order": "C", "write_empty_chunks": True}
    twin: Any = zarr.Array(AsyncArray(metadata, StorePath(MemoryStore(memory)), config))
    twin[...] = values
    edges = array.shards or array.chunks
    counts = [-(-size // edge) for size, edge in zip(values.shape, edges, strict=True)]
    for place in np.ndindex(*counts):
        yield memory[metadata.encode_chunk_key(place)].to_bytes()
