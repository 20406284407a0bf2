"""`make quick` runs the tests of the rooms that a change touches."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

TESTED = {"engine", "grid", "house", "ingest", "network"}
IMPORTERS = {"jobs": {"engine", "ingest", "commands"}, "calendar": {"network", "engine"}}


@pytest.fixture(scope="module")
def touched(root: Path) -> Iterator[ModuleType]:
    sys.path.insert(0, str(root / "tests"))
    import touched

    yield touched
    sys.path.remove(str(root / "tests"))


@pytest.mark.parametrize(
    ("changed", "tests"),
    [
        ([], []),
        (["upscale/grid/tiles.py"], ["grid", "house"]),
        (["tests/ingest/conftest.py", "README.md"], ["house", "ingest"]),
        (["tests/conftest.py"], sorted(TESTED)),
        (["upscale/jobs/queue.py"], ["engine", "house", "ingest"]),
        (["upscale/calendar.py"], ["engine", "house", "network"]),
        (["docs/rooms.py", "pyproject.toml"], ["house"]),
        (["upscale/network/networks/tamrl.py", "upscale/grid/grid.py"],
         ["grid", "house", "network"]),
    ],
)  # fmt: skip
def test_a_change_needs_the_tests_of_its_room(
    touched: ModuleType, changed: list[str], tests: list[str]
) -> None:
    found = touched.tests_of(changed, TESTED, lambda room: IMPORTERS.get(room, set()))
    assert found == tests


def test_who_imports_a_room_is_read_from_the_code(touched: ModuleType) -> None:
    assert {"engine", "ingest"} <= touched.importing_rooms("jobs")
    assert "grid" not in touched.importing_rooms("jobs")
    assert {"network", "towers"} <= touched.importing_rooms("calendar")


def git(folder: Path, *words: str) -> None:
    user = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(("git", *user, *words), cwd=folder, check=True, capture_output=True)


def test_changed_is_what_a_branch_and_its_folder_add_to_main(
    touched: ModuleType, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-b", "main")
    for name in ("old.py", "kept.py"):
        (tmp_path / name).write_text("1\n")
    (tmp_path / ".gitignore").write_text("ignored\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    assert touched.changed_files(tmp_path) == []
    git(tmp_path, "checkout", "-b", "branch")
    (tmp_path / "committed.py").write_text("1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "second")
    (tmp_path / "old.py").write_text("2\n")
    (tmp_path / "new.py").write_text("1\n")
    (tmp_path / "ignored").write_text("1\n")
    assert touched.changed_files(tmp_path) == ["committed.py", "new.py", "old.py"]
