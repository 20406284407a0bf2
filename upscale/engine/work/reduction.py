"""From the fluxes of all members to what is kept of them: mean, spread, and sums over segments.

Sums are added up stride by stride in double precision. A block that grows therefore goes on from
the sum of the days that stay as they are, and ends with the bits of a block made at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upscale.network.moments import any_negative, clip_in_place, mean_and_spread
from upscale.variables import FLUXES

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: Cells whose members are held in memory at once.
_CELLS = 1024


@dataclass(frozen=True, eq=False)
class DayCut:
    """How the days of a block are summed.

    segments: `(day,)` segment of each day, counted within the block, empty where no sums are
    kept; strides: `(day,)` number of the stride of each day; settled: days at the beginning of the
    block that no longer record will change.
    """

    segments: Ints
    strides: Ints
    settled: int = 0

    def parts(self, first: int) -> Iterator[tuple[int, slice]]:
        """The segment and the days of each run of days of one segment and one stride, from the
        day `first` of the block on."""
        if not self.segments.size:
            return
        ends = np.diff(self.segments, prepend=-1) | np.diff(self.strides, prepend=-1)
        starts = [int(day) for day in np.flatnonzero(ends) if day >= first]
        for start, stop in itertools.pairwise([*starts, len(self.segments)]):
            yield int(self.segments[start]), slice(start, stop)

    @property
    def count(self) -> int:
        """Number of segments."""
        return len(np.unique(self.segments))


#: Where no sums are kept.
NO_SUMS = DayCut(np.zeros(0, np.int64), np.zeros(0, np.int64))


@dataclass(frozen=True, eq=False)
class KeptDays:
    """The first days of a block, as an earlier session left them.

    mean, spread: `(cell, day, 3)` g m-2 d-1; clipped: `(cell, day)`; sums: `(member, cell,
    segment, 3)` g m-2 of the segments that end among these days; running: `(member, cell, 3)` g m-2
    over the days of the segment that goes on.
    """

    mean: Floats
    spread: Floats
    clipped: Bools
    sums: Floats
    running: Doubles

    @property
    def count(self) -> int:
        """Number of days."""
        return len(self.mean[0]) if len(self.mean) else 0

    def of(self, cells: slice) -> KeptDays:
        """The same of some cells."""
        return KeptDays(
            self.mean[cells], self.spread[cells], self.clipped[cells],
            self.sums[:, cells], self.running[:, cells],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class CellFluxes:
    """What is predicted for some land cells over the days of a block.

    mean, spread: `(cell, day, 3)` g m-2 d-1, NaN where nothing is predicted; clipped:
    `(cell, day)`; sums: `(member, cell, segment, 3)` g m-2; days: `(cell, segment)`; running:
    `(member, cell, 3)` g m-2 over the settled days of the segment in which these end.
    """

    mean: Floats
    spread: Floats
    clipped: Bools
    sums: Floats
    days: NDArray[np.uint16]
    running: Doubles


def slices(cells: int) -> Iterator[slice]:
    """Slices of as many cells as are predicted at once."""
    for first in range(0, cells, _CELLS):
        yield slice(first, min(first + _CELLS, cells))


def joined(parts: Sequence[CellFluxes]) -> CellFluxes:
    """The fluxes of cells that were predicted one part after the other."""
    return CellFluxes(
        np.concatenate([part.mean for part in parts]),
        np.concatenate([part.spread for part in parts]),
        np.concatenate([part.clipped for part in parts]),
        np.concatenate([part.sums for part in parts], axis=1),
        np.concatenate([part.days for part in parts]),
        np.concatenate([part.running for part in parts], axis=1),
    )


def reduce_members(members: Floats, cut: DayCut, kept: KeptDays | None = None) -> CellFluxes:
    """Clip, average and sum the members `(member, cell, day, 3)`, which are clipped in place.

    kept: the days of the block before the first day of `members`, if that is not its first.
    """
    negative = any_negative(members)
    clip_in_place(members)
    mean, spread = (part.astype(np.float32) for part in mean_and_spread(members))
    if kept is not None:
        mean = np.concatenate([kept.mean, mean], axis=1)
        spread = np.concatenate([kept.spread, spread], axis=1)
        negative = np.concatenate([kept.clipped, negative], axis=1)
    days = _known_days(np.isfinite(mean[..., 0]), cut)
    sums, running = _sum_segments(members, cut, kept)
    return CellFluxes(
        mean, spread, negative, np.where(days[None, :, :, None] > 0, sums, np.float32(np.nan)),
        days, running,
    )  # fmt: skip


def _known_days(known: Bools, cut: DayCut) -> NDArray[np.uint16]:
    """Days with a value `(cell, segment)`; known: `(cell, day)` of the block."""
    days = np.zeros((len(known), cut.count), np.uint16)
    for segment in range(cut.count):
        days[:, segment] = known[:, cut.segments == segment].sum(axis=1)
    return days


def _sum_segments(members: Floats, cut: DayCut, kept: KeptDays | None) -> tuple[Floats, Doubles]:
    """Sums `(member, cell, segment, 3)` over the days with a value, and the running sum."""
    size = members.shape[:2]
    first = kept.count if kept is not None else 0
    total = np.zeros((*size, cut.count, len(FLUXES)))
    running = np.zeros((*size, len(FLUXES)))
    if kept is not None and cut.count:
        total[:, :, : kept.sums.shape[2]] = kept.sums
        if first < len(cut.segments) and _goes_on(cut, first):
            total[:, :, cut.segments[first]] = kept.running
    for segment, days in cut.parts(first):
        if days.start == cut.settled and _goes_on(cut, days.start):
            running = total[:, :, segment].copy()
        part = members[:, :, days.start - first : days.stop - first]
        total[:, :, segment] += np.nansum(part, axis=2, dtype=np.float64)
    if cut.count and 0 < cut.settled == len(cut.segments):
        every = kept is not None and first == cut.settled
        running = kept.running if kept is not None and every else total[:, :, -1].copy()
    return total.astype(np.float32), running


def _goes_on(cut: DayCut, day: int) -> bool:
    """Whether a day of a block belongs to the same segment as the day before it."""
    return day > 0 and bool(cut.segments[day] == cut.segments[day - 1])
