"""TRAIN.yaml: strict, overridable, and every example parses."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

from upscale.jobs.settings import ConfigError
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
    with pytest.raises(ConfigError, match=r"network\.hiden"):
        read_config(path)


def test_a_model_brings_the_window_and_context_that_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("name: a\ndata: towers\nout: models/a\nmodel: tamrl-carbonfluxbench\n")
    config = read_config(path)
    assert (config.window.length, config.context) == (30, "query")
    assert read_config(path, ["model=xgboost"]).window.length == 1
    assert read_config(path, ["model=tamrl"]).context == "support-years"
    assert with_model(read_config(path, ["model=tamrl"]), "ct-lstm").context == "query"
    with pytest.raises(ConfigError, match="expected context 'query' with model tamlstm"):
        read_config(path, ["model=tamlstm", "context=support-years"])


def test_an_override_without_a_value_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text("name: a\ndata: towers\nout: models/a\n")
    with pytest.raises(ValueError, match="expected key=value"):
        read_config(path, ["members"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("features=x", "unknown feature set 'x'; known: met, "),
        ("members=0", "members: Input should be greater than or equal to 1 (found 0)"),
        ("model=tamrl-2", "model: Input should be 'tamrl', "),
        ("features=[ta, tree_rings]", "features: unknown: tree_rings; known: ta, "),
        ("joint_stage.epochs", "expected key=value, found 'joint_stage.epochs'"),
    ],
)
def test_a_wrong_value_is_said_with_its_key(override: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "TRAIN.yaml"
    path.write_text("name: a\ndata: towers\nout: models/a\n")
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        read_config(path, [override])
    assert not re.search("pydantic|http|Value error|TrainConfig", str(error.value))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("name.x=1", "error: 'name.x=1': name holds a value, not keys"),
        ("featurs=x", "featurs: unknown key; remove it or correct its spelling"),
    ],
)
def test_a_mistake_on_the_command_line_is_said_like_one_in_a_run(
    override: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "TRAIN.yaml"
    path.write_text("name: a\ndata: towers\nout: models/a\n")
    command = [sys.executable, "-m", "upscale", "train", str(path), override]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert not re.search("Traceback|pydantic|http|Value error|TrainConfig", done.stderr)
    assert not (tmp_path / "models").exists()


def test_a_file_that_is_not_there_is_said_with_what_it_should_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; give the path of a TRAIN\.yaml"):
        read_config(tmp_path / "TRAIN.yaml")
