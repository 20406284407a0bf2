"""The baselines are what the model card says they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from upscale.calendar import day_of_year
from upscale.evaluation.tower_model import TowerModel
from upscale.network.boosting.trees import TreesConfig
from upscale.network.predictor import load_predictor
from upscale.network.releases.release import (
    ContextSpec,
    Release,
    ReleaseSpec,
    WindowSpec,
    save_release,
)
from upscale.network.windows import WindowRule
from upscale.towers.table import Tower
from upscale.training import baselines
from upscale.training.baselines import (
    BoostedTrees,
    fit_boosted_trees,
    fit_seasonal_cycle,
    fit_trees,
)


def _steady(tower: Tower, level: float) -> Tower:
    fluxes = np.full_like(tower.fluxes, level)
    return replace(tower, fluxes=fluxes, good=np.ones(len(fluxes), bool))


def test_every_tower_of_a_class_counts_the_same(made_towers: tuple[Tower, ...]) -> None:
    one, two = _steady(made_towers[0], 1.0), _steady(made_towers[5], 3.0)
    short = replace(two, igbp=one.igbp, good=two.good & (np.arange(len(two.days)) < 400))
    cycle = fit_seasonal_cycle([one, short])
    assert cycle.predict(one) == pytest.approx(2.0)


def test_a_class_never_seen_gets_the_mean_of_all_towers(made_towers: tuple[Tower, ...]) -> None:
    one, two = _steady(made_towers[0], 1.0), _steady(made_towers[2], 3.0)
    assert one.igbp != two.igbp
    cycle = fit_seasonal_cycle([one, two])
    assert cycle.predict(two) == pytest.approx(3.0)
    assert cycle.predict(replace(one, igbp=17)) == pytest.approx(2.0)


def test_the_year_is_shifted_by_half_in_the_south(made_towers: tuple[Tower, ...]) -> None:
    north = made_towers[0]
    seasonal = np.cos(2 * np.pi * (day_of_year(north.days) - 196) / 365.25)
    fluxes = np.repeat(seasonal[:, None], 3, axis=1).astype(np.float32)
    cycle = fit_seasonal_cycle([replace(north, fluxes=fluxes, good=np.ones(len(fluxes), bool))])
    south = cycle.predict(replace(north, lat=-47.0))[:, 0]
    assert np.corrcoef(south, seasonal)[0, 1] < -0.99


FEATURES = ("ta", "sw_in", "vpd", "p")
LIBRARIES = ("xgboost", "lightgbm")


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return str(request.param)


def test_boosted_trees_learn_and_tolerate_missing_precipitation(
    library: str, made_towers: tuple[Tower, ...]
) -> None:
    trees = fit_trees(library, made_towers[:3], FEATURES, rounds=40)
    dry = made_towers[2]
    assert np.isnan(dry.driver("p")).all()
    predicted = trees.predict(dry)
    assert np.isfinite(predicted).all()
    assert np.corrcoef(predicted[dry.good, 0], dry.fluxes[dry.good, 0])[0, 1] > 0.9


def test_the_settings_are_the_published_ones() -> None:
    published = {"learning_rate": 0.05, "max_depth": 10, "max_leaves": 31, "min_child_weight": 5}
    assert published.items() <= baselines.XGBOOST.items()
    assert baselines.XGBOOST["tree_method"] == "hist"
    assert baselines.ROUNDS == 1000
    own_names = {"max_leaves": "num_leaves", "min_child_weight": "min_sum_hessian_in_leaf"}
    for name, value in published.items():
        assert baselines.LIGHTGBM[own_names.get(name, name)] == value
    drawn = ("subsample", "colsample", "bagging", "feature_fraction")
    assert not [key for key in {**baselines.XGBOOST, **baselines.LIGHTGBM} if key.startswith(drawn)]


def test_one_draw_is_the_same_fit_with_every_seed(
    library: str, made_towers: tuple[Tower, ...]
) -> None:
    one, other = (fit_trees(library, made_towers[:4], FEATURES, s, rounds=30) for s in (1, 2))
    for tower in made_towers[:5]:
        assert np.array_equal(one.members(tower), other.members(tower))
    again = fit_boosted_trees(made_towers[:4], FEATURES, seed=3, rounds=30)
    assert library != "xgboost" or np.array_equal(again.predict(tower), one.predict(tower))


def test_several_draws_differ_and_follow_from_their_seeds(
    library: str, made_towers: tuple[Tower, ...]
) -> None:
    learned, tower = made_towers[:7], made_towers[8]
    first = fit_trees(library, learned, FEATURES, seed=4, rounds=30, draws=3)
    assert first.seeds == (4, 5, 6)
    members = first.members(tower)
    assert members.shape == (3, len(tower.days), 3)
    assert members.std(axis=0).mean() > 0.05
    assert first.predict(tower) == pytest.approx(members.mean(axis=0), abs=1e-5)
    shifted = fit_trees(library, learned, FEATURES, seed=5, rounds=30, draws=2, workers=2)
    assert np.array_equal(shifted.members(tower), members[1:])


def test_a_draw_counts_a_cluster_as_often_as_it_was_drawn(made_towers: tuple[Tower, ...]) -> None:
    learned = made_towers[:7]
    clusters = sorted({tower.cluster for tower in learned})
    assert len(clusters) == 6  # the first two towers share one
    for seed in range(5):
        drawn = np.random.default_rng(seed).integers(6, size=6)
        expected = [
            float((drawn == clusters.index(tower.cluster)).sum())
            for tower in learned
            for _ in range(int(tower.good.sum()))
        ]
        assert baselines._cluster_weights(learned, seed).tolist() == expected
    assert set(baselines._cluster_weights(learned, None)) == {1.0}


def test_a_weight_of_two_is_a_row_that_is_there_twice(library: str) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.integers(4, size=(4000, 2)).astype(np.float32)  # full bins and leaves
    twice = rng.uniform(size=4000) < 0.3
    flux = (inputs[:, 0] + twice).astype(np.float32)
    weighed = baselines.fit_regressor(library, inputs, flux, np.where(twice, 2.0, 1.0), 0, 60)
    rows = np.concatenate([np.arange(4000), np.flatnonzero(twice)])
    repeated = baselines.fit_regressor(library, inputs[rows], flux[rows], np.ones(len(rows)), 0, 60)
    plain = baselines.fit_regressor(library, inputs, flux, np.ones(4000), 0, 60)
    found, expected, other = (t.predict(inputs, 1) for t in (weighed, repeated, plain))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.mean(found - other) > 0.1


def test_a_cluster_that_is_not_drawn_is_not_learned_from(
    library: str, made_towers: tuple[Tower, ...]
) -> None:
    learned = tuple(made_towers[:5])
    weights = baselines._cluster_weights(learned, 0)
    towers = np.repeat(np.arange(5), [int(t.good.sum()) for t in learned])
    absent = [i for i in range(5) if not weights[towers == i].any()]
    assert absent
    strange = [_steady(tower, 500.0) if i in absent else tower for i, tower in enumerate(learned)]
    assert len({t.cluster for t in strange}) == len({t.cluster for t in learned})
    fitted = fit_trees(library, strange, FEATURES, seed=0, rounds=20, draws=2)
    assert np.abs(fitted.members(made_towers[7])[0]).max() < 50


def saved(folder: Path, library: str, fitted: BoostedTrees, template: Release) -> Release:
    """Fitted trees as a release; template: where the scaling constants come from."""
    spec = ReleaseSpec(
        name=folder.name, model=library, training_digest="made", code_version="0",
        architecture=TreesConfig(len(fitted.features), fitted.classes.width, fitted.rounds),
        features=template.manifest.features, fluxes=template.manifest.fluxes,
        classes=fitted.classes, window=WindowSpec(length=1, stride=1),
        context=ContextSpec(rule="query"), seeds=fitted.seeds,
    )  # fmt: skip
    return save_release(folder, spec, fitted.draws, "", "")


def test_a_release_predicts_what_was_judged(
    library: str, made_towers: tuple[Tower, ...], tmp_path: Path
) -> None:
    from upscale.testing.releases import fake_release

    fitted = fit_trees(library, made_towers[:6], FEATURES, rounds=25, draws=2)
    template = fake_release(tmp_path / "template", FEATURES)
    release = saved(tmp_path / "trees", library, fitted, template)
    model = TowerModel(load_predictor(release.path), WindowRule(1, 1), None)
    for tower in (made_towers[7], made_towers[2]):
        found = model.members(tower)
        there = np.isfinite(found).all(axis=(0, 2))
        assert np.array_equal(there, np.isfinite(tower.driver("ta") + tower.driver("sw_in")))
        assert np.array_equal(found[:, there], fitted.members(tower)[:, there])
