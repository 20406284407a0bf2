"""One step of training: the loss it lowers, its rate, its clipping, the running mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from upscale.network.networks.architectures import Network
from upscale.towers.table import Tower
from upscale.training.config import Augmentation, Draw, LossWeights, Stage, TrainConfig
from upscale.training.dataset import Batch, Dataset, draw
from upscale.training.material import datasets, prepare
from upscale.training.networks import loop
from upscale.training.networks.loop import network_config, train_member
from upscale.training.networks.tasks import (
    StepLoss,
    Trainable,
    TrainingStage,
    flux_step,
    predict_batch,
)

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def parts(tiny: TrainConfig, made_towers: tuple[Tower, ...]) -> tuple[Dataset, Dataset]:
    return datasets(tiny, prepare(tiny, made_towers), 0)


@pytest.fixture
def batch(parts: tuple[Dataset, Dataset]) -> Batch:
    return draw(parts[0], Draw(towers=5, windows=3), Augmentation(), np.random.default_rng(2))


def _reference(predicted: Floats, batch: Batch, data: Dataset, days: int, alpha: float) -> Floats:
    """L = MSE w_qc w_class + alpha L_flux, value by value in float64: (total, fit, balance)."""
    scales = data.scaler.fluxes
    total, values, imbalance = 0.0, 0, []
    for row in range(predicted.shape[0]):
        for day in range(predicted.shape[1] - days, predicted.shape[1]):
            quality = float(batch.quality[row, day])
            weight = float(batch.weight[row]) * (0.9 if math.isnan(quality) else quality)
            for flux in range(3):
                target = float(batch.target[row, day, flux])
                if not math.isnan(target):
                    total += weight * (predicted[row, day, flux] - target) ** 2
                    values += 1
            gpp, reco, nee = (
                predicted[row, day, i] * scale.std + scale.mean for i, scale in enumerate(scales)
            )
            imbalance.append((nee - (reco - gpp)) ** 2)
    fit, balance = total / values, float(np.mean(imbalance))
    return np.array([fit + alpha * balance, fit, balance])


@pytest.mark.parametrize("days", [15, 45])
def test_the_loss_of_a_step_is_that_of_an_independent_reference(
    days: int, tiny: TrainConfig, parts: tuple[Dataset, Dataset], batch: Batch
) -> None:
    weights = LossWeights(alpha=0.3, days=days, class_power=1, variance_power=0.5)
    config = tiny.model_copy(update={"loss": weights})
    data = datasets(config, prepare(config, parts[0].towers + parts[1].towers), 0)[0]
    batch = draw(data, Draw(towers=5, windows=3), Augmentation(), np.random.default_rng(2))
    assert len(set(batch.weight.tolist())) > 1
    network = network_config(config, data).build().eval()
    found = flux_step(network, batch, config, data, joint=True)
    with torch.no_grad():
        predicted = predict_batch(network, batch, joint=True)[0].double().numpy()
    expected = _reference(predicted, batch, data, days, 0.3)
    np.testing.assert_allclose(
        [float(found.total.detach()), found.fit, found.balance], expected, rtol=1e-5
    )


def test_the_size_of_the_embedding_is_added_where_it_is_asked_for(
    tiny: TrainConfig, parts: tuple[Dataset, Dataset], batch: Batch
) -> None:
    network = network_config(tiny, parts[0]).build().eval()
    plain = flux_step(network, batch, tiny, parts[0], joint=True)
    penal = tiny.loss.model_copy(update={"embedding": 2.0})
    config = tiny.model_copy(update={"loss": penal})
    with_size = flux_step(network, batch, config, parts[0], joint=True)
    z = network.encode(batch.support, batch.present, batch.onehot)
    torch.testing.assert_close(with_size.total, plain.total + 2 * z.square().mean())


def _constant_task(stage: Stage, gradient: float) -> TrainingStage:
    """A task whose gradient of every parameter is the same number."""

    def loss(network: Network, rng: np.random.Generator) -> StepLoss:
        parts = [p.sum() for p in network.parameters()]  # type: ignore[attr-defined]
        return StepLoss(gradient * torch.stack(parts).sum(), 0.0, 0.0)

    return TrainingStage("made", stage, loss, lambda network: 1.0)


def _course(stage: Stage) -> loop._Course:
    linear: Trainable = torch.nn.Linear(3, 3)  # type: ignore[assignment]
    return loop._begin(linear, stage, np.random.default_rng(0))


def test_gradients_are_clipped_to_the_norm_that_was_set() -> None:
    stage = Stage(clip=0.5, decay=0.0)
    course = _course(stage)
    loop._step(course, _constant_task(stage, 100.0), 0)
    gradients = torch.cat([p.grad.flatten() for p in course.network.parameters()])  # type: ignore[union-attr]
    assert float(gradients.norm()) == pytest.approx(0.5, rel=1e-5)
    loop._step(course, _constant_task(stage, 0.01), 1)
    gradients = torch.cat([p.grad.flatten() for p in course.network.parameters()])  # type: ignore[union-attr]
    assert float(gradients.norm()) == pytest.approx(0.01 * math.sqrt(12), rel=1e-5)


def test_the_rate_falls_along_half_a_cosine_to_a_tenth() -> None:
    stage = Stage(rate=0.01, epochs=4, steps=5)
    course, task, rates = _course(stage), _constant_task(stage, 1.0), []
    for step in range(20):
        loop._step(course, task, step)
        rates.append(course.optimiser.param_groups[0]["lr"])
    expected = [0.01 * (0.1 + 0.9 * (1 + math.cos(math.pi * s / 20)) / 2) for s in range(20)]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert loop._cosine(20, 20) == pytest.approx(0.1)


def test_the_running_mean_follows_the_weights_by_its_decay() -> None:
    stage = Stage(rate=0.1, epochs=1, steps=3, average=0.75, decay=0.0)
    course = _course(stage)
    expected = course.mean["weight"].clone().double()
    for step in range(3):
        loop._step(course, _constant_task(stage, 1.0), step)
        loop._average(course.mean, course.network, stage.average)
        weight = course.network.state_dict()["weight"].double()
        expected = 0.75 * expected + 0.25 * weight
    torch.testing.assert_close(course.mean["weight"].double(), expected, rtol=1e-6, atol=1e-7)


def test_counters_are_no_part_of_the_mean() -> None:
    norm: Trainable = torch.nn.BatchNorm1d(2)  # type: ignore[assignment]
    course = loop._begin(norm, Stage(), np.random.default_rng(0))
    norm.state_dict()["num_batches_tracked"].add_(7)
    loop._average(course.mean, norm, 0.9)
    assert int(course.mean["num_batches_tracked"]) == 7


def test_all_stages_keep_a_copy_of_their_best_and_not_an_alias(
    tiny: TrainConfig, parts: tuple[Dataset, Dataset]
) -> None:
    learned, validated = parts
    wild = Stage(epochs=6, steps=2, rate=0.2, average=0.0, clip=100.0, patience=6)
    config = tiny.model_copy(update={"decoder_stage": wild, "joint_stage": wild})
    kept = []
    train_member(config, learned, validated, 4, lambda _: None, keep=kept.append)
    best = [c for c in kept if c.curve[-1].best][-1]
    last = kept[-1]
    assert best is not last, "expected a run whose last epoch is not its best"
    for name, tensor in last.tensors["kept"].items():
        assert torch.equal(tensor, best.tensors["kept"][name])
    assert any(
        not torch.equal(tensor, last.tensors["network"][name])
        for name, tensor in last.tensors["kept"].items()
    )
