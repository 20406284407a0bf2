"""Writing and reading back the shards of a flux cube: one work item, one writer."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import fsspec
import numpy as np
from numpy.typing import NDArray

from upscale.product.cube import open_flux_group
from upscale.product.layout import FluxLayout, WorkItem
from upscale.product.uncertainty import STEP_ARRAYS
from upscale.stores.objects import remove_objects, replace_objects

Region = tuple[slice, ...]


class ReadBackError(OSError):
    """Values read back from a store differ from those written."""


@dataclass(frozen=True)
class TileFluxes:
    """What one work item writes.

    daily: arrays `(day, row, col)` by name (fluxes, spreads, quality, filled_share);
    sums: per-member sums `(member, segment, row, col)` in g m-2, by flux; days:
    `(segment, row, col)` number of days in each sum. Both are empty without sums. steps:
    arrays `(step, row, col)` by name, empty without an area of applicability.
    """

    daily: Mapping[str, NDArray[Any]]
    sums: Mapping[str, NDArray[np.float32]]
    days: Mapping[str, NDArray[np.uint16]]
    steps: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def region_of(layout: FluxLayout, item: WorkItem, name: str) -> Region:
    """The region that a work item owns in the array `name`."""
    days, rows, cols = layout.region(item)
    if name in STEP_ARRAYS:
        return layout.steps_of(item.block), rows, cols
    segments = layout.segments_of(item.block)
    if name.endswith("_member"):
        return slice(0, layout.members), segments, rows, cols
    return (segments if name == "segment_days" else days), rows, cols


def is_daily(name: str) -> bool:
    """Whether an array that work items write has a value for each day."""
    return not name.endswith("_member") and name not in {"segment_days", *STEP_ARRAYS}


def arrays_of(fluxes: TileFluxes) -> dict[str, NDArray[Any]]:
    """Every array of a work item by its name in the store, in the order of writing: `quality`
    comes last, so that a tile that is not whole still says that it was not produced."""
    sums = {f"{flux}_member": values for flux, values in fluxes.sums.items()}
    arrays = {**fluxes.daily, **sums, **fluxes.days, **fluxes.steps}
    return arrays | {"quality": arrays.pop("quality")}


def write_item(url: str, layout: FluxLayout, item: WorkItem, fluxes: TileFluxes) -> dict[str, str]:
    """Write the shards of a work item, read them back, and return the digest of each array.

    Only the owner of the item may call this: regions are whole shards, and every shard is
    stored even where it is empty. Raises OSError where the store is full, ReadBackError where it
    returns something else than it was given.
    """
    root = open_flux_group(url, "r+")
    digests = {}
    for name, values in arrays_of(fluxes).items():
        region = region_of(layout, item, name)
        array: Any = root[name]
        replace_objects(url, array, region, values)
        digests[name] = digest_of(values)
        if digest_of(np.asarray(array[region])) != digests[name]:
            raise ReadBackError(f"{url}/{name}: item {item.id} reads back changed; write it again")
    return digests


def withdraw_item(url: str, layout: FluxLayout, item: WorkItem) -> None:
    """Make an item read as not produced, whatever its other arrays hold.

    The shard of `quality` is removed, which takes no room, so that it succeeds on a full disk.
    """
    quality: Any = open_flux_group(url, "r+")["quality"]
    remove_objects(url, quality, region_of(layout, item, "quality"))


def remove_item(url: str, layout: FluxLayout, item: WorkItem, names: Iterable[str]) -> None:
    """Remove what is stored of a work item, readable or not: it reads as not produced then.

    names: its arrays. A shard that is rotten cannot be written over in part, as one is that
    reaches beyond the cube.
    """
    root: Any = open_flux_group(url, "r+")
    fs, place = fsspec.core.url_to_fs(url)
    for name in names:
        array = root[name]
        edges = array.shards or array.chunks
        owned = [
            range(part.start // edge, -(-part.stop // edge))
            for part, edge in zip(region_of(layout, item, name), edges, strict=True)
        ]
        for index in itertools.product(*owned):
            with suppress(FileNotFoundError):
                fs.rm_file(f"{place}/{name}/c/{'/'.join(map(str, index))}")


def remove_values(url: str, name: str) -> None:
    """Remove all that is stored of an array, readable or not, except its metadata."""
    fs, place = fsspec.core.url_to_fs(url)
    with suppress(FileNotFoundError):
        fs.rm(f"{place}/{name}/c", recursive=True)


def read_arrays(
    url: str, layout: FluxLayout, item: WorkItem, names: Iterable[str]
) -> Iterator[tuple[str, NDArray[Any] | None]]:
    """The named arrays of a work item, one after the other; None where one cannot be decoded."""
    root = open_flux_group(url)
    for name in names:
        try:
            yield name, np.asarray(root[name][region_of(layout, item, name)])
        except (ValueError, RuntimeError, OSError):  # a checksum that does not match
            yield name, None


def digest_of(values: NDArray[Any]) -> str:
    """sha256 of the values as little-endian bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def update_layer(url: str, name: str, rows: slice, cols: slice, values: NDArray[Any]) -> bool:
    """Write a part `(row, col)` of a static layer, in whole chunks, unless it is there; whether it
    was not."""
    array: Any = open_flux_group(url, "r+")[name]
    other = digest_of(np.asarray(array[rows, cols])) != digest_of(values.astype(array.dtype))
    if other:
        array[rows, cols] = values
    return other
