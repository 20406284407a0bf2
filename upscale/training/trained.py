"""A model of any kind, trained on exactly the given material: networks or boosted trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from upscale.evaluation.tower_model import TowerModel
from upscale.jobs.progress import Say
from upscale.network.boosting.trees import TREES, TreeEnsemble, TreesConfig
from upscale.network.ensemble import Ensemble
from upscale.network.networks.architectures import Architecture
from upscale.network.predictor import Predictor
from upscale.network.releases.release import Member as Saved
from upscale.training.baselines import fit_trees
from upscale.training.config import TrainConfig
from upscale.training.material import Material, rules
from upscale.training.networks.curves import Curve
from upscale.training.networks.members import train_members
from upscale.training.networks.progress import Watcher


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model.

    sizes, members: as a release takes them; seeds: of each member; predictor: the members
    ready to run on the CPU; curves: of each member, none for boosted trees.
    """

    sizes: Architecture | TreesConfig
    members: Sequence[Saved]
    seeds: tuple[int, ...]
    predictor: Predictor
    curves: tuple[Curve, ...] = ()


def train_model(
    config: TrainConfig,
    material: Material,
    say: Say = print,
    watcher: Watcher | None = None,
    work: Path | None = None,
) -> Trained:
    """Train all members of `config.model`; see `upscale.training.networks.members`."""
    if config.model in TREES:
        return _train_trees(config, material, say)
    return _train_networks(config, material, say, watcher, work)


def tower_model_of(config: TrainConfig, trained: Trained) -> TowerModel:
    """A trained model with the rules of its configuration, to be run at towers."""
    window, support = rules(config)
    by_years = config.context == "support-years"
    return TowerModel(trained.predictor, window, support if by_years else None)


def _train_networks(
    config: TrainConfig, material: Material, say: Say, watcher: Watcher | None, work: Path | None
) -> Trained:
    """Train the members and make an ensemble of them."""
    members = train_members(config, say, material, watcher, work)
    networks = [member.network() for member in members]
    return Trained(
        sizes=members[0].config,
        members=[network.state_dict() for network in networks],
        seeds=tuple(config.seed + number for number in range(config.members)),
        predictor=Ensemble(networks, material.scaler, material.classes, "cpu"),
        curves=tuple(member.curve for member in members),
    )


def _train_trees(config: TrainConfig, material: Material, say: Say) -> Trained:
    """Fit the draws and make an ensemble of them."""
    say(f"fitting {config.members} draws of {config.model}")
    fitted = fit_trees(
        config.model, material.learning, config.features, config.seed, config.boosting_rounds,
        config.members, config.workers,
    )  # fmt: skip
    features = len(material.scaler.features)
    return Trained(
        sizes=TreesConfig(features, material.classes.width, fitted.rounds),
        members=fitted.draws,
        seeds=fitted.seeds,
        predictor=TreeEnsemble(fitted.draws, material.scaler, material.classes),
    )
