"""Every model of a configuration trains into a release that runs at towers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from upscale.evaluation.skill import read_skill
from upscale.evaluation.tower_model import tower_model
from upscale.network.releases.release import load_release
from upscale.towers.table import Tower
from upscale.training.config import Model, Pretraining, TrainConfig, stages_of, with_model
from upscale.training.dataset import draw, query_as_support
from upscale.training.material import datasets, prepare
from upscale.training.networks.curves import read_curves
from upscale.training.networks.loop import network_config, train_member
from upscale.training.release import train_release, work_folder

pytest.importorskip("xgboost")
pytest.importorskip("lightgbm")

NETWORKS = {
    "tamrl": ["decoder", "joint"],
    "tamlstm": ["decoder"],
    "ct-lstm": ["joint"],
    "tamrl-carbonfluxbench": ["decoder", "joint"],
}


def _silent(line: str) -> None:
    """No progress."""


@pytest.mark.parametrize("model", get_args(Model))
def test_a_model_is_trained_written_loaded_and_run(
    model: Model, tiny: TrainConfig, made_towers: tuple[Tower, ...], tmp_path: Path
) -> None:
    config = with_model(tiny, model).model_copy(update={"out": tmp_path / model, "name": model})
    release = train_release(config, _silent)
    assert release.manifest.model == model
    assert release.manifest.context.rule == config.context
    assert load_release(config.out).digest == release.digest
    table = read_skill(config.out / "skill.csv")
    assert set(table["model"]) == {model, "xgboost", "seasonal-cycle"}
    assert set(release.manifest.skill) == {"gpp", "reco", "nee"}
    assert (config.out / "curves.csv").is_file() is (model in NETWORKS)
    assert not work_folder(config).exists()
    predicted = tower_model(release).members(made_towers[2])
    assert predicted.shape == (2, len(made_towers[2].days), 3)
    assert np.isfinite(predicted).all()


@pytest.mark.parametrize("model", NETWORKS)
def test_a_network_goes_through_its_own_stages(
    model: Model, tiny: TrainConfig, made_towers: tuple[Tower, ...]
) -> None:
    config = with_model(tiny, model)
    assert [name for name, _ in stages_of(config)] == NETWORKS[model]
    data = datasets(config, prepare(config, made_towers), 0)
    member = train_member(config, *data, 1, lambda _: None)
    assert list(dict.fromkeys(epoch.stage for epoch in member.curve)) == NETWORKS[model]
    assert member.curve[-1].validation < 2


def test_the_decoder_stage_leaves_the_encoder_as_it_began(
    tiny: TrainConfig, made_towers: tuple[Tower, ...]
) -> None:
    data = datasets(tiny, prepare(tiny, made_towers), 0)
    still = tiny.joint_stage.model_copy(update={"epochs": 1, "rate": 1e-12, "decay": 0.0})
    config = tiny.model_copy(update={"joint_stage": still})
    member = train_member(config, *data, 3, lambda _: None)
    torch.manual_seed(3)
    start = network_config(config, data[0]).build().state_dict()
    changed = {k: np.abs(w - start[k].numpy()).max() for k, w in member.weights.items()}
    assert max(c for k, c in changed.items() if k.startswith(("encoder", "generator"))) < 1e-9
    assert changed["decoder.weight_hh_l0"] > 1e-4


def test_the_classes_are_all_that_ct_lstm_is_told_of_a_place(
    tiny: TrainConfig, made_towers: tuple[Tower, ...]
) -> None:
    config = with_model(tiny, "ct-lstm")
    data = datasets(config, prepare(config, made_towers), 0)[0]
    network = network_config(config, data).build()
    batch = draw(data, config.draw, config.augmentation, np.random.default_rng(0))
    rows = query_as_support(batch)
    z = network.encode(rows.support, rows.present, rows.onehot)
    torch.testing.assert_close(z, batch.onehot[batch.task])


def test_pretraining_comes_first_and_only_where_there_is_an_encoder(tiny: TrainConfig) -> None:
    config = tiny.model_copy(update={"pretraining": Pretraining(epochs=1)})
    assert [name for name, _ in stages_of(config)] == ["pretrain", "decoder", "joint"]
    for model in ("tamlstm", "ct-lstm"):
        assert "pretrain" not in dict(stages_of(with_model(config, model)))


def test_the_curves_of_a_release_hold_every_epoch_of_every_member(
    tiny: TrainConfig, tmp_path: Path
) -> None:
    config = tiny.model_copy(update={"out": tmp_path / "tamrl"})
    train_release(config, _silent)
    table = read_curves(config.out / "curves.csv")
    assert table.groupby(["member", "stage"])["epoch"].max().eq(1).all()
    assert table["seed"].unique().tolist() == [1, 2]
    assert (config.out / "curves.png").stat().st_size > 10_000


def test_a_member_without_any_finite_validation_is_refused(
    tiny: TrainConfig, made_towers: tuple[Tower, ...]
) -> None:
    learned, validated = datasets(tiny, prepare(tiny, made_towers), 0)
    blind = replace(validated, targets=torch.full_like(validated.targets, torch.nan))
    with pytest.raises(ValueError, match="expected a finite validation in stage decoder"):
        train_member(tiny, learned, blind, 1, lambda _: None)
