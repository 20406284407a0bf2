"""The last step of training gives a release its uncertainty and leaves all else as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from upscale.drivers.features import features_of
from upscale.evaluation.left_out import LeftOut
from upscale.evaluation.tower_model import tower_model
from upscale.network.releases.release import Release, load_release
from upscale.network.uncertainty.applicability import assess, step_points
from upscale.testing.releases import fake_release, fake_tree_release
from upscale.towers.table import Tower
from upscale.training.uncertainty import add_uncertainty, draw_sample, learned_towers

MET = ("ta", "sw_in", "vpd", "p", "sw_pot", "day_length")


def predicted(release: Release, towers: tuple[Tower, ...], model: str) -> list[LeftOut]:
    """What the release says at the towers, as if it had never seen them."""
    runner = tower_model(release)
    return [LeftOut(t, i % 3, {model: runner.members(t)}) for i, t in enumerate(towers)]


@pytest.fixture(scope="module")
def plain(made_towers: tuple[Tower, ...], tmp_path_factory: pytest.TempPathFactory) -> Release:
    learned = tuple(t.site for t in made_towers if not t.suspect)[:-1]
    folder = tmp_path_factory.mktemp("uncertainty") / "model"
    return fake_release(folder, MET, members=2, hidden=8, learned=learned)


@pytest.fixture(scope="module")
def whole(plain: Release, made_towers: tuple[Tower, ...]) -> Release:
    return add_uncertainty(plain, predicted(plain, made_towers, "tamrl"), made_towers)


def test_weights_card_and_skill_are_as_they_were(plain: Release, whole: Release) -> None:
    assert whole.manifest.weights == plain.manifest.weights
    assert whole.digest != plain.digest
    assert "never trained" in (whole.path / "CARD.md").read_text()
    without = {"calibration", "applicability"}
    assert whole.manifest.model_dump(exclude=without) == plain.manifest.model_dump(exclude=without)
    assert load_release(whole.path).digest == whole.digest


def test_the_spread_is_calibrated_without_suspect_towers(whole: Release, made_towers) -> None:
    calibration = whole.manifest.calibration
    assert calibration is not None
    assert calibration.towers == sum(not t.suspect for t in made_towers)
    assert calibration.members == 2
    # made weights mean nothing: their spread covers little, the calibration nearly all it should
    for flux in calibration.fluxes:
        assert flux.coverage[1].spread < flux.coverage[1].calibrated
        assert flux.coverage[1].calibrated == pytest.approx(0.9, abs=0.15)


def test_towers_that_were_learned_from_lie_inside_and_the_moon_does_not(
    whole: Release, made_towers: tuple[Tower, ...]
) -> None:
    area, tower = whole.applicability, made_towers[0]
    assert area is not None
    drivers = features_of(tower, MET)[None]
    steps = range(tower.days[0] // 15 + 4, tower.days[-1] // 15 - 1)
    here = step_points(drivers, int(tower.days[0]), steps, whole.scaler)[0]
    inside = assess(area.drivers, here)
    assert (inside.index <= area.drivers.threshold).mean() > 0.95
    moon = assess(area.drivers, here + np.array([-12, 0, 0, 0, 0, 0], np.float32))
    assert (moon.index > area.drivers.threshold).all()
    assert (moon.axis == MET.index("ta")).all()
    assert (moon.density == 0).all()


def test_embeddings_of_the_learned_towers_are_the_points_of_their_space(
    whole: Release, made_towers: tuple[Tower, ...]
) -> None:
    area, runner = whole.applicability, tower_model(whole)
    assert area is not None
    assert area.embedding is not None
    learned = learned_towers(whole, made_towers)
    rows = np.stack([runner.embedding(t).ravel() for t in learned])
    found = assess(area.embedding, rows)
    assert found.index == pytest.approx(0, abs=1e-4)
    assert len(area.embedding.points) == len(learned)


def test_trees_have_an_area_of_applicability_too(
    made_towers: tuple[Tower, ...], tmp_path: Path
) -> None:
    release = fake_tree_release(tmp_path / "trees", features=MET, rounds=5)
    left_out = predicted(release, made_towers, "xgboost")
    whole = add_uncertainty(release, left_out, made_towers)
    assert whole.applicability is not None
    assert whole.applicability.embedding is None
    assert whole.manifest.calibration is not None
    assert whole.manifest.trees == release.manifest.trees


def test_a_model_whose_context_is_the_window_has_one_space(made_towers, tmp_path: Path) -> None:
    release = fake_release(tmp_path / "query", MET, 2, 8, context={"rule": "query"})
    sample = draw_sample(tower_model(release), made_towers[:3])
    assert sample.z is None
    assert sample.predict(sample.windows).shape == (2, len(sample.windows), 15, 3)
    whole = add_uncertainty(release, predicted(release, made_towers, "tamrl"), made_towers)
    assert whole.applicability is not None
    assert whole.applicability.embedding is None


def test_what_is_missing_is_named(plain: Release, made_towers: tuple[Tower, ...]) -> None:
    left_out = predicted(plain, made_towers[:4], "ct-lstm")
    with pytest.raises(ValueError, match=r"tamrl .*found ct-lstm"):
        add_uncertainty(plain, left_out, made_towers)
    with pytest.raises(ValueError, match="learned from, found 3"):
        add_uncertainty(plain, left_out, made_towers[:3], model="ct-lstm")
