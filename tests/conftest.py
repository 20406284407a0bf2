"""Flux cubes for the tests of what is checked and of what is published."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest

from upscale.testing.flux_cubes import make_flux_cube, small_layout


@pytest.fixture(scope="session")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """82 days over a new year and 29 February, tiles and blocks that do not divide the cube."""
    url = str(tmp_path_factory.mktemp("made") / "fluxes.zarr")
    make_flux_cube(url, small_layout())
    return url


@pytest.fixture(scope="session")
def year_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A whole leap year on 648 cells: both half-years, more than 100 cells with land."""
    url = str(tmp_path_factory.mktemp("year") / "fluxes.zarr")
    layout = small_layout(dt.date(2012, 1, 1), dt.date(2012, 12, 31), rows=18, tile=18, block=360)
    make_flux_cube(url, layout)
    return url


@pytest.fixture
def copied(year_store: str, tmp_path: Path) -> str:
    """A year to spoil."""
    return str(shutil.copytree(year_store, tmp_path / "spoiled.zarr"))
