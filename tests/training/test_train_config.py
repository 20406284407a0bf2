"""TRAIN.yaml: strict, overridable, and every example parses."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from upscale.training.config import read_config, with_model

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("train*.yaml")), ids=lambda p: p.name)
def test_every_example_of_training_parses(path: Path) -> None:
    config = read_config(path)
    assert not config.data.is_absolute()
    assert not config.out.is_absolute()
    assert config.members >= 3


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
