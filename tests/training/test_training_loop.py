"""Two stages of training, on made towers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from upscale.towers.table import Tower
from upscale.training.config import Stage, TrainConfig
from upscale.training.dataset import Dataset, build_dataset
from upscale.training.material import prepare, rules
from upscale.training.networks.loop import Epoch, copy_weights, train_member
from upscale.training.networks.validation import validate


def _silent(_: Epoch) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def parts(tiny: TrainConfig, made_towers: tuple[Tower, ...]) -> tuple[Dataset, Dataset]:
    material = prepare(tiny, made_towers)
    held = material.folds[0]
    learned, validated = (
        build_dataset(
            [tower for tower in material.learning if (tower.site in held) is wanted],
            material.scaler,
            material.classes,
            *rules(tiny),
            tiny.loss,
        )
        for wanted in (False, True)
    )
    return learned, validated


def test_training_lowers_the_loss_and_the_validation(
    tiny: TrainConfig, parts: tuple[Dataset, Dataset]
) -> None:
    stage = Stage(epochs=4, steps=10, rate=2e-2, average=0.5)
    config = tiny.model_copy(update={"decoder_stage": stage, "joint_stage": stage})
    curve = train_member(config, *parts, 1, _silent).curve
    assert curve[-1].loss < 0.7 * curve[0].loss
    assert min(epoch.validation for epoch in curve) < curve[0].validation


def test_both_stages_run_and_the_second_goes_on_from_the_first(
    tiny: TrainConfig, parts: tuple[Dataset, Dataset]
) -> None:
    member = train_member(tiny, *parts, 1, _silent)
    assert [epoch.stage for epoch in member.curve] == ["decoder"] * 2 + ["joint"] * 2
    assert member.curve[2].validation < member.curve[0].validation


def test_the_same_seed_gives_the_same_weights(
    tiny: TrainConfig, parts: tuple[Dataset, Dataset]
) -> None:
    first, again, other = (train_member(tiny, *parts, seed, _silent) for seed in (5, 5, 6))
    assert all(np.array_equal(first.weights[key], again.weights[key]) for key in first.weights)
    assert any(not np.array_equal(first.weights[key], other.weights[key]) for key in first.weights)


def test_the_weights_kept_are_those_of_the_best_epoch(
    tiny: TrainConfig, parts: tuple[Dataset, Dataset]
) -> None:
    wild = Stage(epochs=8, steps=2, rate=0.1, average=0.0, clip=100.0, patience=3)
    config = tiny.model_copy(update={"joint_stage": wild})
    member = train_member(config, *parts, 2, _silent)
    joint = [epoch.validation for epoch in member.curve if epoch.stage == "joint"]
    assert member.best == min(joint)
    assert member.best < joint[-1], "expected a run whose last epoch is not its best"
    score = validate(member.network(), parts[1], True, config.context)
    assert score == pytest.approx(member.best, abs=1e-6)


def test_copied_weights_do_not_follow_the_network(tiny: TrainConfig) -> None:
    network = torch.nn.Linear(2, 2)
    kept = copy_weights(network)
    before = kept["weight"].clone()
    with torch.no_grad():
        network.weight.add_(1)
    assert torch.equal(kept["weight"], before)


def test_a_stage_stops_when_validation_no_longer_improves(
    tiny: TrainConfig, parts: tuple[Dataset, Dataset]
) -> None:
    wild = Stage(epochs=30, steps=1, rate=0.5, average=0.0, clip=100.0, patience=2)
    config = tiny.model_copy(update={"joint_stage": wild})
    joint = [e for e in train_member(config, *parts, 2, _silent).curve if e.stage == "joint"]
    assert len(joint) < 30
    best = min(range(len(joint)), key=lambda i: joint[i].validation)
    assert len(joint) == best + 3


def test_the_query_rule_trains_too(tiny: TrainConfig, parts: tuple[Dataset, Dataset]) -> None:
    config = tiny.model_copy(update={"context": "query"})
    assert np.isfinite(train_member(config, *parts, 1, _silent).best)
