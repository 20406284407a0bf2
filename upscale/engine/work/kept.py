"""Which days of a block stand as an earlier session left them, and what is taken from there.

A day depends on the drivers of its window, on the embeddings of its tile and on the rules of the
run. An entry of the ledger has a digest of the windows of each stride of 15 days; strides whose
digests are still the same are not predicted again.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from upscale.drivers.composites import whole_periods
from upscale.drivers.cube import DriverCube
from upscale.drivers.growing import bytes_digest
from upscale.drivers.tiles import Surface
from upscale.engine.ledger import RunEntry
from upscale.engine.plan import RunJob
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
    of its embeddings, and of the windows of each stride of its block."""

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


def kept_days(
    job: RunJob,
    item: WorkItem,
    entry: RunEntry | None,
    source: ItemSource,
    cut: DayCut,
    land: NDArray[np.bool_],
    running: bytes | None,
) -> KeptDays | None:
    """The days that an entry has settled and that still are what a plan asks for, None where there
    are none.

    land: cells `(row, col)` of the tile; running: the running sums that belong to the entry.
    """
    if entry is None or not _stands(entry, job, source, cut):
        return None
    found = dict(read_arrays(job.store, layout_then(job, item, entry), item, entry.digests))
    if any(v is None or digest_of(v) != entry.digests[name] for name, v in found.items()):
        return None
    sums = _running_of(entry, running, (job.layout.members, int(land.sum()), len(FLUXES)))
    if sums is None:
        return None
    count, arrays = entry.settled, {name: v for name, v in found.items() if v is not None}
    closed = int(cut.segments[count]) if count < len(cut.segments) else cut.count

    def stacked(suffix: str) -> NDArray[np.float32]:
        parts = [arrays[f"{flux}{suffix}"][:count, land].T for flux in FLUXES]
        return np.ascontiguousarray(np.stack(parts, axis=2))

    members = [
        np.nan_to_num(arrays[f"{flux}_member"][:, :closed, land].transpose(0, 2, 1))
        for flux in FLUXES
        if f"{flux}_member" in arrays
    ]
    kept = np.stack(members, axis=3) if members else np.zeros((len(sums), land.sum(), 0, 3), "f4")
    clipped = has(arrays["quality"][:count, land].T, Quality.CLIPPED)
    return KeptDays(stacked(""), stacked("_sd"), clipped, kept, sums)


def _stands(entry: RunEntry, job: RunJob, source: ItemSource, cut: DayCut) -> bool:
    """Whether the settled days of an entry are still made from the same."""
    count = len(np.unique(cut.strides[: entry.settled]))
    return (
        entry.run == job.digest
        and 0 < entry.settled <= cut.settled  # the record of the drivers may have become shorter
        and (entry.surface, entry.embeddings) == (source.surface, source.embeddings)
        and tuple(entry.strides[:count]) == source.strides[:count]
    )


def layout_then(job: RunJob, item: WorkItem, entry: RunEntry) -> FluxLayout:
    """The layout of the store when an item had as many days as its entry."""
    return replace(job.layout, count=item.block * job.layout.block + entry.days)


def pack_running(running: Doubles) -> bytes:
    """Running sums as the bytes of a file."""
    buffer = io.BytesIO()
    np.save(buffer, running, allow_pickle=False)
    return buffer.getvalue()


def _running_of(entry: RunEntry, content: bytes | None, shape: tuple[int, ...]) -> Doubles | None:
    """Running sums from the bytes of their file, zeros where none were needed; None where the bytes
    are not those of the entry."""
    if not entry.running:
        return np.zeros(shape)
    if content is None or hashlib.sha256(content).hexdigest() != entry.running:
        return None
    sums: Doubles = np.load(io.BytesIO(content), allow_pickle=False)
    return sums
