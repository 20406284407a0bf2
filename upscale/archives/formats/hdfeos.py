"""Writing HDF4-EOS granules: grids of stored numbers in the layout of the archives.

Names, types, attributes and StructMetadata.0 are those of a published granule, so that
`archives.satellite.modis` reads the file like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.archives.formats.hdf4 import LOCK
from upscale.archives.formats.structure import NORTH, TILE, WEST
from upscale.archives.source import require
from upscale.grid import EARTH_RADIUS

#: Codes of HDF4 number types by numpy type.
_TYPES = {"int8": 20, "uint8": 21, "int16": 22, "uint16": 23, "int32": 24, "uint32": 25,
          "float32": 5}  # fmt: skip
_CHARACTERS = 4


@dataclass(frozen=True, eq=False)
class StoredGrid:
    """A grid to write: its name, corners (left, top, right, bottom) and stored layers."""

    name: str
    corners: tuple[float, float, float, float]
    layers: Mapping[str, tuple[NDArray[Any], Mapping[str, Any]]]
    projection: str = "GCTP_SNSOID"
    radius: float = EARTH_RADIUS
    size: tuple[int, int] | None = field(default=None)  #: (rows, cols) in StructMetadata.0

    @property
    def shape(self) -> tuple[int, int]:
        first = next(iter(self.layers.values()))[0]
        return self.size or (first.shape[0], first.shape[1])


def tile_corners(h: int, v: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a sinusoidal tile, m."""
    left, top = WEST + h * TILE, NORTH - v * TILE
    return left, top, left + TILE, top - TILE


#: Corners of a climate-modelling grid, in packed degrees.
CMG_CORNERS = (-180_000_000.0, 90_000_000.0, 180_000_000.0, -90_000_000.0)


def struct_metadata(grids: Sequence[StoredGrid]) -> str:
    """StructMetadata.0 of grids, padded as the HDF-EOS library pads it."""
    groups = "".join(_group(number, grid) for number, grid in enumerate(grids, start=1))
    text = (
        "GROUP=SwathStructure\nEND_GROUP=SwathStructure\nGROUP=GridStructure\n"
        f"{groups}END_GROUP=GridStructure\nGROUP=PointStructure\nEND_GROUP=PointStructure\nEND\n"
    )
    return text.ljust(32000, "\0")


def _group(number: int, grid: StoredGrid) -> str:
    """The GRID group of one grid in StructMetadata.0."""
    left, top, right, bottom = grid.corners
    rows, cols = grid.shape
    fields = "".join(
        f'\t\t\tOBJECT=DataField_{n}\n\t\t\t\tDataFieldName="{name}"\n'
        f'\t\t\t\tDimList=("YDim","XDim")\n\t\t\tEND_OBJECT=DataField_{n}\n'
        for n, name in enumerate(grid.layers, start=1)
    )
    return (
        f'\tGROUP=GRID_{number}\n\t\tGridName="{grid.name}"\n\t\tXDim={cols}\n\t\tYDim={rows}\n'
        f"\t\tUpperLeftPointMtrs=({left:.6f},{top:.6f})\n"
        f"\t\tLowerRightMtrs=({right:.6f},{bottom:.6f})\n"
        f"\t\tProjection={grid.projection}\n"
        f"\t\tProjParams=({grid.radius:.6f},0,0,0,0,0,0,0,0,0,0,0,0)\n\t\tSphereCode=-1\n"
        f"\t\tGridOrigin=HDFE_GD_UL\n\t\tGROUP=DataField\n{fields}"
        f"\t\tEND_GROUP=DataField\n\tEND_GROUP=GRID_{number}\n"
    )


def write_modis(path: Path, *grids: StoredGrid, more: Mapping[str, Any] | None = None) -> str:
    """Write an HDF4-EOS granule and return its path as text; `more`: 1-D datasets beside the grids.

    Fill and valid range are written as numbers of the layer's type, as in published granules.
    """
    sd = require("pyhdf.SD", "archives")
    with LOCK:
        file = sd.SD(str(path), sd.SDC.WRITE | sd.SDC.CREATE | sd.SDC.TRUNC)
        try:
            _write_all(file, grids, more or {})
        finally:
            file.end()
    return str(path)


def _write_all(file: Any, grids: Sequence[StoredGrid], more: Mapping[str, Any]) -> None:
    file.attr("StructMetadata.0").set(_CHARACTERS, struct_metadata(grids))
    for grid in grids:
        for name, (stored, attributes) in grid.layers.items():
            names = (f"YDim:{grid.name}", f"XDim:{grid.name}")
            _write_dataset(file, name, stored, attributes, names)
    for name, stored in more.items():
        _write_dataset(file, name, np.asarray(stored), {}, ("Total_Additional_Observations",))


def _write_dataset(
    file: Any, name: str, stored: NDArray[Any], attributes: Mapping[str, Any], dims: Sequence[str]
) -> None:
    """Write one compressed dataset with its attributes and named dimensions."""
    code = _TYPES[stored.dtype.name]
    dataset = file.create(name, code, stored.shape)
    for number, dimension in enumerate(dims):
        dataset.dim(number).setname(dimension)
    dataset.setcompress(4, 2)  # deflate, as in the archives
    for key, value in attributes.items():
        own = key in ("_FillValue", "valid_range")
        kind = _CHARACTERS if isinstance(value, str) else code if own else 6
        dataset.attr(key).set(kind, list(value) if isinstance(value, tuple) else value)
    dataset[:] = stored
    dataset.endaccess()
