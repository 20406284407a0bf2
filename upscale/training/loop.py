"""The stages of training one member.

TAM-RL has two: stage 1 trains the decoder alone, stage 2 encoder, generator and decoder jointly
from the weights of stage 1 (Rozanov et al. 2026, section Task Aware Modulation). Models without
an encoder have one. Every stage stops by the skill on clusters that are not learned from, and
keeps a copy of the best weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Protocol, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from upscale.network.architectures import ARCHITECTURES, Architecture, Network
from upscale.network.loss import flux_loss
from upscale.training.config import Stage, TrainConfig
from upscale.training.dataset import Batch, Dataset, draw, query_as_support
from upscale.training.validation import validate

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Epoch:
    """One line of the curve: losses are scaled, validation is the mean scaled RMSE."""

    stage: str
    epoch: int
    loss: float
    balance: float
    validation: float


Report = Callable[[Epoch], None]


class Trainable(Network, Protocol):
    """A network with what training asks of it on top; every `torch.nn.Module` has it."""

    def train(self, mode: bool = True) -> Self: ...
    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...


@dataclass(frozen=True, eq=False)
class Member:
    """A trained member, free to travel between processes.

    config, weights: of the network, its `state_dict()` as arrays; curve: all epochs;
    best: mean scaled RMSE on the validation clusters.
    """

    config: Architecture
    weights: dict[str, NDArray[np.float32]]
    curve: tuple[Epoch, ...]
    best: float

    def network(self) -> Network:
        """The network in evaluation mode."""
        network = self.config.build()
        network.load_state_dict({key: torch.from_numpy(w) for key, w in self.weights.items()})
        return network.eval()


def train_member(
    config: TrainConfig, learned: Dataset, validated: Dataset, seed: int, report: Report
) -> Member:
    """Train one member; the same seed gives the same weights on the same machine.

    learned: towers that give gradients; validated: towers of other clusters that decide when
    to stop. report: called after every epoch.
    """
    torch.manual_seed(seed)
    network = cast(Trainable, network_config(config, learned).build())
    rng = np.random.default_rng(seed)
    curve: list[Epoch] = []

    def note(epoch: Epoch) -> None:
        curve.append(epoch)
        report(epoch)

    for name, stage in stages(config):
        best = _run_stage(name, stage, config, network, learned, validated, rng, note)
    weights = {key: value.numpy() for key, value in copy_weights(network).items()}
    return Member(network.config, weights, tuple(curve), best)


def stages(config: TrainConfig) -> tuple[tuple[str, Stage], ...]:
    """The stages of a model in order: `decoder` (no task embedding), `joint` (with it)."""
    alone = {"tamlstm": "decoder", "ct-lstm": "joint"}
    if config.model in alone:
        return ((alone[config.model], config.joint_stage),)
    return ("decoder", config.decoder_stage), ("joint", config.joint_stage)


def network_config(config: TrainConfig, data: Dataset) -> Architecture:
    """The sizes of the network: those of the configuration, and what the data ask for."""
    architecture = ARCHITECTURES[config.model]
    known = {field.name for field in fields(architecture)}  # type: ignore[arg-type]
    sizes = {key: size for key, size in config.network.model_dump().items() if key in known}
    return cast(Callable[..., Architecture], architecture)(
        channels=data.scaler.channels, classes=data.classes.width, **sizes
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


def _run_stage(
    name: str,
    stage: Stage,
    config: TrainConfig,
    network: Trainable,
    learned: Dataset,
    validated: Dataset,
    rng: np.random.Generator,
    note: Report,
) -> float:
    """Train in place and leave the best weights in `network`; returns their validation."""
    joint = name == "joint"
    optimiser = torch.optim.AdamW(network.parameters(), lr=stage.rate, weight_decay=stage.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _cosine(stage))
    mean = copy_weights(network)
    best, kept, waited = math.inf, mean, 0
    for epoch in range(stage.epochs):
        losses = []
        network.train()
        for _ in range(stage.steps):
            batch = draw(learned, config.draw, config.augmentation, rng)
            losses.append(_step(network, batch, config, learned, optimiser, stage.clip, joint))
            schedule.step()
            _average(mean, network, stage.average)
        score = _score(network, mean, validated, config, joint)
        fit, balance = np.mean(losses, axis=0)
        note(Epoch(name, epoch, float(fit), float(balance), score))
        if score < best:
            best, waited = score, 0
            kept = {key: value.clone() for key, value in mean.items()}
        else:
            waited += 1
        if waited >= stage.patience:
            break
    network.load_state_dict(kept)
    return best


def _step(
    network: Trainable,
    batch: Batch,
    config: TrainConfig,
    data: Dataset,
    optimiser: torch.optim.Optimizer,
    clip: float,
    joint: bool,
) -> tuple[float, float]:
    if config.context == "query":
        batch = query_as_support(batch)
    days = slice(-config.loss.days, None)
    mean, std = data.scaler.flux_constants()
    noise = config.augmentation.embedding if config.model.startswith("tamrl") else 0.0
    predicted, size = predict_batch(network, batch, joint, noise)
    loss = flux_loss(
        predicted[:, days],
        batch.target[:, days],
        batch.quality[:, days],
        batch.weight,
        mean,
        std,
        config.loss.alpha,
    )
    optimiser.zero_grad()
    (loss.total + config.loss.embedding * size).backward()
    nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimiser.step()
    return float(loss.fit.detach()), float(loss.balance.detach())


def copy_weights(network: Network | nn.Module) -> Weights:
    """A copy of the weights that later steps do not change."""
    return {key: value.detach().clone() for key, value in network.state_dict().items()}


def _average(mean: Weights, network: Network, decay: float) -> None:
    """Move the running mean of the weights towards the present ones, in place."""
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            mean[key].lerp_(value, 1 - decay)
        else:  # a counter
            mean[key].copy_(value)


def _score(
    network: Trainable, mean: Weights, data: Dataset, config: TrainConfig, joint: bool
) -> float:
    """Validation of the running mean of the weights."""
    present = copy_weights(network)
    network.load_state_dict(mean)
    score = validate(network.eval(), data, joint, config.context)
    network.load_state_dict(present)
    return score


def _cosine(stage: Stage) -> Callable[[int], float]:
    total = stage.epochs * stage.steps
    return lambda step: 0.1 + 0.45 * (1 + math.cos(math.pi * min(step / total, 1)))
