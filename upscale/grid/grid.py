"""A regular grid of latitude and longitude, as an immutable value.

Rows run north to south, columns west to east from -180; coordinates are cell centres. A crop
of a grid is a grid on the same lattice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from upscale import shipped

#: Radius of the MODIS sphere, m; all areas in this package are computed on it.
EARTH_RADIUS = 6371007.181


#: Most rows, and most columns: steps of a thousandth of a degree are 360,000 columns.
MOST_SIDE = 1_000_000


@dataclass(frozen=True)
class Grid:
    """Cells `rows` x `cols` of `resolution` degrees below `north` and east of `west` (edges).

    `name` is that of the lattice; a crop keeps it.
    """

    name: str
    rows: int
    cols: int
    resolution: float
    north: float = 90.0
    west: float = -180.0

    def __post_init__(self) -> None:
        _check_types(self)
        if not (0 < self.rows <= MOST_SIDE and 0 < self.cols <= MOST_SIDE and self.resolution > 0):
            raise ValueError(f"expected 1 to {MOST_SIDE:,} rows and columns, found {self}")
        if not (-90 <= self.north <= 91 and -541 <= self.west <= 541 and self.resolution <= 360):
            raise ValueError(f"expected edges of a grid on the Earth, in degrees, found {self}")
        if self.cols * self.resolution > 360 + 1e-6:
            raise ValueError(f"grid {self.name} spans more than 360 degrees of longitude")

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.cols

    @property
    def lat(self) -> NDArray[np.float64]:
        """Latitudes of the centres `(row,)`, degrees north, descending."""
        return np.round(self.north - (np.arange(self.rows) + 0.5) * self.resolution, 9)

    @property
    def lon(self) -> NDArray[np.float64]:
        """Longitudes of the centres `(col,)`, degrees east, ascending."""
        return np.round(self.west + (np.arange(self.cols) + 0.5) * self.resolution, 9)

    @property
    def lat_bounds(self) -> NDArray[np.float64]:
        """Edges of each row `(row, 2)`, north first, never beyond a pole."""
        edges = np.round(self.north - np.arange(self.rows + 1) * self.resolution, 9)
        edges = np.clip(edges, -90, 90)
        return np.stack([edges[:-1], edges[1:]], axis=1)

    @property
    def lon_bounds(self) -> NDArray[np.float64]:
        """Edges of each column `(col, 2)`, west first."""
        edges = np.round(self.west + np.arange(self.cols + 1) * self.resolution, 9)
        return np.stack([edges[:-1], edges[1:]], axis=1)

    @property
    def wraps(self) -> bool:
        """True where the last column is the western neighbour of the first."""
        return abs(self.cols * self.resolution - 360) < 1e-6

    def crop(self, rows: slice, cols: slice) -> Grid:
        """The cells `rows` x `cols` as a grid on the same lattice."""
        top, bottom, _ = rows.indices(self.rows)
        left, right, _ = cols.indices(self.cols)
        return replace(
            self,
            rows=bottom - top,
            cols=right - left,
            north=round(self.north - top * self.resolution, 9),
            west=round(self.west + left * self.resolution, 9),
        )

    def offset_of(self, other: Grid) -> tuple[int, int]:
        """Row and column of this grid where `other`, a grid on the same lattice, begins.

        Raises ValueError where the lattices differ or `other` reaches outside.
        """
        row, col = self._position(other)
        aligned = abs(row - round(row)) < 1e-4 and abs(col - round(col)) < 1e-4
        same = abs(self.resolution - other.resolution) < 1e-9
        inside = (
            row > -0.5
            and col > -0.5
            and round(row) + other.rows <= self.rows
            and round(col) + other.cols <= self.cols
        )
        if not (aligned and same and inside):
            raise ValueError(f"{other} is not part of {self}: regrid it, or name the right grid")
        return round(row), round(col)

    def _position(self, other: Grid) -> tuple[float, float]:
        step = self.resolution
        return (self.north - other.north) / step, (other.west - self.west) / step

    def cell_of(self, lat: float, lon: float) -> tuple[int, int]:
        """Row and column of the cell that holds a point; ValueError outside the grid."""
        row = int(np.floor((self.north - lat) / self.resolution + 1e-9))
        col = int(np.floor(((lon - self.west) % 360) / self.resolution + 1e-9))
        row = min(row, self.rows - 1) if abs(lat + 90) < 1e-9 else row
        col = col % self.cols if self.wraps else col
        if not (0 <= row < self.rows and 0 <= col < self.cols):
            raise ValueError(f"({lat}, {lon}) lies outside grid {self.name}")
        return row, col

    def to_dict(self) -> dict[str, Any]:
        """The grid as plain values, for attributes of a store."""
        return asdict(self)


def load_grid(name: str | Path) -> Grid:
    """A grid by the path of its YAML file, or by the name of a shipped one."""
    path = Path(name)
    if not path.is_file():
        path = shipped.folder("grids") / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in shipped.folder("grids").glob("*.yaml"))
        raise ValueError(f"no grid {str(name)!r}; known grids: {', '.join(known)}")
    return parse_grid(path)[0]


def parse_grid(path: Path) -> tuple[Grid, str]:
    """The grid of a YAML file and its title; ValueError where it describes none."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        title = str(content.pop("title", ""))
        return Grid(name=path.stem, **content), title[:200]
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        text = " ".join(str(error).split())[:300]
        raise ValueError(
            f"{path}: expected rows, cols and resolution of a grid, found something else "
            f"({text}); correct the file"
        ) from None


def _check_types(grid: Grid) -> None:
    """ValueError where a part of a grid is no number."""
    sides, degrees = (grid.rows, grid.cols), (grid.resolution, grid.north, grid.west)
    whole = all(isinstance(n, int | np.integer) and not isinstance(n, bool) for n in sides)
    real = all(isinstance(x, int | float | np.number) and abs(x) < 1e9 for x in degrees)
    if not (whole and real and isinstance(grid.name, str)):
        raise ValueError(f"expected a grid of numbers, found {str(grid)[:200]}")


def cell_areas(grid: Grid) -> NDArray[np.float64]:
    """Area of one cell of each row `(row,)`, m2, on the sphere of `EARTH_RADIUS`."""
    sines = np.sin(np.radians(grid.lat_bounds))
    width = np.radians(grid.resolution)
    areas: NDArray[np.float64] = EARTH_RADIUS**2 * width * (sines[:, 0] - sines[:, 1])
    return areas
