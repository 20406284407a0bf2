"""Arrays of a Zarr store: how each is encoded, and what it reads as where nothing was written.

Every array that this package writes is created here, so that one place decides on codecs, and
fill values, dimension names and attributes are never left to a default.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import zarr
from numpy.typing import DTypeLike, NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

#: A checksum in every chunk tells a torn one from a whole one.
CHECKED = ZstdCodec(level=3, checksum=True)

#: Axes and static layers of a driver cube.
PLAIN = ZstdCodec(level=0, checksum=True)

#: One codec, or several, of which each gets what the one before gave.
Codecs: TypeAlias = "BloscCodec | ZstdCodec | tuple[BloscCodec | Crc32cCodec, ...]"


#: Rows of an array that are read together.
_ROWS = 400


def values_digest(array: Any) -> str:
    """sha256 of all values of an array in C order, read in bands of rows."""
    digest = hashlib.sha256()
    for first in range(0, array.shape[0] if array.shape else 1, _ROWS):
        part = array[first : first + _ROWS] if array.shape else array[...]
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def shuffled(dtype: DTypeLike) -> Codecs:
    """The codecs of daily drivers: bits of a kind lie together, which is what packs well in
    series of 16-bit steps and in flags; Blosc has no checksum of its own."""
    size = np.dtype(dtype).itemsize
    blosc = BloscCodec(typesize=size, cname="zstd", clevel=3, shuffle="bitshuffle")
    return blosc, Crc32cCodec()


def packed(dtype: DTypeLike) -> Codecs:
    """The codecs of what a run writes over days: bytes of a kind lie together in floats, which
    packs them a twentieth better; flags pack better as they are (docs/performance.md)."""
    if np.dtype(dtype).kind != "f":
        return CHECKED
    size = np.dtype(dtype).itemsize
    return BloscCodec(typesize=size, cname="zstd", clevel=3, shuffle="shuffle"), Crc32cCodec()


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
    growing: int | None = None,
    codec: Codecs = CHECKED,
    overwrite: bool = False,
) -> None:
    """Write a small array whole, such as an axis or a static layer.

    chunk: largest length of a chunk along each axis, by default the whole axis; growing: length of
    a chunk along the first axis, however short that is now, so that it is one object when it grows.
    Floats read as NaN, and integers (classes: unknown) as 0, where nothing was written.
    """
    chunks = [min(size, chunk or size) for size in values.shape]
    if growing is not None:
        chunks[0] = growing
    array = create_array(
        group,
        name,
        values.shape,
        values.dtype,
        dims,
        fill=np.nan if values.dtype.kind == "f" else 0,
        chunks=chunks,
        attributes=attributes,
        codec=codec,
        overwrite=overwrite,
    )
    array[...] = values
