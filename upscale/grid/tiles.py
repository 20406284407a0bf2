"""Tiles: the rectangles of cells that are read, computed and written together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from upscale.grid.grid import Grid

_ID = re.compile(r"r(\d+)c(\d+)")


@dataclass(frozen=True, order=True)
class Tile:
    """The tile in row `row` and column `col` of the tiling, counted from the north-west corner."""

    row: int
    col: int

    @property
    def id(self) -> str:
        return f"r{self.row:03d}c{self.col:03d}"

    def slices(self, grid: Grid, size: int) -> tuple[slice, slice]:
        """Rows and columns of the grid that the tile covers.

        Tiles at the southern and eastern edge are smaller where `size` does not divide the grid.
        """
        rows = slice(self.row * size, min((self.row + 1) * size, grid.rows))
        cols = slice(self.col * size, min((self.col + 1) * size, grid.cols))
        return rows, cols


def tile_from_id(text: str) -> Tile:
    """The tile of an id like `r012c034`."""
    match = _ID.fullmatch(text)
    if not match:
        raise ValueError(f"expected a tile id like r012c034, found {text!r}")
    return Tile(int(match[1]), int(match[2]))


def tile_counts(grid: Grid, size: int) -> tuple[int, int]:
    """Rows and columns of tiles that cover the grid."""
    return -(-grid.rows // size), -(-grid.cols // size)


def tiles_of(grid: Grid, size: int) -> Iterator[Tile]:
    """All tiles of a grid, row by row."""
    rows, cols = tile_counts(grid, size)
    return (Tile(row, col) for row in range(rows) for col in range(cols))
