"""What every member of a training run shares: towers to learn from, their folds, the scaling."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from upscale.drivers.features import COMPOSITES, classes_of, features_of
from upscale.network.classes import Classes, seen_classes
from upscale.network.scaler import Scaler, fit_scaler
from upscale.network.support import SupportRule
from upscale.network.windows import WindowRule
from upscale.towers.splits import Split, all_but_suspect, folds, hold_out
from upscale.towers.table import GOOD_QUALITY, Tower, TowerWarning
from upscale.training.config import TrainConfig
from upscale.training.dataset import Dataset, build_dataset

#: Good days taken from each tower to fit the scaler, so that long records do not rule it.
_SCALER_DAYS = 500


@dataclass(frozen=True, eq=False)
class Material:
    """What every member of a run shares.

    learning: towers that members learn from or stop by; split: of all towers; folds: sites of
    `learning`, one fold for each member in turn to stop by; scaler, classes: of `learning`.
    """

    learning: tuple[Tower, ...]
    split: Split
    folds: tuple[tuple[str, ...], ...]
    scaler: Scaler
    classes: Classes


def prepare(config: TrainConfig, towers: Sequence[Tower]) -> Material:
    """Hold out clusters of `towers` as the configuration asks, and learn from the others.

    With cross-validation only suspect towers are left out. Towers without a good flux day are
    in no part of the split, see `with_good_days`.
    """
    towers = with_good_days(towers)
    if config.cross_validation:
        split = all_but_suspect(towers)
    else:
        split = hold_out(towers, config.holdout.share, config.holdout.seed)
    learning = tuple(tower for tower in towers if tower.site in split.train)
    return replace(material_of(config, learning), split=split)


def with_good_days(towers: Sequence[Tower]) -> tuple[Tower, ...]:
    """The towers that have a good flux day; a TowerWarning names the others, of which nothing
    can be learned. ValueError where none is left."""
    blind = [tower.site for tower in towers if not tower.good.any()]
    if len(blind) == len(towers):
        raise ValueError(
            f"expected towers with a good flux day (all three fluxes, NEE_QC of at least "
            f"{GOOD_QUALITY}), found none among {len(towers)}: give other towers, or their NEE_QC"
        )
    if blind:
        what = f"left out, for they have no good flux day: {', '.join(blind)}"
        warnings.warn(what, TowerWarning, stacklevel=2)
    return tuple(tower for tower in towers if tower.good.any())


def material_of(
    config: TrainConfig, learning: Sequence[Tower], inner: Sequence[Sequence[str]] | None = None
) -> Material:
    """Material from exactly these towers, with nothing held out.

    inner: folds of sites that members stop by; by default the clusters of `learning` are dealt
    into `holdout.folds` folds.
    """
    dealt = folds(learning, config.holdout.folds, config.holdout.seed) if inner is None else inner
    return Material(
        learning=tuple(learning),
        split=Split(tuple(tower.site for tower in learning), (), ()),
        folds=tuple(tuple(fold) for fold in dealt),
        scaler=fit_even_scaler(learning, config.features, config.optional, config.seed),
        classes=seen_classes(np.stack([classes_of(tower) for tower in learning])),
    )


def datasets(config: TrainConfig, material: Material, number: int) -> tuple[Dataset, Dataset]:
    """What member `number` learns from, and the fold of clusters that it stops by."""
    held = material.folds[number % len(material.folds)]
    learned, validated = (
        build_dataset(
            [tower for tower in material.learning if (tower.site in held) is wanted],
            material.scaler,
            material.classes,
            *rules(config),
            config.loss,
        )
        for wanted in (False, True)
    )
    return learned, validated


def rules(config: TrainConfig) -> tuple[WindowRule, SupportRule]:
    """The window rule and the support rule of a configuration."""
    window = WindowRule(config.window.length, config.window.stride)
    return window, SupportRule(window=config.window.length)


def fit_even_scaler(
    towers: Sequence[Tower], features: Sequence[str], optional: Sequence[str], seed: int
) -> Scaler:
    """Means and spreads with as many good days of each tower, ranges from all its days."""
    rng = np.random.default_rng(seed)
    inputs = [features_of(tower, features) for tower in towers]
    picks = [rng.choice(np.flatnonzero(t.good), _SCALER_DAYS) for t in towers]
    even = np.concatenate([x[pick] for x, pick in zip(inputs, picks, strict=True)])
    fluxes = np.concatenate([t.fluxes[pick] for t, pick in zip(towers, picks, strict=True)])
    required = [name for name in features if name not in optional]
    scaler = fit_scaler(features, even, fluxes, required)
    everything = np.concatenate(inputs)
    low, high = np.nanmin(everything, axis=0), np.nanmax(everything, axis=0)
    ranged = [
        replace(
            feature,
            minimum=float(low[i]),
            maximum=float(high[i]),
            composite_days=COMPOSITES.get(feature.name, 0),
        )
        for i, feature in enumerate(scaler.features)
    ]
    return Scaler(tuple(ranged), scaler.fluxes)
