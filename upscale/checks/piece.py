"""One rectangle of cells in one block of days: what is read for the checks, and its places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import date_of
from upscale.checks.tally import Tally
from upscale.drivers.tiles import is_ice, is_water
from upscale.grid import Grid, Tile
from upscale.product.layout import FluxLayout, WorkItem
from upscale.product.quality import FILL, REASONS, Quality, has
from upscale.product.reader import CellSlices, FluxCube
from upscale.product.shards import region_of
from upscale.stores.broken import BROKEN
from upscale.variables import FLUXES

Bools = NDArray[np.bool_]

SPREADS = tuple(f"{flux}_sd" for flux in FLUXES)

#: What Zarr raises for a chunk whose checksum does not match, or that is cut.
UNREADABLE = (*BROKEN, OSError)


def spot(lat: float, lon: float) -> str:
    """A place in words: `12.5 N 3.5 E`."""
    north, east = "N" if lat >= 0 else "S", "E" if lon >= 0 else "W"
    return f"{abs(lat):g} {north} {abs(lon):g} {east}"


def extent(layout: FluxLayout, item: WorkItem) -> str:
    """Where and when a work item lies: its corners and its first and last day."""
    _, rows, cols = layout.region(item)
    grid = layout.grid
    corners = (
        spot(grid.lat[rows.start], grid.lon[cols.start]),
        spot(grid.lat[rows.stop - 1], grid.lon[cols.stop - 1]),
    )
    first, count = layout.span(item.block)
    return f"{' to '.join(corners)}, {date_of(first)} to {date_of(first + count - 1)}"


def items_in(layout: FluxLayout, cells: CellSlices, block: int) -> Iterator[WorkItem]:
    """The work items of a block that share cells with a rectangle."""
    edge = layout.tile
    for row in range(cells.rows.start // edge, -(-cells.rows.stop // edge)):
        for col in range(cells.cols.start // edge, -(-cells.cols.stop // edge)):
            yield WorkItem(block, Tile(row, col))


def read_item(cube: FluxCube, item: WorkItem, name: str) -> NDArray[Any] | None:
    """An array of a work item; None where it is missing or cannot be read."""
    try:
        return np.asarray(cube.array(name)[region_of(cube.layout, item, name)])
    except (KeyError, *UNREADABLE):
        return None


@dataclass(frozen=True)
class Piece:
    """The arrays of one rectangle in one block: fluxes and spreads `(day, row, col)`."""

    layout: FluxLayout
    cells: CellSlices
    block: int
    arrays: dict[str, NDArray[np.float32]]
    quality: NDArray[np.unsignedinteger]
    filled: NDArray[np.uint8]
    sftlf: NDArray[np.float32]
    igbp: NDArray[np.uint8]
    koppen: NDArray[np.uint8]

    @classmethod
    def read(cls, cube: FluxCube, cells: CellSlices, block: int) -> Piece:
        """Read everything that is counted of some cells and one block."""
        days = cube.layout.days(block)
        return cls(
            cube.layout,
            cells,
            block,
            {name: cube.daily(name, days, cells) for name in (*FLUXES, *SPREADS)},
            cube.daily("quality", days, cells),
            cube.daily("filled_share", days, cells),
            cube.layer("sftlf", cells),
            cube.layer("igbp", cells),
            cube.layer("koppen", cells),
        )

    @property
    def days(self) -> slice:
        """Indices on the time axis."""
        return self.layout.days(self.block)

    @property
    def grid(self) -> Grid:
        return self.layout.grid

    @property
    def rounding(self) -> float:
        """Largest relative error of fluxes and spreads of which some bits were left out."""
        keep = self.layout.keep_bits
        return 0.0 if keep is None else 2.0 ** -(keep + 1)

    @cached_property
    def there(self) -> dict[str, Bools]:
        """Where each array has a number."""
        return {name: np.isfinite(values) for name, values in self.arrays.items()}

    @cached_property
    def valued(self) -> Bools:
        """Cells `(row, col)` with GPP on any day."""
        return np.asarray(self.there["gpp"].any(axis=0))

    @cached_property
    def reason(self) -> Bools:
        """Where the quality says why there is no value."""
        return has(self.quality, REASONS)

    @cached_property
    def any_bit(self) -> NDArray[np.unsignedinteger]:
        """Bits `(row, col)` that are set on any day."""
        bits: NDArray[np.unsignedinteger] = np.bitwise_or.reduce(self.quality, axis=0)
        return bits

    @cached_property
    def every_bit(self) -> NDArray[np.unsignedinteger]:
        """Bits `(row, col)` that are set on every day."""
        bits: NDArray[np.unsignedinteger] = np.bitwise_and.reduce(self.quality, axis=0)
        return bits

    @cached_property
    def ground(self) -> NDArray[np.unsignedinteger]:
        """The reason `(row, col)` that the static layers give; 0 where fluxes are predicted."""
        outside, dtype = np.isnan(self.sftlf), self.quality.dtype
        ground = np.where(outside, FILL, 0).astype(dtype)
        ground[is_water(self.igbp, self.sftlf)] |= dtype.type(Quality.WATER)
        ground[is_ice(self.igbp, self.sftlf)] |= dtype.type(Quality.ICE)
        return ground

    def fault(
        self, tally: Tally, check: str, where: Bools, array: str, days: Any | None = None
    ) -> None:
        """Count the cells `where`, `(row, col)` or `(day, row, col)`, with a fault in an array.

        days: index on the time axis of each element of the first axis, by default those of the
        block.
        """
        count = int(np.count_nonzero(where))
        if not count:
            return
        flat: Bools = where if where.ndim == 2 else np.asarray(where.any(axis=0))
        row, col = map(int, np.argwhere(flat)[0])
        day = self.days.start
        if where.ndim == 3:
            index = int(np.argmax(where[:, row, col]))
            day = self.days.start + index if days is None else int(days[index])
        since = "" if where.ndim == 3 else "from "
        item, place = self.place(row, col)
        first = f"{item} {array}, {since}{date_of(self.layout.first + day)}, {place}"
        tally.fault(check, count, first, self.items(flat))

    def by_tile(self, cells: NDArray[Any]) -> NDArray[np.float64]:
        """Sums over the cells `(row, col)` of each tile that the rectangle shares cells with."""
        edge = self.layout.tile
        total: NDArray[Any] = np.asarray(cells, np.float64)
        for axis, side in enumerate((self.cells.rows, self.cells.cols)):
            starts = range(side.start // edge * edge, side.stop, edge)
            total = np.add.reduceat(
                total, [max(start - side.start, 0) for start in starts], axis=axis
            )
        return total

    def tile_fault(self, tally: Tally, check: str, where: Bools, array: str) -> None:
        """Count tiles `where`, in the order of `by_tile`, with a fault in an array."""
        edge = self.layout.tile
        top, left = self.cells.rows.start // edge, self.cells.cols.start // edge
        for row, col in np.argwhere(where):
            item = WorkItem(self.block, Tile(top + int(row), left + int(col)))
            place = f"{item.id} {array}, {extent(self.layout, item)}"
            tally.fault(check, 1, place, (item.id,))

    def place(self, row: int, col: int) -> tuple[str, str]:
        """The work item of a cell of the rectangle, and where the cell lies."""
        row, col = row + self.cells.rows.start, col + self.cells.cols.start
        item = WorkItem(self.block, Tile(row // self.layout.tile, col // self.layout.tile))
        return item.id, spot(self.grid.lat[row], self.grid.lon[col])

    def items(self, where: Bools) -> set[str]:
        """Ids of the work items of some cells `(row, col)`."""
        rows, cols = np.nonzero(where)
        tiles = zip(
            (rows + self.cells.rows.start) // self.layout.tile,
            (cols + self.cells.cols.start) // self.layout.tile,
            strict=True,
        )
        return {WorkItem(self.block, Tile(int(r), int(c))).id for r, c in set(tiles)}
