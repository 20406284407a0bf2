"""How large a store will be: objects and bytes, counted from the arrays that it would have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import MemoryStore

from upscale.grid import Grid
from upscale.product.cube import create_flux_cube
from upscale.product.layout import FluxLayout
from upscale.product.uncertainty import StoredUncertainty

#: Axes of places: cells of a grid, or its tiles.
_PLACES = (("lat", "lon"), ("tile_row", "tile_col"))

#: Objects of a store that a file system or a bucket still lists, copies and deletes with ease.
MOST_OBJECTS = 120_000

#: Days of a decade: a store that grows is cut for no less.
_DECADE = 3653

#: More than the arrays of any store that are cut into tiles.
_ARRAYS = 100

#: What compression leaves of the values of land cells (docs/performance.md).
PACKED = 0.65


@dataclass(frozen=True)
class StoreSize:
    """What a store takes. objects: files on a disk, objects in a bucket; values: bytes of its
    values before they are packed, of cells that are predicted alone."""

    objects: int
    values: int

    def __add__(self, other: StoreSize) -> StoreSize:
        return StoreSize(self.objects + other.objects, self.values + other.values)


@dataclass(frozen=True)
class Domain:
    """What is written of a grid. edge: of a tile, in cells; tiles: with cells of the drivers;
    land_tiles: of these, those with cells to be predicted, `land` cells in all."""

    grid: Grid
    edge: int
    tiles: int
    land_tiles: int
    land: int


def flux_cube_size(layout: FluxLayout, uncertainty: StoredUncertainty, domain: Domain) -> StoreSize:
    """The size of a flux cube once all of its work items are done."""
    store = MemoryStore()
    create_flux_cube(store, corner_of(layout), {}, uncertainty=uncertainty)
    return size_of(zarr.open_group(store, mode="r", use_consolidated=False), domain)


def tile_factor(
    layout: FluxLayout,
    uncertainty: StoredUncertainty,
    known: NDArray[np.bool_],
    land: NDArray[np.bool_],
) -> int:
    """How many tiles of a cube, on a side, are one tile of a store: as few of one to four as keep a
    decade below `MOST_OBJECTS`, and four where none does.

    layout: of the store if its tiles were those of the cube; known, land: `(row, col)` of these
    tiles, whether they have cells of the drivers, and cells to be predicted.
    """
    decade = replace(layout, count=max(layout.count, _DECADE))
    if known.sum() * decade.blocks * _ARRAYS < MOST_OBJECTS:
        return 1
    for factor in range(1, 4):
        cut = replace(decade, tile=factor * layout.tile)
        tiles, wet = (int(coarser(mask, factor).sum()) for mask in (known, land))
        domain = Domain(layout.grid, cut.tile, tiles, wet, land=0)
        if flux_cube_size(cut, uncertainty, domain).objects < MOST_OBJECTS:
            return factor
    return 4


def coarser(mask: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Whether any of `factor` x `factor` tiles `(row, col)` is True."""
    rows, cols = (np.arange(0, size, factor) for size in mask.shape)
    return np.logical_or.reduceat(np.logical_or.reduceat(mask, rows), cols, axis=1)


def corner_of(layout: FluxLayout) -> FluxLayout:
    """The layout of a corner: its store has all the arrays of the whole, and is made at once."""
    corner = slice(0, layout.layer_chunk)
    return replace(layout, grid=layout.grid.crop(corner, corner))


def size_of(group: zarr.Group, domain: Domain) -> StoreSize:
    """The size that the group of a corner has over a whole domain."""
    sizes = [_array_size(array, domain) for array in _arrays(group)]
    return sum(sizes, StoreSize(objects=1, values=0))  # the metadata of the group


def _arrays(group: zarr.Group) -> Iterator[Any]:
    return (array for _, array in group.arrays())


def _array_size(array: Any, domain: Domain) -> StoreSize:
    """Objects and values of an array: one chunk (or shard) in every tile, or in larger squares
    of a static layer, times those along its other axes; and its metadata."""
    names, edges = array.metadata.dimension_names or (), array.shards or array.chunks
    axes = dict(zip(names, zip(array.shape, edges, strict=True), strict=True))
    across = [axes.pop(name) for pair in _PLACES for name in pair if set(pair) <= set(names)]
    if not axes and not across:  # the grid mapping: a value that is its fill value is not stored
        return StoreSize(1, np.dtype(array.dtype).itemsize)
    lead = [shape for shape, _ in axes.values()]
    objects = math.prod(-(-shape // edge) for shape, edge in axes.values())
    values = math.prod(lead) * np.dtype(array.dtype).itemsize
    if not across:
        return StoreSize(objects + 1, values)
    tall, wide = (edge for _, edge in across)
    if not lead and max(tall, wide) > domain.edge:
        squares = -(-domain.grid.rows // tall) * -(-domain.grid.cols // wide)
        return StoreSize(squares + 1, values * math.prod(domain.grid.shape))
    # A tile without land says why it has no values, in one array.
    tiles = domain.tiles if array.basename == "quality" else domain.land_tiles
    return StoreSize(objects * tiles + 1, values * (domain.land if "lat" in names else tiles))
