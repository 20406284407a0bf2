"""What shows only when pieces lie side by side: seams, missing and doubled lines, doubled days.

A tile that was exchanged or multiplied agrees with itself in every array. It does not agree with
its neighbours: values jump along its edges as they do nowhere inside tiles.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import date_of
from upscale.checks.piece import Bools, Piece, spot
from upscale.checks.tally import Tally
from upscale.grid import Tile
from upscale.product.layout import FluxLayout, WorkItem

Floats = NDArray[np.float32]

#: GPP, g m-2 d-1, from which ratios between neighbours mean something.
LEAST = 0.05
#: Tiles of fewer cells along an edge have too few neighbours to compare.
SMALL = 8
#: Pairs of neighbours around a tile, by cells of its edge, from which it is judged: the jumps of a
#: few cells of a coast say nothing of a tile.
PAIRS = 1.5
#: A jump (natural logarithm) along all edges of a tile that is never nature: a fifth.
JUMP = 0.2
#: How much larger than anywhere inside tiles a jump must be, and the share of pairs that have it.
BEYOND, ONE_SIDED = 1.3, 0.7
#: Cells along a line, or with values on a day, from which lines and days are compared.
LINE, FIELD = 10, 30
#: GPP, g m-2 d-1, of a day that cannot be the same everywhere as another one.
ALIVE = 0.5


@dataclass
class Mosaic:
    """Maps of one block, `(row, col)`: mean GPP, NaN where there is none."""

    layout: FluxLayout
    block: int
    mean: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.mean = np.full(self.layout.grid.shape, np.nan, np.float32)

    def add(self, piece: Piece) -> None:
        """Put the mean GPP of a piece, zero where there is none, in its place."""
        count = piece.there["gpp"].sum(axis=0)
        mean = np.where(count > 0, piece.arrays["gpp"].sum(axis=0) / np.maximum(count, 1), np.nan)
        self.mean[piece.cells.rows, piece.cells.cols] = mean

    def look(self, tally: Tally) -> None:
        """Count what is wrong in the whole block."""
        if not np.isfinite(self.mean).any():
            return
        self._lines(tally, self.mean, "column")
        self._lines(tally, self.mean.T, "row")
        if self.layout.tile >= SMALL:
            self._seams(tally)

    def _lines(self, tally: Tally, mean: Floats, kind: str) -> None:
        """Columns without any value between two that have them, and columns that are there twice.

        mean: `(row, col)`, turned where rows are looked at.
        """
        have = np.isfinite(mean)
        between = have[:, :-2] & have[:, 2:]
        lost = (between.sum(axis=0) >= LINE) & ~(between & have[:, 1:-1]).any(axis=0)
        for place in np.flatnonzero(lost):
            self._line(tally, "lines", kind, int(place) + 1, between[:, place])
        alive = mean > LEAST
        pairs = alive[:, :-1] & alive[:, 1:]
        differ = pairs & (mean[:, :-1] != mean[:, 1:])
        twice = (pairs.sum(axis=0) >= LINE) & ~differ.any(axis=0)
        for place in np.flatnonzero(twice):
            self._line(tally, "lines", kind, int(place) + 1, pairs[:, place])

    def _line(self, tally: Tally, check: str, kind: str, place: int, cells: Bools) -> None:
        """Count the cells of a bad row or column."""
        grid, edge = self.layout.grid, self.layout.tile
        others = np.flatnonzero(cells)
        tiles = {
            Tile(int(n) // edge, place // edge) if kind == "column"
            else Tile(place // edge, int(n) // edge)
            for n in others
        }  # fmt: skip
        n = int(others[0])
        row, col = (n, place) if kind == "column" else (place, n)
        where = f"{kind} {place} at {spot(grid.lat[row], grid.lon[col])}"
        items = {WorkItem(self.block, tile).id for tile in tiles}
        first = date_of(self.layout.first + self.layout.days(self.block).start)
        tally.fault(check, len(others), f"{min(items)} gpp, from {first}, {where}", items)

    def _seams(self, tally: Tally) -> None:
        """Jumps along the edges of tiles, against those along the same lattice moved aside."""
        edge = self.layout.tile
        grid = self.layout.grid
        ring = grid.cols * grid.resolution == 360
        jumps = _jumps(self.mean, ring), _jumps(self.mean.T)
        real = _around(*jumps, edge, 0)
        offsets = sorted({max(1, edge * k // 6) for k in range(1, 6)})
        usual = [_around(*jumps, edge, offset) for offset in offsets]
        level, rough = (
            max(float(values[one.pairs >= PAIRS * edge].max(initial=0)) for one, values in found)
            for found in ([(u, u.level) for u in usual], [(u, u.rough) for u in usual])
        )
        if not rough:
            return  # no lattice has whole tiles to compare with
        lifted = (real.level > max(JUMP, BEYOND * level)) & (real.one_sided > ONE_SIDED)
        torn = real.rough > max(JUMP, BEYOND * rough)
        judged = real.pairs >= PAIRS * edge
        for row, col in np.argwhere(judged & (lifted & bool(level) | torn)):
            self._seam(tally, Tile(int(row), int(col)), float(real.ratio[row, col]))

    def _seam(self, tally: Tally, tile: Tile, ratio: float) -> None:
        item = WorkItem(self.block, tile)
        days, rows, cols = self.layout.region(item)
        grid = self.layout.grid
        where = spot(grid.lat[rows.start], grid.lon[cols.start])
        first = date_of(self.layout.first + days.start)
        text = f"{item.id} gpp, from {first}, {where}: {ratio:.2f} times its neighbours"
        tally.fault("seams", 1, text, (item.id,))


def _jumps(mean: Floats, ring: bool = False) -> Floats:
    """Jump of ln GPP from each column to the next `(row, col + 1)`, less the slopes beside it.

    Column c holds the jump from c - 1 to c, NaN where one of both has no value. ring: the first
    column follows the last one.
    """
    if ring:
        mean = np.concatenate([mean[:, -2:], mean, mean[:, :2]], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        step = np.diff(np.log(np.where(mean > LEAST, mean, np.nan)), axis=1)
    slopes = np.zeros_like(step)
    count = np.zeros(step.shape, np.int8)
    for to, of in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        known = np.isfinite(step[:, of])
        slopes[:, to] += np.where(known, step[:, of], 0)
        count[:, to] += known
    jump = np.full((len(mean), mean.shape[1] + 1), np.nan, np.float32)
    jump[:, 1:-1] = np.clip(step - slopes / np.maximum(count, 1), -1, 1)
    return jump[:, 2:-2] if ring else jump


@dataclass(frozen=True)
class Edges:
    """The jumps around each tile of a lattice, all `(row, col)` of tiles.

    pairs: neighbours compared; level: size of the median jump from outside to inside; one_sided:
    share of pairs that jump like the median by a tenth; rough: mean size of the jumps; ratio: of
    inside to outside.
    """

    pairs: NDArray[np.int64]
    level: NDArray[np.float64]
    one_sided: NDArray[np.float64]
    rough: NDArray[np.float64]
    ratio: NDArray[np.float64]


def _around(across: Floats, down: Floats, edge: int, offset: int) -> Edges:
    """The jumps around the whole tiles of a lattice that begins `offset` cells aside.

    across: `(row, col + 1)` from column to column; down: `(col, row + 1)` from row to row.
    """
    rows, cols = len(across), len(down)
    counts = -(-(rows - offset) // edge), -(-(cols - offset) // edge)
    fields = [np.zeros(counts) for _ in range(5)]
    for row in range(counts[0]):
        for col in range(counts[1]):
            jumps = _outline(across, down, offset + row * edge, offset + col * edge, edge)
            if len(jumps):
                for one, value in zip(fields, _summary(jumps), strict=True):
                    one[row, col] = value
    return Edges(fields[0].astype(np.int64), *fields[1:])


def _outline(across: Floats, down: Floats, top: int, left: int, edge: int) -> Floats:
    """All known jumps into a tile, from its four sides."""
    rows, cols = slice(top, top + edge), slice(left, left + edge)
    right, bottom = min(left + edge, len(down)), min(top + edge, len(across))
    sides = across[rows, left], down[cols, top], -across[rows, right], -down[cols, bottom]
    jumps = np.concatenate(sides)
    return jumps[np.isfinite(jumps)]


def _summary(jumps: Floats) -> tuple[float, ...]:
    median = float(np.median(jumps))
    alike = np.mean(jumps * np.sign(median) > 0.1)
    return len(jumps), abs(median), float(alike), float(np.abs(jumps).mean()), float(np.exp(median))


@dataclass
class Days:
    """Fingerprints of the GPP of every day, by piece: one day is never another one again."""

    layout: FluxLayout
    seen: dict[tuple[int, int], dict[bytes, int]] = field(default_factory=dict)

    def add(self, piece: Piece, tally: Tally) -> None:
        """Count days of a piece that repeat an earlier day; zeros stand where no GPP is."""
        values = piece.arrays["gpp"]
        known = self.seen.setdefault((piece.cells.rows.start, piece.cells.cols.start), {})
        enough = piece.there["gpp"].sum(axis=(1, 2)) >= FIELD
        twice = np.zeros(len(values), bool)
        for index in np.flatnonzero(enough):
            day = piece.days.start + int(index)
            mark = hashlib.blake2b(values[index].tobytes(), digest_size=8).digest()
            first = known.setdefault(mark, day)
            twice[index] = first != day and values[index].max() > ALIVE
        if twice.any():
            piece.fault(tally, "repeats", _on(twice, piece.there["gpp"]), "gpp")


def _on(days: Bools, there: Bools) -> Any:
    return there & days[:, None, None]
