"""MODIS and VIIRS granules in their documented layouts, written for tests.

Real HDF4 and HDF5 files with the grids, names, types, attributes and StructMetadata.0 of the
archives, and with values that a test chooses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netCDF4

from upscale.archives.formats.hdfeos import (
    CMG_CORNERS,
    StoredGrid,
    struct_metadata,
    tile_corners,
    write_modis,
)

__all__ = [
    "CMG_CORNERS", "StoredGrid", "struct_metadata", "tile_corners", "write_modis", "write_viirs",
]  # fmt: skip


def write_viirs(path: Path, *grids: StoredGrid) -> str:
    """Write an HDF-EOS5 granule with its grids in HDFEOS/GRIDS; returns its path."""
    with netCDF4.Dataset(path, "w") as file:
        information = file.createGroup("HDFEOS INFORMATION")
        text = information.createVariable("StructMetadata.0", str)
        text[...] = struct_metadata(grids).rstrip("\0")
        for grid in grids:
            _write_fields(file.createGroup(f"HDFEOS/GRIDS/{grid.name}/Data Fields"), grid)
    return str(path)


def _write_fields(group: Any, grid: StoredGrid) -> None:
    group.createDimension("YDim", grid.shape[0])
    group.createDimension("XDim", grid.shape[1])
    for name, (stored, attributes) in grid.layers.items():
        fill = attributes.get("_FillValue")
        field_ = group.createVariable(
            name, stored.dtype, ("YDim", "XDim"), fill_value=fill, zlib=True
        )
        field_.set_auto_maskandscale(False)
        field_.setncatts({k: v for k, v in attributes.items() if k != "_FillValue"})
        field_[:] = stored
