"""The picture of the rooms in the architecture page is that of the imports in the code."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

REMEDY = "run `python docs/rooms.py` and commit docs/images/rooms.svg"


@pytest.fixture(scope="module")
def rooms(root: Path) -> Iterator[ModuleType]:
    """The script that draws."""
    sys.path.insert(0, str(root / "docs"))
    import rooms

    yield rooms
    sys.path.remove(str(root / "docs"))


def written_in(picture: Path) -> str:
    (text,) = ElementTree.parse(picture).iter("{http://purl.org/dc/elements/1.1/}description")
    return text.text or ""


def test_the_picture_shows_the_imports_of_the_code(root: Path, rooms: ModuleType) -> None:
    assert written_in(root / "docs" / "images" / "rooms.svg") == rooms.as_text(
        set(rooms.imports())
    ), REMEDY


def test_every_import_leads_down(rooms: ModuleType) -> None:
    level = {room: i for i, row in enumerate(rooms.layers()) for room in row}
    found = rooms.imports()
    assert len(found) > 50
    assert {(one, to) for one, to in found if level[one] >= level[to]} == set()


def test_every_room_is_in_the_picture_and_in_the_table(root: Path, rooms: ModuleType) -> None:
    level = {room: i for i, row in enumerate(rooms.layers()) for room in row}
    assert set(level) <= set(rooms.CAPTIONS)
    folders = {path.parent.name for path in (root / "upscale").glob("*/__init__.py")}
    assert folders <= set(level)
    page = (root / "docs" / "architecture.md").read_text()
    table = "\n".join(re.findall(r"^\| (`upscale/.*?) \|", page, re.MULTILINE))
    named = [name for name in re.findall(r"`upscale/(\w+)", table) if name in level]
    assert sorted(named) == sorted(level)
    assert [level[name] for name in named] == sorted(level[name] for name in named)


def test_the_script_draws_what_it_lists(rooms: ModuleType, tmp_path: Path) -> None:
    rooms.draw(tmp_path / "rooms.svg")
    assert written_in(tmp_path / "rooms.svg") == rooms.as_text(set(rooms.imports()))


def test_only_imports_that_a_chain_stands_for_are_left_out(rooms: ModuleType) -> None:
    edges = {("a", "b"), ("b", "c"), ("a", "c"), ("a", "d"), ("c", "e"), ("a", "e")}
    assert rooms.without_shortcuts(edges) == {("a", "b"), ("b", "c"), ("a", "d"), ("c", "e")}
