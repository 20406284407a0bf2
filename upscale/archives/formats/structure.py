"""The grids of an HDF-EOS file, from its StructMetadata.0, checked against the file name.

Sinusoidal tiles: sphere R = 6371007.181 m, 36 x 18 tiles of pi R / 18 metres, h00v00 in the
upper left. Climate-modelling grids (CMG): 3600 x 7200 cells of 0.05 degree, row 0 in the north.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from upscale.grid import EARTH_RADIUS
from upscale.remote.errors import ArchiveError

#: Edge of a sinusoidal tile, and the upper left corner of tile h00v00, m.
TILE = math.pi * EARTH_RADIUS / 18
WEST, NORTH = -18 * TILE, 9 * TILE

#: Most rows, and most columns, of a grid.
_MOST_SIDE = 1_000_000

#: Pixels along the edge of a tile that products have (250 m, 500 m, 1 km, 6 km).
_PER_TILE = (4800, 2400, 1200, 200)


@dataclass(frozen=True)
class Geometry:
    """A grid of a file: `rows` x `cols` pixels below and east of (`left`, `top`).

    Corners and pixel size are metres for `sinusoidal`, degrees for a CMG (`sinusoidal` False).
    """

    name: str
    sinusoidal: bool
    rows: int
    cols: int
    left: float
    top: float
    pixel: float

    def cut(self, first: int, end: int) -> Geometry:
        """Its rows `first` to `end - 1`."""
        return replace(self, rows=end - first, top=self.top - first * self.pixel)

    @property
    def words(self) -> str:
        """The grid in words, for messages and reports."""
        kind = f"sinusoidal {self.pixel:.1f} m" if self.sinusoidal else f"{self.pixel:g} degree"
        return f"{self.name}: {kind}, {self.rows} x {self.cols}"


@dataclass(frozen=True)
class GridText:
    """One GRID group of StructMetadata: its values as text, and the names of its fields."""

    values: Mapping[str, str]
    fields: tuple[str, ...]


def struct_text(attributes: Mapping[str, Any]) -> str:
    """StructMetadata.0, .1, ... joined; "" where a file has none."""
    parts = (attributes.get(f"StructMetadata.{number}", "") for number in range(10))
    return "".join(str(part).rstrip("\0 ") for part in parts)


def parse_grids(text: str) -> tuple[GridText, ...]:
    """The GRID groups of a StructMetadata text, in their order."""
    groups = re.findall(r"GROUP=(GRID_\d+)\b(.*?)END_GROUP=\1\b", text, flags=re.S)
    return tuple(_grid_text(body) for _, body in groups)


def has_swath(text: str) -> bool:
    """True where a StructMetadata text describes pixels along an orbit."""
    return re.search(r"GROUP=SWATH_\d+\b", text) is not None


def _grid_text(body: str) -> GridText:
    pairs = re.findall(r"^\s*(\w+)=(.*?)\s*$", body, flags=re.M)
    fields = tuple(value.strip('"') for key, value in pairs if key == "DataFieldName")
    # the first occurrence of a key belongs to the grid; nested objects repeat the key
    values = {key: value.strip('"') for key, value in reversed(pairs)}
    return GridText(values, fields)


def geometry(grid: GridText, tile: tuple[int, int] | None, path: str) -> Geometry:
    """The geometry of a GRID group; `tile` is (h, v) from the file name, None where it has none.

    Raises ArchiveError for another projection or sphere, an unknown pixel size, rows from south to
    north, and corners outside the tile of the file name.
    """
    projection = grid.values.get("Projection", "none")
    if projection == "GCTP_SNSOID":
        found = _sinusoidal(grid, path)
        if tile is not None:
            _check_tile(found, tile, path)
        return found
    if projection == "GCTP_GEO":
        return _geographic(grid, path)
    raise ArchiveError(
        f"{path}: expected a sinusoidal (GCTP_SNSOID) or geographic (GCTP_GEO) grid, found "
        f"{projection[:50]}; take the product on its own grid, not a reprojected copy"
    )


def _sinusoidal(grid: GridText, path: str) -> Geometry:
    """Geometry of a sinusoidal grid; ArchiveError where sphere, corners and pixel size disagree."""
    name, rows, cols, corners = _box(grid, path)
    left, top, right, bottom = corners
    radius = _numbers(grid.values.get("ProjParams", ""))[:1]
    if not radius or abs(radius[0] - EARTH_RADIUS) > 1e-3:
        raise ArchiveError(
            f"{path}: expected the sphere of {EARTH_RADIUS} m, found {radius}; take the "
            "product on its own grid"
        )
    _check_order(corners, path)
    wide, high = (right - left) / cols, (top - bottom) / rows
    for count in _PER_TILE:
        size = TILE / count
        if abs(wide / size - 1) < 1e-5 and abs(high / size - 1) < 1e-5:
            return Geometry(name, True, rows, cols, left, top, size)
    raise ArchiveError(
        f"{path}: expected pixels of {', '.join(f'{TILE / n:.1f}' for n in _PER_TILE)} m, found "
        f"{wide:.1f} x {high:.1f} m in grid {name}: corners and size do not fit; fetch it again"
    )


def _geographic(grid: GridText, path: str) -> Geometry:
    """Geometry of the global grid of 0.05 degrees, the only one in degrees that products use."""
    name, rows, cols, packed = _box(grid, path)
    corners = tuple(_degrees(value) for value in packed)
    _check_order(corners, path)
    expected = (-180.0, 90.0, 180.0, -90.0)
    near = all(abs(a - b) < 1e-6 for a, b in zip(corners, expected, strict=True))
    if not near or (rows, cols) != (3600, 7200):
        raise ArchiveError(
            f"{path}: expected the global 0.05 degree grid of 3600 x 7200 cells from (-180, 90) "
            f"to (180, -90), found {rows} x {cols} from {corners[:2]} to {corners[2:]}; "
            "take the product on its own grid"
        )
    return Geometry(name, False, rows, cols, -180.0, 90.0, 0.05)


def _box(grid: GridText, path: str) -> tuple[str, int, int, tuple[float, ...]]:
    """Name, rows, columns and (left, top, right, bottom) of a grid."""
    values = grid.values
    origin = values.get("GridOrigin", "HDFE_GD_UL")
    if origin != "HDFE_GD_UL":
        raise ArchiveError(f"{path}: expected rows from the upper left, found {origin[:50]}")
    try:
        rows, cols = int(values["YDim"]), int(values["XDim"])
        corners = (
            *_numbers(values["UpperLeftPointMtrs"]), *_numbers(values["LowerRightMtrs"]),
        )  # fmt: skip
        name = values["GridName"]
    except (KeyError, ValueError) as error:
        raise ArchiveError(
            f"{path}: expected size and corners of every grid in StructMetadata.0, found none "
            f"({str(error)[:200]}); fetch it again"
        ) from None
    if len(corners) != 4 or not (0 < rows <= _MOST_SIDE and 0 < cols <= _MOST_SIDE):
        raise ArchiveError(
            f"{path}: expected two corners and a size in StructMetadata.0, found {corners} and "
            f"{str(rows)[:20]} x {str(cols)[:20]}; fetch it again"
        )
    return name, rows, cols, corners


def _check_order(corners: tuple[float, ...], path: str) -> None:
    left, top, right, bottom = corners
    if not (right > left and top > bottom):
        raise ArchiveError(
            f"{path}: expected rows from north to south and columns from west to east, found an "
            f"upper left corner {corners[:2]} and a lower right one {corners[2:]}: hemispheres "
            "are swapped; fetch it again"
        )


def _check_tile(found: Geometry, tile: tuple[int, int], path: str) -> None:
    """A whole tile must lie where the file name says; a cut-out must at least touch that tile."""
    h, v = tile
    left, top = WEST + h * TILE, NORTH - v * TILE
    wide, high = found.cols * found.pixel, found.rows * found.pixel
    across, down = abs(found.left - left), abs(found.top - top)
    whole = abs(wide - TILE) < found.pixel / 2 and abs(high - TILE) < found.pixel / 2
    touches = (
        -wide < found.left - left < TILE - found.pixel / 2
        and -high < top - found.top < TILE - found.pixel / 2
    )
    if (across < 1 and down < 1) if whole else touches:
        return
    column, row = (found.left - WEST) / TILE, (NORTH - found.top) / TILE
    other = f"h{round(column):02d}v{round(row):02d}"
    swapped = " (north and south are swapped)" if other == f"h{h:02d}v{17 - v:02d}" else ""
    raise ArchiveError(
        f"{path}: expected the grid of tile h{h:02d}v{v:02d} of the file name, found the "
        f"corner ({found.left:.3f}, {found.top:.3f}) m of tile {other}{swapped}; "
        "the file is misnamed or broken: fetch it again"
    )


def tiles_over(north: float, south: float, west: float, east: float) -> set[tuple[int, int]]:
    """Sinusoidal tiles (h, v) that a box in degrees touches, without tiles off the Earth."""
    found = set()
    for v in range(18):
        top, bottom = min(north, 90 - 10 * v), max(south, 80 - 10 * v)
        if top > bottom:
            found |= {(h, v) for h in range(36) if _crosses(h, top, bottom, west, east)}
    return found


def _crosses(h: int, top: float, bottom: float, west: float, east: float) -> bool:
    """Whether tile column `h` touches a range of longitudes between two latitudes.

    Between two multiples of 10 degrees the longitude of a column's edges changes monotonically
    with latitude, so it is enough to test both latitudes.
    """
    widths = [max(math.cos(math.radians(lat)), 1e-12) for lat in (top, bottom)]
    left, right = ((h + edge - 18) * 10 for edge in (0, 1))
    low, high = min(left / w for w in widths), max(right / w for w in widths)
    return max(low, west, -180) < min(high, east, 180)


def _numbers(text: str) -> tuple[float, ...]:
    """The numbers of a list in brackets; none where a part of it is no number."""
    parts = [part for part in text.strip("() ").split(",") if part.strip()]
    try:
        found = tuple(float(part) for part in parts)
    except ValueError:
        return ()
    return found if all(map(math.isfinite, found)) else ()


def _degrees(value: float) -> float:
    """Degrees of a corner that is given in degrees or in GCTP's packed form DDDMMMSSS.SS."""
    if abs(value) <= 360:
        return value
    size = abs(value)
    degrees, rest = divmod(size, 1_000_000)
    minutes, seconds = divmod(rest, 1000)
    return math.copysign(degrees + minutes / 60 + seconds / 3600, value)
