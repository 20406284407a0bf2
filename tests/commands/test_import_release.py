"""`upscale import-release` from the command line."""

import os
from pathlib import Path

import pytest
import torch

from upscale.commands import main
from upscale.network.released_code.scaling import FEATURES, STAND_INS, read_scaling
from upscale.network.releases.release import load_release
from upscale.testing.carbonfluxbench import released_state
from upscale.variables import FLUXES

EXAMPLE = Path(__file__).parents[2] / "examples" / "scaling-carbonfluxbench.yaml"


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(["import-release", *map(str, words)])
    return int(end.value.code or 0)


def words_of(box: str) -> str:
    """The text of a message, without the frame that it is shown in."""
    return " ".join(box.replace("│", " ").split())


@pytest.fixture
def file(tmp_path):
    torch.save(released_state(), tmp_path / "state.pt")
    return tmp_path / "state.pt"


def test_a_file_and_a_folder_are_enough(file, tmp_path, capsys):
    assert call(file, "--out", tmp_path / "mine") == 0
    release = load_release(tmp_path / "mine")
    assert release.members == 1
    assert release.manifest.name == "mine"
    said = capsys.readouterr().out
    assert "left behind, read by no prediction: encoder.decode_linear.bias" in said
    assert "assumed: the default features" in said
    assert "fluxes mean nothing yet; give the real ones with --scaling" in said


def test_the_folder_may_be_the_last_argument_as_before_with_a_note(file, tmp_path, capsys):
    assert call(file, file, tmp_path / "mine") == 0
    note = "note: STATE.pt... FOLDER is STATE.pt... --out FOLDER now; the old name still works"
    assert capsys.readouterr().err.splitlines() == [note]
    assert load_release(tmp_path / "mine").members == 2


def test_a_folder_is_asked_for_where_none_is_given(file, capsys):
    assert call(file) == 2
    assert "add --out FOLDER" in words_of(capsys.readouterr().err)


def test_several_files_features_constants_and_a_name(tmp_path, capsys):
    files = [tmp_path / f"{seed}.pt" for seed in (27, 28, 29)]
    for seed, file in enumerate(files):
        torch.save(released_state(seed), file)
    code = call(*files, "--out", tmp_path / "out", "--scaling", EXAMPLE, "--name", "released",
                "--features", ", ".join(reversed(FEATURES)))  # fmt: skip
    assert code == 0
    release = load_release(tmp_path / "out")
    assert (release.members, release.manifest.name) == (3, "released")
    assert release.scaler.names == FEATURES[::-1]
    assert "assumed" not in capsys.readouterr().out


def test_the_example_of_constants_holds_the_stand_ins_in_the_order_of_the_weights():
    scaling = read_scaling(EXAMPLE)
    assert scaling.names == FEATURES
    given = {each.name: (each.mean, each.std) for each in (*scaling.features, *scaling.fluxes)}
    assert given == dict(STAND_INS)
    assert set(given) == {*FEATURES, *FLUXES}


class Payload:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_a_pickle_that_runs_code_is_refused_and_leaves_nothing(tmp_path, capsys):
    torch.save({"encoder": Payload(tmp_path / "trace"), "decoder": {}}, tmp_path / "state.pt")
    assert call(tmp_path / "state.pt", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "no code from it was run" in said
    assert "weights_only=False" not in said
    assert not (tmp_path / "trace").exists()
    assert not (tmp_path / "out").exists()


def test_the_unsafe_switch_is_refused(file, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert call(file, tmp_path / "out") == 2
    assert "unset TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_one_message(tmp_path, capsys):
    assert call(tmp_path / "none.pt", tmp_path / "out") == 2
    assert "none.pt" in capsys.readouterr().err
