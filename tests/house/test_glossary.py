"""The glossary explains each word once, in a few sentences, and names what exists."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

#: Words that the project stands on.
EXPECTED = {
    "area of applicability", "baseline", "block", "calibration", "cell", "claim", "composite",
    "context", "driver", "driver cube", "embedding", "entry", "fetch", "flux cube", "grid",
    "ingest", "ledger", "member", "near", "node", "release", "run", "seal", "segment", "shard",
    "split", "spread", "stride", "support set", "suspect", "tile", "tower", "uncertainty",
    "window", "work item",
}  # fmt: skip


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "glossary.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def terms(page: str) -> dict[str, str]:
    """What is said of every term."""
    found = re.findall(r"^\*\*(.+?)\.\*\* (.+?)(?=\n\n|\Z)", page, re.MULTILINE | re.DOTALL)
    names = [name.lower() for name, _ in found]
    assert len(names) == len(set(names)), "a term is explained twice"
    return {name.lower(): " ".join(text.split()) for name, text in found}


def test_every_word_of_the_project_is_explained_briefly(terms: dict[str, str]) -> None:
    assert set(terms) >= EXPECTED
    assert {name: text for name, text in terms.items() if len(text) > 350} == {}
    assert [name for name, text in terms.items() if not re.search(r"[.)]$", text)] == []


def test_classes_that_it_names_exist(root: Path, page: str) -> None:
    trees = [ast.parse(path.read_text("utf-8")) for path in (root / "upscale").rglob("*.py")]
    known = {node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}
    named = set(re.findall(r"`([A-Z][A-Za-z]+)`", page))
    assert len(named) > 25
    assert named - known == set()


def test_modules_that_it_names_exist(page: str) -> None:
    named = re.findall(r"`(upscale(?:\.\w+)+)`", page)
    assert named
    for name in named:
        assert import_module(name).__name__ == name
