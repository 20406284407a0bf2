"""The grids of a folder, each with its extent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upscale import shipped
from upscale.grid.grid import Grid, parse_grid


@dataclass(frozen=True)
class GridSummary:
    """A grid and its title; extent: edges as south, north, west, east, degrees."""

    title: str
    path: Path
    grid: Grid

    @property
    def extent(self) -> tuple[float, float, float, float]:
        lat, lon = self.grid.lat_bounds, self.grid.lon_bounds
        return float(lat[-1, 1]), float(lat[0, 0]), float(lon[0, 0]), float(lon[-1, 1])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        edges = dict(zip(("south", "north", "west", "east"), self.extent, strict=True))
        sizes = {"rows": self.grid.rows, "cols": self.grid.cols}
        return {
            "name": self.grid.name,
            "title": self.title,
            "path": str(self.path),
            **sizes,
            "resolution": self.grid.resolution,
            **edges,
        }


def grid_files(folder: Path | None = None) -> Iterator[Path]:
    """Files of the shipped grids, or the YAML files of a folder; ValueError where none is."""
    found = sorted((folder or shipped.folder("grids")).glob("*.yaml"))
    if not found:
        raise ValueError(f"{folder}: expected YAML files of grids, found none: correct the folder")
    yield from found


def read_summary(path: Path) -> GridSummary:
    """The grid of a file; ValueError where it describes none."""
    grid, title = parse_grid(path)
    return GridSummary(title, path, grid)
