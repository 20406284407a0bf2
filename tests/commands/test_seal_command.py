"""`upscale check` and `upscale seal` on driver cubes."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import zarr

from upscale.commands import main
from upscale.grid import Grid
from upscale.planet.cube import write_planet

Said = tuple[int, str, str]


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    """Ten days of a planet in cells of 10 degrees."""
    path, days = tmp_path / "drivers.zarr", (dt.date(2012, 6, 1), dt.date(2012, 6, 10))
    grid = Grid("g10", 18, 36, 10.0)
    write_planet(str(path), grid, grid, days, satellite=("ndvi",), tile=3)
    return path


@pytest.fixture
def upscale(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Exit code, standard output and standard error of a command."""

    def call(*words: object) -> Said:
        with pytest.raises(SystemExit) as end:
            main(list(map(str, words)))
        shown = capsys.readouterr()
        return int(end.value.code or 0), shown.out, shown.err

    return call


def test_a_whole_cube_passes(cube: Path, upscale: Callable[..., Said]) -> None:
    code, out, err = upscale("check", cube)
    assert (code, err) == (0, "")
    assert out.startswith(f"{cube}: all ")
    assert out.endswith(" chunks are as they were sealed\n")


def test_every_bad_object_is_listed_and_the_rest_counted(
    cube: Path, upscale: Callable[..., Said]
) -> None:
    rows = (sorted(row.iterdir(), key=lambda f: int(f.name)) for row in sorted(
        (cube / "meteo/ta/c/0").iterdir()))  # fmt: skip
    files = [file for row in rows for file in row][:25]
    for file in files:
        file.unlink()
    code, out, _ = upscale("check", cube)
    assert code == 1
    assert [line for line in out.splitlines() if line.startswith("FAILED")] == [
        f"FAILED {file}: expected the object that was sealed, found none: it was lost"
        for file in files[:20]
    ]
    assert "... and 5 others; --json lists all" in out
    assert "25 faults; restore these objects from a copy, or make the cube again" in out
    code, out, _ = upscale("check", cube, "--json")
    found = json.loads(out)
    assert (code, found["passed"], len(found["faults"])) == (1, False, 25)


def test_a_cube_of_an_older_version_is_noted_and_sealed(
    cube: Path, upscale: Callable[..., Said]
) -> None:
    for file in cube.rglob("manifest"):
        file.unlink()
    zarr.open_group(str(cube), mode="r+").attrs.pop("seal")
    code, out, _ = upscale("check", cube)
    assert code == 0
    assert f"note: {cube} has no manifest" in out
    code, out, _ = upscale("seal", cube)
    assert code == 0
    assert out.startswith(f"{cube}: sealed ")
    assert "chunks of 19 arrays as they are now" in out
    assert "make the cube again" in out  # the digest of an older version was made otherwise
    assert upscale("check", cube)[0] == 0
    code, _, err = upscale("seal", cube)
    assert code == 2
    assert "found a sealed one" in err
    code, out, _ = upscale("seal", cube, "--again", "--json")
    assert (code, json.loads(out)["unchanged"]) == (0, None)


def test_a_place_without_a_store_is_refused(tmp_path: Path, upscale: Callable[..., Said]) -> None:
    assert upscale("check", tmp_path / "nothing.zarr")[0] == 2
    assert upscale("seal", tmp_path / "nothing.zarr")[0] == 2
