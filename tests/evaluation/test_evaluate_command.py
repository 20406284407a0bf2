"""`upscale evaluate` as it is called: rows, report, refusals and exit codes."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from upscale.commands import main
from upscale.evaluation.left_out import LeftOut, write_left_out
from upscale.evaluation.predict import predict_towers
from upscale.evaluation.run import EvaluationRequest, evaluate
from upscale.evaluation.skill import SKILL_COLUMNS, read_skill
from upscale.evaluation.tower_model import tower_model
from upscale.testing.releases import fake_release
from upscale.towers.table import read_towers
from upscale.training.baselines import FITTERS
from upscale.training.config import Draw, Holdout, NetworkSettings, Stage, TrainConfig

SITES = ("XX-T00", "XX-T02", "XX-T03", "XX-T09")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    path = tmp_path_factory.mktemp("releases") / "mine"
    return fake_release(path, members=2, hidden=4, learned=("XX-T03", "XX-T04", "XX-T05"))


def call(*words) -> int:
    with pytest.raises(SystemExit) as end:
        main(["evaluate", *map(str, words)])
    return int(end.value.code or 0)


def test_rows_and_report_of_a_release_at_towers(release, folder, tmp_path, capsys):
    words = [word for site in SITES for word in ("--site", site)]
    assert call(
        release.path, "--towers", folder, "--json", tmp_path / "rows.json", "--report",
        tmp_path / "report", "--baseline", "seasonal-cycle", "--device", "cpu", *words,
    ) == 0  # fmt: skip
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert len(rows) == len(SITES) * 2 * 3
    assert all(tuple(row) == SKILL_COLUMNS for row in rows)
    assert {row["model"] for row in rows} == {"mine", "seasonal-cycle"}
    assert {row["tower"]: row["split"] for row in rows} == {
        "XX-T00": "test", "XX-T02": "test", "XX-T03": "train", "XX-T09": "suspect",
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "2 towers never seen by the model" in said
    assert "test: XX-T00, XX-T02" in said
    assert "too few" in said or "say nothing about a difference" in said
    assert (tmp_path / "report" / "report.html").is_file()


def test_the_numbers_are_those_of_the_model_run_at_the_tower(release, folder, towers):
    found = evaluate(
        release, EvaluationRequest(folder, sites=("XX-T02",), device="cpu"), {}, lambda line: None
    )
    expected = tower_model(release).predict(towers[2])
    assert np.array_equal(found.cases[0].estimates["mine"].mean, expected, equal_nan=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--site", "NO-Way"], "the sites NO-Way among the towers"),
        (["--baseline", "fluxcom"], "'fluxcom' is neither one that is fitted here"),
        (["--reference", "xgboost", "--site", "XX-T02"], "name it with --baseline"),
        (["--left-out", "nowhere"], "cross-validate again"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_message(words, message, release, folder, capsys):
    assert call(release.path, "--towers", folder, "--device", "cpu", *words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_a_folder_that_is_not_there_is_refused(release, tmp_path):
    assert call(release.path, "--towers", tmp_path / "none") == 2


def test_a_baseline_without_towers_to_learn_from_is_refused(folder, tmp_path, capsys):
    stranger = fake_release(tmp_path / "stranger", members=1, hidden=4)
    assert call(stranger.path, "--towers", folder, "--baseline", "xgboost") == 2
    assert "--training" in capsys.readouterr().err


def test_a_baseline_of_few_of_the_towers_is_called_no_fair_rival(folder, tmp_path, capsys):
    learned = ("XX-T03", "XX-T04", "YY-Far")
    release = fake_release(tmp_path / "mine", members=1, hidden=4, learned=learned)
    assert call(
        release.path, "--towers", folder, "--baseline", "seasonal-cycle", "--site", "XX-T02",
        "--report", tmp_path / "report",
    ) == 0  # fmt: skip
    expected = "learned from 2 of the 3 towers that mine learned from: not a fair baseline"
    said = " ".join(capsys.readouterr().out.split())
    assert f"WARNING: mean seasonal cycle {expected}" in said
    assert "YY-Far" in said
    assert expected in (tmp_path / "report" / "report.md").read_text()
    fair = fake_release(tmp_path / "fair", members=1, hidden=4, learned=learned[:2])
    request = EvaluationRequest(
        folder, baselines=("seasonal-cycle",), sites=("XX-T02",), device="cpu"
    )
    assert evaluate(fair, request, FITTERS, lambda line: None).warnings == ()


def test_why_a_tower_cannot_be_scored_is_told(towers):
    def members(tower):
        return np.full((1, len(tower.days), 3), np.nan, np.float32)

    tower = towers[2]
    none = np.zeros(len(tower.days), bool)
    gone = tower.fluxes.copy()
    gone[:, :2] = np.nan
    short = replace(
        tower, days=tower.days[:30], drivers=tower.drivers[:30], fluxes=np.ones((30, 3)),
        quality=np.ones(30), good=np.ones(30, bool),
    )  # fmt: skip
    cases = [
        (replace(tower, fluxes=gone, good=none), "no GPP and RECO on any day"),
        (replace(tower, fluxes=np.full_like(gone, np.nan), good=none), "no flux on any day"),
        (short, "record of 30 days is shorter than the window of 45 days"),
    ]
    for one, reason in cases:
        with pytest.raises(ValueError, match=reason) as error:
            predict_towers({"m": members}, [one], {tower.site: "test"})
        assert "“What a tower needs” in docs/how-to/evaluate.md" in str(error.value)
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "evaluate.md").read_text()
    assert "## What a tower needs" in page


def test_a_table_of_sites_may_lie_elsewhere(release, folder, tmp_path):
    (tmp_path / "towers").mkdir()
    shutil.copy(folder / "towers.parquet", tmp_path / "towers")
    words = [release.path, "--towers", tmp_path / "towers", "--site", "XX-T02"]
    assert call(*words) == 2
    assert call(*words, "--sites", folder / "sites.parquet") == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_one_message(release, folder, capsys):
    assert call(release.path, "--towers", folder, "--device", "cuda") == 2
    assert "error: expected a GPU" in capsys.readouterr().err


def test_two_releases_of_one_name_are_told_apart(release, folder, tmp_path):
    learned = ("XX-T02", "XX-T03")
    made = fake_release(tmp_path / "mine", members=1, hidden=4, seed=9, learned=learned)
    twin = str(made.path)
    request = EvaluationRequest(folder, baselines=(twin,), sites=("XX-T02",), device="cpu")
    found = evaluate(release, request, FITTERS, lambda line: None)
    assert found.models == ("mine", twin)
    assert found.reference == twin
    assert found.source.endswith("which flatters it there: XX-T02.")


def test_a_tower_at_which_a_model_fails_does_not_stop_the_others(towers):
    def members(tower):
        if tower.site == "XX-T01":
            raise ValueError("no such feature")
        return np.ones((2, len(tower.days), 3), np.float32)

    empty = replace(towers[2], good=np.zeros(len(towers[2].days), bool))
    splits = {tower.site: "test" for tower in towers}
    cases, skipped = predict_towers({"m": members}, [*towers[:2], empty], splits)
    assert [case.tower.site for case in cases] == ["XX-T00"]
    assert [(s.site, s.failed) for s in skipped] == [("XX-T01", True), ("XX-T02", False)]
    with pytest.raises(ValueError, match="no such feature"):
        predict_towers({"m": members}, [towers[1]], splits)


@pytest.mark.skipif("UPSCALE_TEST_DATA" not in os.environ, reason="UPSCALE_TEST_DATA is not set")
def test_the_shipped_release_scores_as_its_own_table_says(tmp_path):
    data = Path(os.environ["UPSCALE_TEST_DATA"]) / "towers"
    sites = ("CZ-RAJ", "US-Me6", "IT-Lav")
    words = [word for site in sites for word in ("--site", site)]
    assert call(
        "tamrl-met-v1", "--towers", data, "--json", tmp_path / "rows.json", "--device", "cpu",
        *words,
    ) == 0  # fmt: skip
    root = Path(__file__).parents[2]
    shipped = read_skill(root / "models" / "tamrl-met-v1" / "skill.csv")
    shipped = shipped[(shipped.model == "tamrl") & shipped.tower.isin(sites)]
    rows = pd.DataFrame(json.loads((tmp_path / "rows.json").read_text()))
    keys = ["tower", "flux"]
    both = rows.merge(shipped, on=keys, suffixes=("", "_shipped"))
    assert len(both) == 9
    assert (both.split == both.split_shipped).all()
    assert (both.n == both.n_shipped).all()
    for score in ("rmse", "r2", "bias"):
        assert both[score].to_numpy() == pytest.approx(both[f"{score}_shipped"], abs=6e-5)


@pytest.fixture(scope="module")
def trainable(folder, tmp_path_factory):
    """A release that holds the settings of a training of seconds."""
    stage = Stage(epochs=1, steps=2)
    config = TrainConfig(
        name="mine", data=folder, out=Path("mine"), members=2,
        network=NetworkSettings(hidden=4, latent=2, encoder_hidden=4, generator_hidden=4),
        draw=Draw(towers=4, windows=2, support=2), holdout=Holdout(folds=2),
        decoder_stage=stage, joint_stage=stage,
    )  # fmt: skip
    settings = config.model_dump(mode="json", exclude={"data", "out", "card"})
    path = tmp_path_factory.mktemp("trainable") / "mine"
    return fake_release(path, members=1, hidden=4, training_settings=settings)


def test_cross_validation_trains_without_each_cluster_and_is_read_again(
    trainable, folder, tmp_path, capsys
):
    words = [word for i in (0, 1, 2, 4, 5, 6) for word in ("--site", f"XX-T0{i}")]
    words += ["--towers", folder, "--left-out", tmp_path / "kept", "--baseline", "seasonal-cycle"]
    assert call(
        trainable.path, *words, "--cross-validate", "--folds", 2, "--json", tmp_path / "a.json"
    ) == 0  # fmt: skip
    # all towers are learned from and kept, whichever are scored
    assert len(list((tmp_path / "kept").glob("*.npz"))) == 10
    first = capsys.readouterr().out
    assert "leave-cluster-out" in first
    assert call(trainable.path, *words, "--json", tmp_path / "b.json") == 0
    rows = json.loads((tmp_path / "a.json").read_text())
    assert rows == json.loads((tmp_path / "b.json").read_text())
    assert len(rows) == 6 * 2 * 3
    assert {row["split"] for row in rows} == {"test"}
    assert {row["model"] for row in rows} == {"tamrl", "seasonal-cycle"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--baseline", "tamrl-met-v1"], "a release has learned already"),
        (["--reference", "xgboost"], "name it with --baseline"),
        (["--folds", 99], "ask for fewer with --folds"),
        (["--site", "NO-Way"], "the sites NO-Way among the towers"),
        (["--json", "file/rows.json"], "file"),
        (["--json", "folder"], "found the folder"),
        (["--report", "file"], "file"),
        (["--left-out", "file"], "file"),
    ],
)
def test_a_cross_validation_that_cannot_end_well_does_not_begin(
    words, message, trainable, folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    assert call(trainable.path, "--towers", folder, "--cross-validate", *words) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert "fold 1" not in said.out
    assert not list(tmp_path.glob("**/*.npz"))


def test_a_cross_validation_is_kept_without_asking(trainable, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(
        trainable.path, "--towers", folder, "--cross-validate", "--folds", 2, "--site", "XX-T02"
    ) == 0  # fmt: skip
    assert len(list((tmp_path / "mine.left-out").glob("*.npz"))) == 10


def test_a_release_without_settings_cannot_be_cross_validated(release, folder, capsys):
    assert call(release.path, "--towers", folder, "--cross-validate") == 2
    assert "--left-out with predictions made before" in capsys.readouterr().err


def test_baselines_that_were_not_left_out_are_named(trainable, folder, tmp_path, capsys):
    tower = read_towers(folder, ["XX-T02"])[0]
    members = {"tamrl": np.ones((2, len(tower.days), 3), np.float32)}
    write_left_out(tmp_path, [LeftOut(tower, 0, members)])
    words = ["--towers", folder, "--site", "XX-T02", "--left-out", tmp_path]
    assert call(trainable.path, *words) == 0
    assert "is taken on trust" in " ".join(capsys.readouterr().out.split())
    assert call(trainable.path, *words, "--baseline", "xgboost") == 2
    assert "left-out predictions of xgboost" in capsys.readouterr().err


def test_left_out_predictions_of_another_kind_of_release_are_refused(
    trainable, folder, tmp_path, capsys
):
    tower = read_towers(folder, ["XX-T02"])[0]
    members = {"xgboost": np.ones((2, len(tower.days), 3), np.float32)}
    write_left_out(tmp_path, [LeftOut(tower, 0, members)])
    words = ["--towers", folder, "--site", "XX-T02", "--left-out", tmp_path]
    assert call(trainable.path, *words) == 2
    assert "they belong to another release" in capsys.readouterr().err
