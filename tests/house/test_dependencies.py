"""constraints.txt pins everything that is declared, and what is declared is used."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return dict(tomllib.loads((root / "pyproject.toml").read_text())["project"])


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): pin for name, pin in pairs}


def declared(project: dict[str, Any]) -> list[Requirement]:
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    rows = [Requirement(text) for group in groups for text in group]
    return [row for row in rows if row.marker is None or row.marker.evaluate()]


def test_constraints_are_exact_and_nothing_else(root: Path) -> None:
    lines = (root / "constraints.txt").read_text().splitlines()
    pattern = re.compile(r"#.*|[A-Za-z0-9._-]+==[A-Za-z0-9.]+")
    assert [line for line in lines if not pattern.fullmatch(line)] == []


def test_every_declared_dependency_is_pinned_within_its_range(
    project: dict[str, Any], pins: dict[str, str]
) -> None:
    for row in declared(project):
        assert row.specifier.contains(pins[canonicalize_name(row.name)]), row


def test_dependencies_of_dependencies_are_pinned(pins: dict[str, str]) -> None:
    below = {"numpy", "click", "tornado", "botocore", "pydantic-core", "rasterio", "scipy"}
    assert below <= set(pins)


def test_the_makefile_installs_the_pinned_torch(root: Path, pins: dict[str, str]) -> None:
    named = re.search(r"^TORCH\s*:=\s*(\S+)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert named is not None
    assert named[1] == pins["torch"]


def test_the_tests_run_with_the_pinned_torch(pins: dict[str, str]) -> None:
    try:
        found = Version(version("torch"))
    except PackageNotFoundError:
        pytest.fail("torch is not installed: make test")
    assert found.public == pins["torch"]
