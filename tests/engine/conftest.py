"""A small synthetic world and a small model, shared by the tests of a run."""

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from upscale.grid import load_grid
from upscale.planet.cube import write_planet
from upscale.testing.cubes import grow_cube
from upscale.testing.releases import fake_release
from upscale.testing.runs import prepare, run_here

MET = ("ta", "sw_in", "vpd", "p", "sw_pot", "day_length")


@dataclass(frozen=True)
class World:
    """Driver cube and release of the tests; `period` is the year that is mapped."""

    drivers: Path
    model: Path
    period: tuple[str, str] = ("2012-01-01", "2012-12-31")


def write_world(path: Path) -> Path:
    """Two years of a cold coast with ice: 12 x 14 cells, tiles of 5, nodes of 2 degrees."""
    grid = load_grid("global-1p0").crop(slice(148, 160), slice(28, 42))
    period = dt.date(2011, 1, 1), dt.date(2012, 12, 31)
    write_planet(str(path), grid, load_grid("nodes-2p0"), period, satellite=("ndvi",), tile=5)
    return path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    fake_release(folder / "model", features=MET, members=3, hidden=16)
    return World(write_world(folder / "drivers.zarr"), folder / "model")


#: The days of the whole run of `june_run`.
JUNE = "2012-06-01", "2012-06-30"


@pytest.fixture(scope="session")
def june_run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store of a whole run, and its ledger."""
    folder = tmp_path_factory.mktemp("june")
    run_here(prepare(world.model, world.drivers, folder / "f.zarr", period=JUNE))
    return folder


#: The days of the finished store of `finished`.
SPRING = "2012-03-01", "2012-05-31"


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """All drivers of 2011 and 2012 of a cold coast: 10 x 10 cells, from which cubes grow."""
    path = tmp_path_factory.mktemp("whole") / "drivers.zarr"
    grid = load_grid("global-1p0").crop(slice(148, 158), slice(28, 38))
    nodes = load_grid("nodes-2p0").crop(slice(72, 82), slice(12, 22))
    period = dt.date(2011, 1, 1), dt.date(2012, 12, 31)
    write_planet(str(path), grid, nodes, period, satellite=("ndvi",), tile=5,
                 meteorology=("ta", "sw_in", "p"))  # fmt: skip
    return path


@pytest.fixture(scope="session")
def ndvi_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    fake_release(folder, features=("ta", "sw_in", "ndvi", "day_length"), members=3, hidden=16)
    return folder


@pytest.fixture(scope="session")
def finished(whole, ndvi_model, tmp_path_factory):
    """A folder with a finished store of March to May 2012 and the driver cube that ends with it."""
    folder = tmp_path_factory.mktemp("finished")
    cube = grow_cube(folder / "d.zarr", whole, dt.date.fromisoformat(SPRING[1]))
    run_here(prepare(ndvi_model, cube, folder / "f.zarr", period=SPRING))
    return folder


@pytest.fixture
def living(finished, tmp_path):
    """A copy of the finished store and of its driver cube, to be changed."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / "d.zarr", str(tmp_path / "f.zarr")
