"""Made towers, their driver cube, and the map that a run makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import xarray as xr

import upscale
from upscale.drivers.from_towers import TowersOnGrid, towers_on_grid
from upscale.testing.runs import prepare, run_here
from upscale.testing.towers import write_towers

#: A release with embeddings, composites, a calibration and an area of applicability.
MODEL = "tamrl-v2"


@dataclass(frozen=True)
class Mapped:
    """Towers, the cube of their drivers and the store that a run made of it; four years."""

    towers: Path
    cube: Path
    placed: TowersOnGrid
    store: str

    def drivers(self) -> xr.Dataset:
        """The series of all towers, with their classes, along the dimension site."""
        tree = upscale.open_drivers(str(self.cube))
        parts = [tree[name].to_dataset() for name in ("meteo", "satellite", "static")]
        return self.at_towers(xr.merge([part.drop_attrs(deep=False) for part in parts]))

    def at_towers(self, maps: xr.Dataset) -> xr.Dataset:
        """What maps hold at the cells of the towers, along the dimension site."""
        kept = self.placed.kept
        row, col = (
            xr.DataArray([getattr(k, n) for k in kept], dims="site") for n in ("row", "col")
        )
        return maps.isel(lat=row, lon=col).assign_coords(site=[k.site for k in kept]).load()


@pytest.fixture(scope="session")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Mapped:
    folder = tmp_path_factory.mktemp("mapped")
    towers = write_towers(folder / "towers", count=6, satellite=True)
    placed = towers_on_grid(towers, str(folder / "drivers.zarr"), 2003, 2006)
    checked = prepare(MODEL, folder / "drivers.zarr", folder / "fluxes.zarr",
                      period=("2003-01-01", "2006-12-31"))  # fmt: skip
    return Mapped(towers, folder / "drivers.zarr", placed, run_here(checked))
