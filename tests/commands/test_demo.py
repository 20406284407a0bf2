"""`upscale demo`, as `make demo` calls it: the whole service, then once more."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

pytestmark = pytest.mark.cluster
PICTURES = {"maps.png", "map_gpp.png", "map_reco.png", "map_nee.png", "seasonal_cycle.png"}


def demo(folder: Path, out: str = "--out") -> subprocess.CompletedProcess:
    """On a quarter of the cells that `make demo` has: everything else is the same."""
    command = [sys.executable, "-m", "upscale", "demo", out, str(folder), "--grid", "global-2p0"]
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two demonstrations in one folder: what each printed, and the folder."""
    folder = tmp_path_factory.mktemp("demo")
    return demo(folder), demo(folder), folder


def test_both_succeed_and_pass_all_checks(made):
    for one in made[:2]:
        assert one.returncode == 0, one.stderr
        assert "checks passed" in one.stderr


def test_the_second_is_quicker_and_says_why(made):
    first, second, _ = made
    assert "nothing was computed again" not in first.stdout
    assert "nothing was computed again" in second.stdout
    assert "is there already and is kept" in second.stdout


def test_it_leaves_what_the_readme_promises(made):
    folder = made[2]
    found = {path.name for path in folder.iterdir()}
    assert found >= PICTURES | {"drivers.zarr", "fluxes.zarr", "report.json"}
    report = json.loads((folder / "report.json").read_text())
    assert report["done"] == report["items"] > 100
    assert report["synthetic"]
    assert report["failed"] == []


def test_the_planet_is_called_synthetic_wherever_it_is_named(made):
    folder = made[2]
    assert "synthetic planet" in made[0].stdout.lower()
    assert "synthetic planet" in xr.open_zarr(folder / "fluxes.zarr").attrs["title"].lower()
    assert "synthetic planet" in xr.open_zarr(folder / "drivers.zarr").attrs["title"].lower()


def test_seasons_swap_hemispheres_and_the_tropics_stay_green(made):
    """The map looks like a planet: GPP of the three belts by season."""
    fluxes = xr.open_zarr(made[2] / "fluxes.zarr")
    gpp = fluxes.gpp.groupby("time.month").mean().mean("lon").compute()
    north, south = gpp.sel(lat=slice(65, 45)).mean("lat"), gpp.sel(lat=slice(-45, -65)).mean("lat")
    tropics = gpp.sel(lat=slice(5, -5)).mean("lat")
    assert float(north.sel(month=7)) > 3 * float(north.sel(month=1))
    assert float(south.sel(month=1)) > 3 * float(south.sel(month=7))
    assert float(tropics.min()) > 0.6 * float(tropics.max())


def test_a_driver_cube_of_somebody_else_is_never_replaced(made, tmp_path):
    shutil.copytree(made[2] / "drivers.zarr", tmp_path / "drivers.zarr")
    root = tmp_path / "drivers.zarr" / "zarr.json"
    text = json.loads(root.read_text())
    text["attributes"] |= {"synthetic": False, "planet_seed": 99}
    root.write_text(json.dumps(text))
    refused = demo(tmp_path, "--folder")
    assert refused.returncode == 2
    assert "note: --folder is --out now; the old name still works" in refused.stderr
    assert json.loads(root.read_text())["attributes"]["planet_seed"] == 99
