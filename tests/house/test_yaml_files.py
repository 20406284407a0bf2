"""Every YAML of the repository is read by the code that it is written for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mkdocs.config import load_config

from upscale.engine.config import load_run
from upscale.grid import load_grid
from upscale.network.released_code.scaling import read_scaling
from upscale.network.releases.release import load_release
from upscale.training.config import read_config

#: Which files are read by what: the first pattern that fits a path from the root. A YAML
#: that nothing here reads fails the test: add its reader.
READERS: dict[str, Callable[[Path], object]] = {
    "grids/*.yaml": load_grid,
    "models/*/release.yaml": lambda path: load_release(path.parent),
    "examples/train*.yaml": read_config,
    "examples/**/train*.yaml": read_config,
    "examples/scaling*.yaml": read_scaling,
    "examples/run*.yaml": load_run,
    "examples/**/run*.yaml": load_run,
    "docker/run*.yaml": load_run,
    "mkdocs.yml": lambda path: load_config(str(path)),
}


def reader_of(path: Path) -> Callable[[Path], object] | None:
    fitting = (read for pattern, read in READERS.items() if path.match(pattern))
    return next(fitting, None)


@pytest.fixture(scope="module")
def yamls(tracked: list[Path]) -> list[Path]:
    return [path for path in tracked if path.suffix in {".yaml", ".yml"}]


def test_every_yaml_has_a_reader(yamls: list[Path]) -> None:
    assert [path for path in yamls if reader_of(path) is None] == []


def test_every_yaml_is_accepted_by_its_reader(root: Path, yamls: list[Path]) -> None:
    assert yamls
    for path in yamls:
        read = reader_of(path)
        assert read is not None
        assert read(root / path), path


def test_every_grid_is_called_as_its_file(root: Path) -> None:
    names = [path.stem for path in (root / "grids").glob("*.yaml")]
    assert names
    assert [load_grid(name).name for name in names] == names
