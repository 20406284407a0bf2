"""The area of applicability of a model, fitted to the towers that it learned from.

Chooses training points and the reference points that represent them, and computes their mean
distance and the threshold beyond which a place is outside;
`upscale.network.uncertainty.applicability` explains how these are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import STEP_DAYS
from upscale.network.scaler import Scaler
from upscale.network.uncertainty.applicability import POINT_DAYS, Applicability, Space, step_points

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]

#: Largest number of reference points, and of training points from one tower.
MOST_POINTS, MOST_OF_TOWER = 2000, 120


@dataclass(frozen=True, eq=False)
class LearnedTower:
    """A tower that the model learned from.

    fold: of the cross-validation; drivers: `(day, feature)` in physical units from day number
    `first`; used: `(day,)` True on days with a flux used in training; z: `(member, latent)`, or
    None for models without an embedding.
    """

    fold: int
    drivers: Floats
    first: int
    used: NDArray[np.bool_]
    z: Floats | None = None


def fit_applicability(
    towers: Sequence[LearnedTower],
    scaler: Scaler,
    importance: Reals,
    latent: Reals | None = None,
    most: int = MOST_POINTS,
    seed: int = 0,
) -> Applicability:
    """The area of applicability of a model that learned from `towers`.

    importance: `(feature,)`; latent: importance `(member, latent)` of the embedding, or None;
    most: largest number of reference points; seed: of the random choice of at most
    `MOST_OF_TOWER` points from a tower. ValueError with fewer than two folds.
    """
    points = [_points_of(tower, scaler, seed) for tower in towers]
    fold = np.repeat([tower.fold for tower in towers], [len(each) for each in points])
    drivers = fit_space(np.concatenate(points), fold, importance, most)
    if latent is None or not latent.any():
        return Applicability(drivers)
    known = [(tower.z, tower.fold) for tower in towers if tower.z is not None]
    z = np.stack([z.ravel() for z, _ in known])
    folds = np.array([fold for _, fold in known])
    return Applicability(drivers, fit_space(z, folds, latent.ravel(), most))


def _points_of(tower: LearnedTower, scaler: Scaler, seed: int) -> Floats:
    """Training points `(point, feature)` of one tower: steps whose 45 days lie in its record
    and that contain a day used in training."""
    last = tower.first + len(tower.drivers)
    steps = range(-(-(tower.first + POINT_DAYS) // STEP_DAYS) - 1, last // STEP_DAYS)
    points = step_points(tower.drivers[None], tower.first, steps, scaler)[0]
    begin = np.array(steps, np.int64) * STEP_DAYS - tower.first
    used = tower.used[begin[:, None] + np.arange(STEP_DAYS)].any(axis=1)
    needed = [i for i, feature in enumerate(scaler.features) if feature.required]
    there = np.flatnonzero(used & np.isfinite(points[:, needed]).all(axis=1))
    if len(there) > MOST_OF_TOWER:
        there = np.random.default_rng(seed).choice(there, MOST_OF_TOWER, replace=False)
    return np.asarray(points[np.sort(there)])


def fit_space(
    points: NDArray[np.floating],
    fold: NDArray[np.integer],
    importance: Reals,
    most: int = MOST_POINTS,
) -> Space:
    """The metric, the reference points and the threshold of training points `(point, axis)`.

    fold: `(point,)`; importance: `(axis,)`, taken as equal if all are zero. Reference points are
    chosen farthest first, so that every training point has one nearby, and come before the other
    points; the mean distance and the threshold are those of all training points. ValueError with
    fewer than two folds.
    """
    if len(set(fold.tolist())) < 2:
        raise ValueError("expected training points of at least two folds, found one")
    weights = _weights(points.astype(np.float64), importance)
    weighted = points.astype(np.float64) * weights
    metric = _Metric(weights, *_range(weighted))
    distance, others = _among(weighted, fold, metric)
    chosen = _farthest_first(weighted, metric, most)
    nearest, apart = _to_references(weighted, chosen, metric)
    order = np.append(chosen, np.setdiff1d(np.arange(len(weighted)), chosen))
    return Space(
        points=weighted[order].astype(np.float32),
        counts=np.bincount(nearest, minlength=len(chosen)).astype(np.float32),
        weights=weights.astype(np.float32),
        low=metric.low.astype(np.float32),
        high=metric.high.astype(np.float32),
        distance=distance,
        threshold=upper_whisker(others) / distance,
        radius=float(apart.max()) / distance,
    )


def _weights(points: Reals, importance: Reals) -> Reals:
    """Importance, scaled to a largest value of 1, over the standard deviation of each axis; 0 for
    a constant axis."""
    leaned = importance / importance.max() if importance.any() else np.ones(len(importance))
    there = np.flatnonzero(np.isfinite(points).any(axis=0))
    spread = np.zeros(points.shape[1])
    spread[there] = np.nanstd(points[:, there], axis=0)
    weights: Reals = np.zeros(points.shape[1])
    np.divide(leaned, spread, out=weights, where=spread > 0)
    return weights


def _range(points: Reals) -> tuple[Reals, Reals]:
    """Smallest and largest value of each axis, 0 for an axis without values."""
    low = np.where(np.isfinite(points), points, np.inf).min(axis=0)
    high = np.where(np.isfinite(points), points, -np.inf).max(axis=0)
    return np.where(low <= high, low, 0.0), np.where(low <= high, high, 0.0)


@dataclass(frozen=True, eq=False)
class _Metric:
    """Distances in float64 between weighted points; missing values are treated as in
    `upscale.network.uncertainty.applicability`."""

    weights: Reals
    low: Reals
    high: Reals

    def squares(self, rows: Reals, points: Reals) -> Reals:
        """`(row, point)`."""
        total = np.zeros((len(rows), len(points)))
        for axis in range(rows.shape[1]):
            row, point = rows[:, axis, None], points[None, :, axis]
            beyond = np.maximum(np.maximum(self.low[axis] - row, row - self.high[axis]), 0)
            apart = np.where(np.isnan(point), beyond, row - point) ** 2
            total += np.where(np.isnan(row), 0, apart)
        present = np.isfinite(rows) @ self.weights**2
        return np.asarray(total * ((self.weights**2).sum() / present)[:, None])


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(first, first + 256) for first in range(0, rows, 256))


def _among(points: Reals, fold: NDArray[np.integer], metric: _Metric) -> tuple[float, Reals]:
    """The mean distance over all pairs of two different points, and the distance `(point,)` of
    each to the nearest point of another fold."""
    total, others = 0.0, np.zeros(len(points))
    for block in _blocks(len(points)):
        distances = np.sqrt(metric.squares(points[block], points))
        total += float(distances.sum())
        others[block] = np.where(fold[block, None] == fold, np.inf, distances).min(axis=1)
    return total / (len(points) * (len(points) - 1)), others


def _farthest_first(points: Reals, metric: _Metric, most: int) -> NDArray[np.int64]:
    """Indices of at most `most` points, each the farthest from those before it."""
    centre = np.nanmean(points, axis=0, keepdims=True)
    chosen = [int(metric.squares(points, centre)[:, 0].argmin())]
    apart = np.full(len(points), np.inf)
    while len(chosen) < min(most, len(points)):
        apart = np.minimum(apart, metric.squares(points, points[chosen[-1:]])[:, 0])
        if not apart.any():
            break
        chosen.append(int(apart.argmax()))
    return np.array(chosen)


def _to_references(
    points: Reals, chosen: NDArray[np.int64], metric: _Metric
) -> tuple[NDArray[np.int64], Reals]:
    """The nearest reference point of each point `(point,)`, and its distance."""
    nearest, apart = np.zeros(len(points), np.int64), np.zeros(len(points))
    for block in _blocks(len(points)):
        distances = np.sqrt(metric.squares(points[block], points[chosen]))
        nearest[block], apart[block] = distances.argmin(axis=1), distances.min(axis=1)
    return nearest, apart


def upper_whisker(values: NDArray[np.floating]) -> float:
    """The largest value up to 1.5 hinge spreads above the upper hinge (Tukey's box plot).

    Hinges are the medians of the lower and the upper half, both of which include the middle
    value, as in `boxplot.stats` of R, which `CAST::aoa` uses.
    """
    ordered = np.sort(values)
    half = (len(ordered) + 1) // 2
    lower, upper = np.median(ordered[:half]), np.median(ordered[len(ordered) - half :])
    return float(ordered[ordered <= upper + 1.5 * (upper - lower)].max())
