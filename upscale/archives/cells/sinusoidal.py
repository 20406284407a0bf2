"""Pixels as means over the cells of a global lattice in degrees, by the centre of each pixel.

Sinusoidal: x = R lon cos(lat), y = R lat. Which cell a pixel falls into depends on the grid
alone: it is computed once a grid, and each layer then costs one gathering and one
`numpy.bincount` of its good pixels. Stored integers are summed as they are, which is exact, and
scaled as sums. Pixels beyond +-180 degrees (edge tiles) lie off the Earth and count nowhere.
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

#: Cell size of the climate-modelling grid, 3600 x 7200, and of the product, degrees.
CELL = 0.05

#: Lowest and highest stored number that is a value.
Valid = tuple[int, int]

#: Pixels that are summed at a time, and rows of pixels that are placed at a time.
_BLOCK, _STRIP = 1 << 16, 64


@dataclass(frozen=True, eq=False)
class PixelCells:
    """The cell of every pixel of a grid, inside the window of cells that it touches.

    Neighbours in a row mostly share a cell: such runs are kept. `places`: (run,), place in the
    window, row by row; one past its end for pixels that lie in none of its cells. `lengths`:
    (run,), how many pixels; None where each run is one. `row`, `col`: where the window begins on
    the global lattice, whose first cell touches 90 N, 180 W. `pixels`: (rows, cols), pixels of
    this grid whose centre lies in the cell. `resolution`: size of a cell, degrees.
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
        """Pixels of the grid."""
        return int(self.places.size if self.lengths is None else self.lengths.sum(dtype=int))

    @property
    def index(self) -> NDArray[np.int32]:
        """The place of every pixel (row * col,)."""
        return self.places if self.lengths is None else self.places.repeat(self.lengths)

    def unrolled(self) -> PixelCells:
        """The same without runs: for a grid that is summed several times."""
        return replace(self, places=self.index, lengths=None)

    def crop(self, rows: slice, cols: slice) -> PixelCells:
        """The cells in a window of the lattice; the pixels of others then count nowhere.

        `rows`, `cols`: first and past the last row and column of the global lattice. What the
        window and the grid share is kept, which may be no cell at all.
        """
        top, bottom = _shared(self.row, self.shape[0], rows)
        left, right = _shared(self.col, self.shape[1], cols)
        window = np.s_[top - self.row : bottom - self.row, left - self.col : right - self.col]
        pixels = self.pixels[window]
        # the new place of each old one; the last is for pixels that lay outside before
        places = np.full(self.pixels.size + 1, pixels.size, np.int32)
        inside = np.arange(pixels.size, dtype=np.int32).reshape(pixels.shape)
        places[:-1].reshape(self.shape)[window] = inside
        return replace(self, places=places[self.places], row=top, col=left, pixels=pixels)

    def only(self, wanted: NDArray[np.bool_]) -> PixelCells:
        """The same window, of which only `wanted` cells (row, col) are to have sums."""
        places = np.full(wanted.size + 1, wanted.size, np.int32)
        kept = np.flatnonzero(wanted)
        places[kept] = kept
        return replace(self, places=places[self.places])


def _shared(first: int, count: int, wanted: slice) -> tuple[int, int]:
    """First and past the last of `count` rows from `first` on that lie in `wanted`."""
    start = min(max(wanted.start, first), first + count)
    return start, max(start, min(wanted.stop, first + count))


@dataclass(frozen=True, eq=False)
class CellSums:
    """Sums over the good pixels of each cell of a window, which tiles add up to.

    `total`, `count` (good pixels) and `pixels` (all pixels): (row, col), from `row`, `col` of
    the global lattice of `resolution` degrees on.
    """

    row: int
    col: int
    total: NDArray[np.float64]
    count: NDArray[np.int64]
    pixels: NDArray[np.int64]
    resolution: float = CELL

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of the good pixels (row, col), NaN where there is none."""
        some = self.count > 0
        return np.where(some, self.total / np.maximum(self.count, 1), np.nan)

    @property
    def share(self) -> NDArray[np.float64]:
        """Good pixels per pixel (row, col), NaN where the cell has no pixel."""
        some = self.pixels > 0
        return np.where(some, self.count / np.maximum(self.pixels, 1), np.nan)

    def __add__(self, other: CellSums) -> CellSums:
        """The sums of other pixels of the same grid added, over the same cells."""
        return replace(self, total=self.total + other.total, count=self.count + other.count)

    def scaled(self, factor: float, shift: float = 0.0) -> CellSums:
        """The sums of factor x number + shift, where these are the sums of the numbers."""
        return replace(self, total=self.total * factor + self.count * shift)


def pixel_centres(geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes (row,) and longitudes (row, col) of the centres; |lon| > 180 is off the Earth."""
    return _centres(geometry, slice(0, geometry.rows))


def _centres(geometry: Geometry, rows: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`pixel_centres` of some of its rows."""
    down = np.arange(rows.start, rows.stop, dtype=np.float64)
    y = geometry.top - (down + 0.5) * geometry.pixel
    x = geometry.left + (np.arange(geometry.cols, dtype=np.float64) + 0.5) * geometry.pixel
    if not geometry.sinusoidal:
        return y, np.broadcast_to(x, (y.size, x.size))
    lat = y / EARTH_RADIUS
    return np.degrees(lat), np.degrees(x[None, :] / (EARTH_RADIUS * np.cos(lat)[:, None]))


def cells_of(geometry: Geometry, resolution: float = CELL) -> PixelCells:
    """The cell of every pixel of a sinusoidal grid or of (a part of) a climate-modelling grid.

    `resolution`: size of a cell in degrees, from 90 N, 180 W on. The tiles between two multiples
    of 10 degrees are kept for two sizes of pixels (4 MB for 2400 x 2400 pixels near the equator,
    15 MB beyond 70 degrees, where there are fewer tiles), and the last CMG (104 MB). Each pixel
    counts once, those of a CMG, too, though its northern pixels are smaller.
    ValueError for a size that does not divide the Earth, or, of a CMG, the pixels.
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


#: Sinusoidal grids that are kept: those of a band are visited in turn, day after day.
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
    """Row and column of the lattice, and length, of the runs in some rows of pixels."""
    down, across = _places(*_centres(geometry, rows), resolution)
    starts = np.ones(across.shape, dtype=bool)
    np.not_equal(across[:, 1:], across[:, :-1], out=starts[:, 1:])
    first = np.flatnonzero(starts)
    lengths = np.diff(first, append=across.size).astype(np.uint16)
    return down[first // geometry.cols], across.ravel()[first], lengths


@lru_cache(maxsize=1)
def _geographic_cells(geometry: Geometry, resolution: float) -> PixelCells:
    lat, lon = pixel_centres(geometry)
    # one row is like another: 26 million need not be computed
    rows, cols = _places(lat, lon[:1], resolution)
    return _window(rows[:, None], cols, resolution)


def _places(
    lat: NDArray[np.float64], lon: NDArray[np.float64], resolution: float
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Rows and columns of the lattice, same shapes; column -1 off the Earth."""
    count = round(180 / resolution)
    # coordinates on a cell's very edge must not fall over it by a rounding error
    rows = np.clip(np.floor((90 - lat) / resolution + 1e-9), 0, count - 1).astype(np.int32)
    # never below zero on the Earth: to cut off decimals is to round down, in half the time
    cols = ((lon + 180) / resolution + 1e-9).astype(np.int32)
    return rows, np.where(np.abs(lon) <= 180, np.clip(cols, 0, 2 * count - 1), np.int32(-1))


def _window(
    rows: NDArray[np.int32],
    cols: NDArray[np.int32],
    resolution: float,
    lengths: NDArray[np.uint16] | None = None,
) -> PixelCells:
    """Places in the window that holds them all; each counts as `lengths` pixels."""
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

    Good is what is finite and, where `usable` (row, col) is given, usable. What is summed over
    all cells is what is summed over all good pixels on the Earth.
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
    """`sum_cells` of several layers (row, col) of one grid in one go, in their order.

    Layers are floats, of which the finite ones are good, or numbers as they are stored:
    `CellSums.scaled` makes physical sums of theirs, exact until then. `usable`: (row, col),
    what is good in all layers; the fewer, the quicker. `valid`: lowest and highest number that
    is a value. `accepted`: for each layer what is good in it alone, or None.
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
    """Some of the pixels that count: how many in each cell, made once for all layers.

    `place`: (pixel,), place in a layer. `cell`: (pixel,), place in `cells`, the part of the
    window that holds them all, row by row. `count`: (cell,).
    """

    place: NDArray[np.intp]
    cell: NDArray[np.intp]
    cells: slice
    count: NDArray[np.intp]


def _blocks(usable: NDArray[np.bool_] | None, cells: PixelCells) -> Iterator[_Block]:
    """The pixels that count, as many at a time as stay in a processor's cache."""
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
    """The sums of one layer in the making."""

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
        # most of what is usable is there: what is missing is taken off
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
    """The sums of several tiles in the one window that holds them all."""
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
