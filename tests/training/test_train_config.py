"""TRAIN.yaml: strict, overridable, and every example parses."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from upscale.network.boosting.trees import TREES
from upscale.network.networks.architectures import ARCHITECTURES
from upscale.network.releases.release import load_release
from upscale.training.config import TrainConfig, read_config, with_model

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("train*.yaml")), ids=lambda p: p.name)
def test_every_example_of_training_parses(path: Path) -> None:
    config = read_config(path)
    assert not config.data.is_absolute()
    assert not config.out.is_absolute()
    assert config.members >= 3


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("train*.yaml")), ids=lambda p: p.name)
def test_every_example_describes_a_model_that_can_be_built(path: Path) -> None:
    config = read_config(path)
    if config.model in TREES:
        return
    channels = len(config.features) + len(config.optional)
    known = {field.name for field in fields(ARCHITECTURES[config.model])}  # type: ignore[arg-type]
    sizes = {k: v for k, v in config.network.model_dump().items() if k in known}
    made: Any = ARCHITECTURES[config.model]
    network = made(channels=channels, classes=20, **sizes).build()
    days = torch.zeros(2, config.window.length, channels)
    assert network.decode(days, None).shape == (2, config.window.length, 3)
    assert config.loss.days <= config.window.length
    assert set(config.optional) <= set(config.features)


@pytest.mark.parametrize(
    "folder", sorted((ROOT / "models").glob("*/release.yaml")), ids=lambda p: p.parent.name
)
def test_a_shipped_release_was_trained_by_the_example_of_its_name(folder: Path) -> None:
    example = EXAMPLES / f"train-{folder.parent.name}.yaml"
    config = read_config(example)
    rest = {key: getattr(config, key) for key in ("data", "out", "card")}
    settings = load_release(folder.parent).manifest.training_settings
    assert TrainConfig.model_validate(settings | rest) == config


def test_overrides_reach_nested_keys(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("name: a\ndata: towers\nout: models/a\n")
    config = read_config(path, ["data=elsewhere", "joint_stage.epochs=3", "network.dropout=0.1"])
    assert config.data == Path("elsewhere")
    assert config.joint_stage.epochs == 3
    assert config.network.dropout == 0.1


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("name: a\ndata: towers\nout: models/a\nnetwork: {hiden: 64}\n")
    with pytest.raises(ValidationError, match=r"network\.hiden"):
        read_config(path)


def test_a_model_brings_the_window_and_context_that_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("name: a\ndata: towers\nout: models/a\nmodel: tamrl-carbonfluxbench\n")
    config = read_config(path)
    assert (config.window.length, config.context) == (30, "query")
    assert read_config(path, ["model=xgboost"]).window.length == 1
    assert read_config(path, ["model=tamrl"]).context == "support-years"
    assert with_model(read_config(path, ["model=tamrl"]), "ct-lstm").context == "query"
    with pytest.raises(ValidationError, match="expected context 'query' with model tamlstm"):
        read_config(path, ["model=tamlstm", "context=support-years"])


def test_an_override_without_a_value_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("name: a\ndata: towers\nout: models/a\n")
    with pytest.raises(ValueError, match="expected key=value"):
        read_config(path, ["members"])
