"""A small synthetic world and a small model, shared by the tests of a run."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import pytest

from upscale.grid import load_grid
from upscale.planet.cube import write_planet
from upscale.testing.releases import fake_release

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
