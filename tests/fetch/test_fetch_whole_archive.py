"""A fetch completes an archive, and an ingest of it gives the cube of one that was always whole."""

from __future__ import annotations

import hashlib
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from upscale.commands import main
from upscale.fetch.ledger import LEDGER, PARTS, FetchLedger
from upscale.fetch.plan import make_plan
from upscale.fetch.progress import make_progress
from upscale.fetch.run import FetchOutcome, Speed, fetch
from upscale.ingest.config import Ingest, parse_ingest
from upscale.ingest.scan import scan
from upscale.testing.archives import Archive, ingest_here, same_contents
from upscale.testing.servers.http import Refuse

FAST = Speed(parallel=4, per_second=1000)


def fetched(ingest: Ingest, speed: Speed = FAST) -> FetchOutcome:
    return fetch(make_plan(ingest), make_progress(1e9, StringIO()), speed)


def called(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["fetch", *words])
    return int(end.value.code or 0)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_half_an_archive_becomes_a_whole_one_with_the_same_cube(
    whole: Archive, half: Archive, cube: Path, sources: Any, tmp_path: Path
) -> None:
    ingest = parse_ingest(sources.content(half, tmp_path / "cube.zarr"), "half an archive")
    outcome = fetched(ingest)
    assert (outcome.failed, outcome.absent) == ((), ())
    for name in ("modis", "fapar"):
        assert names(half.folder / name) == names(whole.folder / name)
    assert scan(ingest).faults == ()
    assert not ingest_here(ingest).failed
    assert same_contents(cube, tmp_path / "cube.zarr") == []


def test_a_second_fetch_asks_for_nothing_and_says_so(
    half: Archive, sources: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "ingest.yaml"
    config.write_text(yaml.safe_dump(sources.content(half, tmp_path / "cube.zarr")))
    assert called(str(config), "--rate", "1000") == 0
    asked = [
        len(rows) for rows in (sources.files.requests, sources.cmr.asked, sources.cds.api.asked)
    ]
    capsys.readouterr()
    assert called(str(config), "--verify") == 0
    assert "nothing to do: all that is due is there" in capsys.readouterr().err
    assert asked == [
        len(rows) for rows in (sources.files.requests, sources.cmr.asked, sources.cds.api.asked)
    ]


def test_a_dry_run_asks_no_server_and_writes_no_file(
    half: Archive, sources: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "ingest.yaml"
    config.write_text(yaml.safe_dump(sources.content(half, tmp_path / "cube.zarr")))
    before = sorted(half.folder.rglob("*"))
    assert called(str(config), "--dry-run") == 0
    said = capsys.readouterr().err
    assert "satellite: MOD09GA" in said
    assert "28 granules" in said
    assert sorted(half.folder.rglob("*")) == before
    assert not sources.files.requests
    assert not sources.cmr.asked
    assert not sources.cds.api.asked


def test_what_is_missing_and_what_came_are_told_in_json(
    half: Archive, sources: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "ingest.yaml"
    config.write_text(yaml.safe_dump(sources.content(half, tmp_path / "cube.zarr")))
    assert called(str(config), "--dry-run", "--json") == 0
    before = json.loads(capsys.readouterr().out)
    assert before["outcome"] is None
    assert before["plan"]["missing"] == sum(row["missing"] for row in before["plan"]["entries"]) > 0
    granules = [row for row in before["plan"]["entries"] if row["unit"] == "granules"]
    assert 28 in [row["due"] for row in granules]
    assert called(str(config), "--rate", "1000", "--json") == 0
    after = json.loads(capsys.readouterr().out)
    assert after["plan"] == before["plan"]
    assert after["outcome"]["fetched"] > sum(row["missing"] for row in granules) > 0
    assert after["outcome"]["failed"] == []


def test_no_secret_is_printed_or_written(
    half: Archive, sources: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    config = tmp_path / "ingest.yaml"
    config.write_text(yaml.safe_dump(sources.content(half, tmp_path / "cube.zarr")))
    caplog.set_level("DEBUG")
    some = next(path for path in sources.files.files if "MCD15A2H" in path)
    sources.files.always[some] = Refuse(403)
    sources.cds.failing = ("tp",)
    assert called(str(config), "--rate", "1000", "--dry-run") == 0
    assert called(str(config), "--rate", "1000") == 1
    sources.cds.key = "another"  # the store says no, and repeats the key that it was told
    assert called(str(config), "--rate", "1000") == 1
    said = capsys.readouterr()
    texts = [said.out, said.err, caplog.text]
    texts += [p.read_bytes().decode("latin-1") for p in tmp_path.rglob("*") if p.is_file()]
    assert sum(len(text) for text in texts) > 1e6
    for secret in sources.secrets:
        assert not [text[:80] for text in texts if secret in text]
    assert any(row.headers.get("private-token") in sources.secrets for row in sources.cds.api.asked)
    assert not any("authorization" in row.headers for row in sources.files.requests)
    assert not any("authorization" in row.headers for row in sources.cmr.asked)


def test_a_file_that_fails_stops_no_other_one_and_is_named(
    half: Archive, sources: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "ingest.yaml"
    config.write_text(yaml.safe_dump(sources.content(half, tmp_path / "cube.zarr")))
    missing = sorted(p for p in sources.files.files if "MCD15A2H" in p)
    sources.files.always[missing[0]] = Refuse(404)
    assert called(str(config), "--rate", "1000") == 1
    said = capsys.readouterr().err
    assert f"failed: {missing[0][1:]}" in said
    assert names(half.folder / "fapar") == {path[1:] for path in missing[1:]}
    del sources.files.always[missing[0]]
    assert called(str(config), "--rate", "1000") == 0
    assert len(names(half.folder / "fapar")) == len(missing)


def test_a_wrong_copy_is_fetched_once_more_and_is_then_an_error(
    half: Archive, sources: Any, tmp_path: Path
) -> None:
    ingest = parse_ingest(sources.content(half, tmp_path / "cube.zarr"), "half an archive")
    wrong = sorted(p for p in sources.files.files if "MCD15A2H" in p)[0]
    good = sources.files.files[wrong]
    sources.files.files[wrong] = good[:-1] + bytes([good[-1] ^ 1])
    (failure,) = fetched(ingest).failed
    assert failure.name == wrong[1:]
    assert "expected md5" in failure.reason
    assert sources.files.count(wrong) == 2
    assert not (half.folder / "fapar" / wrong[1:]).exists()


def test_the_ledger_tells_of_damage_and_a_fetch_mends_it(
    half: Archive, sources: Any, tmp_path: Path
) -> None:
    ingest = parse_ingest(sources.content(half, tmp_path / "cube.zarr"), "half an archive")
    fetched(ingest)
    records = FetchLedger(half.folder / "fapar").read()
    assert len(records) == 4
    for name, record in records.items():
        content = (half.folder / "fapar" / name).read_bytes()
        assert (record.size, record.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert record.source == f"{sources.files.url}/{name}"
    path = half.folder / "fapar" / min(records)
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"?")
    assert make_plan(ingest).missing == 0  # its size is right
    (damaged,) = make_plan(ingest, deep=True).requests[2].damaged
    assert "sha256" in damaged.reason
    path.write_bytes(good[:1000])
    assert make_plan(ingest).missing == 1
    fetched(ingest)
    assert path.read_bytes() == good


def test_broken_lines_of_a_ledger_are_skipped(half: Archive, sources: Any, tmp_path: Path) -> None:
    ingest = parse_ingest(sources.content(half, tmp_path / "cube.zarr"), "half an archive")
    fetched(ingest)
    ledger = half.folder / "fapar" / LEDGER
    known = FetchLedger(half.folder / "fapar").read()
    name = min(known)
    with ledger.open("a") as file:
        file.write('{"name": "MCD15A2H.A2019')
    (half.folder / "fapar" / name).unlink()
    fetched(ingest)
    assert FetchLedger(half.folder / "fapar").read().keys() == known.keys()
    assert len(ledger.read_text().splitlines()) == len(known) + 2


def test_nothing_but_whole_files_is_left_for_an_ingest_to_find(
    half: Archive, sources: Any, tmp_path: Path
) -> None:
    ingest = parse_ingest(sources.content(half, tmp_path / "cube.zarr"), "half an archive")
    fetched(ingest)
    for folder in ("modis", "fapar", "hours"):
        assert [p.name for p in (half.folder / folder / PARTS).iterdir()] == [".lock"]


def test_fetch_changes_neither_what_is_made_nor_its_digest(
    half: Archive, sources: Any, tmp_path: Path
) -> None:
    plain = sources.content(half, tmp_path / "cube.zarr")
    with_key = parse_ingest(plain, "with fetch")
    del plain["meteo"]["fetch"]
    for entry in plain["satellite"]:
        del entry["fetch"]
    assert parse_ingest(plain, "without").digest == with_key.digest
