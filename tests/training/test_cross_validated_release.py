"""A release that learned from all towers, and is judged by models that did not."""

import numpy as np
import pytest

from upscale.evaluation.left_out import closure_of, read_left_out
from upscale.evaluation.skill import read_skill
from upscale.network.moments import clipped
from upscale.training.release import left_out_folder, train_release


@pytest.fixture(scope="module")
def config(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("validated")
    changes = {"out": folder / "release", "cross_validation": 3, "members": 2, "workers": 1}
    return tiny.model_copy(update=changes)


@pytest.fixture(scope="module")
def release(config):
    return train_release(config, lambda line: None)


def test_it_learns_from_all_towers_but_the_suspect(release, made_towers):
    learned = {tower.site for tower in made_towers if not tower.suspect}
    assert set(release.manifest.learned) == learned
    suspect = {tower.cluster for tower in made_towers if tower.suspect}
    assert set(release.manifest.held_out) == suspect


def test_its_skill_is_that_of_models_that_never_saw_the_tower(release, config, made_towers):
    table = read_skill(release.path / "skill.csv")
    assert set(table["model"]) == {"tamrl", "xgboost", "lightgbm", "seasonal-cycle"}
    assert set(table["split"]) == {"cross-validation", "suspect"}
    assert set(table["tower"]) == {tower.site for tower in made_towers}
    rows = table[(table["model"] == "tamrl") & (table["split"] == "cross-validation")]
    means = rows.groupby("flux")["rmse"].mean()
    for flux, mean in means.items():
        assert release.manifest.skill[flux]["rmse"] == pytest.approx(mean, abs=1e-3)
    left_out = read_left_out(left_out_folder(config), made_towers)
    assert len({each.fold for each in left_out}) == 3


def test_closure_is_given_beside_that_of_the_measurements(release, config, made_towers):
    left_out = read_left_out(left_out_folder(config), made_towers)
    gaps = []
    for each in left_out:
        if each.tower.suspect:
            continue
        gpp, reco, nee = clipped(each.members["tamrl"].astype(float)).mean(axis=0).T
        days = each.tower.good & np.isfinite(nee)
        gaps.append(np.abs(nee - (reco - gpp))[days].mean())
    found = closure_of(left_out, "tamrl")
    assert found["predicted"] == pytest.approx(np.mean(gaps), rel=1e-4)
    assert found["measured"] < 1e-5  # made towers close by construction
    assert release.manifest.skill["closure"]["predicted"] == pytest.approx(np.mean(gaps), rel=1e-4)


def test_it_knows_its_uncertainty_and_its_card_tells_them(release):
    assert release.manifest.calibration is not None
    assert release.manifest.applicability is not None
    card = (release.path / "CARD.md").read_text()
    assert "3-fold cross-validation over clusters" in card
    assert "## How sure it is" in card
    assert "By IGBP class" in card
    assert "Closure" in card
