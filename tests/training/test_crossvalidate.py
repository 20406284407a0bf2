"""Cross-validation: who predicts a tower never saw its cluster, and what is kept is found again."""

from dataclasses import replace

import numpy as np
import pytest

from upscale.evaluation.left_out import skill_of
from upscale.evaluation.skill import skill
from upscale.evaluation.tower_model import TowerModel
from upscale.towers.table import TowerWarning
from upscale.training import crossvalidate
from upscale.training.crossvalidate import cross_validate
from upscale.training.material import prepare

MODELS = ("tamrl", "seasonal-cycle")


@pytest.fixture(scope="module")
def learned_from():
    return []


@pytest.fixture(scope="module")
def left_out(tiny, made_towers, learned_from, tmp_path_factory):
    """Two folds of tiny networks; what each model learned from is noted on the way."""
    config = tiny.model_copy(update={"members": 2, "workers": 1})
    real = crossvalidate._fit

    def noted(name, config, learning, fold, say, work):
        learned_from.append((name, fold, {tower.site for tower in learning}))
        return real(name, config, learning, fold, say, work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crossvalidate, "_fit", noted)
        return cross_validate(config, made_towers, MODELS, 2, lambda line: None)


def test_every_tower_is_predicted_once_by_models_that_never_saw_its_cluster(
    left_out, made_towers, learned_from
):
    assert [each.tower for each in left_out] == list(made_towers)
    cluster = {tower.site: tower.cluster for tower in made_towers}
    suspect = {tower.site for tower in made_towers if tower.suspect}
    assert len(learned_from) == 2 * len(MODELS)
    for _, fold, sites in learned_from:
        assert not sites & suspect
        out = {each.tower.cluster for each in left_out if each.fold == fold}
        assert out
        assert not out & {cluster[site] for site in sites}


def test_members_are_apart_and_an_embedding_belongs_to_each(left_out):
    for each in left_out:
        assert each.members["tamrl"].shape == (2, len(each.tower.days), 3)
        assert each.members["seasonal-cycle"].shape == (1, len(each.tower.days), 3)
        assert each.embedding is not None
        assert np.isfinite(each.embedding).all()
        assert np.ptp(each.embedding, axis=0).max() > 0
        first, second = each.members["tamrl"]
        assert np.nanmax(np.abs(first - second)) > 0


def test_skill_is_that_of_the_mean_of_the_clipped_members(left_out):
    rows = {(r.tower, r.flux, r.model): r for r in skill_of(left_out)}
    each = left_out[2]
    both = [np.isfinite(m).all(axis=(0, 2)) for m in each.members.values()]
    days = each.tower.good & np.all(both, axis=0)
    gpp = np.maximum(each.members["tamrl"][:, days, 0].astype(float), 0).mean(axis=0)
    expected = skill(each.tower.fluxes[days, 0], gpp)
    row = rows[each.tower.site, "gpp", "tamrl"]
    assert row.n == expected.n == days.sum()
    assert row.rmse == pytest.approx(expected.rmse, rel=1e-5)
    assert row.split == "cross-validation"
    assert {r.split for r in rows.values() if r.tower == left_out[-1].tower.site} == {"suspect"}


def test_a_model_without_history_has_no_embedding(tiny, made_towers):
    with pytest.raises(ValueError, match="support years"):
        TowerModel(None, None, None).embedding(made_towers[0])


def blinded(tower):
    return replace(tower, good=np.zeros(len(tower.days), bool))


def test_a_tower_without_a_good_day_is_predicted_and_not_learned_from(tiny, made_towers):
    config = tiny.model_copy(update={"members": 1, "workers": 1})
    towers = [blinded(t) if t.site == "XX-T05" else t for t in made_towers]
    with pytest.warns(TowerWarning, match="no good flux day: XX-T05$"):
        found = cross_validate(config, towers, ("xgboost", "tamrl"), 2, lambda line: None)
    assert [each.tower.site for each in found] == [tower.site for tower in towers]
    assert np.isfinite(found[5].members["xgboost"]).any()


def test_material_is_made_without_towers_that_have_no_good_day(tiny, made_towers):
    towers = [blinded(t) if t.site == "XX-T05" else t for t in made_towers]
    with pytest.warns(TowerWarning, match="XX-T05"):
        material = prepare(tiny, towers)
    split = material.split
    assert "XX-T05" not in {*split.train, *split.test, *split.suspect, *sum(material.folds, ())}
    with pytest.raises(ValueError, match=r"good flux day.*found none among 10"):
        prepare(tiny, [blinded(tower) for tower in made_towers])
