"""Where a model may be trusted: the area of applicability, in two spaces.

After Meyer and Pebesma (2021), Methods in Ecology and Evolution 12:1620, and the local point
density of Schumacher et al. (2025), Geoscientific Model Development 18:10185, as in `CAST::aoa`:

* A point of *predictor space* is the mean of each driver over the 45 days that end with a step
  of 15 days, the window that this step is predicted from, scaled as the network reads it. A
  point of *embedding space* is the task embedding z of a place, all members side by side.
* Axes are standardised over the training points and weighted by their importance for the model
  (`upscale.network.importance`).
* The dissimilarity index is the distance to the nearest training point over the mean distance
  between training points.
* The threshold is the upper whisker (largest value up to 1.5 hinge spreads above the upper
  hinge) of the index of the training points, each compared only with points of *other folds*.
* The density is the number of training points no farther away than the threshold.

Drivers may be missing. A place that lacks a driver is compared by its other drivers, and the
squared distance is scaled up for the missing weight. Where a training point lacks a driver that
the place has, the distance on that axis is how far the place lies outside the range of all
training points, and 0 within that range.

Rows are first compared with a thinned subset of the training points. A row inside the area of
this subset is inside that of all points, too; a row outside is compared again with all points.
The verdict of every row, and index and density of rows outside, are thus those of all points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale.calendar import STEP_DAYS
from upscale.network.scaler import Scaler

Floats = NDArray[np.float32]

#: Days that a point of predictor space averages, and how many must hold a value.
POINT_DAYS, LEAST_DAYS = 45, 15
#: Rows of one fixed, padded batch against the reference points, and against all points.
CPU_BATCH, GPU_BATCH = (256, 64), (8192, 1024)
#: Points are padded to a multiple of `_VECTORS` with points at squared distance `_OUT_OF_REACH`.
_VECTORS, _OUT_OF_REACH = 64, 1e30
#: Cells whose drivers are averaged at once.
_CELLS = 512


@dataclass(frozen=True, eq=False)
class Space:
    """Training points and the metric of one space.

    points: `(point, axis)` all training points times the weights, NaN where missing; the first
    `len(counts)` are the reference points; counts: `(reference,)` number of training points
    that each represents; weights: `(axis,)` importance over standard deviation; low,
    high: `(axis,)` range of all training points, times the weights; distance: mean distance
    between two training points; threshold: of the dissimilarity index; radius: largest index
    of a training point against the reference points.
    """

    points: Floats
    counts: Floats
    weights: Floats
    low: Floats
    high: Floats
    distance: float
    threshold: float
    radius: float

    def __post_init__(self) -> None:
        shape = self.points.shape
        axes = (self.weights.shape, self.low.shape, self.high.shape)
        if set(axes) != {shape[1:]} or not 0 < len(self.counts) <= shape[0]:
            raise ValueError(f"a space of points {shape} with axes {axes}: fit it again")
        if not (self.distance > 0 and self.threshold > 0 and (self.weights >= 0).all()):
            raise ValueError("a space without distance, threshold or weights: fit it again")

    @cached_property
    def complete(self) -> bool:
        """Whether no training point lacks a driver."""
        return bool(np.isfinite(self.points).all())

    @property
    def thinned(self) -> bool:
        """Whether there are more training points than reference points."""
        return len(self.counts) < len(self.points)

    @cached_property
    def references(self) -> Target:
        """The reference points."""
        return _target(self.points[: len(self.counts)], self.counts, self.complete)

    @cached_property
    def everyone(self) -> Target:
        """All training points."""
        return _target(self.points, np.ones(len(self.points), np.float32), self.complete)


@dataclass(frozen=True, eq=False)
class Target:
    """Points to which distances are computed.

    matrix: `(column, point)`, which gives squared distances when multiplied by the columns of a
    row; counts: `(point,)` number of training points that each represents. Padded with points
    out of reach that represent none: without a multiple of the vector length, rounding would
    depend on the position of a row in its batch.
    """

    matrix: Tensor
    counts: Tensor


def _target(points: Floats, counts: Floats, complete: bool) -> Target:
    """Training points as a matrix, so that the distances to them are a single product."""
    there = np.isfinite(points).astype(np.float32)
    known = np.nan_to_num(points)
    parts = [there, -2 * known, known**2] + ([] if complete else [1 - there])
    padded = -(-len(points) // _VECTORS) * _VECTORS
    matrix = np.zeros((sum(part.shape[1] for part in parts), padded), np.float32)
    axes = points.shape[1]
    matrix[2 * axes : 3 * axes, len(known) :] = _OUT_OF_REACH
    matrix[:, : len(known)] = np.concatenate(parts, axis=1).T
    filled = np.zeros(padded, np.float32)
    filled[: len(counts)] = counts
    return Target(torch.from_numpy(matrix), torch.from_numpy(filled))


@dataclass(frozen=True, eq=False)
class Assessment:
    """Result for each row `(row,)`, NaN (axis: -1) for a row without a value on any axis.

    index: dissimilarity index; density: training points within the threshold; axis: the axis
    that contributes most to the distance to the nearest training point. For a row inside the
    area of a thinned space, all three refer to the reference points.
    """

    index: Floats
    density: Floats
    axis: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Applicability:
    """The area of applicability of a release. embedding: None for models that do not have one z
    for each place; its axes are those of `(member, latent)`, flattened."""

    drivers: Space
    embedding: Space | None = None

    def tensors(self) -> dict[str, Tensor]:
        """As they are stored in a safetensors file."""
        spaces = {"drivers": self.drivers, "embedding": self.embedding}
        return {
            f"{name}.{field.name}": torch.from_numpy(
                np.array(getattr(space, field.name), np.float32)
            )
            for name, space in spaces.items()
            if space is not None
            for field in fields(space)
        }


def read_applicability(tensors: Mapping[str, Tensor], features: int) -> Applicability:
    """The area of applicability from stored tensors; ValueError if they are invalid.

    features: number of features of the release, which are the axes of predictor space.
    """
    spaces = {name.split(".")[0] for name in tensors}
    if "drivers" not in spaces or not spaces <= {"drivers", "embedding"}:
        raise ValueError(
            f"expected the spaces drivers and embedding, found {', '.join(sorted(spaces))}: fit "
            "the applicability again"
        )
    found = Applicability(**{name: _read_space(tensors, name) for name in spaces})
    if found.drivers.points.shape[1] != features:
        raise ValueError(
            f"expected training points of {features} features, found "
            f"{found.drivers.points.shape[1]}: fit the applicability again"
        )
    return found


def _read_space(tensors: Mapping[str, Tensor], name: str) -> Space:
    """A space from its saved tensors; ValueError if their names differ from the fields."""
    wanted = {f"{name}.{field.name}" for field in fields(Space)}
    there = {key for key in tensors if key.startswith(f"{name}.")}
    if wanted != there:
        raise ValueError(
            f"expected {', '.join(sorted(wanted))}, found {', '.join(sorted(there))}: fit the "
            "applicability again"
        )
    arrays = {field.name: tensors[f"{name}.{field.name}"].numpy() for field in fields(Space)}
    distance, threshold, radius = (
        float(arrays.pop(key)) for key in ("distance", "threshold", "radius")
    )
    return Space(**arrays, distance=distance, threshold=threshold, radius=radius)


def assess(space: Space, rows: Floats, device: torch.device | str = "cpu") -> Assessment:
    """Assess rows `(row, axis)` in the units of the training data, NaN where missing.

    Rows run in batches of one fixed, padded shape: the result of a row depends neither on the
    other rows nor on its position.
    """
    device = torch.device(device)
    few, many = CPU_BATCH if device.type == "cpu" else GPU_BATCH
    weighted = rows.astype(np.float32) * space.weights
    found = _against(space, space.references, weighted, few, device)
    doubtful = np.flatnonzero(found.index > space.threshold) if space.thinned else ()
    if len(doubtful):
        again = _against(space, space.everyone, weighted[doubtful], many, device)
        for name in ("index", "density", "axis"):
            getattr(found, name)[doubtful] = getattr(again, name)
    return found


def _against(
    space: Space, target: Target, rows: Floats, batch: int, device: torch.device
) -> Assessment:
    """Assess weighted rows against the points of a target, `batch` rows at once."""
    scale = _scale(space, rows)
    nearest = np.zeros(len(rows), np.int64)
    density = np.zeros(len(rows), np.float32)
    buffers = _DistanceBuffers(target, batch, device)
    for first in range(0, len(rows), batch):
        part = slice(first, first + batch)
        nearest[part], density[part] = _near(space, rows[part], scale[part], buffers)
    return _measure(space, rows, scale, nearest, density)


def _scale(space: Space, rows: Floats) -> Floats:
    """`(row,)` total weight over the weight of the axes that a row has, 0 if it has none."""
    there = np.isfinite(rows)
    total = np.zeros(len(rows), np.float32)
    present = np.zeros(len(rows), np.float32)
    for axis, weight in enumerate(space.weights**2):  # in a fixed order, whatever the shape
        total += weight
        present += weight * there[:, axis]
    return np.divide(total, present, out=np.zeros_like(total), where=present > 0)


class _DistanceBuffers:
    """A target on the device that computes, and buffers for one batch of rows.

    Every batch reuses the buffers: allocating them costs as much time as the computation.
    """

    def __init__(self, target: Target, batch: int, device: torch.device) -> None:
        self.batch, self.device = batch, device
        self.matrix, self.counts = target.matrix.to(device), target.counts.to(device)
        self.squares = torch.empty(batch, target.matrix.shape[1], device=device)
        self.within = torch.empty(batch, target.matrix.shape[1], device=device)


def _near(
    space: Space, rows: Floats, scale: Floats, buffers: _DistanceBuffers
) -> tuple[NDArray[np.int64], Floats]:
    """Nearest training point and density of at most one batch of weighted rows.

    Uses products instead of differences, which is exact enough to choose the nearest point.
    """
    padded = np.zeros((buffers.batch, rows.shape[1]), np.float32)
    padded[: len(rows)] = rows
    bound = np.zeros((buffers.batch, 1), np.float32)
    reach = np.float32(space.threshold * space.distance) ** 2
    np.divide(reach, scale[:, None], out=bound[: len(rows)], where=scale[:, None] > 0)
    with torch.inference_mode():
        columns = torch.from_numpy(_columns(space, padded)).to(buffers.device)
        squares = torch.mm(columns, buffers.matrix, out=buffers.squares)
        reached = torch.le(squares, torch.from_numpy(bound).to(buffers.device), out=buffers.within)
        density, nearest = reached @ buffers.counts, squares.min(dim=1).indices
        return nearest[: len(rows)].cpu().numpy(), density[: len(rows)].cpu().numpy()


def _columns(space: Space, rows: Floats) -> Floats:
    """`(row, column)` of weighted rows, to be multiplied with `Target.matrix`."""
    there = np.isfinite(rows)
    known = np.where(there, rows, np.float32(0))
    parts = [known**2, known, there.astype(np.float32)]
    if not space.complete:
        parts.append(_outside(space, rows) ** 2)
    return np.concatenate(parts, axis=1)


def _outside(space: Space, rows: Floats) -> Floats:
    """How far each value lies outside the range of the training points, 0 where missing."""
    beyond = np.maximum(space.low - rows, rows - space.high)
    return np.where(np.isfinite(rows), np.maximum(beyond, 0), 0).astype(np.float32)


def _measure(
    space: Space, rows: Floats, scale: Floats, nearest: NDArray[np.int64], density: Floats
) -> Assessment:
    """The index, and the axis that contributes most, from differences to the nearest point."""
    point = space.points[nearest]
    apart = np.where(np.isfinite(point), rows - point, _outside(space, rows)) ** 2
    parts = np.where(np.isfinite(rows), apart, np.float32(0))
    squares = np.zeros(len(rows), np.float32)
    for axis in range(parts.shape[1]):  # in a fixed order, whatever the shape
        squares += parts[:, axis]
    known = scale > 0
    index = np.sqrt(squares * scale) / np.float32(space.distance)
    return Assessment(
        np.where(known, index, np.float32(np.nan)),
        np.where(known, density, np.float32(np.nan)),
        np.where(known, parts.argmax(axis=1), -1).astype(np.int16),
    )


def step_points(drivers: Floats, first: int, steps: range, scaler: Scaler) -> Floats:
    """Points `(cell, step, feature)` of predictor space, scaled, NaN where missing.

    drivers: `(cell, day, feature)` in physical units from day number `first`, NaN = missing;
    step n covers days 15 n to 15 n + 14, and its point averages the 45 days up to its end, of
    which at least fifteen must have a value. Days before or after the drivers are missing.
    """
    points = np.full((len(drivers), len(steps), drivers.shape[2]), np.nan, np.float32)
    for cell in range(0, len(drivers), _CELLS):
        cells = slice(cell, cell + _CELLS)
        points[cells] = _means(drivers[cells], first, steps, scaler)
    return points


def _means(drivers: Floats, first: int, steps: range, scaler: Scaler) -> Floats:
    """Means `(cell, step, feature)` of scaled drivers over the days of a point, NaN if too few."""
    past = POINT_DAYS // STEP_DAYS - 1
    begin = (steps.start - past) * STEP_DAYS - first
    days = (len(steps) + past) * STEP_DAYS
    whole = np.full((len(drivers), days, drivers.shape[2]), np.nan, np.float32)
    low, high = max(begin, 0), min(begin + days, drivers.shape[1])
    if low < high:
        whole[:, low - begin : high - begin] = drivers[:, low:high]
    scaled = scaler.scale(whole)[..., : whole.shape[2]]
    parts = (len(whole), -1, STEP_DAYS, whole.shape[2])
    total = _added(scaled.reshape(parts), past)
    count = _added(np.isfinite(whole).astype(np.float32).reshape(parts), past)
    mean: Floats = np.full_like(total, np.nan)
    np.divide(total, count, out=mean, where=count >= LEAST_DAYS)
    return mean


def _added(values: Floats, past: int) -> Floats:
    """Sums `(cell, step, feature)` of `(cell, step, day, feature)` over each step and `past`
    steps before it, day by day, because the order of numpy's sum depends on the shape."""
    each = values[:, :, 0].copy()
    for day in range(1, STEP_DAYS):
        each += values[:, :, day]
    total: Floats = each[:, past:].copy()
    for back in range(1, past + 1):
        total += each[:, past - back : each.shape[1] - back]
    return total
