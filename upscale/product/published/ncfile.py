"""One NetCDF-4 file holding a part of a flux cube: define it, fill it, compare it.

Values go block by block; a block is one chunk of the file in space with all its days, so no
chunk is compressed twice and memory stays at about ten bytes x days x cells of a block
(0.6 GB in all for a global month at 0.05 degree, measured), whatever the size of the grid.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from netCDF4 import Dataset
from numpy.typing import NDArray

from upscale.product.published.part import OF_A_REVISION, Part
from upscale.product.reader import CellSlices
from upscale.stores.axes import CELLS

#: netCDF-C is not safe in threads: whoever opens a NetCDF file here holds this lock.
NETCDF_LOCK = threading.RLock()

#: Missing value of floats: old tools (NCO, Fortran) cannot compare with NaN.
FILL = np.float32(1e20)

_FILLS = {"filled_share": np.uint8(255)}


def write_part(path: Path, part: Part) -> None:
    """Write a part to `path` and close it. Raises RuntimeError or OSError where the disk
    refuses, UnfinishedError where days of the domain are not computed yet."""
    with NETCDF_LOCK, Dataset(str(path), "w", format="NETCDF4") as file:
        _define(file, part)
        for name in part.axes:
            file.variables[name][...] = part.axis_values(name)
        for cells in part.cells():
            for name, values in part.values(cells):
                variable = file.variables[name]
                variable[_region(part, name, cells)] = _filled(values)


def first_difference(path: Path, part: Part, *, whole: bool = True) -> str | None:
    """The first difference between the file and the store, in words; None where they are equal.

    whole: compare also the attributes that change with every revision.
    """
    try:
        with NETCDF_LOCK, Dataset(str(path)) as file:
            file.set_auto_maskandscale(False)
            return next(_differences(file, part, frozenset() if whole else OF_A_REVISION), None)
    except (OSError, RuntimeError, KeyError, IndexError) as error:
        return f"unreadable: {error}"


def _differences(file: Dataset, part: Part, ignored: frozenset[str]) -> Iterator[str]:
    """What differs between a file and the store, in words, attributes first."""
    wanted = {k: v for k, v in part.global_attributes.items() if k not in ignored}
    found = {name: file.getncattr(name) for name in file.ncattrs() if name not in ignored}
    yield from (f"attribute {name}" for name in wanted if not _equal(found.get(name), wanted[name]))
    yield from (f"attribute {name}, which is not in the store" for name in found.keys() - wanted)
    yield from (f"{name} has no place in it" for name in file.variables.keys() - set(part.names))
    for name in part.names:
        yield from _attribute_differences(file.variables[name], part, name)
    for name in part.axes:
        if not _equal(file.variables[name][...], part.axis_values(name)):
            yield f"coordinate {name}"
    for cells in part.cells():
        for name, values in part.values(cells):
            if not _equal(file.variables[name][_region(part, name, cells)], _filled(values)):
                yield f"{name} in rows {cells.rows.start} to {cells.rows.stop - 1}"


def _attribute_differences(variable: Any, part: Part, name: str) -> Iterator[str]:
    for key, value in part.attributes_of(name).items():
        if key not in variable.ncattrs() or not _equal(variable.getncattr(key), value):
            yield f"attribute {name}:{key}"


def _equal(one: Any, other: Any) -> bool:
    return np.array_equal(np.asarray(one), np.asarray(other))


def _define(file: Dataset, part: Part) -> None:
    """Write the dimensions, the metadata of all variables, and the global attributes."""
    grid = part.cube.grid
    for name, size in zip((part.axis, *CELLS, "bnds"), (None, *grid.shape, 2), strict=True):
        file.createDimension(name, size)
    edges = tuple(min(part.edge, n) for n in grid.shape)
    for name in part.axes:
        _create(file, part, name, None)
    for name in part.layers:
        _create(file, part, name, edges)
    for name in part.arrays:
        _create(file, part, name, (1, *edges))
    file.setncatts(part.global_attributes)


def _create(file: Dataset, part: Part, name: str, chunks: tuple[int, ...] | None) -> None:
    """Write the metadata of one variable; axes are stored whole and uncompressed."""
    dtype = np.dtype(part.cube.array(name).dtype)
    packed = chunks is not None
    kind: Any = dtype.str[1:]  # without byte order: that of the machine
    level: Any = part.level
    file.createVariable(
        name,
        kind,
        part.dimensions_of(name),
        zlib=packed,
        complevel=level,
        shuffle=packed,
        chunksizes=chunks,
        fill_value=_fill_of(name, dtype) if packed else None,
    ).setncatts(part.attributes_of(name))


def _fill_of(name: str, dtype: np.dtype[Any]) -> Any:
    return FILL if dtype.kind == "f" else _FILLS.get(name)


def _filled(values: NDArray[Any]) -> NDArray[Any]:
    """NaN as the missing value of the file."""
    if values.dtype.kind != "f":
        return values
    return np.where(np.isnan(values), FILL, values).astype(values.dtype, copy=False)


def _region(part: Part, name: str, cells: CellSlices) -> tuple[slice, ...]:
    days = (slice(None),) if name in part.arrays else ()
    return (*days, cells.rows, cells.cols)
