"""The notebook in docs/ runs, and gives the numbers that it shows."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
#: Rounding of another processor may move the last digit of what is printed.
CLOSE = {"rtol": 0.02, "atol": 0.15}


def notebook(root: Path) -> NotebookNode:
    return nbformat.read(root / "docs" / "tutorial.ipynb", as_version=4)  # type: ignore[no-untyped-call]


def texts(cell: NotebookNode) -> str:
    """What a cell printed and showed, pictures left out."""
    parts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell.outputs]
    return "\n".join(parts)


@pytest.fixture(scope="module")
def shown(root: Path) -> list[NotebookNode]:
    return [cell for cell in notebook(root).cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def again(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[NotebookNode]:
    """The same cells, executed now in an empty folder; an error of a cell is raised."""
    fresh = notebook(root)
    where = {"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}}
    NotebookClient(fresh, timeout=600, resources=where).execute()
    return [cell for cell in fresh.cells if cell.cell_type == "code"]


def test_the_numbers_that_it_shows_are_those_that_it_gives(
    shown: list[NotebookNode], again: list[NotebookNode]
) -> None:
    compared = 0
    for old, new in zip(shown, again, strict=True):
        before, after = texts(old), texts(new)
        assert NUMBER.sub("#", before).split() == NUMBER.sub("#", after).split()
        found, wanted = (np.array(NUMBER.findall(text), float) for text in (after, before))
        np.testing.assert_allclose(found, wanted, **CLOSE)
        compared += len(wanted)
    assert compared > 40


def test_it_was_executed_from_top_to_bottom(shown: list[NotebookNode]) -> None:
    assert [cell.execution_count for cell in shown] == list(range(1, len(shown) + 1))
    assert all(cell.outputs for cell in shown)
    assert any("image/png" in out.get("data", {}) for out in shown[-1].outputs)


def test_it_holds_nothing_of_the_machine_that_executed_it(root: Path) -> None:
    text = (root / "docs" / "tutorial.ipynb").read_text(encoding="utf-8")
    text = re.sub(r'"image/png": "[^"]*"', "", text)
    assert len(text) < 20_000
    assert "Error" not in text
    for trace in ("/home/", "/root", "/tmp", "/work", "iopub.execute", "2.0.dev"):
        assert trace not in text, trace


def test_it_says_that_its_planet_is_not_the_earth(root: Path) -> None:
    first = notebook(root).cells[0].source
    assert "not on Earth" in first


def test_its_links_lead_to_files(root: Path) -> None:
    prose = "\n".join(c.source for c in notebook(root).cells if c.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#:]+)\)", prose)
    assert len(links) == 3
    assert all((root / "docs" / link).is_file() for link in links)
