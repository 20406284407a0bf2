"""`upscale publish --dry-run` names the very files that are then written."""

import datetime as dt
from pathlib import Path

import pytest

from upscale.commands import main
from upscale.testing.flux_cubes import make_flux_cube, small_layout


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("results") / "fluxes.zarr")
    make_flux_cube(path, small_layout(dt.date(2012, 1, 1), dt.date(2012, 2, 29)))
    return path


@pytest.fixture
def publish(store, tmp_path, monkeypatch, capsys):
    """Exit code and output of a publication into the folder `published`."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["publish", store, "--out", "published", *words])
        shown = capsys.readouterr()
        return int(end.value.code or 0), shown.out, shown.err

    return call


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (("--variable", "nee"), 2),
        (("--version", "2", "--product", "mine"), 6),
        (("--what", "totals"), 1),
        (("--what", "day", "--date", "2012-02-29"), 1),
    ],
)
def test_a_publication_names_its_files_before_it_writes_them(words, made, publish, tmp_path):
    code, out, err = publish(*words, "--dry-run")
    named = {line.split(": ")[0] for line in out.splitlines()}
    assert (code, err, len(named)) == (0, "", made)
    assert all(line.endswith("would be written") for line in out.splitlines())
    assert list(tmp_path.iterdir()) == []
    assert publish(*words)[0] == 0
    files = {f"published/{path.name}" for path in Path("published").iterdir()}
    assert {name for name in files if name.endswith((".nc", ".csv"))} == named
    _, again, _ = publish(*words, "--dry-run")
    assert all(line.endswith("is there, would be compared") for line in again.splitlines())


def test_totals_and_days_that_are_the_same_are_kept(publish):
    for words in (("--what", "totals"), ("--what", "day", "--date", "2012-02-29")):
        publish(*words)
        before = {path: path.stat().st_mtime_ns for path in Path("published").iterdir()}
        publish(*words)
        assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--variable", "gdp"), "expected fluxes out of gpp, reco, nee"),
        (("--what", "day"), "needs --date"),
        (("--what", "day", "--date", "2012-13-01"), "month must be"),
    ],
)
def test_a_publication_that_cannot_be_is_refused_in_a_dry_run_too(words, message, publish):
    code, out, err = publish(*words, "--dry-run")
    assert (code, out) == (2, "")
    assert message in err
    assert publish(*words)[0] == 2


def test_a_dry_run_needs_a_flux_cube(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["publish", str(tmp_path / "none.zarr"), "--what", "totals", "--dry-run"])
    assert end.value.code == 2
    assert "none.zarr" in capsys.readouterr().err
