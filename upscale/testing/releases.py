"""Releases with synthetic weights, for tests, benchmarks and trials.

Their fluxes are meaningless; everything else about them is real.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from upscale.network.boosting.trees import Trees, TreesConfig, tree_table
from upscale.network.classes import Classes
from upscale.network.networks.architectures import Architecture
from upscale.network.networks.tamrl import TamRlConfig
from upscale.network.releases.release import (
    ContextSpec,
    Release,
    ReleaseSpec,
    WindowSpec,
    save_release,
)
from upscale.network.scaler import Feature, FluxScale, Scaler, Transform
from upscale.training.baselines import fit_regressor
from upscale.variables import FLUXES, variable
from upscale.version import __version__

#: Plausible mean and standard deviation, after the transform.
_LIKELY: dict[str, tuple[float, float, Transform]] = {
    "ta": (12.0, 11.0, "identity"),
    "sw_in": (180.0, 100.0, "identity"),
    "vpd": (6.0, 5.0, "identity"),
    "p": (0.6, 0.9, "log1p"),
    "sw_pot": (300.0, 120.0, "identity"),
    "day_length": (12.0, 3.0, "identity"),
}

#: Classes that the synthetic releases know.
CLASSES = Classes(("ENF", "DBF", "GRA", "CRO"), ("Aw", "BSk", "Csa", "Cfb", "Dfb", "Dfc"))

_NO_SKILL = "tower,cluster,flux,model,split,n,rmse,r2,bias\n"

#: Number of synthetic days that trees are fitted to.
_MADE_DAYS = 3000

#: Factor on torch's initial weights, so that outputs respond to their inputs.
_GAIN = 2.0


def fake_release(
    path: Path,
    features: Sequence[str] = ("ta", "sw_in", "vpd", "p"),
    members: int = 3,
    hidden: int = 16,
    seed: int = 0,
    **overrides: Any,
) -> Release:
    """Write and load a release whose weights follow from `seed`.

    features: names of `upscale.variables`, TA and SW_IN required; hidden: all hidden sizes;
    overrides: fields of `ReleaseSpec` that replace the synthetic ones.
    """
    scaler = Scaler(tuple(_feature(name) for name in features), _flux_scales())
    config = TamRlConfig(
        scaler.channels, CLASSES.width, hidden, hidden // 2, encoder_hidden=hidden,
        generator_hidden=hidden,
    )  # fmt: skip
    seeds = tuple(range(seed, seed + members))
    made: dict[str, Any] = {
        "name": path.name, "architecture": config, "features": scaler.features,
        "fluxes": scaler.fluxes, "classes": CLASSES, "training_digest": "made weights",
        "code_version": __version__, "seeds": seeds,
    }  # fmt: skip
    spec = ReleaseSpec(**(made | overrides))
    assert not isinstance(spec.architecture, TreesConfig)
    weights = [_weights(spec.architecture, each) for each in spec.seeds]
    card = f"# {spec.name}\n\nMade weights, never trained: its fluxes mean nothing.\n"
    return save_release(path, spec, weights, card, _NO_SKILL)


def fake_tree_release(
    path: Path,
    library: str = "xgboost",
    features: Sequence[str] = ("ta", "sw_in", "vpd", "p"),
    members: int = 2,
    rounds: int = 60,
    seed: int = 0,
    **overrides: Any,
) -> Release:
    """Write and load a release of boosted trees fitted to synthetic days from `seed`.

    library: `xgboost` or `lightgbm`; the rest as in `fake_release`.
    """
    scaler = Scaler(tuple(_feature(name) for name in features), _flux_scales())
    seeds = tuple(range(seed, seed + members))
    made: dict[str, Any] = {
        "name": path.name, "model": library, "features": scaler.features,
        "architecture": TreesConfig(len(features), CLASSES.width, rounds),
        "fluxes": scaler.fluxes, "classes": CLASSES, "window": WindowSpec(length=1, stride=1),
        "context": ContextSpec(rule="query"), "training_digest": "made days",
        "code_version": __version__, "seeds": seeds,
    }  # fmt: skip
    trees = [_trees(library, scaler, rounds, each) for each in seeds]
    card = f"# {path.name}\n\nFitted to made days: its fluxes mean nothing.\n"
    return save_release(path, ReleaseSpec(**(made | overrides)), trees, card, _NO_SKILL)


def _trees(library: str, scaler: Scaler, rounds: int, seed: int) -> list[Trees]:
    """Regressors of all fluxes: GPP and RECO rise with each feature and differ by class."""
    rng = np.random.default_rng(seed)
    low, high = ([getattr(f, end) for f in scaler.features] for end in ("minimum", "maximum"))
    drivers = rng.uniform(low, high, (_MADE_DAYS, len(low)))
    drivers[rng.uniform(size=drivers.shape) < 0.05] = np.nan
    codes = np.stack([rng.integers(18, size=_MADE_DAYS), rng.integers(31, size=_MADE_DAYS)], axis=1)
    table = tree_table(drivers.astype(np.float32), CLASSES.onehot(codes))
    scaled = np.nan_to_num((drivers - low) / np.subtract(high, low), nan=0.5)
    slopes = rng.uniform(0, 3, (len(low), 2))
    gpp, reco = (scaled @ slopes + CLASSES.onehot(codes) @ rng.uniform(0, 2, (CLASSES.width, 2))).T
    fluxes = np.stack([gpp, reco, reco - gpp], axis=1).astype(np.float32)
    weight = np.ones(_MADE_DAYS)
    return [
        fit_regressor(library, table, fluxes[:, i], weight, seed, rounds)
        for i in range(len(FLUXES))
    ]


def _feature(name: str) -> Feature:
    row = variable(name)
    middle, quarter = (row.valid_min + row.valid_max) / 2, (row.valid_max - row.valid_min) / 4
    mean, std, transform = _LIKELY.get(name, (middle, quarter, "identity"))
    return Feature(
        name, row.units, name in ("ta", "sw_in"), mean, std, row.valid_min, row.valid_max, transform
    )


def _flux_scales() -> tuple[FluxScale, ...]:
    likely = ((3.5, 3.8), (2.8, 2.4), (-0.7, 2.2))
    return tuple(
        FluxScale(name, variable(name).units, mean, std)
        for name, (mean, std) in zip(FLUXES, likely, strict=True)
    )


def _weights(config: Architecture, seed: int) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return {name: tensor * _GAIN for name, tensor in config.build().state_dict().items()}
