"""Made towers and a training run of seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from upscale.testing.towers import write_towers
from upscale.towers.table import Tower, read_towers
from upscale.training.config import (
    Draw,
    Holdout,
    LossWeights,
    NetworkSettings,
    Stage,
    TrainConfig,
)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_towers(tmp_path_factory.mktemp("made"), count=10, seed=0)


@pytest.fixture(scope="session")
def made_towers(made_folder: Path) -> tuple[Tower, ...]:
    return read_towers(made_folder)


@pytest.fixture(scope="session")
def tiny(made_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    stage = Stage(epochs=2, steps=4, rate=5e-3, average=0.5)
    return TrainConfig(
        name="tiny",
        data=made_folder,
        out=tmp_path_factory.mktemp("release") / "tiny",
        members=2,
        holdout=Holdout(share=0.25, seed=0, folds=3),
        network=NetworkSettings(hidden=8, latent=4, encoder_hidden=4, generator_hidden=4),
        draw=Draw(towers=4, windows=4, support=4),
        loss=LossWeights(class_power=0.5),
        decoder_stage=stage,
        joint_stage=stage,
        boosting_rounds=5,
    )
