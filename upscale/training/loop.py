"""The two stages of training one member.

Stage 1 trains the decoder alone, stage 2 encoder, generator and decoder jointly from the
weights of stage 1 (Rozanov et al. 2026, section Task Aware Modulation). Both stop by the skill
on clusters that are not learned from, and keep a copy of the best weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from upscale.network.loss import flux_loss
from upscale.network.tamrl import TamRl, TamRlConfig
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


@dataclass(frozen=True, eq=False)
class Member:
    """A trained member, free to travel between processes.

    config, weights: of the network, `TamRl.state_dict()` as arrays; curve: all epochs;
    best: mean scaled RMSE on the validation clusters.
    """

    config: TamRlConfig
    weights: dict[str, NDArray[np.float32]]
    curve: tuple[Epoch, ...]
    best: float

    def network(self) -> TamRl:
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
    network = network_config(config, learned).build()
    rng = np.random.default_rng(seed)
    curve: list[Epoch] = []

    def note(epoch: Epoch) -> None:
        curve.append(epoch)
        report(epoch)

    for name, stage in (("decoder", config.decoder_stage), ("joint", config.joint_stage)):
        best = _run_stage(name, stage, config, network, learned, validated, rng, note)
    weights = {key: value.numpy() for key, value in copy_weights(network).items()}
    return Member(network.config, weights, tuple(curve), best)


def network_config(config: TrainConfig, data: Dataset) -> TamRlConfig:
    """The sizes of the network: those of the configuration, and what the data ask for."""
    sizes = config.network.model_dump()
    return TamRlConfig(channels=data.scaler.channels, classes=data.classes.width, **sizes)


def predict_batch(
    network: TamRl, batch: Batch, joint: bool, noise: float = 0.0
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
    network: TamRl,
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
    network: TamRl,
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
    predicted, size = predict_batch(network, batch, joint, config.augmentation.embedding)
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


def copy_weights(network: nn.Module) -> Weights:
    """A copy of the weights that later steps do not change."""
    return {key: value.detach().clone() for key, value in network.state_dict().items()}


def _average(mean: Weights, network: nn.Module, decay: float) -> None:
    """Move the running mean of the weights towards the present ones, in place."""
    for key, value in network.state_dict().items():
        mean[key].lerp_(value, 1 - decay)


def _score(network: TamRl, mean: Weights, data: Dataset, config: TrainConfig, joint: bool) -> float:
    """Validation of the running mean of the weights."""
    present = copy_weights(network)
    network.load_state_dict(mean)
    score = validate(network.eval(), data, joint, config.context)
    network.load_state_dict(present)
    return score


def _cosine(stage: Stage) -> Callable[[int], float]:
    total = stage.epochs * stage.steps
    return lambda step: 0.1 + 0.45 * (1 + math.cos(math.pi * min(step / total, 1)))
