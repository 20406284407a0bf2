"""What is shipped is found from an installed wheel as from a checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PIP = (sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check")

ASK = """
import json, sys
import upscale
from upscale.grid import load_grid
from upscale.network.releases.release import load_release
releases = json.loads(sys.argv[1])
print(json.dumps({
    "package": upscale.__file__,
    "grid": load_grid("global-0p05").shape,
    "members": {name: load_release(name).members for name in releases},
}))
"""


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = (*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), ".")
    subprocess.run(build, cwd=root, check=True)
    (built,) = out.glob("upscale-*.whl")
    return built


def shipped(root: Path, kind: str) -> list[str]:
    return sorted(
        str(file.relative_to(root))
        for file in (root / kind).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    )


@pytest.mark.parametrize("kind", ["grids", "models"])
def test_the_wheel_holds_every_shipped_file(root: Path, wheel: Path, kind: str) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    prefix = "upscale/_shipped/"
    packed = sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix + kind))
    assert packed == shipped(root, kind)
    assert packed


def test_the_wheel_holds_every_file_of_the_package_that_is_no_module(
    root: Path, wheel: Path
) -> None:
    beside = {name for name in shipped(root, "upscale") if not name.endswith(".py")}
    assert "upscale/evaluation/report/templates/report.html" in beside
    assert beside <= set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_tells_type_checkers_that_it_is_typed(wheel: Path) -> None:
    assert "upscale/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_the_wheel_holds_the_licence_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"upscale"}


def test_an_installed_wheel_finds_grids_and_models(root: Path, wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    subprocess.run((*PIP, "install", "--no-deps", "--target", str(target), str(wheel)), check=True)
    releases = sorted(path.parent.name for path in (root / "models").glob("*/release.yaml"))
    answer = subprocess.run(
        (sys.executable, "-c", ASK, json.dumps(releases)),
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = json.loads(answer)
    assert Path(found["package"]).is_relative_to(target)
    assert found["grid"] == [3600, 7200]
    assert all(count >= 1 for count in found["members"].values())
    assert list(found["members"]) == releases
