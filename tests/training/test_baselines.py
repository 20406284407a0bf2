"""The baselines are what the model card says they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from upscale.calendar import day_of_year
from upscale.towers.table import Tower
from upscale.training.baselines import fit_boosted_trees, fit_seasonal_cycle


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


def test_boosted_trees_learn_and_tolerate_missing_precipitation(
    made_towers: tuple[Tower, ...],
) -> None:
    pytest.importorskip("xgboost")
    trees = fit_boosted_trees(made_towers[:3], ("ta", "sw_in", "vpd", "p"), seed=0, rounds=40)
    dry = made_towers[2]
    assert np.isnan(dry.driver("p")).all()
    predicted = trees.predict(dry)
    assert np.isfinite(predicted).all()
    assert np.corrcoef(predicted[dry.good, 0], dry.fluxes[dry.good, 0])[0, 1] > 0.9
