"""What `import upscale` shows, what it costs, and that each function's example is true."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import upscale

FUNCTIONS = [name for name in upscale.__all__ if name != "__version__"]
HEAVY = ("torch", "xarray", "pandas", "numpy", "zarr", "dask", "pydantic", "yaml")


def fresh(code: str) -> str:
    """What a new process prints."""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout


def test_importing_loads_next_to_nothing():
    counted = json.loads(fresh(
        "import sys; before = set(sys.modules); import upscale; new = set(sys.modules) - before;"
        "import json; print(json.dumps([sorted(new), sorted(sys.modules)]))"
    ))  # fmt: skip
    new, loaded = counted
    assert "upscale" in new
    assert len(new) <= 3, new
    assert not [name for name in loaded if name.split(".")[0] in HEAVY]


def test_the_version_is_told_without_loading_anything_heavy():
    loaded = json.loads(fresh(
        "import sys, json, upscale; upscale.__version__; print(json.dumps(sorted(sys.modules)))"
    ))  # fmt: skip
    assert not [name for name in loaded if name.split(".")[0] in HEAVY]


def test_every_name_is_there_and_listed():
    assert set(upscale.__all__) <= set(dir(upscale))
    for name in FUNCTIONS:
        assert callable(getattr(upscale, name)), name
    assert upscale.__version__[0].isdigit()
    with pytest.raises(AttributeError, match="no attribute 'predicts'"):
        _ = upscale.predicts  # type: ignore[attr-defined]


def test_names_that_are_listed_for_editors_are_those_that_are_loaded():
    source = Path(upscale.__file__).read_text(encoding="utf-8")
    imports = dict(re.findall(r"from upscale\.([\w.]+) import (.*)", source))
    for name, home in upscale._HOMES.items():
        assert name in imports[home].split(", ")
    assert sorted(upscale._HOMES) == sorted(upscale.__all__)


@pytest.fixture(scope="module")
def desk(mapped, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples name: drivers, fluxes, towers and a RUN.yaml."""
    folder = tmp_path_factory.mktemp("desk")
    for name, target in (("towers", mapped.towers), ("drivers.zarr", mapped.cube),
                         ("fluxes.zarr", Path(mapped.store))):  # fmt: skip
        (folder / name).symlink_to(target)
    content = {"model": "tamrl-met-v1", "drivers": "drivers.zarr",
               "period": {"start": "2005-05-01", "end": "2005-05-10"},
               "output": {"store": "other.zarr"}, "cluster": {"workers": 1}}  # fmt: skip
    (folder / "RUN.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.mark.cluster
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_a_function_is_true(name, desk, monkeypatch):
    monkeypatch.chdir(desk)
    tests = doctest.DocTestFinder(recurse=False).find(getattr(upscale, name), name, globs={})
    assert tests[0].examples
    for test in tests:
        found = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
        assert found.failed == 0
