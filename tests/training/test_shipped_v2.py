"""tamrl-v2 is what its skill table, its card and its promises say."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from upscale.evaluation.skill import read_skill
from upscale.evaluation.tower_model import tower_model
from upscale.network.releases.release import Release, load_release
from upscale.towers.digest import data_digest
from upscale.towers.table import Tower, read_towers

FOLDER = Path(__file__).parents[2] / "models" / "tamrl-v2"
BASELINES = {"xgboost", "lightgbm", "seasonal-cycle"}


@pytest.fixture(scope="module")
def release() -> Release:
    return load_release(FOLDER)


@pytest.fixture(scope="module")
def left_out() -> pd.DataFrame:
    table = read_skill(FOLDER / "skill.csv")
    return table[table["split"] == "cross-validation"]


@pytest.fixture(scope="module")
def towers(release: Release) -> tuple[Tower, ...]:
    data = os.environ.get("UPSCALE_TEST_DATA")
    if not data:
        pytest.skip("UPSCALE_TEST_DATA is not set: no real towers here")
    folder = Path(data) / "towers"
    assert release.manifest.training_digest == data_digest(folder, release.scaler.names)
    return read_towers(folder)


def test_it_needs_only_what_every_cell_has_and_takes_what_satellites_see(release: Release) -> None:
    assert release.members == 10
    assert set(release.scaler.required) == {"ta", "sw_in", "sw_pot", "day_length"}
    assert release.scaler.composites == dict.fromkeys(("ndvi", "evi", "nirv", "fapar"), 8)


@pytest.mark.parametrize(("flux", "margin"), [("gpp", 0.09), ("reco", 0.0), ("nee", 0.08)])
def test_it_beats_every_baseline_where_none_had_seen_the_tower(
    left_out: pd.DataFrame, flux: str, margin: float
) -> None:
    rows = left_out[left_out["flux"] == flux].groupby("model")
    rmse, r2 = rows["rmse"].mean(), rows["r2"].median()
    assert set(rmse.index) == BASELINES | {"tamrl"}
    assert rmse["tamrl"] < (1 - margin) * rmse["xgboost"]
    for baseline in BASELINES:
        assert rmse["tamrl"] < rmse[baseline]
        assert r2["tamrl"] > r2[baseline]


def test_its_carbon_balance_closes(release: Release) -> None:
    closure = release.manifest.skill["closure"]
    assert closure["predicted"] < 0.1
    assert closure["measured"] > 0


def test_its_intervals_hold_at_towers_never_seen(release: Release) -> None:
    assert release.manifest.calibration is not None
    for flux in release.manifest.calibration.fluxes:
        for each in flux.coverage:
            assert abs(each.calibrated - each.level) < 0.05
            assert each.spread < each.calibrated


def test_its_card_names_every_source_that_it_must_cite(release: Release) -> None:
    card = (FOLDER / "CARD.md").read_text()
    assert all(citation in card for citation in release.manifest.citations)
    for name in ("Warm Winter 2020", "FLUXNET2015", "AmeriFlux BASE", "drylANNd", "MCD43A4"):
        assert name in card


def test_it_learned_from_all_towers_but_suspect_ones(
    release: Release, towers: tuple[Tower, ...]
) -> None:
    assert set(release.manifest.learned) == {t.site for t in towers if not t.suspect}


def test_it_knows_the_towers_that_it_learned_from(
    release: Release, towers: tuple[Tower, ...], left_out: pd.DataFrame
) -> None:
    """Shipped members and those of the table are others: at home the shipped ones are better."""
    table = left_out[left_out["model"] == "tamrl"].set_index(["tower", "flux"])["rmse"]
    runner, sites = tower_model(release), ("DE-Geb", "FR-Fon", "US-MMS", "US-SRM")
    found = []
    for tower in towers:
        if tower.site in sites:
            error = (runner.predict(tower) - tower.fluxes)[tower.good, 0]
            found.append(float(np.sqrt(np.nanmean(error**2))))
    assert np.mean(found) < np.mean([table[site, "gpp"] for site in sites])
