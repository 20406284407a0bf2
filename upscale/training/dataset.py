"""Towers as tensors, and the draw of training episodes from them.

An episode is a tower: a support set from its history and some query windows that are to be
predicted. Towers are drawn evenly, so that each counts the same whatever its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale.calendar import years_of
from upscale.drivers.features import classes_of, features_of
from upscale.network.classes import Classes
from upscale.network.networks.loss import inverse_frequency_weights
from upscale.network.scaler import Scaler
from upscale.network.support import SupportRule, choose
from upscale.network.windows import Rows, WindowRule, assign, rows_of
from upscale.towers.table import Tower
from upscale.training.config import Augmentation, Draw, LossWeights

Indices = NDArray[np.int64]

#: Scaled flux variance below which a tower gains no more weight: a calm site is no outlier.
_LEAST_VARIANCE = 0.03


@dataclass(frozen=True, eq=False)
class DatasetTower:
    """Where one tower lies on the day axis of its dataset; all indices count along that axis.

    first, length: its stretch of days. starts: `(window,)` first day of every window that
    training may draw: no required driver is missing, at least one good day is in its part
    that counts. years: one `(window,)` per full support year. support: `(window,)` the
    windows that the run's rule chooses. rows: the windows of the run and the days they serve.
    """

    first: int
    length: int
    starts: Indices
    years: tuple[Indices, ...]
    support: Indices
    rows: Rows


@dataclass(frozen=True, eq=False)
class Dataset:
    """Towers end to end on one axis of days.

    channels: `(day, channel)` scaled; targets: `(day, 3)` scaled fluxes, NaN on all but good
    days; quality: `(day,)`; codes: `(tower, 2)`; weights: `(tower,)` w_igbp * w_koppen.
    """

    towers: tuple[Tower, ...]
    window: WindowRule
    scaler: Scaler
    classes: Classes
    channels: Tensor
    targets: Tensor
    quality: Tensor
    codes: NDArray[np.int64]
    weights: NDArray[np.float32]
    places: tuple[DatasetTower, ...]


@dataclass(frozen=True, eq=False)
class Batch:
    """One step of training.

    x: `(row, day, channel)`; target: `(row, day, 3)`; quality: `(row, day)`; weight: `(row,)`;
    task: `(row,)` which support set is the row's; support: `(task, window, day, channel)`;
    present: `(task, window)`; onehot: `(task, class)`.
    """

    x: Tensor
    target: Tensor
    quality: Tensor
    weight: Tensor
    task: Tensor
    support: Tensor
    present: Tensor
    onehot: Tensor


def build_dataset(
    towers: Sequence[Tower],
    scaler: Scaler,
    classes: Classes,
    window: WindowRule,
    support: SupportRule,
    loss: LossWeights | None = None,
) -> Dataset:
    """Scale the features of `towers` and index their windows and support years.

    loss: how towers are weighed; all the same if not given.
    """
    inputs = [features_of(tower, scaler.names, scaler.composites) for tower in towers]
    targets = [np.where(t.good[:, None], scaler.scale_fluxes(t.fluxes), np.nan) for t in towers]
    codes = np.stack([classes_of(tower) for tower in towers])
    firsts = np.cumsum([0, *(len(t.days) for t in towers)])
    return Dataset(
        towers=tuple(towers),
        window=window,
        scaler=scaler,
        classes=classes,
        channels=torch.from_numpy(np.concatenate([scaler.scale(x) for x in inputs])),
        targets=torch.from_numpy(np.concatenate(targets).astype(np.float32)),
        quality=torch.from_numpy(np.concatenate([t.quality for t in towers])),
        codes=codes,
        weights=_weights(codes, targets, loss or LossWeights(class_power=0)),
        places=tuple(
            _place(tower, ~scaler.missing_required(x), int(first), window, support)
            for tower, x, first in zip(towers, inputs, firsts[:-1], strict=True)
        ),
    )


def draw(data: Dataset, plan: Draw, spoil: Augmentation, rng: np.random.Generator) -> Batch:
    """Draw `plan.towers` towers evenly, `plan.windows` windows and a support set of each."""
    usable = [i for i, place in enumerate(data.places) if len(place.starts)]
    chosen = rng.choice(usable, plan.towers, replace=plan.towers > len(usable))
    starts = np.concatenate([rng.choice(data.places[i].starts, plan.windows) for i in chosen])
    support = np.stack([_draw_support(data.places[i], plan, rng) for i in chosen])
    task = np.repeat(np.arange(len(chosen)), plan.windows)
    days = window_days(starts, data.window)
    x, context = data.channels[days], data.channels[window_days(support.clip(0), data.window)]
    shift, keep = draw_faults(len(chosen), data.scaler, spoil, rng)
    return Batch(
        x=(x + shift[task][:, None]) * keep[task][:, None],
        target=data.targets[days],
        quality=data.quality[days],
        weight=torch.from_numpy(data.weights[chosen][task]),
        task=torch.from_numpy(task),
        support=(context + shift[:, None, None]) * keep[:, None, None],
        present=torch.from_numpy(support >= 0),
        onehot=_onehot(data.codes[chosen], data.classes, spoil.unknown_class, rng),
    )


def query_as_support(batch: Batch) -> Batch:
    """The same batch under the context rule `query`: every window is its own support set."""
    count = len(batch.x)
    return replace(
        batch,
        task=torch.arange(count),
        support=batch.x[:, None],
        present=torch.ones(count, 1, dtype=torch.bool),
        onehot=batch.onehot[batch.task],
    )


def window_days(starts: Indices, window: WindowRule) -> Tensor:
    """Day indices `(..., day)` of windows that start at `starts` `(...,)`."""
    return torch.from_numpy(starts[..., None] + np.arange(window.length))


def draw_faults(
    count: int, scaler: Scaler, spoil: Augmentation, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """How the channels of `count` places are degraded: x becomes (x + shift) * keep.

    Both `(place, channel)`: noise on what is measured, 0 for optional features that are hidden.
    """
    names = scaler.names
    optional = [i for i, feature in enumerate(scaler.features) if not feature.required]
    keep = torch.ones(count, scaler.channels)
    for mask, column in enumerate(optional, start=len(names)):
        hidden = torch.from_numpy(rng.uniform(size=count) < spoil.hide_optional)
        keep[hidden, column] = keep[hidden, mask] = 0
    measured = [i for i, name in enumerate(names) if name in spoil.noisy]
    shift = torch.zeros(count, scaler.channels)
    offset = rng.normal(0, spoil.offset, (count, len(measured)))
    shift[:, measured] = torch.from_numpy(offset.astype(np.float32))
    return shift, keep


def _place(
    tower: Tower, valid: NDArray[np.bool_], first: int, window: WindowRule, rule: SupportRule
) -> DatasetTower:
    """The stretch, windows and support years of one tower; first: its first day in the dataset."""
    assigned = assign(valid[None], int(tower.days[0]), window)
    return DatasetTower(
        first=first,
        length=len(valid),
        starts=first + _starts(valid, tower.good, window),
        years=tuple(first + start for start in _full_years(tower, valid, rule)),
        support=first + _chosen(valid, tower, rule),
        rows=rows_of(assigned.start, slice(None)),
    )


def _starts(valid: NDArray[np.bool_], good: NDArray[np.bool_], window: WindowRule) -> Indices:
    """Starts of all unbroken windows with a good day among their last `stride` days."""
    if len(valid) < window.length:
        return np.zeros(0, np.int64)
    spans = np.lib.stride_tricks.sliding_window_view(valid, window.length).all(axis=1)
    seen = np.lib.stride_tricks.sliding_window_view(good, window.length)
    return np.flatnonzero(spans & seen[:, -window.stride :].any(axis=1))


def _full_years(tower: Tower, valid: NDArray[np.bool_], rule: SupportRule) -> list[Indices]:
    """Window starts of every full year; the rule's own choice where there is none."""
    found = []
    for year in np.unique(years_of(tower.days)):
        only = choose(valid[None], tower.days, replace(rule, years=(int(year),)))
        if not only.short[0] and only.present[0].any():
            found.append(only.start[0][only.present[0]].astype(np.int64))
    return found or [_chosen(valid, tower, rule)]


def _chosen(valid: NDArray[np.bool_], tower: Tower, rule: SupportRule) -> Indices:
    start = choose(valid[None], tower.days, rule).start[0]
    return np.asarray(start[start >= 0], np.int64)


def _draw_support(place: DatasetTower, plan: Draw, rng: np.random.Generator) -> Indices:
    """Support windows `(plan.support,)` from one to three random years, -1 for none."""
    count = rng.integers(1, min(plan.years, len(place.years)) + 1)
    picked = rng.choice(len(place.years), count, replace=False)
    pool = np.concatenate([place.years[i] for i in picked])
    pool = rng.permutation(pool)[: plan.support]
    return np.concatenate([pool, np.full(plan.support - len(pool), -1)]).astype(np.int64)


def _onehot(
    codes: NDArray[np.int64], classes: Classes, share: float, rng: np.random.Generator
) -> Tensor:
    """One-hots with each class of each tower turned to unknown with probability `share`."""
    hidden = rng.uniform(size=codes.shape) < share
    return torch.from_numpy(classes.onehot(np.where(hidden, 0, codes)))


def _weights(
    codes: NDArray[np.int64], targets: Sequence[NDArray[np.floating]], loss: LossWeights
) -> NDArray[np.float32]:
    """Weight of each tower `(tower,)`, mean 1: by class frequency and by flux variance."""
    classes = np.prod([inverse_frequency_weights(column) for column in codes.T], axis=0)
    variance = np.maximum([_variance(target) for target in targets], _LEAST_VARIANCE)
    weights = classes**loss.class_power / variance**loss.variance_power
    return np.asarray(weights / weights.mean(), np.float32)


def _variance(targets: NDArray[np.floating]) -> float:
    """Mean variance of the scaled fluxes `(day, 3)` of a tower; 1 where it has none."""
    return float(np.nanvar(targets, axis=0).mean()) if np.isfinite(targets).any() else 1.0
