"""Sinusoidal pixels as means over 0.05 degree cells, by the centre of each pixel.

x = R lon cos(lat), y = R lat. Which cell a pixel falls into depends on the grid alone: it is
computed once a grid, and each layer then costs two passes of `numpy.bincount`. Pixels beyond
+-180 degrees (edge tiles) lie off the Earth and count nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.archives.structure import Geometry
from upscale.grid import EARTH_RADIUS

#: Resolution of the target, degrees: the climate-modelling grid, 3600 x 7200.
CELL = 0.05
_ROWS, _COLS = 3600, 7200


@dataclass(frozen=True, eq=False)
class Cells:
    """The cell of every pixel of a grid, inside the window of cells that it touches.

    `index`: (row * col,), place in the window, row by row; one past its end for pixels off the
    Earth. `row`, `col`: where the window begins on the global grid. `pixels`: (rows, cols),
    pixels of this grid whose centre lies in the cell.
    """

    index: NDArray[np.int32]
    row: int
    col: int
    pixels: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True, eq=False)
class CellSums:
    """Sums over the good pixels of each cell of a window, which tiles add up to.

    `total`, `count` (good pixels) and `pixels` (all pixels): (row, col), from `row`, `col` on.
    """

    row: int
    col: int
    total: NDArray[np.float64]
    count: NDArray[np.int64]
    pixels: NDArray[np.int64]

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


def pixel_centres(geometry: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes (row,) and longitudes (row, col) of the centres; |lon| > 180 is off the Earth."""
    y = geometry.top - (np.arange(geometry.rows) + 0.5) * geometry.pixel
    x = geometry.left + (np.arange(geometry.cols) + 0.5) * geometry.pixel
    lat = y / EARTH_RADIUS
    return np.degrees(lat), np.degrees(x[None, :] / (EARTH_RADIUS * np.cos(lat)[:, None]))


@lru_cache(maxsize=4)
def cells_of(geometry: Geometry) -> Cells:
    """The cell of every pixel of a sinusoidal grid; ValueError for any other grid."""
    if not geometry.sinusoidal:
        raise ValueError(f"expected a sinusoidal grid, found {geometry.words}")
    lat, lon = pixel_centres(geometry)
    # coordinates on a cell's very edge must not fall over it by a rounding error
    rows = np.clip(np.floor((90 - lat) / CELL + 1e-9), 0, _ROWS - 1).astype(np.int32)
    on_earth = np.abs(lon) <= 180
    cols = np.floor((lon + 180) / CELL + 1e-9)
    cols = np.clip(cols, 0, _COLS - 1).astype(np.int32)
    return _window(rows, cols, on_earth)


def _window(rows: NDArray[np.int32], cols: NDArray[np.int32], on_earth: NDArray[np.bool_]) -> Cells:
    seen = cols[on_earth]
    row, height = int(rows.min()), int(rows.max() - rows.min()) + 1
    col, width = (int(seen.min()), int(seen.max() - seen.min()) + 1) if seen.size else (0, 1)
    inside = (rows - row)[:, None] * width + (cols - col)
    index = np.where(on_earth, inside, height * width).astype(np.int32).ravel()
    counts = np.bincount(index, minlength=height * width + 1)[:-1]
    return Cells(index, row, col, counts.reshape(height, width))


def sum_cells(
    values: NDArray[np.floating[Any]], usable: NDArray[np.bool_] | None, cells: Cells
) -> CellSums:
    """Sums of the good pixels of `values` (row, col) over the cells of its grid.

    Good is what is finite and, where `usable` (row, col) is given, usable. What is summed over
    all cells is what is summed over all good pixels on the Earth.
    """
    if values.size != cells.index.size:
        raise ValueError(f"expected {cells.index.size} pixels, found {values.shape}")
    good = np.isfinite(values) if usable is None else np.isfinite(values) & usable
    index = cells.index[good.ravel()]
    length = cells.shape[0] * cells.shape[1] + 1
    total = np.bincount(index, weights=values[good], minlength=length)[:-1].astype(np.float64)
    count = np.bincount(index, minlength=length)[:-1]
    shape = cells.shape
    counted: NDArray[np.int64] = count.astype(np.int64).reshape(shape)
    return CellSums(cells.row, cells.col, total.reshape(shape), counted, cells.pixels)


def merge(parts: Iterable[CellSums]) -> CellSums:
    """The sums of several tiles in the one window that holds them all."""
    parts = list(parts)
    if not parts:
        raise ValueError("expected the sums of at least one tile, found none")
    row, col = min(part.row for part in parts), min(part.col for part in parts)
    bottom = max(part.row + part.total.shape[0] for part in parts)
    right = max(part.col + part.total.shape[1] for part in parts)
    shape = bottom - row, right - col
    merged = CellSums(
        row, col, np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    )
    for part in parts:
        top, left = part.row - row, part.col - col
        place = np.s_[top : top + part.total.shape[0], left : left + part.total.shape[1]]
        merged.total[place] += part.total
        merged.count[place] += part.count
        merged.pixels[place] += part.pixels
    return merged
