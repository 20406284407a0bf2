"""What one published file holds: some stretch of some arrays of a flux cube, and its attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import date_of
from upscale.product.cube import plain
from upscale.product.growth import IN_THE_MAKING
from upscale.product.layout import WorkItem
from upscale.product.quality import Quality, has
from upscale.product.reader import CellSlices, FluxCube, cells_of
from upscale.product.rounding import ROUNDING
from upscale.product.uncertainty import STEP_ARRAYS
from upscale.stores.axes import AXES

#: Static layers of every file.
LAYERS = ("areacella", "sftlf")

#: Cells along each side of a block of values, about; chunks of the store decide the rest.
CHUNK = 600

#: Attributes of a store that say how far it is, or how it is stored: nothing of a file.
_KEPT_OUT = frozenset(
    ("kind", "layout", "initialised", "complete", "seal", "weather_preliminary", *IN_THE_MAKING)
)

#: Attributes that change with every revision of a store. A file has those of the revision that it
#: was written from, and is not written again because the store has others by now.
OF_A_REVISION = frozenset(
    (
        "config", "date_created", "date_modified", "driver_digest", "history", "revision",
        "upscale_version",
    )
)  # fmt: skip


class UnfinishedError(ValueError):
    """Days of the domain have not been computed yet."""


@dataclass(frozen=True)
class Part:
    """A stretch of some arrays of a flux cube, and the global attributes that say so.

    arrays: on the axis that the file grows along, `time` or `step`; those on the step axis are
    brought to days where that axis is `time`. span: indices on the axis; level: of zlib, 1 (quick)
    to 9; unfinished: cells that are not computed yet may be published; masked: work items that
    are published as missing, whatever the store holds of them.
    """

    cube: FluxCube
    arrays: tuple[str, ...]
    layers: tuple[str, ...]
    span: slice
    attributes: Mapping[str, Any]
    axis: Literal["time", "step"] = "time"
    level: int = 2
    unfinished: bool = False
    masked: tuple[WorkItem, ...] = ()

    @property
    def edge(self) -> int:
        """Rows and columns of a block: whole chunks of the store."""
        return self.cube.edge * max(1, round(CHUNK / self.cube.edge))

    @property
    def axes(self) -> tuple[str, ...]:
        """Axes, their bounds, the grid mapping, and what tells of rounded values."""
        told = (ROUNDING,) if self.cube.has(ROUNDING) and self.axis == "time" else ()
        return (self.axis, f"{self.axis}_bnds", *AXES[2:], *told)

    @property
    def names(self) -> tuple[str, ...]:
        """Every variable of the file."""
        return (*self.axes, *self.layers, *self.arrays)

    @property
    def bounds(self) -> tuple[int, int]:
        """First day and day after the last, day numbers."""
        layout = self.cube.layout
        if self.axis == "time":
            return layout.first + self.span.start, layout.first + self.span.stop
        steps = layout.step_bounds[self.span]
        return int(steps[0, 0]), int(steps[-1, 1])

    @property
    def blocks(self) -> range:
        """The blocks of the store in which its days lie."""
        first, stop = (day - self.cube.layout.first for day in self.bounds)
        return range(first // self.cube.layout.block, (stop - 1) // self.cube.layout.block + 1)

    def cells(self) -> Iterator[CellSlices]:
        """Rectangles of the grid, one after the other."""
        return cells_of(self.cube.grid, self.edge)

    def describe(self) -> str:
        """First and last day, for people."""
        return " to ".join(self.dates)

    @property
    def dates(self) -> tuple[str, str]:
        """First and last day, as text."""
        first, stop = self.bounds
        return str(date_of(first)), str(date_of(stop - 1))

    @cached_property
    def global_attributes(self) -> dict[str, Any]:
        """Those of the cube, with the period of this part, in types that NetCDF knows."""
        pairs = {k: v for k, v in self.cube.attributes.items() if k not in _KEPT_OUT}
        (first, last), (begin, stop) = self.dates, self.bounds
        period = {
            "time_coverage_start": f"{first}T00:00:00Z",
            "time_coverage_end": f"{last}T23:59:59Z",
            "time_coverage_duration": f"P{stop - begin}D",
        }
        if "summary" in pairs:  # which says the days of the whole store
            layout = self.cube.layout
            mine = replace(layout, first=begin, count=stop - begin).describe()
            pairs["summary"] = str(pairs["summary"]).replace(layout.describe(), mine)
        content = pairs | period | dict(self.attributes)
        return {k: plain(v) for k, v in content.items() if plain(v) != ""}

    def attributes_of(self, name: str) -> dict[str, Any]:
        """Attributes of an array; those that must have its type have it, and references to what
        is not in the file are left out."""
        array = self.cube.array(name)
        text = {k: v for k, v in dict(array.attrs).items() if k != "_FillValue"}
        for key in ("flag_masks", "flag_values", "valid_range"):
            if key in text:
                text[key] = np.asarray(text[key], array.dtype)
        if text.get("ancillary_variables") not in self.arrays:
            text.pop("ancillary_variables", None)
        return text

    def dimensions_of(self, name: str) -> tuple[str, ...]:
        """Names of the axes of a variable."""
        found = tuple(self.cube.array(name).metadata.dimension_names or ())
        return (self.axis, *found[1:]) if name in self.arrays else found

    def axis_values(self, name: str) -> NDArray[Any]:
        """Values of an axis or of its bounds."""
        array = self.cube.array(name)
        return np.asarray(array[self.span] if name.startswith(self.axis) else array[...])

    def values(self, cells: CellSlices) -> Iterator[tuple[str, NDArray[Any]]]:
        """Name and values of every array in a rectangle of cells, one after another.

        Raises UnfinishedError where a cell of the domain is not produced and that is not allowed.
        """
        for name in self.layers:
            yield name, self.cube.layer(name, cells)
        for name in self.arrays:
            values = self._read(name, cells)
            if name == "quality" and not self.unfinished:
                self._refuse_unfinished(cells, values)
            yield name, values

    def _read(self, name: str, cells: CellSlices) -> NDArray[Any]:
        """Values of one array, brought to the axis of the file, missing where masked."""
        if name in STEP_ARRAYS and self.axis == "time":
            index = self.cube.layout.step_index(self.span)
            steps = slice(int(index[0]), int(index[-1]) + 1)
            values = self.cube.steps(name, steps, cells)[index - steps.start]
        else:
            values = self.cube.daily(name, self.span, cells)
        for item in self.masked:
            here = self._overlap(item, cells)
            if here is not None:
                values[here] = self.cube.array(name).fill_value
        return values

    def _overlap(self, item: WorkItem, cells: CellSlices) -> tuple[slice, ...] | None:
        """Where a work item lies in the values of some cells; None where it does not."""
        days, rows, cols = self.cube.layout.region(item)
        along = days if self.axis == "time" else self.cube.layout.steps_of(item.block)
        pairs = ((along, self.span), (rows, cells.rows), (cols, cells.cols))
        here = tuple(_common(one, other) for one, other in pairs)
        return here if all(part.start < part.stop for part in here) else None

    def _refuse_unfinished(self, cells: CellSlices, quality: NDArray[np.unsignedinteger]) -> None:
        domain = np.isfinite(self.cube.layer("sftlf", cells))
        waiting = has(quality, Quality.NOT_PRODUCED) & domain
        if waiting.any():
            count = int(waiting.any(axis=0).sum())
            place = f"rows {cells.rows.start} to {cells.rows.stop - 1}"
            raise UnfinishedError(f"{count} cells in {place} are not computed yet")


def _common(one: slice, other: slice) -> slice:
    """What two slices share, counted from the start of the second."""
    start, stop = max(one.start, other.start), min(one.stop, other.stop)
    return slice(start - other.start, stop - other.start)
