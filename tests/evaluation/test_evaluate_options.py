"""`upscale evaluate --out` and `--json`, and how both were spelled once."""

import json

import pytest

from upscale.commands import main
from upscale.evaluation.skill import SKILL_COLUMNS
from upscale.testing.releases import fake_release


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    path = tmp_path_factory.mktemp("releases") / "mine"
    return str(fake_release(path, members=2, hidden=4, learned=("XX-T03",)).path)


@pytest.fixture
def called(folder, capsys, monkeypatch, tmp_path):
    """Exit code and both outputs of an evaluation at one tower."""
    monkeypatch.chdir(tmp_path)
    at = ["--towers", str(folder), "--site", "XX-T00", "--device", "cpu"]

    def call(*words: str):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["evaluate", *words, *at])
        shown = capsys.readouterr()
        return int(end.value.code or 0), shown.out, shown.err

    return call


def test_rows_go_to_standard_output_alone_and_text_elsewhere(release, called):
    code, out, err = called(release, "--json")
    rows = json.loads(out)
    assert code == 0
    assert all(tuple(row) == SKILL_COLUMNS for row in rows)
    assert {row["tower"] for row in rows} == {"XX-T00"}
    assert "1 towers never seen by the model" in err
    assert called("--json", release)[1] == out


def test_a_report_goes_to_the_folder_of_out(release, called, tmp_path):
    code, out, err = called(release, "--out", "evaluation")
    assert (code, err.strip()) == (0, "")
    assert (tmp_path / "evaluation" / "report.html").is_file()
    assert "1 towers never seen by the model" in out


def test_the_older_spellings_go_on_working_with_a_note(release, called, tmp_path):
    rows = json.loads(called(release, "--json")[1])
    code, out, err = called(release, "--report", "evaluation", "--json", "rows.json")
    assert code == 0
    assert err.strip().splitlines() == [
        "note: --report is --out now; the old name still works",
        "note: --json FILE is --json > FILE now; the old name still works",
    ]
    assert (tmp_path / "evaluation" / "report.html").is_file()
    assert "1 towers never seen by the model" in out
    assert json.loads((tmp_path / "rows.json").read_text()) == rows
    assert called("--json", "first.json", release)[0] == 0
    assert called(release, "--json=last.json")[0] == 0
    for name in ("first.json", "last.json"):
        assert json.loads((tmp_path / name).read_text()) == rows
