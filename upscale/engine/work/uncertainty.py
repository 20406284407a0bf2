"""The uncertainty of a run: the area of applicability of its model, computed for every cell,
and the calibration that its flux cube keeps.

One index for each land cell and step of 15 days, from the drivers that are in memory anyway.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.drivers.tiles import Surface, TileDrivers
from upscale.network.inference import Embeddings
from upscale.network.predictor import Predictor
from upscale.network.releases.release import Release
from upscale.network.uncertainty.applicability import (
    POINT_DAYS,
    Applicability,
    assess,
    step_points,
)
from upscale.product.layout import FluxLayout, WorkItem
from upscale.product.quality import DTYPE
from upscale.product.shards import TileFluxes
from upscale.product.uncertainty import CALIBRATION_KEYS, INDEX_BITS, STEP_ARRAYS, StoredUncertainty

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


def margin_of(release: Release) -> int:
    """Days of drivers that are read on either side of a block: windows and points reach there."""
    margin = release.window_rule.margin
    return max(margin, POINT_DAYS - 1) if release.applicability else margin


def uncertainty_of(release: Release) -> StoredUncertainty:
    """What the flux cube of a release says of its uncertainty."""
    calibration, applicability = release.manifest.calibration, release.applicability
    keys: dict[str, Any] = {}
    if calibration is not None:
        for flux in calibration.fluxes:
            known = asdict(flux) | {"levels": calibration.levels}
            values = {key: known[key] for key in CALIBRATION_KEYS}
            keys[flux.name] = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    if applicability is None:
        return StoredUncertainty(calibration=keys)
    return StoredUncertainty(
        drivers=release.scaler.names,
        threshold=applicability.drivers.threshold,
        embedding=applicability.embedding.threshold if applicability.embedding else None,
        points=int(applicability.drivers.counts.sum()),
        calibration=keys,
    )


def without_margin(drivers: TileDrivers, extra: int) -> TileDrivers:
    """The drivers without `extra` days at either end."""
    if not extra:
        return drivers
    days = slice(extra, drivers.values.shape[1] - extra)
    return replace(
        drivers,
        values=drivers.values[:, days],
        filled=drivers.filled[:, days],
        preliminary=drivers.preliminary[days],
        first=drivers.first + extra,
    )


def with_applicability(
    fluxes: TileFluxes,
    surface: Surface,
    drivers: TileDrivers,
    embeddings: Embeddings | None,
    predictor: Predictor,
    applicability: Applicability,
    layout: FluxLayout,
    item: WorkItem,
) -> TileFluxes:
    """What a work item writes, with the indices of its cells and their quality bits.

    drivers: of the land cells, from at least `POINT_DAYS - 1` days before the block to as many
    after it. A cell has indices in the steps in which it has fluxes.
    """
    there = np.isfinite(fluxes.daily["gpp"][:, surface.land]).T
    found = applicability_of(
        there,
        layout.step_index(layout.days(item.block)) - layout.steps_of(item.block).start,
        layout.step_numbers(item.block),
        drivers.values,
        drivers.first,
        embeddings,
        predictor,
        applicability,
    )
    quality = fluxes.daily["quality"].copy()
    quality[:, surface.land] |= found.bits.T
    steps = {name: _on_map(name, values, surface.land) for name, values in found.steps.items()}
    return replace(fluxes, daily={**fluxes.daily, "quality": quality}, steps=steps)


@dataclass(frozen=True, eq=False)
class CellApplicability:
    """How far some cells may be trusted.

    steps: `(cell, step)` by name of `STEP_ARRAYS`; bits: `(cell, day)` quality bits.
    """

    steps: dict[str, NDArray[Any]]
    bits: NDArray[np.uint32]


def applicability_of(
    there: Bools,
    step: NDArray[np.integer],
    numbers: range,
    drivers: Floats,
    first: int,
    embeddings: Embeddings | None,
    predictor: Predictor,
    applicability: Applicability,
) -> CellApplicability:
    """Indices and quality bits of cells with fluxes on the days `there` `(cell, day)`.

    step: `(day,)` position in `numbers`, the steps of 15 days, of each of these days; drivers:
    `(cell, day, feature)` from day number `first`, where they are known from `POINT_DAYS - 1`
    days before the days with fluxes to as many after them.
    """
    served = np.stack([there[:, step == i].any(axis=1) for i in range(len(numbers))], axis=1)
    steps = _of_drivers(drivers, first, numbers, served, predictor, applicability)
    thresholds = {"extrapolation": applicability.drivers.threshold}
    if applicability.embedding is not None and embeddings is not None:
        member, cell, latent = embeddings.z.shape
        rows = embeddings.z.transpose(1, 0, 2).reshape(cell, member * latent)
        index = assess(applicability.embedding, rows, predictor.device).index
        steps["extrapolation_embedding"] = np.where(served, index[:, None], np.float32(np.nan))
        thresholds["extrapolation_embedding"] = applicability.embedding.threshold
    bits = np.zeros(there.shape, DTYPE)
    for name, threshold in thresholds.items():
        outside = (steps[name] > threshold)[:, step] & there
        bits |= np.where(outside, DTYPE(INDEX_BITS[name]), DTYPE(0))
    return CellApplicability(steps, bits)


def _of_drivers(
    drivers: Floats,
    first: int,
    numbers: range,
    served: Bools,
    predictor: Predictor,
    applicability: Applicability,
) -> dict[str, NDArray[Any]]:
    """Arrays `(cell, step)` of predictor space, where a step is served and its point known."""
    scaler = predictor.scaler
    points = step_points(drivers, first, numbers, scaler)
    needed = [i for i, feature in enumerate(scaler.features) if feature.required]
    known = served & np.isfinite(points[:, :, needed]).all(axis=2)
    found = assess(applicability.drivers, points[known], predictor.device)
    columns: dict[str, NDArray[Any]] = {
        "extrapolation": found.index,
        "point_density": found.density,
        "extrapolation_driver": found.axis + 1,
    }
    return {name: _where(name, known, values) for name, values in columns.items()}


def _where(name: str, known: Bools, values: NDArray[Any]) -> NDArray[Any]:
    """`(cell, step)` with the values of the known ones, in the type of the array `name`."""
    dtype, fill = STEP_ARRAYS[name]
    array = np.full(known.shape, fill, dtype)
    array[known] = values
    return array


def _on_map(name: str, values: NDArray[Any], land: Bools) -> NDArray[Any]:
    """`(step, row, col)` of values `(cell, step)` of the land cells."""
    dtype, fill = STEP_ARRAYS[name]
    canvas = np.full((values.shape[1], *land.shape), fill, dtype)
    canvas[:, land] = values.T
    return canvas
