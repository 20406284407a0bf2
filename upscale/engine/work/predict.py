"""One work item: from a tile's drivers to its fluxes, spreads, sums and quality."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from upscale.drivers.tiles import Surface, TileDrivers
from upscale.engine.work.context import class_codes
from upscale.engine.work.reduction import (
    CellFluxes,
    DayCut,
    Doubles,
    KeptDays,
    joined,
    reduce_members,
    slices,
)
from upscale.network.inference import CellWindows, Embeddings, lay_windows, predict_series
from upscale.network.predictor import Predictor
from upscale.network.windows import WindowRule
from upscale.product.layout import FluxLayout, WorkItem
from upscale.product.quality import DTYPE, FILL, Quality
from upscale.product.shards import TileFluxes
from upscale.variables import FLUXES

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


class Unpredicted(Protocol):
    """Masks of one shape that say why a cell is not predicted."""

    @property
    def outside(self) -> Bools: ...
    @property
    def water(self) -> Bools: ...
    @property
    def ice(self) -> Bools: ...


def predict_cells(
    predictor: Predictor,
    windows: CellWindows,
    embeddings: Embeddings | None,
    cut: DayCut,
    kept: KeptDays | None = None,
) -> CellFluxes:
    """Predict every land cell of a tile, and keep no more members than those of some cells.

    embeddings: of the cells, None where the context is the window itself; kept: the first days of
    the block, if they stand and need not be predicted.
    """
    first = windows.days.start + (kept.count if kept is not None else 0)
    left = replace(windows, days=slice(first, windows.days.stop))
    return joined(
        [
            reduce_members(
                predict_series(predictor, left, embeddings, cells),
                cut,
                kept.of(cells) if kept is not None else None,
            )
            for cells in slices(len(windows.codes))
        ]
    )


def daily_of(
    predictor: Predictor,
    windows: CellWindows,
    filled: Bools,
    embeddings: Embeddings | None,
    cells: CellFluxes,
    borrowed: Bools,
    preliminary: Bools | None = None,
) -> dict[str, NDArray[Any]]:
    """The daily arrays of a flux cube, `(cell, day)`, by name.

    filled: `(cell, day)` over all columns of `windows.drivers`; borrowed: `(cell,)` whether the
    meteorology comes from beyond the coast; preliminary: `(day,)` over the same columns, whether
    the meteorology is known to be preliminary.
    """
    share = filled_share(windows, filled)
    share[~np.isfinite(cells.mean[..., 0])] = 255
    quality = quality_of(
        predictor, windows, filled, embeddings, cells.clipped, borrowed, preliminary
    )
    daily: dict[str, NDArray[Any]] = {"quality": quality, "filled_share": share}
    for position, flux in enumerate(FLUXES):
        daily[flux] = cells.mean[..., position]
        daily[f"{flux}_sd"] = cells.spread[..., position]
    return daily


def quality_of(
    predictor: Predictor,
    windows: CellWindows,
    filled: Bools,
    embeddings: Embeddings | None,
    clipped: Bools,
    borrowed: Bools,
    preliminary: Bools | None = None,
) -> NDArray[np.uint32]:
    """Quality bits `(cell, day)` of land cells; clipped: `(cell, day)`; the others as in
    `daily_of`."""
    block, codes, assignment = windows.days, windows.codes, windows.assignment
    values = windows.drivers[:, block]
    missing: Bools = np.any(~np.isfinite(values), axis=2)
    with np.errstate(invalid="ignore"):
        outside = predictor.scaler.outside(values)
    known: Bools = np.all(codes > 0, axis=1)
    flags = {
        Quality.SPINUP_SHORT: assignment.spin_up_short[:, block],
        Quality.DRIVERS_FILLED: filled[:, block],
        Quality.DRIVERS_MISSING: missing,
        Quality.CLASS_UNKNOWN: ~known[:, None],
        Quality.CLASS_UNSEEN: (predictor.classes.unknown(codes) & known)[:, None],
        Quality.CLIPPED: clipped,
        Quality.OUTSIDE_TRAINING_RANGE: outside,
        Quality.WEATHER_BEYOND_COAST: borrowed[:, None],
    }
    if preliminary is not None:
        flags[Quality.WEATHER_PRELIMINARY] = preliminary[None, block]
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


def _bits(flags: dict[Quality, Bools], shape: tuple[int, ...]) -> NDArray[np.uint32]:
    total = np.zeros(shape, DTYPE)
    for flag, where in flags.items():
        total |= np.where(where, DTYPE(flag), DTYPE(0))
    return total


def filled_share(windows: CellWindows, filled: Bools) -> NDArray[np.uint8]:
    """Share `(cell, day)` in % of the days of each day's window with a filled driver, 255
    where there is no window; filled: as `daily_of`."""
    total = np.cumsum(np.pad(filled, ((0, 0), (1, 0))), axis=1, dtype=np.int32)
    start, length = windows.assignment.start[:, windows.days], windows.length
    begin = np.maximum(start, 0)
    end = np.minimum(begin + length, filled.shape[1])
    count = np.take_along_axis(total, end, 1) - np.take_along_axis(total, begin, 1)
    share = np.round(100 * count / length).astype(np.uint8)
    return np.where(start >= 0, share, np.uint8(255))


@dataclass(frozen=True)
class PredictedTile:
    """What a work item writes, and the running sums `(member, cell, 3)`, see `CellFluxes`."""

    fluxes: TileFluxes
    running: Doubles


def tile_windows(
    surface: Surface,
    drivers: TileDrivers,
    predictor: Predictor,
    rule: WindowRule,
    layout: FluxLayout,
    item: WorkItem,
) -> CellWindows:
    """The windows of a tile's land cells that predict the days of a block.

    drivers: of the land cells, from `rule.margin` days before the block to as many after it.
    """
    span = layout.days(item.block)
    block = slice(rule.margin, rule.margin + span.stop - span.start)
    return lay_windows(predictor, drivers.values, drivers.first, class_codes(surface), rule, block)


def predict_tile(
    surface: Surface,
    windows: CellWindows,
    drivers: TileDrivers,
    predictor: Predictor,
    embeddings: Embeddings | None,
    layout: FluxLayout,
    cut: DayCut,
    kept: KeptDays | None = None,
) -> PredictedTile:
    """Everything that one work item writes.

    windows: of `drivers`, see `tile_windows`.
    """
    cells = predict_cells(predictor, windows, embeddings, cut, kept)
    daily = daily_of(
        predictor, windows, drivers.filled, embeddings, cells, drivers.borrowed,
        drivers.preliminary,
    )  # fmt: skip
    return PredictedTile(_on_map(surface, daily, cells, layout), cells.running)


def barren_tile(surface: Surface, layout: FluxLayout, item: WorkItem) -> TileFluxes:
    """What is written for a tile without any land cell: the reasons alone."""
    days = layout.days(item.block)
    quality = np.broadcast_to(
        ground_reasons(surface), (days.stop - days.start, *surface.sftlf.shape)
    )
    return TileFluxes({"quality": np.ascontiguousarray(quality)}, {}, {})


def ground_reasons(ground: Unpredicted) -> NDArray[np.uint32]:
    """Reasons of the cells that are no land to predict, 0 for those that are."""
    reasons = {
        Quality(FILL): ground.outside,
        Quality.WATER: ground.water,
        Quality.ICE: ground.ice,
    }
    return _bits(reasons, ground.water.shape)


def _on_map(
    surface: Surface,
    daily: dict[str, NDArray[Any]],
    cells: CellFluxes,
    layout: FluxLayout,
) -> TileFluxes:
    """Arrays of land cells, laid on the rows and columns of their tile."""
    land, reasons = surface.land, ground_reasons(surface)
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
