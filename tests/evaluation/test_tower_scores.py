"""Scores of towers and over towers, against sums written out in float64."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from upscale.evaluation.cases import (
    Case,
    days_of,
    estimate,
    left_out_cases,
    models_of,
    pairs,
)
from upscale.evaluation.scores import closure, overall, scores, skill_part, tails
from upscale.evaluation.skill import SKILL_COLUMNS


@pytest.fixture(scope="module")
def table(cases):
    return scores(pairs(cases, "good"))


def test_a_score_is_the_sum_over_the_days_that_count(cases, table):
    case = cases[4]
    seen = case.tower.fluxes[case.tower.good].astype(np.float64)
    made = case.estimates["baseline"].mean[case.tower.good].astype(np.float64)
    for i, flux in enumerate(("gpp", "reco", "nee")):
        error = made[:, i] - seen[:, i]
        row = table[
            (table.tower == case.tower.site) & (table.model == "baseline") & (table.flux == flux)
        ].iloc[0]
        assert row.n == len(error)
        assert row.rmse == pytest.approx(np.sqrt(np.sum(error**2) / len(error)), rel=1e-12)
        assert row.mae == pytest.approx(np.sum(np.abs(error)) / len(error), rel=1e-12)
        assert row.bias == pytest.approx(np.sum(error) / len(error), rel=1e-12)
        spread = np.sum((seen[:, i] - np.sum(seen[:, i]) / len(error)) ** 2)
        assert row.r2 == pytest.approx(1 - np.sum(error**2) / spread, rel=1e-12)


def test_the_mean_and_spread_are_those_of_clipped_members():
    members = np.array([[[-1, 2, -3]], [[3, -4, 1]]], np.float32)
    found = estimate(members)
    assert found.mean.tolist() == [[1.5, 1.0, -1.0]]
    assert found.spread[0] == pytest.approx([np.sqrt(4.5), np.sqrt(2.0), np.sqrt(8.0)])
    assert np.isnan(estimate(members[:1]).spread).all()


def test_best_days_have_quality_one_or_a_mask_without_a_number(towers):
    by_number, by_mask = towers[0], towers[3]
    best = days_of(by_number, "best")
    assert (by_number.quality[best] == 1).all()
    assert 0 < best.sum() < days_of(by_number, "good").sum()
    assert np.array_equal(days_of(by_mask, "best"), by_mask.good)


def test_a_measured_quality_of_nine_tenths_is_not_a_mask(towers):
    tower = towers[0]
    quality = np.where(tower.quality == 1, np.float32(0.9), tower.quality)
    measured = replace(tower, quality=quality)
    assert (measured.quality[measured.good] == np.float32(0.9)).any()
    assert not days_of(measured, "best").any()
    assert not days_of(replace(measured, masked=None), "best").any()


def test_models_are_compared_on_the_days_that_all_of_them_predict(cases):
    case = cases[0]
    gap = case.estimates["baseline"].mean.copy()
    gap[:500] = np.nan
    holed = replace(case.estimates["baseline"], mean=gap)
    changed = Case(case.tower, "test", {"ours": case.estimates["ours"], "baseline": holed})
    ours, baseline = pairs([changed], "good")
    assert np.array_equal(ours.days, baseline.days)
    assert len(ours.days) == case.tower.good[500:].sum()


def test_a_tower_without_a_day_has_rows_without_numbers(cases):
    tower = replace(cases[0].tower, good=np.zeros(len(cases[0].tower.days), bool))
    found = scores(pairs([Case(tower, "test", cases[0].estimates)], "good"))
    assert (found.n == 0).all()
    assert found[["rmse", "mae", "r2", "bias"]].isna().all(axis=None)
    assert overall(found).empty


def test_every_tower_counts_the_same_whatever_its_length():
    rows = pd.DataFrame({
        "tower": ["a", "b", "c"], "cluster": ["a", "b", "b"], "model": "m", "flux": "gpp",
        "n": [10, 4000, 10], "rmse": [1.0, 2.0, 6.0], "mae": [1.0, 1.0, 4.0],
        "r2": [0.5, -0.5, 0.1], "bias": [0.0, 1.0, -4.0],
    })  # fmt: skip
    found = overall(rows).iloc[0]
    assert (found.towers, found.clusters, found.rmse, found.mae) == (3, 2, 3.0, 2.0)
    assert found.bias == -1.0
    assert found.r2_median == 0.1
    assert found.negative == pytest.approx(1 / 3)
    assert found.rmse_sd == pytest.approx(np.sqrt((4 + 1 + 9) / 2))


def test_the_part_for_skill_csv_has_its_columns(table):
    assert tuple(skill_part(table).columns) == SKILL_COLUMNS


def test_the_tail_is_the_worst_tenth():
    rows = pd.DataFrame({
        "tower": [f"t{i}" for i in range(20)], "cluster": "c", "model": "m", "flux": "nee",
        "rmse": np.arange(20.0), "r2": np.linspace(1, 0, 20), "bias": 1.0, "n": 9, "mae": 1.0,
    })  # fmt: skip
    found = tails(rows).iloc[0]
    assert (found.towers, found.worst, found.rmse, found.rmse_from) == (2, "t19, t18", 18.5, 18.0)
    assert found.excess == pytest.approx(18.5 / 9.5)


def test_closure_is_what_nee_lacks_of_its_parts(cases):
    found = closure(pairs(cases[:1], "good")).iloc[0]
    tower, made = cases[0].tower, cases[0].estimates["ours"].mean.astype(np.float64)
    gpp, reco, nee = made[tower.good].T
    assert found.predicted == pytest.approx(np.mean(np.abs(nee - reco + gpp)), rel=1e-12)
    assert found.observed < 1e-5  # made towers close


@dataclass(frozen=True)
class Left:
    tower: object
    members: dict


def test_towers_left_out_are_unseen_or_suspect(towers):
    shape = (2, len(towers[0].days), 3)
    left = [Left(t, {"tamrl": np.ones(shape, np.float32)}) for t in (towers[0], towers[9])]
    found = left_out_cases(left)
    assert [case.split for case in found] == ["test", "suspect"]
    assert models_of(found) == ("tamrl",)


def test_towers_that_hold_other_models_are_refused_by_name(cases):
    other = Case(cases[1].tower, "test", {"ours": cases[1].estimates["ours"]})
    expected = f"ours, baseline at every tower, found ours at {other.tower.site}"
    with pytest.raises(ValueError, match=expected):
        models_of([cases[0], other])
