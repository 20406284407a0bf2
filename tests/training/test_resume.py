"""A killed training goes on, and ends with the weights of one that nobody disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from upscale.towers.table import Tower
from upscale.training.config import Pretraining, Stage, TrainConfig
from upscale.training.material import Material, datasets, prepare
from upscale.training.networks.checkpoint import (
    Checkpoint,
    checkpoint_path,
    read_checkpoint,
    training_key,
    write_checkpoint,
)
from upscale.training.networks.curves import Epoch
from upscale.training.networks.loop import Member, train_member
from upscale.training.networks.members import train_members

#: Trains in a process of its own; slow enough to be killed half way.
_CHILD = """
import sys
from pathlib import Path
from upscale.training.config import TrainConfig
from upscale.training.networks.members import train_members

if __name__ == "__main__":
    config = TrainConfig.model_validate_json(sys.argv[1])
    train_members(config, lambda line: print(line, flush=True), work=Path(sys.argv[2]))
"""


def _silent(line: str) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def config(tiny: TrainConfig) -> TrainConfig:
    stage = Stage(epochs=4, steps=6, rate=5e-3, average=0.5)
    return tiny.model_copy(
        update={
            "pretraining": Pretraining(epochs=2, steps=3),
            "decoder_stage": stage,
            "joint_stage": stage,
            "members": 3,
        }
    )


@pytest.fixture(scope="module")
def material(config: TrainConfig, made_towers: tuple[Tower, ...]) -> Material:
    return prepare(config, made_towers)


@pytest.fixture(scope="module")
def undisturbed(config: TrainConfig, material: Material) -> list[Member]:
    return train_members(config, _silent, material)


def _same(found: list[Member], expected: list[Member]) -> bool:
    return all(
        a.curve == b.curve and all(np.array_equal(a.weights[k], b.weights[k]) for k in b.weights)
        for a, b in zip(found, expected, strict=True)
    )


def test_a_training_killed_half_way_ends_with_the_same_weights(
    config: TrainConfig, material: Material, undisturbed: list[Member], tmp_path: Path
) -> None:
    workers = _kill_after(config.model_copy(update={"workers": 2}), 5, tmp_path)
    assert len(workers) >= 2
    assert not psutil.wait_procs(workers, timeout=30)[1], "expected workers to end with it"
    assert list(tmp_path.glob("member-*.safetensors"))
    said: list[str] = []
    members = train_members(config, said.append, material, work=tmp_path)
    assert _same(members, undisturbed)
    assert any("goes on after" in line for line in said)
    assert sum("validation" in line for line in said) < 3 * 10


def test_members_that_are_finished_are_not_trained_again(
    config: TrainConfig, material: Material, undisturbed: list[Member], tmp_path: Path
) -> None:
    two = config.model_copy(update={"members": 2, "name": "another", "workers": 1})
    train_members(two, _silent, material, work=tmp_path)
    said: list[str] = []
    members = train_members(config, said.append, material, work=tmp_path)
    assert _same(members, undisturbed)
    assert {line.split()[1] for line in said if "validation" in line} == {"2"}


class _PowerCutError(Exception):
    """Stands for one."""


@pytest.mark.parametrize("done", range(1, 11))
def test_after_whatever_epoch_it_stopped_it_ends_with_the_same_weights(
    done: int, config: TrainConfig, material: Material, undisturbed: list[Member], tmp_path: Path
) -> None:
    data, path, count = datasets(config, material, 0), tmp_path / "member", 0

    def keep(checkpoint: Checkpoint) -> None:
        nonlocal count
        write_checkpoint(path, "key", checkpoint)
        count += 1
        if count == done:
            raise _PowerCutError

    with pytest.raises(_PowerCutError):
        train_member(config, *data, config.seed, lambda _: None, keep=keep)
    torch.manual_seed(99)
    saved = read_checkpoint(path, "key")
    assert saved is not None
    assert len(saved.curve) == done
    torch.set_num_threads(1)
    member = train_member(config, *data, config.seed, lambda _: None, saved)
    assert _same([member], undisturbed[:1])


def test_training_leaves_the_generator_of_the_caller_alone(
    config: TrainConfig, material: Material
) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train_member(config, *datasets(config, material, 0), 1, lambda _: None)
    assert torch.equal(torch.rand(3), expected)


def test_the_key_follows_settings_seed_and_data_but_not_the_number_of_workers(
    config: TrainConfig, material: Material
) -> None:
    data = datasets(config, material, 0)
    key = training_key(config, 1, data)
    same = config.model_copy(update={"workers": 7, "members": 9, "out": Path("x")})
    assert training_key(same, 1, datasets(config, material, 0)) == key
    assert training_key(config, 2, data) != key
    other = config.loss.model_copy(update={"alpha": 0.2})
    assert training_key(config.model_copy(update={"loss": other}), 1, data) != key
    assert training_key(config, 1, datasets(config, material, 1)) != key
    data[0].targets[40:60] += 0.001
    assert training_key(config, 1, data) != key


def test_a_checkpoint_of_another_training_is_not_used(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, 3, "a" * 64)
    checkpoint = Checkpoint(
        stage=1,
        epoch=2,
        best=float("inf"),
        waited=2,
        curve=(Epoch("decoder", 0, 0.1, 1 / 3, 0.3, True, 1.5),),
        generator=dict(np.random.default_rng(5).bit_generator.state),
        tensors={"network": {"a.b/c": torch.rand(3, 2)}, "torch": {"g": torch.get_rng_state()}},
    )
    write_checkpoint(path, "a" * 64, checkpoint)
    assert read_checkpoint(path, "b" * 64) is None
    assert read_checkpoint(tmp_path / "none", "a" * 64) is None
    again = read_checkpoint(path, "a" * 64)
    assert again is not None
    assert (again.stage, again.epoch, again.best, again.waited) == (1, 2, float("inf"), 2)
    assert again.curve == checkpoint.curve
    assert again.generator == checkpoint.generator
    assert torch.equal(again.tensors["network"]["a.b/c"], checkpoint.tensors["network"]["a.b/c"])
    assert torch.equal(again.tensors["torch"]["g"], checkpoint.tensors["torch"]["g"])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def _kill_after(config: TrainConfig, epochs: int, work: Path) -> list[psutil.Process]:
    """Start a training and kill it with SIGKILL once it said so many epochs; its workers."""
    command = [sys.executable, "-c", _CHILD, config.model_dump_json(), str(work)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        for line in child.stdout:
            epochs -= "validation" in line
            if epochs == 0:
                break
        workers = psutil.Process(child.pid).children(recursive=True)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    return workers
