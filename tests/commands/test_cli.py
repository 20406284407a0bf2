"""The command line as a scientist uses it: train, put towers on a grid, run, compare, publish."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import yaml

from upscale.commands import main
from upscale.drivers.cube import open_cube
from upscale.testing.towers import write_towers

pytestmark = pytest.mark.cluster


def upscale(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "upscale", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)


def succeed(*arguments: str, cwd: Path) -> str:
    done = upscale(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with towers, a release trained on them, their driver cube and its fluxes."""
    desk = tmp_path_factory.mktemp("desk")
    write_towers(desk / "towers", count=8)
    small = {"hidden": 16, "latent": 4, "encoder_hidden": 8, "generator_hidden": 8, "dropout": 0.0}
    train = {
        "name": "mine", "data": "towers", "out": "mine", "members": 3, "network": small,
        "holdout": {"share": 0.3, "folds": 3}, "boosting_rounds": 5,
        "decoder_stage": {"epochs": 1}, "joint_stage": {"epochs": 1},
    }  # fmt: skip
    (desk / "TRAIN.yaml").write_text(yaml.safe_dump(train))
    run = {
        "model": "mine", "drivers": "drivers.zarr", "output": {"store": "fluxes.zarr"},
        "period": {"start": "2004-01-01", "end": "2004-12-31"}, "cluster": {"memory": 2.0},
    }  # fmt: skip
    (desk / "RUN.yaml").write_text(yaml.safe_dump(run))
    succeed("train", "TRAIN.yaml", "name=ours", cwd=desk)
    succeed(
        "towers-on-grid",
        "towers",
        "--out",
        "drivers.zarr",
        "--start",
        "2003",
        "--end",
        "2006",
        cwd=desk,
    )
    succeed("validate", "RUN.yaml", cwd=desk)
    succeed("run", "RUN.yaml", "--no-check", cwd=desk)
    return desk


def test_a_release_is_trained_from_the_command_line(desk):
    assert {path.name for path in (desk / "mine").iterdir()} == {
        "release.yaml", "members.safetensors", "skill.csv", "CARD.md", "curves.csv", "curves.png",
    }  # fmt: skip
    assert yaml.safe_load((desk / "mine" / "release.yaml").read_text())["name"] == "ours"


def call(desk, *words: str, capsys, monkeypatch) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command in the folder."""
    monkeypatch.chdir(desk)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(list(words))
    shown = capsys.readouterr()
    return int(end.value.code or 0), shown.out, shown.err


@pytest.fixture
def at_desk(desk, capsys, monkeypatch):
    return partial(call, desk, capsys=capsys, monkeypatch=monkeypatch)


@pytest.fixture
def as_json(at_desk):
    """What a command prints as JSON, and what it says on standard error."""

    def ask(*words: str):
        code, out, err = at_desk(*words, "--json")
        assert code == 0, err
        return json.loads(out), err

    return ask


def files_of(folder: Path) -> dict[str, int]:
    """Every file below a folder and when it was written."""
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_the_plan_says_what_a_run_takes(desk, at_desk):
    code, out, _ = at_desk("plan", "RUN.yaml", "output.store=other.zarr")
    assert code == 0
    for what in ("work items", "files", "bytes", "memory", "time"):
        assert what in out
    assert not (desk / "other.zarr").exists()


def test_a_plan_in_json_has_the_figures_of_the_run(as_json):
    facts, err = as_json("plan", "RUN.yaml", "--out", "other.zarr")
    assert facts["store"] == "other.zarr"
    assert (facts["model"], facts["members"]) == ("ours", 3)
    assert (facts["start"], facts["end"]) == ("2004-01-01", "2004-12-31")
    assert facts["done"] == 0 < facts["land_cells"] == facts["tiles"]
    assert facts["work_items"] == 2 * facts["tiles"]
    assert facts["grid"]["resolution"] == 0.05
    assert facts["files"]["store"] > 11 * facts["work_items"]
    assert facts["memory_bytes"] == facts["workers"] * facts["worker_bytes"]
    assert facts["rate"] is None
    assert "Plan of other.zarr" in err
    assert "give --rate N" in err


def test_a_finished_run_tells_the_rate_by_which_others_are_planned(as_json):
    found, err = as_json("status", "fluxes.zarr")
    assert found["rate"] > 0
    assert f"--rate {found['rate']:.0f}" in err
    facts, _ = as_json("plan", "RUN.yaml", "--out", "other.zarr", "--rate", str(found["rate"]))
    assert facts["worker_seconds"] == round(facts["cell_days_left"] / found["rate"])


def test_validation_in_json_names_the_store_and_the_notes(as_json):
    found, err = as_json("validate", "RUN.yaml")
    assert found == {"store": "fluxes.zarr", "can_start": True, "notes": found["notes"]}
    assert "fluxes.zarr: this run can start" in err
    assert all(f"note: {note}" in " ".join(err.split()) for note in found["notes"])


def test_a_dry_run_says_what_is_left_and_writes_nothing(desk, as_json):
    before = files_of(desk)
    facts, err = as_json("run", "RUN.yaml", "--dry-run")
    assert facts["done"] == facts["work_items"] > 0
    assert "of them done" in " ".join(err.split())
    anew, _ = as_json("run", "RUN.yaml", "--out", "new.zarr", "--dry-run", "--part", "1/2")
    assert anew["done"] == 0
    assert 0 < anew["work_items"] < facts["work_items"]
    assert files_of(desk) == before


def test_a_run_prints_its_report_as_json(desk, as_json):
    report, err = as_json("run", "RUN.yaml")
    assert report == json.loads((desk / "fluxes.ledger" / "report.json").read_text())
    assert report["done"] == report["items"]
    assert "checks passed" in err


def test_the_state_of_a_run_is_told(at_desk, as_json):
    _, out, _ = at_desk("status", "fluxes.zarr")
    state, err = as_json("status", "fluxes.zarr")
    text = f"fluxes.zarr: {state['done']} of {state['work_items']} work items done"
    assert out == err
    assert err.splitlines()[0] == text
    assert state["missing"] == state["failed"] == []


def test_what_is_missing_stands_in_the_state(desk, as_json, at_desk):
    assert at_desk("init", "RUN.yaml", "--out", "empty.zarr")[0] == 0
    state, err = as_json("status", "empty.zarr")
    assert state["done"] == 0
    assert len(state["missing"]) == state["work_items"]
    assert "run the same RUN.yaml again to go on" in err
    assert at_desk("finalise", "empty.zarr")[0] == 2


def test_a_check_in_json_names_every_check(as_json, at_desk):
    found, err = as_json("check", "fluxes.zarr")
    assert found["passed"]
    assert {"ledger", "digests"} <= {each["name"] for each in found["checks"]}
    assert f"fluxes.zarr: all {len(found['checks'])} checks passed" in err
    code, out, err = at_desk("check", "empty.zarr", "--json")
    assert code == 1
    assert not json.loads(out)["passed"]
    assert "checks failed" in err


def test_measured_and_predicted_fluxes_are_set_side_by_side(desk, at_desk, as_json):
    code, out, err = at_desk("compare", "fluxes.zarr", "towers", "--out", "rows.json")
    rows = json.loads((desk / "rows.json").read_text())
    assert (code, err) == (0, "")
    assert "good flux days without a value" in out
    assert {row["flux"] for row in rows} == {"gpp", "reco", "nee"}
    assert {row["model"] for row in rows} == {"ours"}
    printed, err = as_json("compare", "fluxes.zarr", "towers")
    assert printed == rows
    assert "good flux days without a value" in err


@pytest.mark.parametrize(
    "words",
    [
        ("fluxes.zarr", "towers", "--json", "old.json"),
        ("--json", "old.json", "fluxes.zarr", "towers"),
        ("fluxes.zarr", "--json=old.json", "towers"),
    ],
)
def test_the_file_that_json_once_took_is_written_with_a_note(words, desk, at_desk):
    (desk / "old.json").unlink(missing_ok=True)
    code, out, err = at_desk("compare", *words)
    assert code == 0
    assert "good flux days without a value" in out
    assert err.splitlines() == ["note: --json FILE is --out now; the old name still works"]
    assert {row["model"] for row in json.loads((desk / "old.json").read_text())} == {"ours"}


def test_json_before_the_arguments_takes_none_of_them(desk, at_desk):
    before = files_of(desk)
    code, out, _ = at_desk("compare", "--json", "fluxes.zarr", "towers")
    assert code == 0
    assert json.loads(out)
    assert files_of(desk) == before


def test_figures_are_drawn(desk, at_desk):
    assert at_desk("plot", "fluxes.zarr", "--out", "figures")[0] == 0
    assert (desk / "figures" / "maps.png").stat().st_size > 10_000


def test_a_training_says_what_it_would_do(desk, at_desk):
    before = files_of(desk)
    code, out, _ = at_desk("train", "TRAIN.yaml", "--dry-run")
    assert code == 0
    assert "towers to learn from" in out
    assert "3 members of tamrl, each in stages: decoder of at most 1 epochs, joint" in out
    assert "mine: a release is there and would be replaced" in out
    _, out, _ = at_desk("train", "TRAIN.yaml", "--out", "fresh", "--dry-run")
    assert "fresh: new" in out
    assert files_of(desk) == before


def test_towers_are_placed_before_a_cube_is_written(desk, at_desk):
    before = files_of(desk)
    years = ("--start", "2003", "--end", "2006")
    code, dry, _ = at_desk("towers-on-grid", "towers", "--out", "new.zarr", *years, "--dry-run")
    assert code == 0
    assert files_of(desk) == before
    code, out, err = at_desk("towers-on-grid", "towers", "--out", "new.zarr", *years)
    assert (code, out, err) == (0, dry, "")
    assert open_cube("new.zarr").digest == open_cube("drivers.zarr").digest
    code, _, err = at_desk("towers-on-grid", "towers", "--out", "new.zarr", *years, "--dry-run")
    assert code == 2
    assert "exists already" in err


def test_the_cube_that_was_an_argument_once_is_written_with_a_note(desk, at_desk):
    words = ("towers-on-grid", "towers", "older.zarr", "--start", "2003", "--end", "2006")
    code, _, err = at_desk(*words)
    assert code == 0
    assert err.splitlines() == ["note: TOWERS CUBE is --out now; the old name still works"]
    assert open_cube("older.zarr").digest == open_cube("drivers.zarr").digest
    code, _, err = at_desk(*words, "--out", "two.zarr")
    assert code == 2
    assert "found both" in err


def test_towers_need_a_cube_to_go_to(at_desk):
    code, _, err = at_desk("towers-on-grid", "towers", "--start", "2003", "--end", "2006")
    assert code == 2
    assert "add --out CUBE" in " ".join(err.replace("│", " ").split())


def test_a_mistake_is_one_message_and_exit_code_2(tmp_path):
    done = upscale("run", "NO.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "NO.yaml: no such file" in done.stderr
    assert "Traceback" not in done.stderr
