"""`upscale models` and `upscale grids`: what is shipped, and what lies in a folder."""

import json
import shutil
from pathlib import Path

import pytest

from upscale.commands import main
from upscale.grid import load_grid
from upscale.network.releases.release import load_release
from upscale.testing.releases import fake_release

ROOT = Path(__file__).parents[2]


def called(*words: object, capsys) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(list(map(str, words)))
    shown = capsys.readouterr()
    return int(end.value.code or 0), shown.out, shown.err


def test_models_are_listed_as_their_releases_say(capsys):
    code, out, err = called("models", "--json", capsys=capsys)
    assert (code, err) == (0, "")
    rows = {row["name"]: row for row in json.loads(out)}
    assert set(rows) == {path.name for path in (ROOT / "models").iterdir()}
    for name, row in rows.items():
        release = load_release(name)
        manifest = release.manifest
        assert row["members"] == release.members
        assert row["model"] == manifest.model
        assert set(row["needed"]) == set(release.scaler.required)
        assert [*row["needed"], *row["optional"]] != []
        assert set(row["needed"] + row["optional"]) == set(release.scaler.names)
        assert row["skill"] == {f: manifest.skill[f]["r2_median"] for f in ("gpp", "reco", "nee")}
        assert row["applicability"] == (release.applicability is not None)
        assert row["citations"] == list(manifest.citations)
        assert row["licence"].startswith("Weights: Apache-2.0")
        assert "Cite" not in row["licence"]


def test_a_person_reads_what_a_model_needs_and_how_good_it_is(capsys):
    code, out, _ = called("models", capsys=capsys)
    text = " ".join(out.split())
    skill = load_release("tamrl-v2").manifest.skill
    assert code == 0
    assert "tamrl, 10 members, with an area of applicability" in text
    assert "needs ta, sw_in may use vpd, p, ndvi" in text
    assert f"towers left out: GPP {skill['gpp']['r2_median']:.2f}, RECO" in text
    assert "Apache-2.0" in text
    assert "arXiv:2603.09974" in text


def test_models_of_a_folder_are_listed_and_a_broken_one_is_an_error(tmp_path, capsys):
    fake_release(tmp_path / "mine", members=2)
    code, out, _ = called("models", tmp_path, "--json", capsys=capsys)
    (row,) = json.loads(out)
    assert (code, row["name"], row["members"], row["licence"]) == (0, "mine", 2, "")
    code, out, _ = called("models", tmp_path / "mine", "--json", capsys=capsys)
    assert [row] == json.loads(out)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "release.yaml").write_text("name: other")
    code, out, err = called("models", tmp_path, "--json", capsys=capsys)
    assert (code, json.loads(out)) == (1, [row])
    assert "other/release.yaml: expected a description of a model" in err
    assert "Traceback" not in err


def test_a_folder_without_models_is_refused(tmp_path, capsys):
    code, out, err = called("models", tmp_path, capsys=capsys)
    assert (code, out) == (2, "")
    assert "expected a release, or folders of releases" in err


def test_grids_are_listed_with_their_sizes_and_edges(capsys):
    code, out, err = called("grids", "--json", capsys=capsys)
    assert (code, err) == (0, "")
    rows = {row["name"]: row for row in json.loads(out)}
    assert set(rows) == {path.stem for path in (ROOT / "grids").iterdir()}
    for name, row in rows.items():
        grid = load_grid(name)
        assert (row["rows"], row["cols"], row["resolution"]) == (*grid.shape, grid.resolution)
        assert row["east"] - row["west"] == pytest.approx(grid.cols * grid.resolution)
        assert -90 <= row["south"] <= grid.lat.min()
        assert grid.lat.max() <= row["north"] <= 90
        assert row["title"]


def test_a_person_reads_the_grids_as_a_table(capsys):
    code, out, _ = called("grids", capsys=capsys)
    assert code == 0
    assert any(
        " ".join(line.split()) == "global-0p05 3600 x 7200 0.05 -90 .. 90 -180 .. 180"
        for line in out.splitlines()
    )


def test_grids_of_a_folder_are_listed_and_what_is_no_grid_is_an_error(tmp_path, capsys):
    shutil.copy(ROOT / "grids" / "global-1p0.yaml", tmp_path / "mine.yaml")
    (tmp_path / "run.yaml").write_text("model: tamrl-v2")
    code, out, err = called("grids", tmp_path, "--json", capsys=capsys)
    assert code == 1
    assert [row["name"] for row in json.loads(out)] == ["mine"]
    assert "run.yaml: expected rows, cols and resolution of a grid" in err
    assert "Traceback" not in err


def test_a_folder_without_grids_is_refused(tmp_path, capsys):
    code, _, err = called("grids", tmp_path, capsys=capsys)
    assert code == 2
    assert "expected YAML files of grids, found none" in err
