"""The Makefile: installs once, says what it needs, lists what it can do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

STAMPS = ("run-set", "dev-set")


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """The files that decide what is installed, and an environment that has it all."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path / name)
        os.utime(tmp_path / name, (1_000_000_000, 1_000_000_000))
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").touch()
    for name in STAMPS:
        (tmp_path / ".venv" / name).write_text("installed\n")
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS")
    }
    return subprocess.run(
        ("make", "--no-print-directory", *arguments),
        cwd=folder, capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip


def installs(folder: Path, target: str) -> int:
    """How many installations `make target` would do."""
    planned = make(folder, "--dry-run", target)
    assert planned.returncode == 0, planned.stderr
    return planned.stdout.count("pip")


@pytest.mark.parametrize(
    "target", ["demo", "quick", "test", "lint", "types", "layers", "unit", "docs", "bench"]
)
def test_a_second_run_installs_nothing(checkout: Path, target: str) -> None:
    assert installs(checkout, target) == 0


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
@pytest.mark.parametrize("target", ["demo", "test"])
def test_changed_dependencies_are_installed(checkout: Path, changed: str, target: str) -> None:
    (checkout / changed).touch()
    later = (checkout / ".venv" / "dev-set").stat().st_mtime + 10
    os.utime(checkout / changed, (later, later))
    assert installs(checkout, target) > 0


def test_the_demo_does_not_wait_for_what_only_tests_need(checkout: Path) -> None:
    (checkout / ".venv" / "dev-set").unlink()
    assert installs(checkout, "demo") == 0
    assert installs(checkout, "test") > 0


def test_quick_leaves_out_what_takes_long_and_says_so(checkout: Path) -> None:
    planned = make(checkout, "--dry-run", "quick").stdout
    assert 'pytest -q -n 2 --dist loadfile \\\n  -m "not cluster and not slow" $tests' in planned
    assert "without those marked cluster or slow" in planned
    assert planned.index("ruff") < planned.index("mypy") < planned.index("lint-imports")
    assert planned.index("lint-imports") < planned.index("tests/touched.py")


def test_docs_are_built_strictly_and_looked_through(checkout: Path) -> None:
    planned = make(checkout, "--dry-run", "docs").stdout
    assert planned.index("mkdocs build --strict") < planned.index("docs/offline.py build/site")


def interpreter(folder: Path, script: str) -> str:
    path = folder / "somepython"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"PYTHON={path}"


def test_an_old_python_is_refused_with_a_remedy(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    old = 'test "$1" = --version && echo Python 3.9.18; exit 1'
    refused = make(checkout, "demo", interpreter(checkout, old))
    assert refused.returncode != 0
    assert "Expected Python >= 3.11" in refused.stderr
    assert "found: Python 3.9.18" in refused.stderr
    assert "make PYTHON=" in refused.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_without_venv_is_refused_with_a_remedy(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv")
    bare = 'case "$2" in *ensurepip*) exit 1;; esac'
    refused = make(checkout, "demo", interpreter(checkout, bare))
    assert refused.returncode != 0
    assert "apt install python3-venv" in refused.stderr


def test_help_lists_every_target(root: Path) -> None:
    declared = re.search(r"^\.PHONY: (.*)$", (root / "Makefile").read_text(), re.MULTILINE)
    assert declared is not None
    listed = re.findall(r"^  make (\w+)", make(root, "help").stdout, re.MULTILINE)
    assert listed == declared[1].split()


def test_clean_keeps_the_environment(checkout: Path) -> None:
    (checkout / "demo").mkdir()
    (checkout / "upscale" / "__pycache__").mkdir(parents=True)
    assert make(checkout, "clean").returncode == 0
    assert (checkout / ".venv" / "run-set").exists()
    assert not (checkout / "demo").exists()
    assert not (checkout / "upscale" / "__pycache__").exists()
