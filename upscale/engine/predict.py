"""One work item: from a tile's drivers to its fluxes, spreads, sums and quality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from upscale.drivers.tiles import Surface, TileDrivers
from upscale.engine.context import Embeddings, class_codes
from upscale.network.predictor import Predictor
from upscale.network.windows import Assignment, Rows, WindowRule, assign, rows_of
from upscale.product.layout import FluxLayout, WorkItem
from upscale.product.quality import FILL, Quality
from upscale.product.shards import TileFluxes
from upscale.variables import FLUXES

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
_U16 = np.uint16
#: Cells whose members are held in memory at once.
_CELLS = 1024


@dataclass(frozen=True)
class CellFluxes:
    """What is predicted for some land cells over the days of a block.

    mean, spread: `(cell, day, 3)` g m-2 d-1, NaN where nothing is predicted; clipped:
    `(cell, day)`; sums: `(member, cell, segment, 3)` g m-2; days: `(cell, segment)`.
    """

    mean: Floats
    spread: Floats
    clipped: Bools
    sums: Floats
    days: NDArray[np.uint16]


@dataclass(frozen=True)
class Windows:
    """The windows of a block and what they are cut from.

    drivers: from `margin` days before the block to `margin` days after it; block: the
    columns of the block in them; length: days of a window; assignment: over all columns.
    """

    drivers: TileDrivers
    block: slice
    length: int
    assignment: Assignment

    def rows(self, cells: slice, usable: Bools) -> Rows:
        """The windows that serve the block in some cells, those not `usable` left out."""
        start = np.where(usable[cells, None], self.assignment.start[cells], np.int32(-1))
        return rows_of(start, self.block)


def cut_windows(drivers: TileDrivers, predictor: Predictor, rule: WindowRule, days: int) -> Windows:
    """Assign windows to a block of `days` days, given its drivers with a margin either side."""
    valid = ~predictor.scaler.missing_required(drivers.values)
    block = slice(rule.margin, rule.margin + days)
    return Windows(drivers, block, rule.length, assign(valid, drivers.first, rule))


def predict_cells(
    windows: Windows,
    predictor: Predictor,
    embeddings: Embeddings | None,
    codes: NDArray[np.int64],
    segments: NDArray[np.int64],
) -> CellFluxes:
    """Predict every land cell of a tile.

    embeddings: of the cells, None where the context is the window itself; codes: `(cell, 2)`;
    segments: `(day,)` segment of each day of the block, empty where no sums are kept.
    """
    cells = len(codes)
    usable = np.ones(cells, bool) if embeddings is None else embeddings.known
    parts = [
        _predict_some(windows, predictor, embeddings, codes, segments, slice(i, i + _CELLS), usable)
        for i in range(0, cells, _CELLS)
    ]
    return CellFluxes(
        np.concatenate([part.mean for part in parts]),
        np.concatenate([part.spread for part in parts]),
        np.concatenate([part.clipped for part in parts]),
        np.concatenate([part.sums for part in parts], axis=1),
        np.concatenate([part.days for part in parts]),
    )


def _predict_some(
    windows: Windows,
    predictor: Predictor,
    embeddings: Embeddings | None,
    codes: NDArray[np.int64],
    segments: NDArray[np.int64],
    cells: slice,
    usable: Bools,
) -> CellFluxes:
    rows = windows.rows(cells, usable)
    values = windows.drivers.values[cells]
    days = windows.block.stop - windows.block.start
    members = np.full((predictor.members, len(values), days, len(FLUXES)), np.nan, np.float32)
    cut = sliding_window_view(values, windows.length, axis=1)
    for first in range(0, len(rows), predictor.batch):
        batch = slice(first, first + predictor.batch)
        window = cut[rows.pixel[batch], rows.start[batch]].transpose(0, 2, 1)
        if embeddings is None:
            z = _query_context(predictor, window, codes[cells][rows.pixel[batch]])
        else:
            z = embeddings.z[:, cells][:, rows.pixel[batch]]
        fluxes = predictor.decode(np.ascontiguousarray(window), z)
        _scatter(fluxes, rows, batch, windows.block.start, members)
    return reduce_members(members, segments)


def _query_context(predictor: Predictor, window: Floats, codes: NDArray[np.int64]) -> Floats:
    """Embeddings `(member, row, latent)` of the query windows `(row, day, feature)` themselves."""
    present = np.ones((len(window), 1), bool)
    return predictor.encode(np.ascontiguousarray(window)[:, None], present, codes)


def _scatter(fluxes: Floats, rows: Rows, batch: slice, offset: int, members: Floats) -> None:
    """Put the days that each row serves, of `(member, row, day, 3)`, into their cells."""
    first, last = rows.first[batch], rows.last[batch]
    count = last - first + 1
    row = np.repeat(np.arange(len(first)), count)
    step = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    day = first[row] + step
    place = day - rows.start[batch][row]
    members[:, rows.pixel[batch][row], day - offset] = fluxes[:, row, place]


def reduce_members(members: Floats, segments: NDArray[np.int64]) -> CellFluxes:
    """Clip, average and sum the members `(member, cell, day, 3)`, which are changed in place.

    GPP and RECO of each member are clipped at zero before anything is made from them
    (Rozanov et al. 2026, section Loss Function); NEE keeps its own head. The spread is the
    sample standard deviation, zero for a single member.
    """
    gross = members[..., :2]
    clipped: Bools = np.any(gross < 0, axis=(0, 3))
    np.maximum(gross, 0, out=gross)
    count = len(members)
    mean = members.sum(axis=0, dtype=np.float64) / count
    squares = ((members - mean) ** 2).sum(axis=0)
    spread = np.sqrt(squares / max(count - 1, 1))
    known = np.isfinite(mean[..., 0])
    sums, days = _sum_segments(members, known, segments)
    return CellFluxes(mean.astype(np.float32), spread.astype(np.float32), clipped, sums, days)


def _sum_segments(
    members: Floats, known: Bools, segments: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.uint16]]:
    """Sums over the days with a value, NaN where there is none, and the number of them."""
    count = int(segments[-1]) + 1 if len(segments) else 0
    shape = (members.shape[0], members.shape[1], count, len(FLUXES))
    sums = np.full(shape, np.nan, np.float32)
    days = np.zeros((members.shape[1], count), _U16)
    for segment in range(count):
        part = segments == segment
        days[:, segment] = known[:, part].sum(axis=1)
        there = days[:, segment] > 0
        total: NDArray[np.float64] = np.nansum(members[:, :, part], axis=2, dtype=np.float64)
        sums[:, there, segment] = total[:, there]
    return sums, days


def quality_of(
    windows: Windows,
    predictor: Predictor,
    embeddings: Embeddings | None,
    codes: NDArray[np.int64],
    clipped: Bools,
) -> NDArray[np.uint16]:
    """Quality bits `(cell, day)` of the land cells over a block."""
    values = windows.drivers.values[:, windows.block]
    assignment, block = windows.assignment, windows.block
    missing: Bools = np.any(~np.isfinite(values), axis=2)
    with np.errstate(invalid="ignore"):
        outside = predictor.scaler.outside(values)
    known: Bools = np.all(codes > 0, axis=1)
    flags = {
        Quality.SPINUP_SHORT: assignment.spin_up_short[:, block],
        Quality.DRIVERS_FILLED: windows.drivers.filled[:, block],
        Quality.DRIVERS_MISSING: missing,
        Quality.CLASS_UNKNOWN: ~known[:, None],
        Quality.CLASS_UNSEEN: (predictor.classes.unknown(codes) & known)[:, None],
        Quality.CLIPPED: clipped,
        Quality.OUTSIDE_TRAINING_RANGE: outside,
    }
    reasons = {
        Quality.NO_DRIVERS: assignment.missing[:, block],
        Quality.TOO_SHORT: assignment.too_short[:, block],
    }
    if embeddings is not None:
        flags[Quality.CONTEXT_SHORT] = embeddings.short[:, None]
        served = assignment.start[:, block] >= 0
        reasons[Quality.NO_CONTEXT] = served & ~embeddings.known[:, None]
    absent = _bits(reasons, missing.shape)
    return np.where(absent > 0, absent, _bits(flags, missing.shape))


def _bits(flags: dict[Quality, Bools], shape: tuple[int, ...]) -> NDArray[np.uint16]:
    total = np.zeros(shape, _U16)
    for flag, where in flags.items():
        total |= np.where(where, _U16(flag), _U16(0))
    return total


def filled_share(windows: Windows) -> NDArray[np.uint8]:
    """Share `(cell, day)` in % of the days of each day's window with a filled driver, 255
    where there is no window."""
    total = np.cumsum(np.pad(windows.drivers.filled, ((0, 0), (1, 0))), axis=1, dtype=np.int32)
    start, length = windows.assignment.start[:, windows.block], windows.length
    begin = np.maximum(start, 0)
    count = np.take_along_axis(total, begin + length, 1) - np.take_along_axis(total, begin, 1)
    share = np.round(100 * count / length).astype(np.uint8)
    return np.where(start >= 0, share, np.uint8(255))


def predict_tile(
    surface: Surface,
    drivers: TileDrivers,
    predictor: Predictor,
    embeddings: Embeddings | None,
    rule: WindowRule,
    layout: FluxLayout,
    item: WorkItem,
) -> TileFluxes:
    """Everything that one work item writes.

    drivers: of the land cells, from `rule.margin` days before the block to as many after it.
    """
    days = layout.days(item.block)
    windows = cut_windows(drivers, predictor, rule, days.stop - days.start)
    codes = class_codes(surface)
    segments = layout.segment_index(item.block)
    cells = predict_cells(windows, predictor, embeddings, codes, segments)
    quality = quality_of(windows, predictor, embeddings, codes, cells.clipped)
    share = filled_share(windows)
    share[~np.isfinite(cells.mean[..., 0])] = 255
    daily: dict[str, NDArray[Any]] = {"quality": quality, "filled_share": share}
    for position, flux in enumerate(FLUXES):
        daily[flux] = cells.mean[..., position]
        daily[f"{flux}_sd"] = cells.spread[..., position]
    return _on_map(surface, daily, cells, layout)


def barren_tile(surface: Surface, layout: FluxLayout, item: WorkItem) -> TileFluxes:
    """What is written for a tile without any land cell: the reasons alone."""
    days = layout.days(item.block)
    quality = np.broadcast_to(
        _surface_reasons(surface), (days.stop - days.start, *surface.sftlf.shape)
    )
    return TileFluxes({"quality": np.ascontiguousarray(quality)}, {}, {})


def _surface_reasons(surface: Surface) -> NDArray[np.uint16]:
    """Reasons `(row, col)` of the cells that are no land to predict, 0 for those that are."""
    reasons = {
        Quality(FILL): surface.outside,
        Quality.WATER: surface.water,
        Quality.ICE: surface.ice,
    }
    return _bits(reasons, surface.sftlf.shape)


def _on_map(
    surface: Surface,
    daily: dict[str, NDArray[Any]],
    cells: CellFluxes,
    layout: FluxLayout,
) -> TileFluxes:
    """Arrays of land cells, laid on the rows and columns of their tile."""
    land, reasons = surface.land, _surface_reasons(surface)
    fills = {"quality": reasons, "filled_share": np.uint8(255)}
    maps = {}
    for name, values in daily.items():
        canvas = np.empty((values.shape[1], *land.shape), values.dtype)
        canvas[...] = fills.get(name, np.float32(np.nan))
        canvas[:, land] = values.T
        maps[name] = canvas
    if layout.sums == "none":
        return TileFluxes(maps, {}, {})
    sums = {flux: _sum_map(cells.sums[..., i], land) for i, flux in enumerate(FLUXES)}
    counts = np.zeros((cells.days.shape[1], *land.shape), np.uint16)
    counts[:, land] = cells.days.T
    return TileFluxes(maps, sums, {"segment_days": counts})


def _sum_map(sums: Floats, land: Bools) -> Floats:
    """`(member, segment, row, col)` of sums `(member, cell, segment)`."""
    canvas = np.full((sums.shape[0], sums.shape[2], *land.shape), np.nan, np.float32)
    canvas[:, :, land] = sums.transpose(0, 2, 1)
    return canvas
