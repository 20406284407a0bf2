"""From granules to drivers on grid cells: sums over the good pixels of a day, then variables.

A cell may lie on several sinusoidal tiles, so each granule adds its sums and counts to the cell,
and means are taken only when all granules of the day are in: means of means would be biased.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from upscale.archives.cells.sinusoidal import CellSums, PixelCells, cells_of, sum_layers
from upscale.archives.formats.scaling import Numbers
from upscale.archives.formats.structure import Geometry
from upscale.archives.granule import Layer
from upscale.archives.satellite import modis, viirs
from upscale.archives.satellite.published import Published
from upscale.archives.satellite.recipes import Recipe
from upscale.grid import Grid
from upscale.remote.errors import ArchiveError
from upscale.variables import variable

Floats = NDArray[np.float32]
Layers = tuple[str, ...]

#: Layers that a variable needs at the same pixels, and whether the variable is an angle.
_Key = tuple[Layers, bool]


class Gridded(Protocol):
    """A granule with gridded layers."""

    @property
    def named(self) -> Published: ...

    def layer(self, name: str) -> Layer: ...

    def numbers(self, name: str) -> Numbers: ...

    def geometry_of(self, layer: str) -> Geometry: ...


@dataclass(frozen=True)
class LatticeRectangle:
    """A rectangle of `rows` x `cols` cells whose north-western cell is (`row`, `col`).

    Rows and columns are those of the global lattice of `resolution` degrees with its corner at
    90 N, 180 W.
    """

    row: int
    col: int
    rows: int
    cols: int
    resolution: float

    @property
    def north(self) -> float:
        return 90 - self.row * self.resolution

    @property
    def south(self) -> float:
        return 90 - (self.row + self.rows) * self.resolution

    def cells(self, geometry: Geometry) -> PixelCells:
        """The cells of the rectangle that contain pixels of a grid."""
        rows = slice(self.row, self.row + self.rows)
        return cells_of(geometry, self.resolution).crop(rows, slice(self.col, self.col + self.cols))

    def place(self, cells: PixelCells | CellSums) -> tuple[slice, slice]:
        """Rows and columns of the rectangle that `cells`, or sums over them, occupy."""
        top, left = cells.row - self.row, cells.col - self.col
        rows, cols = cells.pixels.shape
        return slice(top, top + rows), slice(left, left + cols)


def window_of(grid: Grid) -> LatticeRectangle:
    """The rectangle that a grid occupies on the global lattice with its corner at 90 N, 180 W.

    Raises ArchiveError where the cells of the grid are not cells of that lattice.
    """
    step = grid.resolution
    down, across = (90 - grid.north) / step, (grid.west + 180) / step
    row, col = round(down), round(across)
    if (
        abs(down - row) > 1e-4
        or abs(across - col) > 1e-4
        or abs(180 / step - round(180 / step)) > 1e-4
    ):
        raise ArchiveError(
            f"expected a grid whose cells begin at 90 N and 180 W, found {grid.name} from "
            f"{grid.north} N, {grid.west} E every {step} degree; take one such as global-0p05"
        )
    return LatticeRectangle(row, col, grid.rows, grid.cols, step)


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums of several layers over the same good pixels.

    totals: (layer, row, col); count, pixels: (row, col), good pixels and all pixels.
    """

    totals: NDArray[np.float64]
    count: NDArray[np.int64]
    pixels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Group:
    """Pixels where all layers of a group are good (row, col), and the sums of each layer there."""

    good: NDArray[np.bool_]
    sums: Mapping[str, CellSums]


def open_gridded(path: str, window: LatticeRectangle | None = None) -> Gridded:
    """Open a MODIS or VIIRS granule; of a global granule only the rows of `window` are read."""
    if path.rsplit("/", 1)[-1].startswith(("VNP", "VJ")):
        return viirs.open_granule(path)
    granule = modis.open_granule(path)
    return granule if window is None else granule.between(window.north, window.south)


class CellMeans:
    """Cell values of the variables of one product and day, from all granules of that day.

    A pixel counts for a variable where every layer of its recipe has a value that the default QA
    accepts. window: the rectangle of cells; recipes: by variable; least_share: cells with a
    smaller share of good pixels get no value; wanted: `(row, col)`, the cells that get a value,
    all by default.
    """

    def __init__(
        self,
        window: LatticeRectangle,
        recipes: Mapping[str, Recipe],
        least_share: float = 0.0,
        wanted: NDArray[np.bool_] | None = None,
    ) -> None:
        self._window, self._recipes, self._least = window, recipes, least_share
        self._wanted = wanted
        self._sums: dict[_Key, _Sums] = {}

    def add(self, granule: Gridded) -> list[str]:
        """Add the pixels of a granule; return a message for each recipe whose layers it lacks.

        Raises ArchiveError, and adds nothing, where a layer is damaged or the granule lacks the
        layers of every recipe.
        """
        there, lacking = self._there(granule)
        # all layers are read before the first is added: a damaged one must leave the sums alone
        made = list(self._parts(granule, there))
        for key, parts in made:
            self._place(key, parts)
        return lacking

    def _there(self, granule: Gridded) -> tuple[list[_Key], list[str]]:
        """The groups of layers that a granule has, and messages about those that it lacks."""
        there, lacking = [], []
        for key in dict.fromkeys((r.layers, r.circular) for r in self._recipes.values()):
            try:
                for layer in key[0]:
                    granule.geometry_of(layer)
                there.append(key)
            except ArchiveError as error:
                lacking.append(error)
        if lacking and not there:
            raise lacking[0]
        return there, list(map(str, lacking))

    def variables(self) -> dict[str, Floats]:
        """Each variable `(row, col)`, NaN without good pixels or outside the valid range."""
        return {name: self._variable(name, recipe) for name, recipe in self._recipes.items()}

    def _parts(
        self, granule: Gridded, keys: Sequence[_Key]
    ) -> Iterator[tuple[_Key, Sequence[CellSums]]]:
        """Sums of each group of layers over the wanted cells."""
        plain: dict[Geometry, list[Layers]] = {}
        for layers, circular in keys:
            geometry = granule.geometry_of(layers[0])
            if not circular:
                plain.setdefault(geometry, []).append(layers)
            elif (cells := self._cells(geometry)) is not None:
                yield (layers, True), _directions(granule, layers[0], cells)
        for geometry, groups in plain.items():
            if (cells := self._cells(geometry)) is not None:
                for layers, sums in _sums_of(granule, groups, cells.unrolled()):
                    yield (layers, False), sums

    def _cells(self, geometry: Geometry) -> PixelCells | None:
        """The wanted cells that contain pixels of a grid; None where there are none."""
        cells = self._window.cells(geometry)
        if self._wanted is not None:
            cells = cells.only(self._wanted[self._window.place(cells)])
        return cells if (cells.places < cells.pixels.size).any() else None

    def _place(self, key: _Key, parts: Sequence[CellSums]) -> None:
        shape = self._window.rows, self._window.cols
        if key not in self._sums:
            empty = np.zeros(shape, np.int64)
            self._sums[key] = _Sums(np.zeros((len(parts), *shape)), empty, empty.copy())
        # Sums and counts, not means: a cell across two tiles is the mean of the pixels of both.
        sums, here = self._sums[key], self._window.place(parts[0])
        for number, part in enumerate(parts):
            sums.totals[number][here] += part.total
        sums.count[here] += parts[0].count
        sums.pixels[here] += parts[0].pixels

    def _variable(self, name: str, recipe: Recipe) -> Floats:
        """One variable `(row, col)`, NaN where too few pixels are good."""
        sums = self._sums.get((recipe.layers, recipe.circular))
        if sums is None:
            return np.full((self._window.rows, self._window.cols), np.nan, np.float32)
        some = (sums.count > 0) & (sums.count >= self._least * sums.pixels)
        with np.errstate(divide="ignore", invalid="ignore"):
            means = np.where(some, sums.totals / np.maximum(sums.count, 1), np.nan)
            if recipe.circular:
                means = np.degrees(np.arctan2(means[0], means[1]))[None]
            value = recipe.join(*means)
            row = variable(name)
            # A ratio of two small means can be anything: outside the physical range it is no value.
            possible = (value >= row.valid_min) & (value <= row.valid_max)
        return np.where(possible, value, np.nan).astype(np.float32)


def _directions(granule: Gridded, layer: str, cells: PixelCells) -> Sequence[CellSums]:
    """Sums of the sines and cosines of an angle in degrees: 359 and 1 degree average to 0."""
    read = granule.layer(layer)
    angle = np.radians(read.values)
    return sum_layers([np.sin(angle), np.cos(angle)], read.usable, cells)


def _sums_of(
    granule: Gridded, groups: Sequence[Layers], cells: PixelCells
) -> Iterator[tuple[Layers, Sequence[CellSums]]]:
    """Physical sums of each group of layers over the pixels where all its layers are good.

    Larger groups come first. A pixel that is good in a group is good in every subset of it, so a
    subset starts from those sums and adds only its remaining pixels.
    """
    # Each layer is read once: inflating it costs most of the time of a granule.
    read = {name: granule.numbers(name) for name in dict.fromkeys(chain(*groups))}
    made: dict[Layers, _Group] = {}
    for layers in sorted(groups, key=len, reverse=True):
        # An index needs all its bands from the same pixels.
        good = reduce(np.logical_and, (read[name].good for name in layers))
        wider = next((made[w] for w in reversed(made) if set(layers) < set(w)), None)
        rest = good if wider is None else good & ~wider.good
        sums = sum_layers([read[name].stored for name in layers], rest, cells)
        together = dict(zip(layers, sums, strict=True))
        if wider is not None:
            together = {name: part + wider.sums[name] for name, part in together.items()}
        made[layers] = _Group(good, together)
        # stored integers are summed, which is exact, and the sums are scaled
        yield (
            layers,
            [part.scaled(read[name].factor, read[name].shift) for name, part in together.items()],
        )
