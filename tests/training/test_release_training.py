"""From a folder of towers to a release, and back to predictions at towers."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from upscale.drivers.features import classes_of, features_of
from upscale.evaluation.skill import SKILL_COLUMNS, read_skill, skill
from upscale.evaluation.tower_model import score, tower_model
from upscale.network.moments import clipped
from upscale.network.releases.release import Release, load_release
from upscale.network.support import choose
from upscale.towers.table import Tower
from upscale.training.config import TrainConfig
from upscale.training.material import datasets, material_of
from upscale.training.networks.members import train_members
from upscale.training.release import train_release

pytest.importorskip("xgboost")


@pytest.fixture(scope="module")
def release(tiny: TrainConfig) -> Release:
    return train_release(tiny, say=lambda line: None)


def test_what_training_wrote_can_be_loaded(release: Release, tiny: TrainConfig) -> None:
    again = load_release(tiny.out)
    assert again.digest == release.digest
    assert again.members == tiny.members
    assert again.scaler.required == ("ta", "sw_in", "sw_pot", "day_length")


def test_the_places_of_what_it_learned_from_are_kept(
    release: Release, made_towers: tuple[Tower, ...]
) -> None:
    manifest, place = release.manifest, {t.site: (t.lat, t.lon) for t in made_towers}
    assert {p.name: (p.lat, p.lon) for p in manifest.learned_places} == {
        site: place[site] for site in manifest.learned
    }


def test_skill_is_given_at_towers_left_out_alone(
    release: Release, tiny: TrainConfig, made_towers: tuple[Tower, ...]
) -> None:
    table = read_skill(tiny.out / "skill.csv")
    assert tuple(table.columns) == SKILL_COLUMNS
    assert set(table["model"]) == {"tamrl", "seasonal-cycle", "xgboost"}
    assert set(table["split"]) == {"test", "suspect"}
    assert set(table["cluster"]) == set(release.manifest.held_out)
    assert table[table["split"] == "suspect"]["tower"].unique().tolist() == ["XX-T09"]


def test_models_are_compared_on_the_same_days(tiny: TrainConfig, release: Release) -> None:
    table = read_skill(tiny.out / "skill.csv")
    assert (table.groupby(["tower", "flux"])["n"].nunique() == 1).all()


def test_skill_is_that_of_the_release_itself(
    tiny: TrainConfig, release: Release, made_towers: tuple[Tower, ...]
) -> None:
    table = read_skill(tiny.out / "skill.csv")
    row = table[(table["model"] == "tamrl") & (table["flux"] == "nee")].iloc[0]
    tower = next(t for t in made_towers if t.site == row["tower"])
    predicted = tower_model(release).predict(tower)[:, 2]
    found = skill(np.where(tower.good, tower.fluxes[:, 2], np.nan), predicted)
    assert found.rmse == pytest.approx(row["rmse"], abs=1e-3)
    assert found.n == row["n"]


def test_a_prediction_equals_the_network_run_by_hand(
    release: Release, made_towers: tuple[Tower, ...]
) -> None:
    tower = made_towers[4]
    drivers = features_of(tower, release.scaler.names)
    valid = ~release.scaler.missing_required(drivers)[None]
    start = choose(valid, tower.days, release.support_rule).start[0]
    channels = torch.from_numpy(release.scaler.scale(drivers))
    onehot = torch.from_numpy(release.classes.onehot(classes_of(tower)[None]))
    support = torch.stack([channels[s : s + 45] for s in start if s >= 0])[None]
    present = torch.ones(support.shape[:2], dtype=torch.bool)
    members = tower_model(release).members(tower)
    for index in (100, 517, 1000):
        first = tower.days[index] // 15 * 15 - 30 - tower.days[0]
        for number, network in enumerate(release.networks()):
            with torch.no_grad():
                scaled = network(channels[first : first + 45][None], support, present, onehot)
            expected = release.scaler.unscale(scaled[0, index - first].numpy())
            np.testing.assert_allclose(members[number, index], expected, rtol=1e-4, atol=1e-5)


def test_gpp_and_reco_are_clipped_member_by_member_before_the_mean(
    release: Release, made_towers: tuple[Tower, ...]
) -> None:
    model = tower_model(release)
    members = model.members(made_towers[0])
    by_hand = np.stack([members[..., 0].clip(0), members[..., 1].clip(0), members[..., 2]], -1)
    np.testing.assert_allclose(model.predict(made_towers[0]), by_hand.mean(axis=0), rtol=1e-6)
    assert clipped(np.array([[-1.0, -2.0, -3.0]])).tolist() == [[0.0, 0.0, -3.0]]


def test_a_tower_without_precipitation_or_humidity_is_predicted(
    release: Release, made_towers: tuple[Tower, ...]
) -> None:
    drivers = made_towers[2].drivers.copy()
    drivers[:, 2:] = np.nan
    bare = replace(made_towers[2], drivers=drivers, igbp=0, koppen=0)
    assert np.isfinite(tower_model(release).predict(bare)).all()


def test_days_without_a_window_are_nan_and_not_judged(
    release: Release, made_towers: tuple[Tower, ...]
) -> None:
    drivers = made_towers[5].drivers.copy()
    drivers[300:310, 0] = np.nan
    gappy = replace(made_towers[5], drivers=drivers)
    predicted = tower_model(release).predict(gappy)
    assert np.isnan(predicted[300:310]).all()
    assert np.isfinite(predicted[310:]).all()
    rows = list(score([gappy], {"m": tower_model(release).predict}, lambda site: "test"))
    assert rows[0].n == int((gappy.good & np.isfinite(drivers[:, 0])).sum())


def test_it_names_the_sites_whose_fluxes_it_learned_from(
    release: Release, tiny: TrainConfig, made_towers: tuple[Tower, ...]
) -> None:
    unseen = set(read_skill(tiny.out / "skill.csv")["tower"])
    assert set(release.manifest.learned) == {tower.site for tower in made_towers} - unseen


def test_members_differ_in_seed_and_in_the_clusters_they_stop_by(
    release: Release, tiny: TrainConfig
) -> None:
    assert release.manifest.seeds == (1, 2)
    heads = release.weights["heads.weight"]
    assert not torch.equal(heads[0], heads[1])


def test_members_trained_side_by_side_are_those_trained_in_turn(
    tiny: TrainConfig, release: Release
) -> None:
    members = train_members(tiny.model_copy(update={"workers": 2}), say=_silent)
    for number, member in enumerate(members):
        for key, stack in release.weights.items():
            np.testing.assert_array_equal(member.weights[key], stack[number].numpy())


def test_the_card_tells_skill_limits_and_sources(release: Release, tiny: TrainConfig) -> None:
    card = (tiny.out / "CARD.md").read_text()
    assert "Made towers of the package's own test data" in card
    assert "2603.09974" in card
    assert "| XGBoost | NEE |" in card
    assert "of 17 IGBP" in card
    table = pd.read_csv(io.StringIO((tiny.out / "skill.csv").read_text()))
    assert all(tower in card for tower in table["tower"])


def test_towers_given_are_the_ones_learned_from_and_stopped_by(
    tiny: TrainConfig, made_towers: tuple[Tower, ...]
) -> None:
    learning, inner = made_towers[:6], [["XX-T02"], ["XX-T03", "XX-T04"]]
    material = material_of(tiny, learning, inner)
    assert material.split.train == tuple(tower.site for tower in learning)
    learned, validated = datasets(tiny, material, 1)
    assert [tower.site for tower in validated.towers] == ["XX-T03", "XX-T04"]
    assert [tower.site for tower in learned.towers] == ["XX-T00", "XX-T01", "XX-T02", "XX-T05"]
    elsewhere = tiny.model_copy(update={"data": tiny.data / "nowhere"})
    members = train_members(elsewhere, _silent, material)
    assert len(members) == 2


def _silent(line: str) -> None:
    """No progress; a function by name, since it travels to other processes."""
