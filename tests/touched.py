"""Which tests a change needs: the folders of the rooms that it touches.

    python tests/touched.py

prints them for `make quick`. Changed is what differs from where this branch left main, committed or
not. A room without tests of its own is tested by the rooms that import it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import grimp

ROOT = Path(__file__).resolve().parents[1]
HOUSE = "house"
#: Fixtures of several rooms.
SHARED = "tests/conftest.py"


def tests_of(
    changed: Iterable[str], tested: set[str], importers: Callable[[str], set[str]]
) -> list[str]:
    """Folders of tests/ for changed files of the repository.

    changed: paths from the root; tested: the folders of tests/; importers: the rooms that import a
    room. What belongs to no room is the matter of tests/house.
    """
    wanted: set[str] = set()
    for path in map(PurePosixPath, changed):
        top, *rest = path.parts
        room = rest[0].removesuffix(".py") if rest else ""
        if room in tested and top in ("upscale", "tests"):
            wanted.add(room)
        elif str(path) == SHARED:
            wanted |= tested
        elif top == "upscale":
            wanted |= importers(room) & tested
        wanted.add(HOUSE)
    return sorted(wanted)


def importing_rooms(room: str) -> set[str]:
    """The rooms of which a module imports a module of `room`."""
    graph = grimp.build_graph("upscale", cache_dir=None)
    return {
        module.split(".")[1]
        for module in graph.modules
        for other in graph.find_modules_directly_imported_by(module)
        if f"{other}.".startswith(f"upscale.{room}.") and module.count(".")
    }


def changed_files(root: Path = ROOT) -> list[str]:
    """Files that differ from the commit at which this branch left main; new ones among them."""
    start = _git(root, "merge-base", "HEAD", _main(root)) or ["HEAD"]
    differing = _git(root, "diff", "--name-only", start[0])
    new = _git(root, "ls-files", "--others", "--exclude-standard")
    return sorted({*differing, *new})


def _main(root: Path) -> str:
    known = _git(root, "for-each-ref", "--format=%(refname:short)", "refs/remotes/origin/main",
                 "refs/heads/main")  # fmt: skip
    return "origin/main" if "origin/main" in known else (known or ["HEAD"])[0]


def _git(root: Path, *words: str) -> list[str]:
    """The lines that git prints; none where it fails."""
    done = subprocess.run(("git", *words), cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


if __name__ == "__main__":
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    files = changed_files()
    rooms = tests_of(files, folders, importing_rooms)
    print(f"{len(files)} changed files; tests: {', '.join(rooms) or 'none'}", file=sys.stderr)
    print(*(f"tests/{room}" for room in rooms))
