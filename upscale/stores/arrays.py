"""Arrays of a Zarr store: how each is encoded, and what it reads as where nothing was written.

Every array that this package writes is created here, so that one place decides on codecs, and
fill values, dimension names and attributes are never left to a default.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray
from zarr import AsyncArray
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.core.sync import sync
from zarr.storage import MemoryStore, StorePath

#: What a run writes over days: a checksum in every chunk tells a torn one from a whole one.
CHECKED = ZstdCodec(level=3, checksum=True)

#: Axes and static layers of a driver cube.
PLAIN = ZstdCodec(level=0, checksum=True)

#: One codec, or several, of which each gets what the one before gave.
Codecs: TypeAlias = "BloscCodec | ZstdCodec | tuple[BloscCodec | Crc32cCodec, ...]"


def shuffled(dtype: DTypeLike) -> Codecs:
    """The codecs of daily drivers: bits of a kind lie together, which is what packs well in
    series of 16-bit steps and in flags; Blosc has no checksum of its own."""
    size = np.dtype(dtype).itemsize
    blosc = BloscCodec(typesize=size, cname="zstd", clevel=3, shuffle="bitshuffle")
    return blosc, Crc32cCodec()


def create_array(
    group: zarr.Group,
    name: str,
    shape: Sequence[int],
    dtype: DTypeLike,
    dims: tuple[str, ...],
    *,
    fill: float,
    chunks: Sequence[int],
    shards: Sequence[int] | None = None,
    attributes: Mapping[str, Any] | None = None,
    codec: Codecs = CHECKED,
    overwrite: bool = False,
) -> zarr.Array[Any]:
    """Write the metadata of an array; no value is written.

    dims: names of the axes; fill: what reads where nothing was written; chunks, shards: their
    lengths along each axis, shards where each of them has one writer; overwrite: an array of
    this name is replaced. Raises ContainsArrayError of Zarr where there is one otherwise.
    """
    return group.create_array(
        name,
        shape=tuple(shape),
        dtype=np.dtype(dtype),
        chunks=tuple(chunks),
        shards=None if shards is None else tuple(shards),
        compressors=codec,
        fill_value=fill,
        dimension_names=dims,
        attributes=dict(attributes or {}),
        overwrite=overwrite,
    )


def put_array(
    group: zarr.Group,
    name: str,
    values: NDArray[Any],
    dims: tuple[str, ...],
    attributes: Mapping[str, Any] | None = None,
    *,
    chunk: int | None = None,
    codec: Codecs = CHECKED,
    overwrite: bool = False,
) -> None:
    """Write a small array whole, such as an axis or a static layer.

    chunk: largest length of a chunk along each axis, by default the whole axis. Floats read as
    NaN, and integers (classes: unknown) as 0, where nothing was written.
    """
    array = create_array(
        group,
        name,
        values.shape,
        values.dtype,
        dims,
        fill=np.nan if values.dtype.kind == "f" else 0,
        chunks=[min(size, chunk or size) for size in values.shape],
        attributes=attributes,
        codec=codec,
        overwrite=overwrite,
    )
    array[...] = values


def replace_chunks(array: zarr.Array[Any], region: tuple[slice, ...], values: NDArray[Any]) -> None:
    """Write a region that begins at the edges of stored objects, each of them whole.

    Nothing is read of what is there, so that a damaged object is no obstacle, and a reader meets
    an old object or a new one. Objects are stored also where they hold nothing but the fill value.
    ValueError where the region begins inside an object.
    """
    for key, content in zip(_keys(array, region), _encoded(array, values), strict=True):
        sync(array.store.set(key, content))


def remove_chunks(array: zarr.Array[Any], region: tuple[slice, ...]) -> None:
    """Remove the objects of a region, which reads as the fill value from then on.

    Takes no room, and does not look at what is there. ValueError as for `replace_chunks`.
    """
    for key in _keys(array, region):
        sync(array.store.delete(key))


def _keys(array: Any, region: tuple[slice, ...]) -> list[str]:
    """Keys of the objects of a region, in the order of their places."""
    edges = array.shards or array.chunks
    if any(part.start % edge for part, edge in zip(region, edges, strict=True)):
        raise ValueError(
            f"{array.name}: expected a region of whole objects {edges}, found {region}"
        )
    sides = [range(s.start // e, -(-s.stop // e)) for s, e in zip(region, edges, strict=True)]
    places = itertools.product(*sides)
    return [f"{array.path}/{array.metadata.encode_chunk_key(place)}" for place in places]


def _encoded(array: Any, values: NDArray[Any]) -> Iterator[Any]:
    """The objects that hold values of an array, in the order of their places."""
    memory: dict[str, Any] = {}
    metadata = replace(array.metadata, shape=values.shape)
    config = {"order": "C", "write_empty_chunks": True}
    made = AsyncArray(metadata, StorePath(MemoryStore(memory)), config)
    twin: Any = zarr.Array(made)
    twin[...] = values
    edges = array.shards or array.chunks
    counts = [-(-size // edge) for size, edge in zip(values.shape, edges, strict=True)]
    for cell in np.ndindex(*counts):
        yield memory[metadata.encode_chunk_key(cell)]
