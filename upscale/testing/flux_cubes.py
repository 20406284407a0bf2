"""Small flux cubes made from formulas, for tests of the published product.

Land, ice, seasons and a sink in the tropics are made of sines; every number follows from the
formulas here, so that a test can compute the expected values.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import day_number, day_of_year, days_between
from upscale.grid import Grid, tiles_of
from upscale.product.cube import create_flux_cube
from upscale.product.layout import FluxLayout, Sums, WorkItem
from upscale.product.quality import DTYPE, REASONS, Quality, has
from upscale.product.rounding import rounded
from upscale.product.shards import TileFluxes, update_layer, write_item
from upscale.product.uncertainty import INDEX_BITS, NO_UNCERTAINTY, STEP_ARRAYS, StoredUncertainty
from upscale.variables import FLUXES, ICE_CLASS
from upscale.version import __version__

Floats = NDArray[np.float32]

ATTRIBUTES: dict[str, Any] = {
    "title": "Made carbon fluxes on a synthetic planet",
    "summary": "Fluxes from formulas; they mean nothing for the Earth.",
    "institution": "none",
    "source": f"upscale {__version__}, upscale.testing.flux_cubes",
    "history": "made by upscale.testing.flux_cubes",
    "references": "none",
    "license": "Apache-2.0",
    "model_name": "made-by-formula",
    "model_digest": "0" * 64,
    "driver_digest": "0" * 64,
    "synthetic": True,
}


#: Uncertainty of no real model: thresholds that some cells exceed, and a round calibration.
MADE_UNCERTAINTY = StoredUncertainty(
    drivers=("ta", "sw_in", "vpd"),
    threshold=0.5,
    embedding=0.75,
    points=1000,
    calibration={
        flux: {
            "floor": 0.5, "factor": 2.0, "share": 0.25, "levels": [0.5, 0.9],
            "multipliers": [0.7, 1.6],
        }
        for flux in FLUXES
    },
)  # fmt: skip


@dataclass(frozen=True)
class MadeFields:
    """Fields of the formulas on a grid, `(row, col)`.

    sftlf: %; ice: permanent ice; gap: cells without drivers in the first 40 days.
    """

    grid: Grid
    sftlf: Floats
    ice: NDArray[np.bool_]
    gap: NDArray[np.bool_]


def small_layout(
    start: dt.date = dt.date(2011, 12, 20),
    end: dt.date = dt.date(2012, 3, 10),
    *,
    rows: int = 10,
    sums: Sums = "annual",
    tile: int = 4,
    members: int = 3,
    block: int = 60,
) -> FluxLayout:
    """A layout on a global grid of `rows` x 2 `rows` cells that tiles and blocks do not divide
    evenly."""
    grid = Grid("made", rows, 2 * rows, 180 / rows)
    count = days_between(start, end)
    return FluxLayout(grid, day_number(start), count, tile, members, sums, block)


def made_world(grid: Grid) -> MadeFields:
    """Continents of a few sines, ice near the poles, one cell in 41 with a gap."""
    lat, lon = np.meshgrid(np.radians(grid.lat), np.radians(grid.lon), indexing="ij")
    height = np.sin(2 * lon + 1) * np.cos(1.5 * lat) + 0.7 * np.sin(3 * lat + np.cos(lon))
    height += 0.35 * np.sin(7 * lon + 3 * lat) * np.cos(5 * lat) - 0.05
    sftlf = np.clip(np.round(100 * (0.5 + 4 * height)), 0, 100).astype(np.float32)
    ice = (np.abs(lat) > np.radians(75)) & (sftlf > 0)
    row, col = np.indices(grid.shape)
    return MadeFields(grid, sftlf, ice, ((13 * row + 7 * col) % 41 == 0) & (sftlf > 0) & ~ice)


def made_fluxes(
    world: MadeFields, days: NDArray[np.int64], member: float = 0.0
) -> dict[str, Floats]:
    """GPP, RECO and NEE `(day, row, col)` in g m-2 d-1 of one member, in all cells."""
    lat = np.radians(world.grid.lat)[None, :, None]
    phase = 2 * np.pi * (day_of_year(days) - 196.3)[:, None, None] / 365.25
    summer = np.clip(0.5 + 0.5 * np.sin(lat) * 1.4 * np.cos(phase) + 0.3 * np.cos(2 * lat), 0, None)
    dry = 0.55 + 0.43 * np.cos(6 * lat) + 0.02 * np.sin(np.radians(world.grid.lon) + 1)
    gpp = 9 * summer * dry * np.cos(lat) * (1 + 0.05 * member)
    reco = 0.8 + 0.65 * gpp * (1 - 0.02 * member) + 0.1 * member
    fields = {"gpp": gpp, "reco": reco, "nee": reco - gpp}
    return {name: field.astype(np.float32) for name, field in fields.items()}


def make_flux_cube(
    url: str,
    layout: FluxLayout,
    attributes: Mapping[str, Any] | None = None,
    uncertainty: StoredUncertainty = NO_UNCERTAINTY,
) -> FluxLayout:
    """Write a whole flux cube from the formulas; returns its layout.

    uncertainty: that of the synthetic model, such as `MADE_UNCERTAINTY`.
    """
    world = made_world(layout.grid)
    create_flux_cube(url, layout, ATTRIBUTES | dict(attributes or {}), uncertainty=uncertainty)
    for tile in tiles_of(layout.grid, layout.tile):
        _write_layers(url, world, *tile.slices(layout.grid, layout.tile))
        for block in range(layout.blocks):
            item = WorkItem(block, tile)
            made = made_item(layout, world, item)
            made = replace(made, daily=rounded(made.daily, layout.keep_bits))
            write_item(url, layout, item, with_steps(made, layout, item, uncertainty))
    return layout


def _write_layers(url: str, world: MadeFields, rows: slice, cols: slice) -> None:
    sftlf = world.sftlf[rows, cols]
    update_layer(url, "sftlf", rows, cols, sftlf)
    row, col = np.indices(world.grid.shape)
    for name, number in (("igbp", 16), ("koppen", 30)):
        codes = np.where(world.sftlf > 0, 1 + (row + 2 * col) % number, 0)
        if name == "igbp":
            codes = np.where(world.ice, ICE_CLASS, np.where(codes == ICE_CLASS, 1, codes))
        update_layer(url, name, rows, cols, codes[rows, cols].astype(np.uint8))


def made_item(layout: FluxLayout, world: MadeFields, item: WorkItem) -> TileFluxes:
    """The fluxes that one work item writes."""
    span, rows, cols = layout.region(item)
    days = layout.first + np.arange(span.start, span.stop)
    quality = _quality(layout, world, days, rows, cols)
    missing = has(quality, REASONS)
    members = {name: [] for name in FLUXES}  # type: dict[str, list[Floats]]
    for number in range(layout.members):
        shift = number - (layout.members - 1) / 2
        for name, field in made_fluxes(world, days, shift).items():
            here = np.broadcast_to(field[:, rows, cols], missing.shape)
            members[name].append(np.where(missing, np.float32(np.nan), here))
    return _gather(layout, item, {n: np.stack(v) for n, v in members.items()}, quality)


def _quality(
    layout: FluxLayout, world: MadeFields, days: NDArray[np.int64], rows: slice, cols: slice
) -> NDArray[np.uint32]:
    sftlf, ice = world.sftlf[rows, cols], world.ice[rows, cols]
    static = np.where(sftlf == 0, int(Quality.WATER), np.where(ice, int(Quality.ICE), 0))
    gap = world.gap[rows, cols] & (days < layout.first + 40)[:, None, None]
    return (static + np.where(gap, int(Quality.NO_DRIVERS), 0)).astype(DTYPE)


def _gather(
    layout: FluxLayout, item: WorkItem, members: Mapping[str, Floats], quality: NDArray[np.uint32]
) -> TileFluxes:
    daily: dict[str, NDArray[Any]] = {"quality": quality}
    for name, field in members.items():
        daily[name] = field.mean(axis=0, dtype=np.float32)
        daily[f"{name}_sd"] = _spread(field)
    there = np.isfinite(daily["gpp"])
    assert not (there & has(quality, Quality.WATER)).any()
    daily["filled_share"] = np.where(there, 0, 255).astype(np.uint8)
    if layout.sums == "none":
        return TileFluxes(daily, {}, {})
    return TileFluxes(daily, *_segment_sums(layout, item, members, there))


def _spread(members: Floats) -> Floats:
    """Sample standard deviation over members; NaN for a single member."""
    if len(members) < 2:
        return np.full(members.shape[1:], np.nan, np.float32)
    spread: Floats = members.std(axis=0, ddof=1, dtype=np.float32)
    return spread


def _segment_sums(
    layout: FluxLayout, item: WorkItem, members: Mapping[str, Floats], there: NDArray[np.bool_]
) -> tuple[dict[str, Floats], dict[str, NDArray[np.uint16]]]:
    index = layout.segment_index(item.block)
    numbers = range(index[-1] + 1)
    count = np.stack([there[index == n].sum(axis=0) for n in numbers]).astype(np.uint16)
    sums = {}
    for name, field in members.items():
        total = np.stack([np.nansum(field[:, index == n], axis=1) for n in numbers], axis=1)
        sums[name] = np.where(count > 0, total, np.nan).astype(np.float32)
    return sums, {"segment_days": count}


def with_steps(
    made: TileFluxes, layout: FluxLayout, item: WorkItem, uncertainty: StoredUncertainty
) -> TileFluxes:
    """The fluxes of an item with applicability indices that follow from row, column and step."""
    if not uncertainty.arrays:
        return made
    numbers, there = layout.step_numbers(item.block), np.isfinite(made.daily["gpp"])
    step = layout.step_index(layout.days(item.block)) - layout.steps_of(item.block).start
    served = np.stack([there[step == i].any(axis=0) for i in range(len(numbers))])
    level = (np.indices(served.shape).sum(axis=0) % 10 / 10).astype(np.float32)
    fields = {
        "extrapolation": level,
        "extrapolation_embedding": 1 - level,
        "point_density": 100 * (1 - level),
        "extrapolation_driver": 1 + (10 * level) % len(uncertainty.drivers),
    }
    steps = {
        name: np.where(served, fields[name], STEP_ARRAYS[name][1]).astype(STEP_ARRAYS[name][0])
        for name in uncertainty.arrays
    }
    quality, thresholds = made.daily["quality"], (uncertainty.threshold, uncertainty.embedding)
    for (name, bit), threshold in zip(INDEX_BITS.items(), thresholds, strict=True):
        if threshold is not None:
            outside = (steps[name] > threshold)[step] & there
            quality = quality | np.where(outside, DTYPE(bit), DTYPE(0))
    return replace(made, daily={**made.daily, "quality": quality}, steps=steps)
