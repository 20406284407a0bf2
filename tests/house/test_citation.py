"""CITATION.cff can be read, and says what the package and its releases say."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from upscale.network.releases.citations import PAPER

#: Keys of the Citation File Format 1.2.0 that a file of software must have.
NEEDED = {"cff-version", "message", "title", "authors"}
#: All keys that it may have at its top.
KNOWN = NEEDED | {
    "abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license",
    "license-url", "preferred-citation", "references", "repository", "repository-artifact",
    "repository-code", "type", "url", "version",
}  # fmt: skip


@pytest.fixture(scope="module")
def citation(root: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return dict(tomllib.loads((root / "pyproject.toml").read_text())["project"])


def test_it_has_the_keys_of_the_format(citation: dict[str, Any]) -> None:
    assert NEEDED <= set(citation) <= KNOWN
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    for reference in citation["references"]:
        assert {"type", "title", "authors"} <= set(reference)
        assert all({"family-names", "given-names"} <= set(one) for one in reference["authors"])


def test_it_says_what_the_package_says(citation: dict[str, Any], project: dict[str, Any]) -> None:
    for key in ("version", "license", "keywords"):
        assert citation[key] == project[key], key
    assert citation["title"].startswith(f"{project['name']}: ")


def test_the_paper_is_the_one_that_releases_name(citation: dict[str, Any]) -> None:
    (paper,) = citation["references"]
    (number,) = (one["value"] for one in paper["identifiers"])
    authors = ", ".join(f"{one['family-names']} {one['given-names']}" for one in paper["authors"])
    assert f"{authors} ({paper['year']}) {paper['title']}, {number}" == PAPER
    assert paper["url"].endswith(number.removeprefix("arXiv:"))
