"""An ingest that is repeated, goes on or grows ends with the cube of one that was not disturbed."""

from __future__ import annotations

import datetime as dt
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from upscale.drivers.cube import DriverError, open_cube
from upscale.ingest.entry import IngestEntry, IngestLedger
from upscale.ingest.plan import IngestJob, IngestTask
from upscale.ingest.scan import scan
from upscale.jobs.settings import ConfigError
from upscale.testing.archives import (
    BOX,
    Archive,
    config_of,
    content_of,
    in_turn,
    ingest_here,
    same_contents,
    write_hours,
)
from upscale.testing.hourly import Layout
from upscale.testing.scenes import SceneBounds, write_map, write_mod09ga


class PulledError(Exception):
    """Somebody pulled the plug."""


def interrupted_after(
    count: int,
) -> Callable[[IngestJob, Sequence[IngestTask]], Iterator[IngestEntry]]:
    """A runner that stops after some work items, in the middle of the next one's chunks."""
    left = count

    def runner(job: IngestJob, tasks: Sequence[IngestTask]) -> Iterator[IngestEntry]:
        nonlocal left
        for entry in in_turn(job, tasks):
            if left == 0:
                raise PulledError
            left -= 1
            yield entry

    return runner


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_second_ingest_changes_nothing(archive: Archive, cube: Path) -> None:
    before = files_of(cube)
    outcome = ingest_here(config_of(archive, cube))
    assert (outcome.changed, outcome.kept > 10) == (False, True)
    assert files_of(cube) == before


@pytest.mark.parametrize("count", [0, 1, 5, 17, 22])
def test_an_interrupted_ingest_goes_on(
    archive: Archive, cube: Path, tmp_path: Path, count: int
) -> None:
    path = tmp_path / "c.zarr"
    with pytest.raises(PulledError):
        ingest_here(config_of(archive, path), interrupted_after(count))
    with pytest.raises(DriverError, match="never finished"):
        open_cube(str(path))
    outcome = ingest_here(config_of(archive, path))
    assert outcome.kept >= count
    assert same_contents(cube, path) == []


def test_the_order_of_work_and_its_cut_do_not_show(
    archive: Archive, cube: Path, tmp_path: Path
) -> None:
    def shuffled(job: IngestJob, tasks: Sequence[IngestTask]) -> Iterator[IngestEntry]:
        return in_turn(job, random.Random(4).sample(list(tasks), len(tasks)))

    path = tmp_path / "c.zarr"
    small = config_of(archive, path, memory=0.1)
    ingest_here(small, shuffled)
    assert same_contents(cube, path) == []


def test_more_days_give_the_cube_of_the_whole_archive(
    archive: Archive, cube: Path, some_days: Callable[[int], Archive], tmp_path: Path
) -> None:
    path, part = tmp_path / "c.zarr", some_days(27)
    first = ingest_here(config_of(part, path))
    assert open_cube(str(path)).last - open_cube(str(path)).first == 26
    second = ingest_here(config_of(archive, path))
    assert same_contents(cube, path) == []
    untouched = [e.item for e in first.done if "d00000" in e.item and "granules" in e.item]
    assert untouched
    assert not set(untouched) & {entry.item for entry in second.done}


def test_a_day_that_was_missing_is_put_in(
    archive: Archive, cube: Path, own: Archive, tmp_path: Path
) -> None:
    path = tmp_path / "c.zarr"
    late = sorted((own.folder / "modis").glob("*.A2019067.*"))
    away = [file.rename(tmp_path / file.name) for file in late]
    ingest_here(config_of(own, path))
    assert "satellite/ndvi" in same_contents(cube, path)
    for file in away:
        shutil.move(file, own.folder / "modis" / file.name)
    second = ingest_here(config_of(own, path))
    assert {e.item.split("-")[2] for e in second.done if "granules" in e.item} == {"d00000"}
    assert same_contents(cube, path) == []


def test_a_newer_granule_replaces_the_old_one_and_says_so(
    cube: Path, own: Archive, tmp_path: Path
) -> None:
    path, day = tmp_path / "c.zarr", dt.date(2019, 3, 5)
    ingest_here(config_of(own, path))
    assert same_contents(cube, path) == []
    write_mod09ga(own.folder / "modis", BOX, (18, 3), day, produced="2021001000000", brighter=0.05)
    found = scan(config_of(own, path)).holdings[0]
    assert [file.named.produced for file in found.older] == ["2020001000000"]
    outcome = ingest_here(config_of(own, path))
    assert outcome.changed
    root: Any = zarr.open_group(str(path), mode="r")
    former: Any = zarr.open_group(str(cube), mode="r")
    observed = root["satellite/evi_filled"][...] == 0
    changed = (root["satellite/evi"][...] != former["satellite/evi"][...]) & observed
    assert changed.any(axis=(1, 2)).nonzero()[0].tolist() == [13]
    assert root.attrs["digest"] != former.attrs["digest"]


@pytest.fixture
def copied(cube: Path, tmp_path: Path) -> Path:
    """The cube with its ledger, to be broken."""
    path = tmp_path / "c.zarr"
    shutil.copytree(cube, path)
    shutil.copytree(cube.with_suffix(".ledger"), path.with_suffix(".ledger"))
    return path


@pytest.mark.parametrize(
    ("lost", "again"),
    [
        ("meteo/ta/c/1/0/1", {"weather-d00020-r0000-c0000", "climate"}),
        (
            "satellite/ndvi/c/0/1/1",
            {f"granules-s{n}-d00000-r0008-c0000" for n in (0, 1)}
            | {f"fill-d00000-r0008-c{col:04d}" for col in (0, 8, 16)},
        ),
        ("static/sftlf/c/0/0", {"static-d00000-r0000-c0000", "climate"}),
        ("meteo/land/c/0/0", {"climate"}),
    ],
)
def test_a_chunk_that_was_lost_is_made_again_and_no_more(
    archive: Archive, cube: Path, copied: Path, lost: str, again: set[str]
) -> None:
    before = IngestLedger(str(copied)).entries(scan(config_of(archive, copied)).job.run)
    (copied / lost).unlink()
    ingest_here(config_of(archive, copied))
    assert same_contents(cube, copied) == []
    after = IngestLedger(str(copied)).entries(scan(config_of(archive, copied)).job.run)
    done = {item for item, entry in after.items() if before[item].stamp != entry.stamp}
    assert done == again


@pytest.mark.parametrize("name", ["ndvi", "evi_filled", "fapar_distance"])
def test_a_chunk_that_cannot_be_decoded_is_named_and_mended_when_it_is_removed(
    archive: Archive, cube: Path, copied: Path, name: str
) -> None:
    """It is met in the middle of an ingest, when the cube is not sealed."""
    chunk = copied / f"satellite/{name}/c/0/1/1"
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"!")
    outcome = ingest_here(config_of(archive, copied, gaps={"linear": 1, "limit": 2}))
    assert [entry.item for entry in outcome.failed] == ["fill-d00000-r0008-c0008"]
    assert f"{chunk}: expected a chunk as it was written" in outcome.failed[0].error
    chunk.unlink()
    ingest_here(config_of(archive, copied))
    assert same_contents(cube, copied) == []


def test_what_changed_between_two_seals_is_not_sealed(
    archive: Archive, some_days: Callable[[int], Archive], tmp_path: Path
) -> None:
    path = tmp_path / "c.zarr"
    ingest_here(config_of(some_days(27), path, period={"start": "2019-02-20", "end": "2019-03-18"}))
    shutil.copy(path / "meteo/ta/c/0/0/1", path / "meteo/ta/c/0/0/0")
    ingest_here(config_of(archive, path))
    meteo = open_cube(str(path)).series["meteo"]
    assert meteo.count == 50
    with pytest.raises(DriverError, match="meteo/ta/c/0/0/0: expected the object that was sealed"):
        meteo.read("ta", slice(0, 5), np.arange(3), np.arange(3))
    meteo.read("ta", slice(20, 50), np.arange(3), np.arange(3))


def killed_before_entries(
    kind: str,
) -> Callable[[IngestJob, Sequence[IngestTask]], Iterator[IngestEntry]]:
    """A runner that dies when the first item of a kind has written its chunks, not its entry."""

    def runner(job: IngestJob, tasks: Sequence[IngestTask]) -> Iterator[IngestEntry]:
        for entry in in_turn(job, tasks):
            if entry.item.startswith(kind):
                IngestLedger(job.cube).forget(entry.item)
                raise PulledError
            yield entry

    return runner


TRIALS: list[tuple[str, dict[str, Any]]] = [
    ("fill", {"gaps": {"linear": 0, "limit": 0}}),
    ("granules-s1", {"memory": 0.1}),
    ("static", {"static": {"koppen": "derive"}}),
]


@pytest.mark.parametrize(("kind", "trial"), TRIALS)
def test_a_trial_that_was_killed_and_taken_back_leaves_nothing_behind(
    archive: Archive, cube: Path, own: Archive, tmp_path: Path, kind: str, trial: dict[str, Any]
) -> None:
    path = tmp_path / "c.zarr"
    shutil.copytree(cube, path)
    shutil.copytree(cube.with_suffix(".ledger"), path.with_suffix(".ledger"))
    if "static" in trial:
        write_map(own.folder / "other.tif", BOX, 0.1, {"of": all_tundra})
        base = content_of(archive, path)["static"]
        trial = {"static": base | {"koppen": str(own.folder / "other.tif")}}
    with pytest.raises(PulledError):
        ingest_here(config_of(archive, path, **trial), killed_before_entries(kind))
    ingest_here(config_of(archive, path))
    assert same_contents(cube, path) == []


def test_entries_of_another_cut_and_of_other_sources_do_not_count(
    archive: Archive, cube: Path, own: Archive, tmp_path: Path
) -> None:
    path = tmp_path / "c.zarr"
    ingest_here(config_of(archive, path))
    other = sorted((own.folder / "fapar").glob("*.hdf"))
    for file in other[4:]:
        file.unlink()
    only = [{"files": str(own.folder / "fapar")}]
    ingest_here(config_of(own, path, satellite=only, memory=0.1))
    ingest_here(config_of(archive, path))
    assert same_contents(cube, path) == []


@pytest.mark.parametrize(
    "change",
    [
        {"meteo": ["ta", "sw_in", "vpd", "p"]},
        {"satellite": []},
        {"satellite": ["ndvi"]},
    ],
)
def test_what_is_asked_for_no_more_is_gone(
    archive: Archive, cube: Path, tmp_path: Path, change: dict[str, list[str]]
) -> None:
    content = content_of(archive, "")
    keys: dict[str, Any] = {}
    if "meteo" in change:
        keys["meteo"] = content["meteo"] | {"variables": change["meteo"]}
    elif change["satellite"]:
        keys["satellite"] = [content["satellite"][0] | {"variables": change["satellite"]}]
    else:
        keys["satellite"] = []
    later, once = tmp_path / "later.zarr", tmp_path / "once.zarr"
    shutil.copytree(cube, later)
    shutil.copytree(cube.with_suffix(".ledger"), later.with_suffix(".ledger"))
    ingest_here(config_of(archive, later, **keys))
    ingest_here(config_of(archive, once, **keys))
    assert same_contents(once, later) == []


def test_another_map_of_the_same_name_and_size_is_noticed(
    cube: Path, own: Archive, tmp_path: Path
) -> None:
    path = tmp_path / "c.zarr"
    ingest_here(config_of(own, path, satellite=[]))
    size = (own.folder / "koppen.tif").stat().st_size
    write_map(
        own.folder / "koppen.tif", SceneBounds(49.1, 50.9, 14.6, 16.6), 0.1, {"of": all_tundra}
    )
    assert (own.folder / "koppen.tif").stat().st_size == size
    assert ingest_here(config_of(own, path, satellite=[])).changed
    root: Any = zarr.open_group(str(path), mode="r")
    assert set(root["static/koppen"][...].ravel().tolist()) == {29}


def all_tundra(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    return np.full(np.broadcast(lat, lon).shape, 29, np.uint8)


def test_another_rule_for_gaps_reads_no_archive(
    archive: Archive, cube: Path, tmp_path: Path
) -> None:
    path = tmp_path / "c.zarr"
    shutil.copytree(cube, path)
    shutil.copytree(cube.with_suffix(".ledger"), path.with_suffix(".ledger"))
    none = ingest_here(config_of(archive, path, gaps={"linear": 0, "limit": 0}))
    assert {entry.item.split("-")[0] for entry in none.done} == {"fill"}
    root: Any = zarr.open_group(str(path), mode="r")
    assert not root["satellite/ndvi_filled"][...].any()
    ingest_here(config_of(archive, path))
    assert same_contents(cube, path) == []


def test_a_cube_that_was_removed_is_made_anew(archive: Archive, cube: Path, tmp_path: Path) -> None:
    path = tmp_path / "c.zarr"
    shutil.copytree(cube.with_suffix(".ledger"), path.with_suffix(".ledger"))
    outcome = ingest_here(config_of(archive, path))
    assert outcome.kept == 0
    assert same_contents(cube, path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tile": 10}, "tile 8 there, 10 here"),
        ({"day": "utc"}, "day 'local-standard' there, 'utc' here"),
        ({"period": {"start": "2019-02-21", "end": "2019-04-10"}}, "start"),
        ({"period": {"start": "2019-02-20", "end": "2019-04-01"}}, "never shrinks"),
    ],
)
def test_another_layout_needs_another_cube(
    archive: Archive, cube: Path, change: dict[str, Any], message: str
) -> None:
    before = files_of(cube)
    with pytest.raises(ConfigError, match=message):
        ingest_here(config_of(archive, cube, **change))
    assert files_of(cube) == before


def test_what_is_no_cube_is_left_alone(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "c.zarr").mkdir()
    (tmp_path / "c.zarr" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="something else"):
        ingest_here(config_of(archive, tmp_path / "c.zarr"))
    assert (tmp_path / "c.zarr" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("layout", ["zip", "earthdatahub"])
def test_every_layout_of_era5_land_gives_the_same_weather(
    archive: Archive, cube: Path, tmp_path: Path, layout: Layout
) -> None:
    (tmp_path / "hours").mkdir()
    for name in ("cover", "koppen.tif"):
        (tmp_path / name).symlink_to(archive.folder / name)
    other = replace(archive, folder=tmp_path)
    write_hours(other, layout)
    ingest_here(config_of(other, tmp_path / "c.zarr", satellite=[]))
    differing = same_contents(cube, tmp_path / "c.zarr")
    assert differing
    told = {"meteo/preliminary"}  # not every layout says which hours are preliminary
    assert not [name for name in differing if name.startswith("meteo/") and name not in told]
