"""Pixels averaged over the cells of a global lattice in degrees; the pixel centre decides the cell.

Sinusoidal: x = R lon cos(lat), y = R lat. The cell of a pixel depends on the grid alone, so it is
computed once for each grid; each layer then takes one gathering and one `numpy.bincount` of its
good pixels. Stored integers are summed, which is exact, and the sums are scaled. Pixels beyond
+-180 degrees (edge tiles) lie off the Earth and are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.archives.formats.structure import Geometry
from upscale.grid import EARTH_RADIUS

#: Cell size, degrees, of the climate-modelling grid (3600 x 7200) and of the product grid.
CELL = 0.05

#: Lowest and highest stored number that is a value, not a fill.
Valid = tuple[int, int]

#: Pixels summed at a time, and rows of pixels whose cells are computed at a time.
_BLOCK, _STRIP = 1 << 16, 64


@dataclass(frozen=True, eq=False)
class PixelCells:
    """The cell of every pixel of a grid, within the rectangle of cells that the grid covers.

    Neighbouring pixels of a row mostly share a cell, so pixels are stored as runs. `places`:
    (run,), position of the cell in the rectangle, counted row by row; one past the end for pixels
    outside. `lengths`: (run,), pixels in each run; None where every run is one pixel. `row`,
    `col`: the rectangle's first cell on the global lattice, which starts at 90 N, 180 W.
    `pixels`: (rows, cols), pixels of this grid in each cell. `resolution`: cell size, degrees.
    """

    places: NDArray[np.int32]
    row: int
    col: int
    pixels: NDArray[np.int64]
    resolution: float = CELL
    lengths: NDArray[np.uint16] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def size(self) -> int:
        """Number of pixels of the grid."""
        return int(self.places.size if self.lengths is None else self.lengths.sum(dtype=int))

    @property
    def index(self) -> NDArray[np.int32]:
        """The position (see `places`) of the cell of every pixel, (row * col,)."""
        return self.places if self.lengths is None else self.places.repeat(self.lengths)

    def unrolled(self) -> PixelCells:
        """The same with one run for each pixel: quicker where a grid is summed several times."""
        return replace(self, places=self.index, lengths=None)

    def crop(self, rows: slice, cols: slice) -> PixelCells:
        """The cells inside a rectangle of the global lattice; pixels outside it are left out.

        `rows`, `cols`: rows and columns of the rectangle (stop excluded). The result may be empty.
        """
        top, bottom = _shared(self.row, self.shape[0], rows)
        left, right = _shared(self.col, self.shape[1], cols)
        window = np.s_[top - self.row : bottom - self.row, left - self.col : right - self.col]
        pixels = self.pixels[window]
        # the new position of each old one; the last is for pixels that were outside already
        places = np.full(self.pixels.size + 1, pixels.size, np.int32)
        inside = np.arange(pixels.size, dtype=np.int32).reshape(pixels.shape)
        places[:-1].reshape(self.shape)[window] = inside
        return replace(self, places=places[self.places], row=top, col=left, pixels=pixels)

    def only(self, wanted: NDArray[np.bool_]) -> PixelCells:
        """The same rectangle in which only the `wanted` cells (row, col) get sums."""
        places = np.full(wanted.size + 1, wanted.size, np.int32)
        kept = np.flatnonzero(wanted)
        places[kept] = kept
        return replace(self, places=places[self.places])


def _shared(first: int, count: int, wanted: slice) -> tuple[int, int]:
    """Start and stop of the part of `first` ... `first + count - 1` that lies in `wanted`."""
    start = min(max(wanted.start, first), first + count)
    return start, max(start, min(wanted.stop, first + count))


@dataclass(frozen=True, eq=False)
class CellSums:
    """Sums over the good pixels of each cell of a rectangle; sums of several tiles can be added.

    `total`, `count` (good pixels) and `pixels` (all pixels): (row, col). `row`, `col`: the first
    cell on the global lattice of `resolution` degrees.
    """

    row: int
    col: int
    total: NDArray[np.float64]
    count: NDArray[np.int64]
    pixels: NDArray[np.int64]
    resolution: float = CELL

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of the good pixels (row, col), NaN where a cell has none."""
        some = self.count > 0
        return np.where(some, self.total / np.maximum(self.count, 1), np.nan)

    @property
    def share(self) -> NDArray[np.float64]:
        """Share of pixels that are good (row, col), NaN where a cell has no pixel."""
        some = self.pixels > 0
        return np.where(some, self.count / np.maximum(self.pixels, 1), np.nan)

    def __add__(self, other: CellSums) -> CellSums:
        """Add the sums of other pixels over the same cells."""
        return replace(self, total=self.total + other.total, count=self.count + other.count)

    def scaled(self, factor: float, shift: float = 0.0) -> CellSums:
        """Sums of the scaled values, factor x number + shift, from sums of stored numbers."""
        return replace(self, total=self.total * factor + self.count * shift)


def pixel_centres(geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes (row,) and longitudes (row, col) of the centres; |lon| > 180 is off the Earth."""
    return _centres(geometry, slice(0, geometry.rows))


def _centres(geometry: Geometry, rows: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`pixel_centres` of some rows."""
    down = np.arange(rows.start, rows.stop, dtype=np.float64)
    y = geometry.top - (down + 0.5) * geometry.pixel
    x = geometry.left + (np.arange(geometry.cols, dtype=np.float64) + 0.5) * geometry.pixel
    if not geometry.sinusoidal:
        return y, np.broadcast_to(x, (y.size, x.size))
    lat = y / EARTH_RADIUS
    return np.degrees(lat), np.degrees(x[None, :] / (EARTH_RADIUS * np.cos(lat)[:, None]))


def cells_of(geometry: Geometry, resolution: float = CELL) -> PixelCells:
    """The cell of every pixel of a sinusoidal grid or of (a part of) a climate-modelling grid.

    `resolution`: cell size in degrees; cells are counted from 90 N, 180 W. Results are cached:
    one row of sinusoidal tiles at two pixel sizes (4 MB for 2400 x 2400 pixels near the equator,
    15 MB beyond 70 degrees, where there are fewer tiles), and the last CMG (104 MB). Each pixel
    counts once, also in a CMG, although its pixels shrink towards the poles.
    Raises ValueError where the size does not divide 180 degrees, or is no multiple of CMG pixels.
    """
    if abs(180 / resolution - round(180 / resolution)) > 1e-6:
        raise ValueError(f"expected a cell size that divides 180 degrees, found {resolution:g}")
    geometry = replace(geometry, name="")  # products that share a grid name it differently
    if geometry.sinusoidal:
        return _sinusoidal_cells(geometry, resolution)
    factor = resolution / geometry.pixel
    if round(factor) < 1 or abs(factor - round(factor)) > 1e-6:
        raise ValueError(f"expected a multiple of {geometry.words}, found {resolution:g}")
    return _geographic_cells(geometry, resolution)


#: Sinusoidal grids in the cache: an ingest visits all tiles of a row, day after day.
_KEPT = 2 * 36


@lru_cache(maxsize=_KEPT)
def _sinusoidal_cells(geometry: Geometry, resolution: float) -> PixelCells:
    strips = [
        _runs(geometry, slice(top, min(top + _STRIP, geometry.rows)), resolution)
        for top in range(0, geometry.rows, _STRIP)
    ]
    rows, cols, lengths = (np.concatenate(part) for part in zip(*strips, strict=True))
    return replace(_window(rows, cols, resolution, lengths), lengths=lengths)


def _runs(
    geometry: Geometry, rows: slice, resolution: float
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint16]]:
    """Lattice row, lattice column and length of the runs in some rows of pixels."""
    down, across = _places(*_centres(geometry, rows), resolution)
    starts = np.ones(across.shape, dtype=bool)
    np.not_equal(across[:, 1:], across[:, :-1], out=starts[:, 1:])
    first = np.flatnonzero(starts)
    lengths = np.diff(first, append=across.size).astype(np.uint16)
    return down[first // geometry.cols], across.ravel()[first], lengths


@lru_cache(maxsize=1)
def _geographic_cells(geometry: Geometry, resolution: float) -> PixelCells:
    lat, lon = pixel_centres(geometry)
    # rows and columns are separable: no need to compute all 26 million pixels
    rows, cols = _places(lat, lon[:1], resolution)
    return _window(rows[:, None], cols, resolution)


def _places(
    lat: NDArray[np.float64], lon: NDArray[np.float64], resolution: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Lattice rows and columns of points, in their shape; column -1 off the Earth."""
    count = round(180 / resolution)
    # rounding errors must not move a point on the edge of a cell into the next one
    rows = np.clip(np.floor((90 - lat) / resolution + 1e-9), 0, count - 1).astype(np.int32)
    # positions on the Earth are never negative: truncation is floor, in half the time
    cols = ((lon + 180) / resolution + 1e-9).astype(np.int32)
    return rows, np.where(np.abs(lon) <= 180, np.clip(cols, 0, 2 * count - 1), np.int32(-1))


def _window(
    rows: NDArray[np.int32],
    cols: NDArray[np.int32],
    resolution: float,
    lengths: NDArray[np.uint16] | None = None,
) -> PixelCells:
    """`PixelCells` on the smallest rectangle that holds all cells; `lengths`: pixels of each."""
    seen = cols[cols >= 0]
    row, height = int(rows.min()), int(rows.max() - rows.min()) + 1
    col, width = (int(seen.min()), int(seen.max() - seen.min()) + 1) if seen.size else (0, 1)
    inside = (rows - np.int32(row)) * np.int32(width) + (cols - np.int32(col))
    places = np.where(cols >= 0, inside, np.int32(height * width)).ravel()
    counts = np.bincount(places, lengths, minlength=height * width + 1)[:-1].astype(np.int64)
    return PixelCells(places, row, col, counts.reshape(height, width), resolution)


def sum_cells(
    values: NDArray[np.floating[Any]], usable: NDArray[np.bool_] | None, cells: PixelCells
) -> CellSums:
    """Sums of the good pixels of `values` (row, col) over the cells of its grid.

    A pixel is good where it is finite and, if `usable` (row, col) is given, usable. The sum over
    all cells equals the sum over all good pixels on the Earth.
    """
    return sum_layers([values], usable, cells)[0]


def sum_layers(
    layers: Sequence[NDArray[Any]],
    usable: NDArray[np.bool_] | None,
    cells: PixelCells,
    *,
    valid: Valid | None = None,
    accepted: Sequence[NDArray[np.bool_] | None] = (),
) -> tuple[CellSums, ...]:
    """`sum_cells` of several layers (row, col) of one grid at once, in their order.

    Layers are floats, good where finite, or stored integers, whose exact sums `CellSums.scaled`
    turns into physical sums. `usable`: (row, col), pixels that are good in all layers; the fewer,
    the quicker. `valid`: lowest and highest number that is a value. `accepted`: for each layer
    the pixels that are good in it, or None.
    """
    for image in (*layers, *accepted, usable):
        if image is not None and image.size != cells.size:
            raise ValueError(f"expected {cells.size} pixels, found {image.shape}")
    masks = accepted or [None] * len(layers)
    tallies = [_Tally(x, m, valid, cells) for x, m in zip(layers, masks, strict=True)]
    for block in _blocks(usable, cells):
        for tally in tallies:
            tally.add(block)
    return tuple(tally.sums for tally in tallies)


@dataclass(frozen=True, eq=False)
class _Block:
    """Some of the usable pixels and their number in each cell, shared by all layers.

    `place`: (pixel,), position in a layer. `cell`: (pixel,), position in `cells`, the part of the
    rectangle that these pixels touch, row by row. `count`: (cell,).
    """

    place: NDArray[np.intp]
    cell: NDArray[np.intp]
    cells: slice
    count: NDArray[np.intp]


def _blocks(usable: NDArray[np.bool_] | None, cells: PixelCells) -> Iterator[_Block]:
    """The usable pixels in blocks that fit into the processor's cache."""
    mask = None if usable is None else usable.ravel()
    whole = cells.index
    for first in range(0, whole.size, _BLOCK):
        index = whole[first : first + _BLOCK]
        inside = index < cells.pixels.size
        place = np.flatnonzero(inside if mask is None else inside & mask[first : first + _BLOCK])
        if place.size:
            cell = index[place].astype(np.intp)
            low, high = int(cell.min()), int(cell.max()) + 1
            cell -= low
            yield _Block(place + first, cell, slice(low, high), np.bincount(cell))


class _Tally:
    """Running sums of one layer."""

    def __init__(
        self,
        layer: NDArray[Any],
        accepted: NDArray[np.bool_] | None,
        valid: Valid | None,
        cells: PixelCells,
    ) -> None:
        self.values, self.valid, self.cells = layer.ravel(), valid, cells
        self.accepted = None if accepted is None else accepted.ravel()
        self.total = np.zeros(cells.pixels.size)
        self.count = np.zeros(cells.pixels.size, np.int64)

    def add(self, block: _Block) -> None:
        values = self.values[block.place]
        missing = np.flatnonzero(~self._there(values, block))
        values[missing] = 0
        self.total[block.cells] += np.bincount(block.cell, weights=values)
        self.count[block.cells] += block.count
        # most usable pixels have a value: subtracting the missing ones is quicker
        self.count[block.cells] -= np.bincount(block.cell[missing], minlength=block.count.size)

    def _there(self, values: NDArray[Any], block: _Block) -> NDArray[np.bool_]:
        there: NDArray[np.bool_] = np.isfinite(values)
        if self.valid is not None:
            there &= (values >= self.valid[0]) & (values <= self.valid[1])
        if self.accepted is not None:
            there &= self.accepted[block.place]
        return there

    @property
    def sums(self) -> CellSums:
        cells, shape = self.cells, self.cells.shape
        total, count = self.total.reshape(shape), self.count.reshape(shape)
        return CellSums(cells.row, cells.col, total, count, cells.pixels, cells.resolution)


def merge(parts: Iterable[CellSums]) -> CellSums:
    """The sums of several tiles on the smallest rectangle that holds them all."""
    parts = list(parts)
    if not parts:
        raise ValueError("expected the sums of at least one tile, found none")
    if len({part.resolution for part in parts}) > 1:
        raise ValueError("expected cells of one size, found several; sum all tiles onto one")
    row, col = min(part.row for part in parts), min(part.col for part in parts)
    bottom = max(part.row + part.total.shape[0] for part in parts)
    right = max(part.col + part.total.shape[1] for part in parts)
    shape = bottom - row, right - col
    merged = CellSums(
        row, col, np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape, np.int64),
        parts[0].resolution,
    )  # fmt: skip
    for part in parts:
        top, left = part.row - row, part.col - col
        place = np.s_[top : top + part.total.shape[0], left : left + part.total.shape[1]]
        merged.total[place] += part.total
        merged.count[place] += part.count
        merged.pixels[place] += part.pixels
    return merged
