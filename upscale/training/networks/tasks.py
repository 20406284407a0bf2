"""What each stage of training learns: a loss to step on, and a score to stop by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from upscale.network.networks.architectures import Network
from upscale.network.networks.loss import flux_loss
from upscale.training.config import Pretraining, Stage, TrainConfig, stages_of
from upscale.training.dataset import Batch, Dataset, draw, query_as_support
from upscale.training.networks.pretraining import draw_views, score_views, view_loss
from upscale.training.networks.validation import validate


class Trainable(Network, Protocol):
    """A network with the additional methods that training needs; every `torch.nn.Module` has it."""

    def train(self, mode: bool = True) -> Self: ...
    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...


class StepLoss(NamedTuple):
    """total: scalar to be lowered; fit, balance: what the curve shows of it."""

    total: Tensor
    fit: float
    balance: float


@dataclass(frozen=True, eq=False)
class TrainingStage:
    """One stage: its name and settings, the loss of a new batch, the score of validation."""

    name: str
    stage: Stage
    loss: Callable[[Network, np.random.Generator], StepLoss]
    score: Callable[[Network], float]


def tasks_of(
    config: TrainConfig, learned: Dataset, validated: Dataset
) -> tuple[TrainingStage, ...]:
    """The stages of a model in order, see `upscale.training.config.stages_of`."""
    return tuple(
        _pretrain_task(stage, config, learned, validated)
        if isinstance(stage, Pretraining)
        else _flux_task(name, stage, config, learned, validated)
        for name, stage in stages_of(config)
    )


def predict_batch(
    network: Network, batch: Batch, joint: bool, noise: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Scaled fluxes `(row, day, 3)` of a batch and the mean square of z.

    not joint: the decoder alone. noise: standard deviation of what is added to z.
    """
    if not joint:
        return network.decode(batch.x, None), torch.zeros(())
    z = network.encode(batch.support, batch.present, batch.onehot)
    noisy = z + noise * torch.randn_like(z)
    return network.decode(batch.x, noisy[batch.task]), z.square().mean()


def flux_step(
    network: Network, batch: Batch, config: TrainConfig, data: Dataset, joint: bool
) -> StepLoss:
    """The knowledge-guided loss of one batch, on the last `loss.days` days of its windows."""
    if config.context == "query":
        batch = query_as_support(batch)
    days = slice(-config.loss.days, None)
    noise = config.augmentation.embedding if config.model.startswith("tamrl") else 0.0
    predicted, size = predict_batch(network, batch, joint, noise)
    loss = flux_loss(
        predicted[:, days],
        batch.target[:, days],
        batch.quality[:, days],
        batch.weight,
        *data.scaler.flux_constants(),
        config.loss.alpha,
    )
    total = loss.total + config.loss.embedding * size
    return StepLoss(total, float(loss.fit.detach()), float(loss.balance.detach()))


def _flux_task(
    name: str, stage: Stage, config: TrainConfig, learned: Dataset, validated: Dataset
) -> TrainingStage:
    """A stage that learns fluxes; `joint` with the task embedding, else the decoder alone."""
    joint = name == "joint"

    def loss(network: Network, rng: np.random.Generator) -> StepLoss:
        batch = draw(learned, config.draw, config.augmentation, rng)
        return flux_step(network, batch, config, learned, joint)

    def score(network: Network) -> float:
        return validate(network, validated, joint, config.context)

    return TrainingStage(name, stage, loss, score)


def _pretrain_task(
    stage: Pretraining, config: TrainConfig, learned: Dataset, validated: Dataset
) -> TrainingStage:
    """The stage in which the encoder learns to tell places apart."""

    def loss(network: Network, rng: np.random.Generator) -> StepLoss:
        views = draw_views(learned, config.draw, config.augmentation, rng)
        total = view_loss(network, views, stage.temperature)
        return StepLoss(total, float(total.detach()), 0.0)

    def score(network: Network) -> float:
        return score_views(network, validated, config.draw, stage.temperature)

    return TrainingStage("pretrain", stage, loss, score)
