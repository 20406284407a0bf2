"""From TRAIN.yaml to a model release: split, train the members, judge them, write the folder."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from upscale import __version__
from upscale.network.classes import Classes, seen_classes
from upscale.network.ensemble import Ensemble
from upscale.network.release import ContextSpec, Release, ReleaseSpec, WindowSpec, save_release
from upscale.network.scaler import Scaler, fit_scaler
from upscale.network.support import SupportRule
from upscale.network.tamrl import TamRl, TamRlConfig
from upscale.network.windows import WindowRule
from upscale.towers.skill import SkillRow, skill_csv, skill_table, summary
from upscale.towers.splits import Split, folds, hold_out
from upscale.towers.table import Tower, read_sites, read_towers
from upscale.training.baselines import fit_boosted_trees, fit_seasonal_cycle
from upscale.training.card import citations, write_card
from upscale.training.config import TrainConfig
from upscale.training.dataset import build_dataset
from upscale.training.evaluate import Predict, TowerModel, clipped, judge
from upscale.training.features import classes_of, features_of
from upscale.training.loop import Epoch, Member, train_member

#: Good days taken from each tower to fit the scaler, so that long records do not rule it.
_SCALER_DAYS = 500

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Material:
    """What every member of a run shares: the learning towers, their folds, how to scale."""

    learning: tuple[Tower, ...]
    split: Split
    folds: tuple[tuple[str, ...], ...]
    scaler: Scaler
    classes: Classes


def train_release(config: TrainConfig, say: Say = print) -> Release:
    """Train, judge and write the release of a configuration; returns it loaded.

    say: called with one line of progress at a time.
    """
    towers = read_towers(config.data)
    material = prepare(config, towers)
    say(_split_line(material.split))
    members = train_members(config, say)
    networks = [member.network() for member in members]
    table = skill_table(judge_release(config, towers, material, networks, say))
    spec = _spec(config, material, table, members[0].config)
    card = write_card(spec, config.card, material.split, read_sites(config.data), table)
    states = [network.state_dict() for network in networks]
    release = save_release(config.out, spec, states, card, skill_csv(table))
    say(f"wrote {config.out} ({release.digest[:12]})")
    return release


def prepare(config: TrainConfig, towers: Sequence[Tower]) -> Material:
    """Split the towers and fit the scaler and the class lists on those of training."""
    split = hold_out(towers, config.holdout.share, config.holdout.seed)
    learning = tuple(tower for tower in towers if tower.site in split.train)
    return Material(
        learning=learning,
        split=split,
        folds=folds(learning, config.holdout.folds, config.holdout.seed),
        scaler=fit_even_scaler(learning, config.features, config.optional, config.seed),
        classes=seen_classes(np.stack([classes_of(tower) for tower in learning])),
    )


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
        replace(feature, minimum=float(low[i]), maximum=float(high[i]))
        for i, feature in enumerate(scaler.features)
    ]
    return Scaler(tuple(ranged), scaler.fluxes)


def train_members(config: TrainConfig, say: Say = print) -> list[Member]:
    """Train all members, `config.workers` at a time, in the order of their seeds."""
    if config.workers == 1:
        return [train_one(config, number, say) for number in range(config.members)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(config.workers, mp_context=context) as pool:
        waiting = [pool.submit(train_one, config, n, say) for n in range(config.members)]
        return [job.result() for job in waiting]


def train_one(config: TrainConfig, number: int, say: Say = print) -> Member:
    """Train member `number`: its own seed, and its own fold of clusters to validate on."""
    torch.set_num_threads(1)
    material = prepare(config, read_towers(config.data))
    held = material.folds[number % len(material.folds)]
    learned = [tower for tower in material.learning if tower.site not in held]
    validated = [tower for tower in material.learning if tower.site in held]
    window, support = rules(config)
    learned_data, validated_data = (
        build_dataset(part, material.scaler, material.classes, window, support, config.loss)
        for part in (learned, validated)
    )
    seed = config.seed + number
    return train_member(config, learned_data, validated_data, seed, _progress(number, say))


def rules(config: TrainConfig) -> tuple[WindowRule, SupportRule]:
    """The window rule and the support rule of a configuration."""
    window = WindowRule(config.window.length, config.window.stride)
    return window, SupportRule(window=config.window.length)


def judge_release(
    config: TrainConfig,
    towers: Sequence[Tower],
    material: Material,
    networks: Sequence[TamRl],
    say: Say = print,
) -> list[SkillRow]:
    """Skill of the ensemble and of both baselines at the towers that none of them saw."""
    window, support = rules(config)
    ensemble = Ensemble(networks, material.scaler, material.classes, "cpu")
    context = support if config.context == "support-years" else None
    say("fitting the baselines")
    trees = fit_boosted_trees(
        material.learning, config.features, config.seed, config.boosting_rounds
    )
    cycle = fit_seasonal_cycle(material.learning)
    models: dict[str, Predict] = {
        "tamrl": TowerModel(ensemble, window, context).predict,
        "seasonal-cycle": lambda tower: clipped(cycle.predict(tower)),
        "xgboost": lambda tower: clipped(trees.predict(tower)),
    }
    unseen = [tower for tower in towers if tower.site not in material.split.train]
    return list(judge(unseen, models, material.split.label))


def data_digest(folder: str | Path) -> str:
    """sha256 over the two files of a folder of towers."""
    digest = hashlib.sha256()
    for name in ("sites.parquet", "towers.parquet"):
        digest.update((Path(folder) / name).read_bytes())
    return digest.hexdigest()


def _spec(
    config: TrainConfig, material: Material, table: pd.DataFrame, network: TamRlConfig
) -> ReleaseSpec:
    scaler, (window, support) = material.scaler, rules(config)
    return ReleaseSpec(
        name=config.name,
        architecture=network,
        features=scaler.features,
        fluxes=scaler.fluxes,
        classes=material.classes,
        window=WindowSpec(length=window.length, stride=window.stride),
        context=ContextSpec(rule=config.context, window=support.window),
        training_digest=data_digest(config.data),
        training_settings=config.model_dump(mode="json", exclude={"data", "out", "card"}),
        code_version=__version__,
        seeds=tuple(config.seed + number for number in range(config.members)),
        skill=_headline(table),
        held_out=tuple(sorted(table["cluster"].unique())),
        citations=citations(read_sites(config.data), config.card.citations),
    )


def _headline(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Per flux, skill of the ensemble over the test towers (suspect ones left out)."""
    mine = table[(table["model"] == "tamrl") & (table["split"] == "test")]
    numbers = summary(mine).set_index("flux").drop(columns="model").round(4)
    return {
        str(flux): {str(key): float(value) for key, value in row.items()}
        for flux, row in numbers.iterrows()
    }


def _progress(number: int, say: Say) -> Callable[[Epoch], None]:
    def report(epoch: Epoch) -> None:
        say(
            f"member {number} {epoch.stage} {epoch.epoch:3d}  loss {epoch.loss:.4f}  "
            f"balance {epoch.balance:.5f}  validation {epoch.validation:.4f}"
        )

    return report


def _split_line(split: Split) -> str:
    return (
        f"{len(split.train)} towers to learn from, {len(split.test)} held out, "
        f"{len(split.suspect)} suspect"
    )
