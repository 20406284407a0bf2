"""Which days of a block stand as an earlier session left them, and what is taken from there.

A day depends on the drivers of its window, on the embeddings of its tile and on the rules of the
run. An entry of the ledger has a digest of the windows of each stride of 15 days; strides whose
digests are still the same are not predicted again.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.drivers.composites import whole_periods
from upscale.drivers.cube import DriverCube
from upscale.drivers.growing import bytes_digest
from upscale.drivers.tiles import Surface
from upscale.engine.ledger import RunEntry
from upscale.engine.plan import RunJob
from upscale.engine.work.pieces import TilePiece
from upscale.engine.work.reduction import DayCut, Doubles, KeptDays
from upscale.network.inference import CellWindows
from upscale.network.scaler import Scaler
from upscale.network.windows import WindowRule
from upscale.product.layout import FluxLayout, WorkItem
from upscale.product.quality import Quality, has
from upscale.product.shards import digest_of, read_arrays
from upscale.variables import FLUXES


@dataclass(frozen=True)
class ItemSource:
    """What an item is made from besides rules and cubes: digests of the static layers of its cells,
    of its embeddings, and of the windows of each stride of its block, piece after piece."""

    surface: str
    embeddings: str
    strides: tuple[str, ...]


def surface_digest(surface: Surface) -> str:
    """Digest of the static layers of a tile."""
    layers = surface.sftlf, surface.igbp, surface.koppen, surface.elevation
    return bytes_digest(*layers)[:32]


def day_cut(
    layout: FluxLayout, item: WorkItem, rule: WindowRule, scaler: Scaler, cube: DriverCube
) -> DayCut:
    """How the days of an item are summed, and how many of them no longer record will change."""
    first, count = layout.span(item.block)
    numbers = (first + np.arange(count)) // rule.stride
    after = cube.last + 1
    begun = [whole_periods(after, 1, length)[0] for length in scaler.composites.values()]
    known = min(begun, default=after)
    settled = settled_days(layout, item, rule.stride, known)
    return DayCut(layout.segment_index(item.block), numbers, settled)


def settled_days(layout: FluxLayout, item: WorkItem, stride: int, known: int) -> int:
    """Days at the beginning of a block that no longer record of the drivers will change.

    Windows end with their stride, so that these are whole strides, except where the block is full.
    known: day number before which the record and all its composites are whole.
    """
    begin, count = layout.span(item.block)
    end = begin + count
    if count == layout.block and -(-end // stride) * stride <= known:
        return layout.block
    settled: int = min(known, end) // stride * stride - begin
    return max(0, settled)


def stride_digests(
    windows: CellWindows, first: int, cut: DayCut, rule: WindowRule
) -> tuple[str, ...]:
    """Digest of each stride of a block: where the windows of its days lie, and the drivers in them.

    first: day number of the first column of `windows.drivers`.
    """
    pieces = _StrideDigests(windows.drivers, first, rule.stride)
    found = []
    for stride in np.unique(cut.strides):
        here = np.flatnonzero(cut.strides == stride) + windows.days.start
        starts = windows.assignment.start[:, here[0] : here[-1] + 1]
        digest = hashlib.blake2b((starts + first).tobytes(), digest_size=12)
        used = starts[starts >= 0]
        if used.size:
            digest.update(pieces.between(int(used.min()), int(used.max()) + windows.length))
        found.append(digest.hexdigest())
    return tuple(found)


class _StrideDigests:
    """Digests of pieces of drivers `(cell, day, feature)` from day number `first`, one for each
    stride, made once."""

    def __init__(self, drivers: NDArray[np.float32], first: int, stride: int) -> None:
        self._drivers = drivers
        self._strides = (first + np.arange(drivers.shape[1])) // stride
        self._known: dict[int, bytes] = {}

    def between(self, start: int, stop: int) -> bytes:
        """Digests of all pieces with columns from `start` to `stop`."""
        return b"".join(self._piece(int(n)) for n in np.unique(self._strides[start:stop]))

    def _piece(self, stride: int) -> bytes:
        if stride not in self._known:
            columns = self._drivers[:, self._strides == stride]
            self._known[stride] = hashlib.blake2b(columns.tobytes(), digest_size=16).digest()
        return self._known[stride]


@dataclass(frozen=True, eq=False)
class Earlier:
    """What an earlier session left of an item.

    source: what the item is made from now; pieces: number of them; cut: of its days now; content:
    the running sums that belong to the entry.
    """

    job: RunJob
    item: WorkItem
    entry: RunEntry
    surface: Surface
    embeddings: str
    pieces: int
    cut: DayCut
    content: bytes | None

    def kept(self, number: int, piece: TilePiece, strides: tuple[str, ...]) -> KeptDays | None:
        """The days of a piece that the entry has settled and that still are what a plan asks for,
        None where there are none; strides: digests of the strides of the piece."""
        if not (self._may_stand and self._strides_stand(number, strides)):
            return None
        if self._arrays is None or self._running is None:
            return None
        there = (slice(None, self.entry.settled), piece.rows, piece.cols)
        daily = {
            name: values[there][:, piece.surface.land].T
            for name, values in self._arrays.items()
            if name == "quality" or name.removesuffix("_sd") in FLUXES
        }
        return KeptDays(
            _stacked(daily, ""),
            _stacked(daily, "_sd"),
            has(daily["quality"], Quality.CLIPPED),
            self._closed_sums(piece),
            self._running[:, piece.cells],
        )

    @cached_property
    def _may_stand(self) -> bool:
        """Whether the settled days of the entry may still be made from the same."""
        entry = self.entry
        # the record of the drivers may have become shorter
        return (
            entry.run == self.job.digest
            and 0 < entry.settled <= self.cut.settled
            and entry.embeddings == self.embeddings
            and entry.surface == surface_digest(self.surface)
        )

    def _strides_stand(self, number: int, strides: tuple[str, ...]) -> bool:
        """Whether the settled strides of a piece are what they were."""
        count = len(np.unique(self.cut.strides[: self.entry.settled]))
        each = len(self.entry.strides) // self.pieces
        then = tuple(self.entry.strides[number * each : (number + 1) * each])
        return then[:count] == strides[:count]

    @cached_property
    def _arrays(self) -> Mapping[str, NDArray[Any]] | None:
        """The arrays of the entry as they were written, None where any is not."""
        layout, digests = layout_then(self.job, self.item, self.entry), self.entry.digests
        found = {}
        for name, values in read_arrays(self.job.store, layout, self.item, digests):
            if values is None or digest_of(values) != digests[name]:
                return None
            found[name] = values
        return found

    @cached_property
    def _running(self) -> Doubles | None:
        """Running sums `(member, cell, 3)` of the tile, zeros where none were needed; None where
        the bytes are not those of the entry."""
        if not self.entry.running:
            return np.zeros((self.job.layout.members, int(self.surface.land.sum()), len(FLUXES)))
        if self.content is None:
            return None
        if hashlib.sha256(self.content).hexdigest() != self.entry.running:
            return None
        sums: Doubles = np.load(io.BytesIO(self.content), allow_pickle=False)
        return sums

    def _closed_sums(self, piece: TilePiece) -> NDArray[np.float32]:
        """Sums `(member, cell, segment, 3)` of the segments that end among the settled days."""
        count, arrays = self.entry.settled, self._arrays or {}
        segments = self.cut.segments
        closed = int(segments[count]) if count < len(segments) else self.cut.count
        there = (slice(None), slice(None, closed), piece.rows, piece.cols)
        sums = [
            np.nan_to_num(arrays[f"{flux}_member"][there][..., piece.surface.land])
            for flux in FLUXES
            if f"{flux}_member" in arrays
        ]
        shape = self.job.layout.members, len(piece.cells), 0, len(FLUXES)
        if not sums:
            return np.zeros(shape, np.float32)
        return np.stack([values.transpose(0, 2, 1) for values in sums], axis=3)


def _stacked(daily: Mapping[str, NDArray[Any]], suffix: str) -> NDArray[np.float32]:
    """`(cell, day, flux)` of the fluxes or their spreads."""
    parts = [daily[f"{flux}{suffix}"] for flux in FLUXES]
    return np.ascontiguousarray(np.stack(parts, axis=2))


def layout_then(job: RunJob, item: WorkItem, entry: RunEntry) -> FluxLayout:
    """The layout of the store when an item had as many days as its entry."""
    return replace(job.layout, count=item.block * job.layout.block + entry.days)


def pack_running(running: Doubles) -> bytes:
    """Running sums as the bytes of a file."""
    buffer = io.BytesIO()
    np.save(buffer, running, allow_pickle=False)
    return buffer.getvalue()
