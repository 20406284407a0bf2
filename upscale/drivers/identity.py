"""Identities of what is read from a driver cube, from its manifest alone.

The identity of a read is 128 bits that change when any chunk that it touches changes, and stay
when any other does, or when days are added after those that are read. All tiles are done at once,
from sums of the digests of chunks (`upscale/stores/blocksums.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from upscale.drivers.composites import whole_periods
from upscale.drivers.cube import LAND_PARTS, DriverCube, SeriesGroup
from upscale.drivers.tiles import DERIVED, LAYERS, is_interpolated
from upscale.grid import Grid
from upscale.grid.regrid import bilinear
from upscale.stores.blocksums import Ends, Lanes, block_sums, mix

Tiles = Sequence[tuple[slice, slice]]
Days = tuple[int, int]

#: Fields of the metadata of an array, and attributes, that decide what its chunks mean.
_FIELDS = ("data_type", "chunk_grid", "chunk_key_encoding", "codecs", "fill_value")
_UNITS = ("units", "scale_factor", "add_offset")


def read_identities(
    cube: DriverCube,
    grid: Grid,
    tiles: Tiles,
    features: tuple[str, ...],
    first: int,
    count: int,
    composites: Mapping[str, int] | None = None,
) -> Lanes:
    """The identity `(tile, 2)` of what `read_features` reads for each tile: chunks, flags, mask of
    land, and which of the days lie in the record.

    grid: a crop of the cube's grid; tiles: rows and columns of it; first, count, composites: as
    for `read_features`. Derived features are not read, nor are those that the cube lacks. A cube
    that is not sealed has one identity for everything, from its digest. Raises DriverError where
    the mask of land is lost or changed, ValueError where `grid` is no crop.
    """
    (found,) = identities_over(cube, grid, tiles, features, [(first, count)], composites)
    return found


def identities_over(
    cube: DriverCube,
    grid: Grid,
    tiles: Tiles,
    features: tuple[str, ...],
    periods: Sequence[Days],
    composites: Mapping[str, int] | None = None,
) -> list[Lanes]:
    """What `read_identities` gives for each of some periods (first day and number of days)."""
    if cube.manifest is None:
        return [_of_all(["not sealed", cube.digest], len(tiles))] * len(periods)
    areas, lengths = _Areas(cube.grid, grid, tiles), composites or {}
    return [_over(cube, areas, features, period, lengths) for period in periods]


def _over(
    cube: DriverCube,
    areas: _Areas,
    features: tuple[str, ...],
    period: Days,
    composites: Mapping[str, int],
) -> Lanes:
    """Identities of what some tiles read of all features over one period."""
    found = _of_all(["features"], areas.count)
    for name in features:
        group = None if name in DERIVED else cube.group_of(name)
        if group is not None:
            length = composites.get(name, 0)
            days = whole_periods(*period, length) if length else period
            found = _with_driver(found, cube, group, name, days, areas)
    return found


def surface_identities(cube: DriverCube, grid: Grid, tiles: Tiles) -> Lanes:
    """The identity `(tile, 2)` of what `read_surface` reads for each tile; as `read_identities`."""
    if cube.manifest is None:
        return _of_all(["not sealed", cube.digest], len(tiles))
    found, areas = _of_all(["surface"], len(tiles)), _Areas(cube.grid, grid, tiles)
    for name in LAYERS:
        array = cube.static[name]
        sums = cube.manifest.arrays[f"static/{name}"].sums
        found = _join(found, [name, cube.grid.to_dict(), _meaning(array)])
        found += block_sums(sums, *areas.exact(cube.grid).chunks(array.chunks))
    return found


def in_hex(identities: NDArray[np.uint64]) -> list[str]:
    """Each row of some identities `(tile, n)` as text."""
    width, text = 16 * identities.shape[1], np.ascontiguousarray(identities).tobytes().hex()
    return [text[start : start + width] for start in range(0, len(text), width)]


def _with_driver(
    found: Lanes, cube: DriverCube, group: SeriesGroup, name: str, period: Days, areas: _Areas
) -> Lanes:
    """Identities with what is read of one driver over `period`, its first day and their number."""
    first, count = period
    begin, end = max(first, group.first), min(first + count, group.last + 1)
    if begin >= end:
        return found
    days = slice(begin - group.first, end - group.first)
    about = [name, group.grid.to_dict(), group.first, begin - first, end - first]
    between = is_interpolated(group, areas.grid)
    found = _join(found, [*about, between])
    area = areas.around(group.grid) if between else areas.exact(group.grid)
    found = _with_array(found, cube, group, name, days, area)
    if between and (mask := group.land_manifest) is not None:
        found = _join(found, ["land"]) + block_sums(mask.sums, *area.chunks(LAND_PARTS))
    if f"{name}_filled" in group.arrays:
        found = _with_array(found, cube, group, f"{name}_filled", days, areas.exact(group.grid))
    return found


def _with_array(
    found: Lanes, cube: DriverCube, group: SeriesGroup, name: str, days: slice, area: _Area
) -> Lanes:
    """Identities with the chunks of one array `(day, row, col)`."""
    assert cube.manifest is not None
    array = group.arrays[name]
    sums, (length, *sizes) = cube.manifest.arrays[f"{group.name}/{name}"].sums, array.chunks
    level = sums[-(-days.stop // length)] - sums[days.start // length]
    return _join(found, [name, _meaning(array)]) + block_sums(level, *area.chunks(sizes))


def _of_all(content: Any, count: int) -> Lanes:
    return np.repeat(_hashed(content)[None], count, axis=0)


def _join(found: Lanes, content: Any) -> Lanes:
    """Identities mixed with something that all tiles share, so that order matters."""
    return mix(found ^ _hashed(content))


def _hashed(content: Any) -> Lanes:
    """128 bits `(2,)` of plain values."""
    text = json.dumps(content, sort_keys=True, default=str)
    return np.frombuffer(hashlib.sha256(text.encode()).digest()[:16], "<u8").astype(np.uint64)


def _meaning(array: zarr.Array[Any]) -> dict[str, Any]:
    """What decides which values the chunks of an array hold; its length in days does not."""
    metadata = array.metadata.to_dict()
    said = {key: array.attrs.get(key) for key in _UNITS}
    return {key: metadata.get(key) for key in _FIELDS} | said


@dataclass(frozen=True)
class _Area:
    """What each tile reads of an array: parts of consecutive rows and of columns, each as the
    first index and the one after the last `(tile, 2)`."""

    rows: list[Ends]
    cols: list[Ends]

    def chunks(self, sizes: Sequence[int]) -> tuple[list[Ends], list[Ends]]:
        """The chunks, of `sizes` rows and columns, that the parts touch; none for empty parts."""
        down, across = sizes
        return [_chunks(p, down) for p in self.rows], [_chunks(p, across) for p in self.cols]


def _chunks(part: Ends, size: int) -> Ends:
    return np.stack([part[:, 0] // size, -(-part[:, 1] // size)], axis=1)


class _Areas:
    """The rows and columns of grids that tiles read; each stretch of rows is looked at once."""

    def __init__(self, product: Grid, grid: Grid, tiles: Tiles) -> None:
        row, col = product.offset_of(grid)
        self.grid, self.count = product, len(tiles)
        self._rows = _Stretches([(t.start + row, t.stop + row) for t, _ in tiles])
        self._cols = _Stretches([(t.start + col, t.stop + col) for _, t in tiles])
        self._known: dict[Grid, _Area] = {}

    def exact(self, source: Grid) -> _Area:
        """The cells of `source`, on the same lattice, that the tiles consist of."""
        row, col = source.offset_of(self.grid)
        return _Area([self._rows.all + row], [self._cols.all + col])

    def around(self, source: Grid) -> _Area:
        """The nodes of `source` from which the tiles are interpolated."""
        if source not in self._known:
            nodes = [_rows_read(source, self.grid, *r) for r in self._rows.each.tolist()]
            across = [_cols_read(source, self.grid, *c) for c in self._cols.each.tolist()]
            self._known[source] = _Area(self._rows.parts(nodes), self._cols.parts(across))
        return self._known[source]


@lru_cache(maxsize=4096)
def _rows_read(source: Grid, product: Grid, start: int, stop: int) -> NDArray[np.int64]:
    """The rows of `source` from which rows of a product grid are interpolated."""
    return bilinear(source, product.crop(slice(start, stop), slice(0, 1))).rows.read


@lru_cache(maxsize=4096)
def _cols_read(source: Grid, product: Grid, start: int, stop: int) -> NDArray[np.int64]:
    """The columns of `source` from which columns of a product grid are interpolated."""
    return bilinear(source, product.crop(slice(0, 1), slice(start, stop))).cols.read


class _Stretches:
    """Stretches of rows or columns, one for each tile, and those among them that differ."""

    def __init__(self, stretches: list[tuple[int, int]]) -> None:
        self.all: Ends = np.array(stretches, np.int64).reshape(-1, 2)
        self.each, self._which = np.unique(self.all, axis=0, return_inverse=True)

    def parts(self, read: Sequence[NDArray[np.integer]]) -> list[Ends]:
        """For each tile the parts of consecutive indices of what its stretch reads; read: the
        indices for each different stretch."""
        found = [np.split(r, np.flatnonzero(np.diff(r) != 1) + 1) for r in read]
        most = max(map(len, found), default=0)
        parts = np.zeros((most, len(found), 2), np.int64)
        for i, pieces in enumerate(found):
            for k, piece in enumerate(pieces):
                parts[k, i] = piece[0], piece[-1] + 1
        return [part[self._which.ravel()] for part in parts]
