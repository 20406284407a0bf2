"""One NetCDF-4 file holding a part of a flux cube: define it, fill it, compare it.

Values go block by block; a block is one chunk of the file in space with all its days, so no
chunk is compressed twice and memory stays at about ten bytes x days x cells of a block
(0.6 GB in all for a global month at 0.05 degree, measured), whatever the size of the grid.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from netCDF4 import Dataset
from numpy.typing import NDArray

from upscale.calendar import date_of
from upscale.product.cube import plain
from upscale.product.quality import Quality, has
from upscale.product.reader import CellSlices, FluxCube, cells_of
from upscale.product.uncertainty import STEP_ARRAYS
from upscale.stores.axes import AXES, DAILY

#: netCDF-C is not safe in threads: whoever opens a NetCDF file here holds this lock.
NETCDF_LOCK = threading.RLock()

#: Missing value of floats: old tools (NCO, Fortran) cannot compare with NaN.
FILL = np.float32(1e20)

#: Cells along each side of a chunk, about; chunks of the store decide the rest.
CHUNK = 600

_STEP_AXES = ("step", "step_bnds")
_FILLS = {"filled_share": np.uint8(255)}
_KEPT_OUT = {"kind", "layout", "initialised"}


class UnfinishedError(ValueError):
    """Days of the domain have not been computed yet."""


@dataclass(frozen=True)
class Part:
    """Some days of some arrays of a flux cube, and the global attributes that say so.

    days: indices on the time axis; level: of zlib, 1 (quick) to 9; unfinished: cells that are
    not computed yet may be published.
    """

    cube: FluxCube
    daily: tuple[str, ...]
    layers: tuple[str, ...]
    days: slice
    attributes: Mapping[str, Any]
    level: int = 2
    unfinished: bool = False

    @property
    def edge(self) -> int:
        """Rows and columns of a block: whole chunks of the store."""
        return self.cube.edge * max(1, round(CHUNK / self.cube.edge))

    @property
    def stepped(self) -> tuple[str, ...]:
        """Arrays on the step axis that the cube has."""
        return tuple(name for name in STEP_ARRAYS if self.cube.has(name))

    @property
    def steps(self) -> slice:
        """Indices on the step axis of the steps that hold a day of this part."""
        first, last = self.cube.layout.step_index(self.days)[[0, -1]]
        return slice(int(first), int(last) + 1)

    @property
    def axes(self) -> tuple[str, ...]:
        return AXES + (_STEP_AXES if self.stepped else ())

    def blocks(self) -> Iterator[CellSlices]:
        return cells_of(self.cube.grid, self.edge)

    def first_date(self) -> str:
        return str(date_of(self.cube.layout.first + self.days.start))

    def last_date(self) -> str:
        return str(date_of(self.cube.layout.first + self.days.stop - 1))

    def global_attributes(self) -> dict[str, Any]:
        """Those of the cube, with the period of this part, in types that NetCDF knows."""
        pairs = {k: v for k, v in self.cube.attributes.items() if k not in _KEPT_OUT}
        period = {
            "time_coverage_start": f"{self.first_date()}T00:00:00Z",
            "time_coverage_end": f"{self.last_date()}T23:59:59Z",
            "time_coverage_duration": f"P{self.days.stop - self.days.start}D",
        }
        content = pairs | period | dict(self.attributes)
        return {k: plain(v) for k, v in content.items() if plain(v) != ""}


def write_part(path: Path, part: Part) -> None:
    """Write a part to `path` and close it. Raises RuntimeError or OSError where the disk
    refuses, UnfinishedError where days of the domain are not computed yet."""
    with NETCDF_LOCK, Dataset(str(path), "w", format="NETCDF4") as file:
        _define(file, part)
        for name in part.axes:
            file.variables[name][...] = _axis(part, name)
        for cells in part.blocks():
            for name, values in _block(part, cells):
                variable = file.variables[name]
                variable[_region(variable, cells)] = _filled(values)


def first_difference(path: Path, part: Part) -> str | None:
    """The first difference between the file and the store, in words; None where they are equal."""
    try:
        with NETCDF_LOCK, Dataset(str(path)) as file:
            file.set_auto_maskandscale(False)
            return next(_differences(file, part), None)
    except (OSError, RuntimeError, KeyError, IndexError) as error:
        return f"unreadable: {error}"


def _differences(file: Dataset, part: Part) -> Iterator[str]:
    """What differs between a file and the store, in words, attributes first."""
    wanted = part.global_attributes()
    found = {name: file.getncattr(name) for name in file.ncattrs()}
    yield from (f"attribute {name}" for name in wanted if not _equal(found.get(name), wanted[name]))
    yield from (f"attribute {name}, which is not in the store" for name in found.keys() - wanted)
    for name in (*part.axes, *part.layers, *part.daily, *part.stepped):
        yield from _attribute_differences(file.variables[name], part, name)
    for name in part.axes:
        if not _equal(file.variables[name][...], _axis(part, name)):
            yield f"coordinate {name}"
    for cells in part.blocks():
        for name, values in _block(part, cells):
            variable = file.variables[name]
            if not _equal(variable[_region(variable, cells)], _filled(values)):
                yield f"{name} in rows {cells.rows.start} to {cells.rows.stop - 1}"


def _attribute_differences(variable: Any, part: Part, name: str) -> Iterator[str]:
    for key, value in _attributes(part, name).items():
        if key not in variable.ncattrs() or not _equal(variable.getncattr(key), value):
            yield f"attribute {name}:{key}"


def _equal(one: Any, other: Any) -> bool:
    return np.array_equal(np.asarray(one), np.asarray(other))


def _define(file: Dataset, part: Part) -> None:
    """Write the dimensions, the metadata of all variables, and the global attributes."""
    grid = part.cube.grid
    for name, size in zip((*DAILY, "bnds"), (None, *grid.shape, 2), strict=True):
        file.createDimension(name, size)
    if part.stepped:
        file.createDimension("step", part.steps.stop - part.steps.start)
    edges = tuple(min(part.edge, n) for n in grid.shape)
    for name in part.axes:
        _create(file, part, name, None)
    for name in part.layers:
        _create(file, part, name, edges)
    for name in (*part.daily, *part.stepped):
        _create(file, part, name, (1, *edges))
    file.setncatts(part.global_attributes())


def _create(file: Dataset, part: Part, name: str, chunks: tuple[int, ...] | None) -> None:
    """Write the metadata of one variable; axes are stored whole and uncompressed."""
    array: Any = part.cube.array(name)
    packed = chunks is not None
    kind: Any = np.dtype(array.dtype).str[1:]  # without byte order: that of the machine
    level: Any = part.level
    file.createVariable(
        name,
        kind,
        tuple(array.metadata.dimension_names or ()),
        zlib=packed,
        complevel=level,
        shuffle=packed,
        chunksizes=chunks,
        fill_value=_fill_of(name, np.dtype(array.dtype)) if packed else None,
    ).setncatts(_attributes(part, name))


def _fill_of(name: str, dtype: np.dtype[Any]) -> Any:
    return FILL if dtype.kind == "f" else _FILLS.get(name)


def _attributes(part: Part, name: str) -> dict[str, Any]:
    """Attributes of an array; those that must have its type have it, and references to what
    is not in the file are left out."""
    array = part.cube.array(name)
    text = {k: v for k, v in dict(array.attrs).items() if k != "_FillValue"}
    for key in ("flag_masks", "flag_values", "valid_range"):
        if key in text:
            text[key] = np.asarray(text[key], array.dtype)
    if text.get("ancillary_variables") not in part.daily:
        text.pop("ancillary_variables", None)
    return text


def _axis(part: Part, name: str) -> NDArray[Any]:
    array = part.cube.array(name)
    if name in _STEP_AXES:
        return np.asarray(array[part.steps])
    return np.asarray(array[part.days] if name.startswith("time") else array[...])


def _block(part: Part, cells: CellSlices) -> Iterator[tuple[str, NDArray[Any]]]:
    """Name and values of every array in one block, one after another."""
    for name in part.layers:
        yield name, part.cube.layer(name, cells)
    for name in part.stepped:
        yield name, part.cube.steps(name, part.steps, cells)
    for name in part.daily:
        values = part.cube.daily(name, part.days, cells)
        if name == "quality" and not part.unfinished:
            _refuse_unfinished(part, cells, values)
        yield name, values


def _refuse_unfinished(part: Part, cells: CellSlices, quality: NDArray[np.unsignedinteger]) -> None:
    domain = np.isfinite(part.cube.layer("sftlf", cells))
    waiting = has(quality, Quality.NOT_PRODUCED) & domain
    if waiting.any():
        raise UnfinishedError(
            f"{part.cube.url}: {int(waiting.any(axis=0).sum())} cells in rows {cells.rows.start} to"
            f" {cells.rows.stop - 1} are not computed yet between {part.first_date()} and"
            f" {part.last_date()}; finish the run first (`upscale run` goes on where it was)"
        )


def _filled(values: NDArray[Any]) -> NDArray[Any]:
    """NaN as the missing value of the file."""
    if values.dtype.kind != "f":
        return values
    return np.where(np.isnan(values), FILL, values).astype(values.dtype, copy=False)


def _region(variable: Any, cells: CellSlices) -> tuple[slice, ...]:
    days = (slice(None),) if variable.dimensions[0] in ("time", "step") else ()
    return (*days, cells.rows, cells.cols)
