"""Of a library only what it shows: its private modules and names may change with any release."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

#: Packages whose undocumented modules have no underscore.
_HIDDEN = ("zarr.core", "xarray.core", "pandas.core", "numpy.core")

#: What the guide of xarray to writing a backend tells to import.
_SHOWN = {"xarray.core.indexing"}


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def is_private(name: str) -> bool:
    """Whether a dotted name of a library goes through something that it does not show."""
    if name in _SHOWN:
        return False
    inner = name.split(".")[1:]
    hidden = any(part.startswith("_") and not part.startswith("__") for part in inner)
    return hidden or name.startswith(_HIDDEN)


@pytest.mark.parametrize("folder", ["upscale", "benchmarks"])
def test_no_private_path_of_a_library_is_imported(root: Path, folder: str) -> None:
    files = sorted((root / folder).rglob("*.py"))
    names = {
        (file.relative_to(root).as_posix(), name)
        for file in files
        for name in imported(ast.parse(file.read_text(encoding="utf-8")))
        if not name.startswith("upscale.")
    }
    assert names
    assert [pair for pair in sorted(names) if is_private(pair[1])] == []


def test_what_is_private_is_known() -> None:
    private = "from zarr.core.sync import sync\nimport xarray.core.utils, a.b._c\nfrom d import _e"
    public = "from zarr.abc.store import Store\nfrom __future__ import annotations\nimport zarr"
    assert all(map(is_private, imported(ast.parse(private))))
    assert not any(map(is_private, imported(ast.parse(public))))


def test_stores_of_files_know_no_arrays(root: Path) -> None:
    """Whoever writes a file, as a model release is, must not load Zarr for it."""
    for name in ("files", "location"):
        tree = ast.parse((root / "upscale" / "stores" / f"{name}.py").read_text())
        assert not {n.split(".")[0] for n in imported(tree)} & {"zarr", "xarray", "torch"}
