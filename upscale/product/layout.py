"""How a flux cube is divided: tiles in space, blocks in time, one shard for each pair.

A block has a fixed number of days because a Zarr chunk has one fixed length and years do not.
A segment is some days of one calendar year (or month) inside one block, so that the sums kept
for each member have one writer, too. Every block has the same number of segments, its `slots`, so
that they are one chunk: where its calendar has fewer, the longest are halved. A step is the part
of 15 days, counted from 2000-01-01, that lies in one block.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import STEP_DAYS, date_of, months_since_1970, years_of
from upscale.grid import Grid, Tile, tile_from_id

#: Days of a block: 24 strides of 15 days, so that every block has the same number of steps, and
#: 12 chunks of the 30 days in which an ingest stores drivers.
BLOCK_DAYS = 360

#: Values of a stored chunk. Readers plan each chunk of the grid: 60 million small ones took xarray
#: over a minute for one selection.
_CHUNK = 300_000

#: How stores are cut now. Those of format 1 have a chunk for each segment, and halve none.
FORMAT = 2

Sums = Literal["annual", "monthly", "none"]
#: Days of the shortest year and of consecutive months of it, for the most that a block may meet.
_LENGTHS = {"annual": (365,), "monthly": (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)}
#: Edge in cells of the largest piece of a tile that is read and computed at once.
PIECE = 100

_ITEM_ID = re.compile(r"(r\d+c\d+)-b(\d+)")


@dataclass(frozen=True, order=True)
class WorkItem:
    """One tile in one block: one shard of every array, with one writer."""

    block: int
    tile: Tile

    @property
    def id(self) -> str:
        return f"{self.tile.id}-b{self.block:03d}"


def item_from_id(text: str) -> WorkItem:
    """The work item of an id like `r012c034-b001`."""
    match = _ITEM_ID.fullmatch(text)
    if not match:
        raise ValueError(f"expected a work item like r012c034-b001, found {text!r}")
    return WorkItem(int(match[2]), tile_from_id(match[1]))


@dataclass(frozen=True)
class Segment:
    """`count` days from day number `first`, all in one block and one year (or month)."""

    block: int
    first: int
    count: int


@dataclass(frozen=True)
class FluxLayout:
    """The cut of one flux cube: `count` days from day number `first` on `grid`.

    tile: edge of a tile in cells; members: size of the ensemble; sums: period of the sums
    that are kept for each member; format: number of the rules of this module, 1 for stores that
    name none; keep_bits: bits of the mantissa that fluxes and spreads keep, None for all.
    """

    grid: Grid
    first: int
    count: int
    tile: int
    members: int
    sums: Sums = "annual"
    block: int = BLOCK_DAYS
    format: int = FORMAT
    keep_bits: int | None = None

    @property
    def blocks(self) -> int:
        return -(-self.count // self.block)

    @property
    def shard(self) -> tuple[int, int, int]:
        """Days, rows and columns of a shard."""
        return self.block, self.tile, self.tile

    @property
    def chunk(self) -> tuple[int, int, int]:
        """Days, rows and columns of a chunk inside a shard: at most 100 x 100 cells and about
        300,000 values. A month of a large tile serves a map and a series alike; small tiles
        hold more days, because a reader like dask pays for every chunk of the whole grid."""
        edge = next(n for n in range(min(self.tile, 100), 0, -1) if self.tile % n == 0)
        # Whole chunks make a shard: Zarr wants edges and days that divide those of the shard.
        days = (n for n in range(self.block, 0, -1) if self.block % n == 0)
        return next(n for n in days if n <= max(30, _CHUNK // edge**2)), edge, edge

    @property
    def layer_chunk(self) -> int:
        """Edge of a chunk of the static layers: whole tiles, about 400 cells, so that a grid of
        small tiles does not become a folder of a million files."""
        return self.tile * max(1, 400 // self.tile)

    def days(self, block: int) -> slice:
        """Indices on the time axis of the days of a block."""
        return slice(block * self.block, min((block + 1) * self.block, self.count))

    def span(self, block: int, margin: int = 0) -> tuple[int, int]:
        """First day number, and number of days, of a block with `margin` days on either side."""
        days = self.days(block)
        return self.first + days.start - margin, days.stop - days.start + 2 * margin

    def region(self, item: WorkItem) -> tuple[slice, slice, slice]:
        """Days, rows and columns that a work item writes."""
        return (self.days(item.block), *item.tile.slices(self.grid, self.tile))

    def parts(self, tiles: Sequence[Tile]) -> list[tuple[slice, slice]]:
        """Rows and columns of some tiles."""
        return [tile.slices(self.grid, self.tile) for tile in tiles]

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """All segments, in order of time."""
        return tuple(self._segments())

    def _segments(self) -> Iterator[Segment]:
        for block in range(self.blocks if self.sums != "none" else 0):
            # A block that is still open is cut as the full one: its cuts stay when it grows.
            end = self.days(block).stop
            for start, stop in itertools.pairwise([*self._starts(block), end]):
                yield Segment(block, self.first + start, stop - start)

    def _starts(self, block: int) -> list[int]:
        """Where the segments of a block begin, indices on the time axis.

        A year ends inside a block and a block inside a year: either begins a segment, because a
        sum that two work items wrote would have no single owner.
        """
        days = np.arange(block * self.block, (block + 1) * self.block)
        period = (years_of if self.sums == "annual" else months_since_1970)(self.first + days)
        cuts = [0, *(np.flatnonzero(np.diff(period)) + 1).tolist(), self.block]
        while self.format > 1 and len(cuts) <= self.slots:
            lengths = np.diff(cuts)
            longest = int(lengths.argmax())
            cuts.insert(longest + 1, cuts[longest] + int(lengths[longest]) // 2)
        starts = [block * self.block + cut for cut in cuts[:-1]]
        return [start for start in starts if start < self.count]

    @cached_property
    def slots(self) -> int:
        """Segments of a whole block: the most that its calendar can ask for."""
        if self.sums == "none":
            return 0
        lengths = _LENGTHS[self.sums] * (2 + self.block // sum(_LENGTHS[self.sums]))
        # n ends of a period, a day on either side: n - 1 whole periods and two days.
        ends = (
            n
            for n in range(1, len(lengths))
            if 2 + min(sum(lengths[i : i + n - 1]) for i in range(len(lengths) - n)) <= self.block
        )
        return 1 + max(ends, default=0)

    @property
    def segment_chunk(self) -> int:
        """Segments of a stored chunk: those of a block."""
        return self.slots if self.format > 1 else 1

    def segments_of(self, block: int) -> slice:
        """Indices on the segment axis of the segments of a block."""
        there = [i for i, segment in enumerate(self.segments) if segment.block == block]
        return slice(there[0], there[-1] + 1) if there else slice(0, 0)

    @cached_property
    def segment_bounds(self) -> NDArray[np.int32]:
        """First day and day after the last `(segment, 2)` of every segment, as day numbers."""
        bounds = [[segment.first, segment.first + segment.count] for segment in self.segments]
        return np.array(bounds, np.int32).reshape(-1, 2)

    @property
    def stored_segments(self) -> Iterator[slice]:
        """Indices on the segment axis of each stored chunk, one after the other."""
        for start in range(0, len(self.segments), self.segment_chunk or 1):
            yield slice(start, min(start + self.segment_chunk, len(self.segments)))

    def segment_index(self, block: int) -> NDArray[np.int64]:
        """For each day of a block, `(day,)`, its segment counted within the block."""
        counts = [s.count for s in self.segments[self.segments_of(block)]]
        return np.repeat(np.arange(len(counts)), counts)

    def step_numbers(self, block: int) -> range:
        """The steps of a block: step n covers the days 15 n to 15 n + 14."""
        days = self.days(block)
        first, last = self.first + days.start, self.first + days.stop - 1
        return range(first // STEP_DAYS, last // STEP_DAYS + 1)

    def steps_of(self, block: int) -> slice:
        """Indices on the step axis of the steps of a block; a step across two blocks stands
        in both."""
        # All blocks but a short last one have as many steps as the first: 360 days are whole
        # strides, so that each begins equally far into a step.
        begin = block * self.steps_per_block
        return slice(begin, begin + len(self.step_numbers(block)))

    @property
    def steps_per_block(self) -> int:
        """Number of steps of a block that is full, as it may become."""
        last = self.first + self.block - 1
        return last // STEP_DAYS - self.first // STEP_DAYS + 1

    def step_index(self, days: slice) -> NDArray[np.int64]:
        """For each of the days `(day,)`, indices on the time axis, its index on the step axis."""
        day = np.arange(days.start, days.stop)
        block = day // self.block
        numbers = (self.first + day) // STEP_DAYS
        first = (self.first + block * self.block) // STEP_DAYS
        index: NDArray[np.int64] = block * self.steps_per_block + numbers - first
        return index

    @cached_property
    def step_bounds(self) -> NDArray[np.int32]:
        """First day and day after the last `(step, 2)` of every step, as day numbers."""
        index = self.step_index(slice(0, self.count))
        first = np.flatnonzero(np.diff(index, prepend=-1))
        bounds = np.stack([first, [*first[1:], self.count]], axis=1) + self.first
        return bounds.astype(np.int32)

    def describe(self) -> str:
        """One line for people."""
        start, end = date_of(self.first), date_of(self.first + self.count - 1)
        rows, cols = self.grid.shape
        edge = f"{self.grid.resolution:g} degree{'s' * (self.grid.resolution != 1)}"
        return f"{start} to {end} on {rows} x {cols} cells of {edge}"
