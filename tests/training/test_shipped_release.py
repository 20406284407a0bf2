"""The shipped release is what its example, its skill table and its card say."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from upscale.evaluation.skill import read_skill, skill
from upscale.evaluation.tower_model import tower_model
from upscale.network.releases.release import Release, load_release
from upscale.towers.digest import data_digest
from upscale.towers.splits import hold_out
from upscale.towers.table import Tower, read_towers

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "models" / "tamrl-met-v1"


@pytest.fixture(scope="module")
def release() -> Release:
    return load_release(FOLDER)


@pytest.fixture(scope="module")
def data_folder() -> Path:
    data = os.environ.get("UPSCALE_TEST_DATA")
    if not data:
        pytest.skip("UPSCALE_TEST_DATA is not set: no real towers here")
    return Path(data) / "towers"


@pytest.fixture(scope="module")
def towers(data_folder: Path) -> tuple[Tower, ...]:
    return read_towers(data_folder)


def test_what_every_cell_has_is_all_that_it_requires(release: Release) -> None:
    assert set(release.scaler.required) == {"ta", "sw_in", "sw_pot", "day_length"}
    assert release.members >= 3


def test_its_card_names_every_source_that_it_must_cite(release: Release) -> None:
    card = (FOLDER / "CARD.md").read_text()
    assert all(citation in card for citation in release.manifest.citations)
    for name in ("Warm Winter 2020", "FLUXNET2015", "AmeriFlux BASE", "drylANNd", "2603.09974"):
        assert name in card


def test_its_skill_is_better_than_both_baselines_where_it_was_never_trained() -> None:
    table = read_skill(FOLDER / "skill.csv")
    rmse = table[table["split"] == "test"].groupby(["model", "flux"])["rmse"].mean()
    for flux in ("gpp", "reco", "nee"):
        assert rmse["tamrl", flux] < rmse["xgboost", flux]
        assert rmse["tamrl", flux] < rmse["seasonal-cycle", flux]


def test_it_never_saw_the_clusters_of_its_skill_table(
    release: Release, towers: tuple[Tower, ...], data_folder: Path
) -> None:
    assert release.manifest.training_digest == data_digest(data_folder)
    split = hold_out(towers, 0.22, 4)
    learned = {tower.cluster for tower in towers if tower.site in split.train}
    table = read_skill(FOLDER / "skill.csv")
    assert not learned & set(table["cluster"])
    assert set(table["tower"]) == {*split.test, *split.suspect}


def test_its_skill_can_be_found_again(release: Release, towers: tuple[Tower, ...]) -> None:
    table = read_skill(FOLDER / "skill.csv").set_index(["tower", "flux", "model"])
    tower = next(tower for tower in towers if tower.site == "US-CZ4")
    predicted = tower_model(release).predict(tower)
    for index, flux in enumerate(("gpp", "reco", "nee")):
        observed = np.where(tower.good, tower.fluxes[:, index], np.nan)
        row = table.loc[("US-CZ4", flux, "tamrl")]
        found = skill(observed, predicted[:, index])
        assert (found.n, found.rmse) == (row["n"], pytest.approx(row["rmse"], abs=1e-3))
