"""Training one member, stage by stage.

TAM-RL has two stages: the first trains the decoder alone, the second encoder, generator and
decoder jointly from the weights of the first (Rozanov et al. 2026, section Task Aware
Modulation). Every stage stops by the skill on clusters that are not learned from, and keeps a
copy of the best weights. After every epoch the whole state can be kept, and gone on from.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from upscale.network.networks.architectures import ARCHITECTURES, Architecture, Network
from upscale.training.config import Stage, TrainConfig
from upscale.training.dataset import Dataset
from upscale.training.networks.checkpoint import Checkpoint, Weights
from upscale.training.networks.curves import Epoch
from upscale.training.networks.tasks import Trainable, TrainingStage, tasks_of

Report = Callable[[Epoch], None]
Keep = Callable[[Checkpoint], None]


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


@dataclass(eq=False)
class _Course:
    """A stage in progress: the state that changes from step to step.

    mean: running mean of the weights; kept: a copy of the mean at its best; epoch: epochs done.
    """

    network: Trainable
    optimiser: torch.optim.Optimizer
    rng: np.random.Generator
    mean: Weights
    kept: Weights
    best: float = math.inf
    waited: int = 0
    epoch: int = 0


def train_member(
    config: TrainConfig,
    learned: Dataset,
    validated: Dataset,
    seed: int,
    report: Report,
    saved: Checkpoint | None = None,
    keep: Keep | None = None,
) -> Member:
    """Train one member; the same seed gives the same weights on the same machine.

    learned: towers that give gradients; validated: towers of other clusters that decide when
    to stop. report: called after every epoch; keep: called with the state after every epoch;
    saved: such a state, to go on from. ValueError where no epoch of a stage has a finite
    validation.
    """
    tasks = tasks_of(config, learned, validated)
    curve = list(saved.curve) if saved else []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = cast(Trainable, network_config(config, learned).build())
        rng = np.random.default_rng(seed)
        for number in range(saved.stage if saved else 0, len(tasks)):
            course = _begin(network, tasks[number].stage, rng)
            if saved and number == saved.stage:
                _restore(course, saved)
            while not _ended(course, tasks[number].stage):
                curve.append(_run_epoch(course, tasks[number]))
                if keep:
                    keep(_snapshot(course, number, curve))
                report(curve[-1])
            _finish(course, tasks[number].name)
    weights = {key: value.numpy() for key, value in copy_weights(network).items()}
    return Member(network.config, weights, tuple(curve), course.best)


def network_config(config: TrainConfig, data: Dataset) -> Architecture:
    """The sizes of the network: those of the configuration, and what the data ask for."""
    architecture: Any = ARCHITECTURES[config.model]
    known = {field.name for field in fields(architecture)}
    sizes = {key: size for key, size in config.network.model_dump().items() if key in known}
    made: Architecture = architecture(
        channels=data.scaler.channels, classes=data.classes.width, **sizes
    )
    return made


def copy_weights(network: Network | nn.Module) -> Weights:
    """A copy of the weights that later steps do not change."""
    return {key: value.detach().clone() for key, value in network.state_dict().items()}


def _begin(network: Trainable, stage: Stage, rng: np.random.Generator) -> _Course:
    optimiser = torch.optim.AdamW(network.parameters(), lr=stage.rate, weight_decay=stage.decay)
    return _Course(network, optimiser, rng, copy_weights(network), copy_weights(network))


def _ended(course: _Course, stage: Stage) -> bool:
    return course.epoch >= stage.epochs or course.waited >= stage.patience


def _finish(course: _Course, name: str) -> None:
    """Leave the best weights in the network."""
    if not math.isfinite(course.best):
        raise ValueError(
            f"expected a finite validation in stage {name}, found none in {course.epoch} epochs: "
            "lower its `rate`, or give the validation clusters towers with good days"
        )
    course.network.load_state_dict(course.kept)


def _run_epoch(course: _Course, task: TrainingStage) -> Epoch:
    """All steps of an epoch and its validation; the best mean weights are copied."""
    start, network, stage = time.monotonic(), course.network, task.stage
    network.train()
    losses = []
    for step in range(course.epoch * stage.steps, (course.epoch + 1) * stage.steps):
        losses.append(_step(course, task, step))
        _average(course.mean, network, stage.average)
    score = _score(course, task)
    better = score < course.best
    if better:
        course.best = score
        course.kept = {key: value.clone() for key, value in course.mean.items()}
    course.waited = 0 if better else course.waited + 1
    course.epoch += 1
    fit, balance = np.mean(losses, axis=0)
    spent = time.monotonic() - start
    return Epoch(
        task.name, course.epoch - 1, float(fit), float(balance), score, better, round(spent, 3)
    )


def _step(course: _Course, task: TrainingStage, step: int) -> tuple[float, float]:
    """One step of the optimiser at its rate; returns what the curve shows."""
    for group in course.optimiser.param_groups:
        group["lr"] = task.stage.rate * _cosine(step, task.stage.epochs * task.stage.steps)
    loss = task.loss(course.network, course.rng)
    course.optimiser.zero_grad()
    loss.total.backward()
    nn.utils.clip_grad_norm_(course.network.parameters(), task.stage.clip)
    course.optimiser.step()
    return loss.fit, loss.balance


def _cosine(step: int, total: int) -> float:
    """Share of the rate: from 1 to 0.1 along half a cosine."""
    return 0.1 + 0.45 * (1 + math.cos(math.pi * min(step / total, 1)))


def _average(mean: Weights, network: Network, decay: float) -> None:
    """Move the running mean of the weights towards the present ones, in place."""
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            mean[key].lerp_(value, 1 - decay)
        else:  # a counter
            mean[key].copy_(value)


def _score(course: _Course, task: TrainingStage) -> float:
    """Validation of the running mean of the weights."""
    present = copy_weights(course.network)
    course.network.load_state_dict(course.mean)
    score = task.score(course.network.eval())
    course.network.load_state_dict(present)
    return score


def _snapshot(course: _Course, stage: int, curve: list[Epoch]) -> Checkpoint:
    """The state as a value; its tensors are those in use, to be written before the next step."""
    moments = {
        f"{number}.{name}": tensor
        for number, part in course.optimiser.state_dict()["state"].items()
        for name, tensor in part.items()
    }
    return Checkpoint(
        stage=stage,
        epoch=course.epoch,
        best=course.best,
        waited=course.waited,
        curve=tuple(curve),
        generator=dict(course.rng.bit_generator.state),
        tensors={
            "network": copy_weights(course.network),
            "mean": course.mean,
            "kept": course.kept,
            "optimiser": moments,
            "torch": {"generator": torch.get_rng_state()},
        },
    )


def _restore(course: _Course, saved: Checkpoint) -> None:
    """Put a saved state back, to the bit."""
    groups = saved.tensors
    course.network.load_state_dict(groups["network"])
    course.mean, course.kept = groups["mean"], groups["kept"]
    course.best, course.waited, course.epoch = saved.best, saved.waited, saved.epoch
    moments: dict[int, Weights] = {}
    for name, tensor in groups["optimiser"].items():
        number, _, key = name.partition(".")
        moments.setdefault(int(number), {})[key] = tensor
    fresh = course.optimiser.state_dict()
    course.optimiser.load_state_dict(fresh | {"state": moments})
    course.rng.bit_generator.state = saved.generator
    torch.set_rng_state(groups["torch"]["generator"])
