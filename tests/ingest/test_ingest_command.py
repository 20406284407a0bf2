"""`upscale ingest` as it is called: a dry run, JSON, and the option of old."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from upscale.commands import main
from upscale.drivers.cube import open_cube
from upscale.testing.archives import Archive, content_of


@pytest.fixture
def config(archive: Archive, tmp_path: Path) -> Path:
    path = tmp_path / "INGEST.yaml"
    path.write_text(yaml.safe_dump(content_of(archive, tmp_path / "cube.zarr")))
    return path


def called(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(["ingest", *map(str, words)])
    return int(end.value.code or 0)


def test_a_dry_run_says_what_is_there_and_writes_nothing(
    config: Path, archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(config, "--dry-run", "--json") == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert found["outcome"] is None
    scan = found["scan"]
    assert (scan["start"], scan["end"]) == (str(archive.first), str(archive.last))
    assert scan["cube"] == str(tmp_path / "cube.zarr")
    assert scan["weather"]["product"] in shown.err
    assert {"ta", "sw_in"} <= set(scan["weather"]["variables"])
    modis = archive.folder / "modis"
    assert scan["satellite"][0]["files"] == len(list(modis.iterdir()))
    assert scan["satellite"][0]["bytes"] == sum(p.stat().st_size for p in modis.iterdir())
    assert scan["left_out"] == []
    assert list(tmp_path.iterdir()) == [config]


def test_scan_is_a_dry_run_with_a_note(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(config, "--dry-run") == 0
    now = capsys.readouterr()
    assert called(config, "--scan") == 0
    before = capsys.readouterr()
    note, _, rest = before.err.partition("\n")
    assert note == "note: --scan is --dry-run now; the old name still works"
    assert (before.out, rest) == (now.out, now.err)
    assert list(tmp_path.iterdir()) == [config]


@pytest.mark.cluster
def test_an_ingest_tells_in_json_what_it_did(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cube = tmp_path / "other.zarr"
    assert called(config, "--out", cube, "--json") == 0
    outcome = json.loads(capsys.readouterr().out)["outcome"]
    assert outcome["digest"] == open_cube(str(cube)).digest
    assert outcome["done"] > 0 == outcome["kept"]
    assert called(config, "--out", cube, "--json") == 0
    again = json.loads(capsys.readouterr().out)["outcome"]
    assert (again["done"], again["digest"]) == (0, outcome["digest"])
    assert not (tmp_path / "cube.zarr").exists()
