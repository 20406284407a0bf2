"""What every store and file needs is written once, in upscale/stores."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def modules(root: Path) -> dict[str, str]:
    """The text of every module by its path in the package; made data are left out."""
    package = root / "upscale"
    texts = {
        path.relative_to(package).as_posix(): path.read_text(encoding="utf-8")
        for path in package.rglob("*.py")
    }
    return {name: text for name, text in texts.items() if not name.startswith("testing/")}


def methods(text: str) -> Iterator[tuple[str, ast.Call]]:
    """Each call of a method, or of a function by the name of its module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node


def calling(modules: dict[str, str], method: str) -> set[str]:
    return {
        name for name, text in modules.items() for called, _ in methods(text) if called == method
    }


def renames(text: str) -> bool:
    """Whether a module moves files: `Path.replace` takes one path, that of a text takes two
    texts, that of a table a dict, and that of a date its parts by name."""
    moves = re.search(r"\bos\.(replace|rename)\(|\bshutil\.move\(", text)
    calls = (call for method, call in methods(text) if method == "replace" and not call.keywords)
    return bool(moves) or any(
        len(call.args) == 1 and not isinstance(call.args[0], ast.Dict) for call in calls
    )


def test_a_file_is_renamed_in_one_place(modules: dict[str, str]) -> None:
    assert {name for name, text in modules.items() if renames(text)} == {"stores/files.py"}


@pytest.mark.parametrize(
    "text", ["part.replace(path)", "os.replace(a, b)", "Path(a).replace(b / c)"]
)
def test_a_file_that_is_renamed_is_seen(text: str) -> None:
    assert renames(text)


def test_files_that_grow_are_all_that_is_synced_elsewhere(modules: dict[str, str]) -> None:
    growing = {"fetch/ledger.py", "remote/copies.py"}
    assert calling(modules, "fsync") == {"stores/files.py", *growing}


def test_arrays_are_created_in_one_place(modules: dict[str, str]) -> None:
    assert calling(modules, "create_array") == {"stores/arrays.py"}
    codecs = {name for name, text in modules.items() if "zarr.codecs" in text}
    assert codecs == {"stores/arrays.py"}


@pytest.mark.parametrize("text", ["leap_seconds", '"standard_name": "lat', "latitude_longitude"])
def test_axes_are_described_in_one_place(modules: dict[str, str], text: str) -> None:
    assert {name for name, content in modules.items() if text in content} == {"stores/axes.py"}


def test_classes_of_water_and_ice_are_coded_in_one_place(modules: dict[str, str]) -> None:
    coded = re.compile(r"(index\(|class_code\(IGBP, )\"(WAT|SNO)\"")
    found = {name for name, text in modules.items() if coded.search(text)}
    assert found == {"variables.py"}
