"""A small driver cube with everything in it: coast, gaps, satellite, fine and coarse grids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from upscale.drivers.writer import (
    SeriesSpec,
    create_cube,
    create_series,
    seal,
    write_series,
    write_static,
)
from upscale.grid import load_grid

#: 40 x 60 cells of the product grid around 48 N, 11 E, and the nodes around them.
GRID = load_grid("global-0p05").crop(slice(820, 860), slice(3800, 3860))
NODES = load_grid("era5-land-0p1").crop(slice(408, 433), slice(1898, 1933))
FIRST, DAYS = 4380, 50
METEO = ("ta", "sw_in", "vpd", "p")


@dataclass(frozen=True)
class Written:
    """What was given to the writer of a cube at `url`."""

    url: str
    land: np.ndarray
    meteo: dict[str, np.ndarray]
    ndvi: np.ndarray
    filled: np.ndarray


def weather(shape: tuple[int, ...], seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    level = {"ta": (10, 5), "sw_in": (200, 40), "vpd": (8, 1.5), "p": (9, 2)}
    fields = {n: np.abs(rng.normal(m, s, shape)) for n, (m, s) in level.items()}
    return {name: field.astype(np.float32) for name, field in fields.items()}


def write_cube(
    url: str, packing: Any = "int16", sealed: bool = True, group_days: int = DAYS
) -> Written:
    """Meteorology on 0.1 degree nodes with a coast, satellite on the product grid, static."""
    create_cube(url, title="made", source="test", day_definition="utc", tile=20)
    rng = np.random.default_rng(3)
    sftlf = np.full(GRID.shape, 100, np.float32)
    sftlf[:, 40:] = 0
    sftlf[:5] = np.nan
    igbp = rng.integers(1, 16, GRID.shape)
    igbp[igbp == 15] = 1
    igbp[30, 30] = 15
    koppen = rng.integers(0, 31, GRID.shape)
    write_static(url, GRID, igbp=igbp, koppen=koppen, sftlf=sftlf, elevation=0 * sftlf + 300)
    land = np.ones(NODES.shape, bool)
    land[:, 21:] = False
    meteo = weather((DAYS, *NODES.shape))
    for field in meteo.values():
        field[:, ~land] = np.nan
    spec = SeriesSpec("meteo", NODES, FIRST, group_days, METEO, packing, (20, 20, 20))
    create_series(url, spec, land)
    for name, field in meteo.items():
        write_series(url, "meteo", name, (0, 0, 0), field[:group_days])
    ndvi = rng.uniform(0, 1, (DAYS, *GRID.shape)).astype(np.float32)
    filled = rng.uniform(size=ndvi.shape) < 0.2
    create_series(url, SeriesSpec("satellite", GRID, FIRST, DAYS, ("ndvi",), packing))
    write_series(url, "satellite", "ndvi", (0, 0, 0), ndvi, filled)
    if sealed:
        seal(url)
    return Written(url, land, meteo, ndvi, filled)


@pytest.fixture(scope="session")
def cube_writer() -> Callable[..., Written]:
    """Write a made cube at a URL of one's own."""
    return write_cube


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A finished cube, float32, for reading only."""
    return write_cube(str(tmp_path_factory.mktemp("cube") / "unpacked.zarr"), "float32")


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The same cube, packed into 16 bits, for reading only."""
    return write_cube(str(tmp_path_factory.mktemp("cube") / "packed.zarr"))


@pytest.fixture
def scratch(tmp_path: Path) -> Written:
    """A cube of one's own to break."""
    return write_cube(str(tmp_path / "scratch.zarr"))
