"""One name for one thing, and rooms of a size that a reader takes in."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

#: Names that stood for several things, or said nothing of what they were.
GONE = {
    "Box", "Entry", "Errand", "Place", "Record", "Source", "Task", "Window", "_Desk", "_Session",
    "_Teller", "at_home", "judge", "rivals", "shown",
}  # fmt: skip

#: Modules that a room may have; commands are one file each.
MOST_MODULES = 15

PACKAGE = Path(__file__).parents[2] / "upscale"


def test_no_class_name_is_used_for_two_things() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(file.relative_to(PACKAGE).as_posix())
    assert len(places) > 300
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def defined(node: ast.AST) -> Iterator[str]:
    """Names of all classes, functions and methods below a node."""
    for child in ast.walk(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield child.name


def test_names_that_meant_several_things_are_gone() -> None:
    found = {
        file.relative_to(PACKAGE).as_posix(): sorted(
            GONE & set(defined(ast.parse(file.read_text(encoding="utf-8"))))
        )
        for file in PACKAGE.rglob("*.py")
    }
    assert {file: names for file, names in found.items() if names} == {}


def test_no_room_is_crowded() -> None:
    rooms = {file.parent for file in PACKAGE.rglob("*.py")} - {PACKAGE / "commands"}
    sizes = {
        room.relative_to(PACKAGE).as_posix(): len(set(room.glob("*.py")) - {room / "__init__.py"})
        for room in rooms
    }
    assert len(sizes) > 20
    assert {room: size for room, size in sizes.items() if size > MOST_MODULES} == {}
