"""The command line as a scientist uses it: train, put towers on a grid, run, compare, publish."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from upscale.commands import COMMANDS
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
        "towers-on-grid", "towers", "drivers.zarr", "--start", "2003", "--end", "2006", cwd=desk
    )
    succeed("validate", "RUN.yaml", cwd=desk)
    succeed("run", "RUN.yaml", "--no-check", cwd=desk)
    return desk


def test_a_release_is_trained_from_the_command_line(desk):
    assert {path.name for path in (desk / "mine").iterdir()} == {
        "release.yaml", "members.safetensors", "skill.csv", "CARD.md", "curves.csv", "curves.png",
    }  # fmt: skip
    assert yaml.safe_load((desk / "mine" / "release.yaml").read_text())["name"] == "ours"


def test_the_plan_says_what_a_run_takes(desk):
    said = succeed("plan", "RUN.yaml", "output.store=other.zarr", cwd=desk)
    assert "work items" in said
    assert not (desk / "other.zarr").exists()


def test_the_state_of_a_run_is_told(desk):
    assert "work items done" in succeed("status", "fluxes.zarr", cwd=desk)


def test_measured_and_predicted_fluxes_are_set_side_by_side(desk):
    succeed("compare", "fluxes.zarr", "towers", "--json", "rows.json", cwd=desk)
    rows = json.loads((desk / "rows.json").read_text())
    assert {row["flux"] for row in rows} == {"gpp", "reco", "nee"}
    assert {row["model"] for row in rows} == {"ours"}


def test_figures_are_drawn(desk):
    succeed("plot", "fluxes.zarr", "--out", "figures", cwd=desk)
    assert (desk / "figures" / "maps.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name, tmp_path):
    done = upscale(name, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Usage:" in done.stdout


def test_a_mistake_is_one_message_and_exit_code_2(tmp_path):
    done = upscale("run", "NO.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "NO.yaml: no such file" in done.stderr
    assert "Traceback" not in done.stderr
