"""VIIRS daily surface reflectance (VNP09GA and its successors; HDF5), which continues MODIS Terra.

Grids are groups HDFEOS/GRIDS/<grid>/Data Fields with 500 m bands I1 to I3 and 1 km bands M1 to
M11. The layout follows the VNP09 User Guide; it has not been tested on a real granule. Files are
read with netCDF4, which is not thread-safe: the lock of the NetCDF readers is held around every
open, read and close.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from upscale.archives.formats import structure
from upscale.archives.formats.bits import Accepted, Field, accepted, passes, widened
from upscale.archives.formats.scaling import Numbers, numbers_of, physical, units_of
from upscale.archives.formats.structure import Geometry
from upscale.archives.granule import Description, Layer
from upscale.archives.reanalysis.netcdf import NETCDF
from upscale.archives.satellite.published import Published, has_published_name, published
from upscale.remote.errors import ArchiveError
from upscale.stores.files import first_bytes

#: First bytes of every HDF5 file.
MAGIC = b"\x89HDF\r\n\x1a\n"

#: Quality flags of VNP09GA (VNP09 User Guide, collection 2).
QF1: Mapping[str, Field] = {
    "mask_quality": (0, 1), "cloud": (2, 3), "night": (4, 4), "low_sun": (5, 5), "glint": (6, 7),
}  # fmt: skip
QF2: Mapping[str, Field] = {
    "land_water": (0, 2), "shadow": (3, 3), "heavy_aerosol": (4, 4), "snow": (5, 5),
    "cirrus_reflective": (6, 6), "cirrus_emissive": (7, 7),
}  # fmt: skip
QF7: Mapping[str, Field] = {
    "snow": (0, 0), "adjacent": (1, 1), "aerosol": (2, 3), "thin_cirrus": (4, 4),
}  # fmt: skip

#: Clear daytime sky over land, coast or inland water; no shadow, cirrus or heavy aerosol.
_CLEAR: Mapping[str, tuple[Accepted, ...]] = {
    "SurfReflect_QF1_1": accepted(QF1, cloud=(0, 1), night=(0,)),
    "SurfReflect_QF2_1": accepted(
        QF2, land_water=(0, 1, 2, 5), shadow=(0,), heavy_aerosol=(0,), cirrus_reflective=(0,),
        cirrus_emissive=(0,),
    ),
    "SurfReflect_QF7_1": accepted(QF7, adjacent=(0,), aerosol=(0, 1, 2)),
}  # fmt: skip

_DOCUMENTED = {"_FillValue": -28672, "valid_range": (-100, 16000), "scale_factor": 1e-4}


@dataclass(frozen=True)
class _Field:
    """A field of the file: its grid, group, shape and attributes."""

    grid: str
    shape: tuple[int, ...]
    attributes: Mapping[str, Any]

    @property
    def place(self) -> str:
        return f"HDFEOS/GRIDS/{self.grid}/Data Fields"


def _bands() -> frozenset[str]:
    bands = (*(f"I{n}" for n in (1, 2, 3)), *(f"M{n}" for n in (1, 2, 3, 4, 5, 7, 8, 10, 11)))
    return frozenset(f"SurfReflect_{band}_1" for band in bands)


@contextmanager
def _open(path: str) -> Iterator[Any]:
    """Open a file while holding the NetCDF lock; ArchiveError where it is damaged or no HDF5."""
    if first_bytes(path, 8) != MAGIC:
        raise ArchiveError(
            f"{path}: expected an HDF5 file, found one that starts with {first_bytes(path)!r}; "
            "fetch it again"
        )
    with NETCDF:
        try:
            with netCDF4.Dataset(path) as file:
                file.set_auto_maskandscale(False)
                yield file
        except (OSError, RuntimeError) as error:
            raise ArchiveError(
                f"{path}: expected a whole HDF5 file, found a damaged or truncated one of "
                f"{Path(path).stat().st_size:,} bytes ({error}); fetch it again"
            ) from None


@dataclass(frozen=True)
class ViirsGranule:
    """One granule: its name, its grids and its fields."""

    path: str
    named: Published
    geometries: tuple[Geometry, ...]
    fields: Mapping[str, _Field]

    def stored(self, name: str) -> NDArray[Any]:
        """The stored numbers of a field (row, col)."""
        with _open(self.path) as file:
            stored: NDArray[Any] = file[self.fields[name].place][name][:]
            return np.ascontiguousarray(stored)

    def geometry_of(self, name: str) -> Geometry:
        """The grid of a field; ArchiveError where the file has no such field."""
        shape = self._field(name).shape
        return next(g for g in self.geometries if (g.rows, g.cols) == shape)

    def _field(self, name: str) -> _Field:
        if name not in self.fields:
            raise ArchiveError(
                f"{self.path}: expected field {name}, found {', '.join(self.fields)}"
            )
        return self.fields[name]

    def layer(self, name: str) -> Layer:
        """One field in physical units; a band has the QA of the 1 km pixels."""
        attributes = self._attributes(name)
        values = physical(name, self.stored(name), attributes, adds=True)
        return Layer(name, units_of(attributes), values, self.usable(name))

    def numbers(self, name: str) -> Numbers:
        """One field as stored numbers."""
        attributes = self._attributes(name)
        return numbers_of(name, self.stored(name), attributes, True, self.usable(name))

    def _attributes(self, name: str) -> Mapping[str, Any]:
        return {**(_DOCUMENTED if name in _bands() else {}), **self._field(name).attributes}

    def usable(self, name: str) -> NDArray[np.bool_] | None:
        """Where the default QA accepts a band (row, col); None for other fields."""
        if name not in _bands() or self.clear is None:
            return None
        times = self._field(name).shape[0] // self.clear.shape[0]
        return self.clear if times == 1 else widened(self.clear, times, times)

    @cached_property
    def clear(self) -> NDArray[np.bool_] | None:
        """Where the default QA accepts a 1 km pixel (row, col); None where flags are missing."""
        if not all(name in self.fields for name in _CLEAR):
            return None
        checks = (passes(self._codes(name), rule) for name, rule in _CLEAR.items())
        good: NDArray[np.bool_] = np.logical_and.reduce(list(checks))
        return good

    def _codes(self, name: str) -> NDArray[np.unsignedinteger]:
        stored = self.stored(name)
        return stored.view(f"u{stored.dtype.itemsize}")


def open_granule(path: str) -> ViirsGranule:
    """Open a granule; ArchiveError where it is damaged, misnamed, or on a wrong grid."""
    named = published(path)
    with _open(path) as file:
        text, fields = _struct_text(file), dict(_fields(file, path))
    grids = structure.parse_grids(text)
    geometries = tuple(structure.geometry(grid, named.tile, path) for grid in grids)
    shapes = {(g.rows, g.cols) for g in geometries}
    for name, found in fields.items():
        if found.shape not in shapes:
            raise ArchiveError(
                f"{path}: expected field {name} on one of the grids of its StructMetadata.0 "
                f"({shapes or 'none'}), found {found.shape}; fetch it again"
            )
    return ViirsGranule(path, named, geometries, fields)


def _fields(file: Any, path: str) -> Iterator[tuple[str, _Field]]:
    """The two-dimensional fields by name."""
    try:
        grids = file["HDFEOS/GRIDS"].groups
    except IndexError:
        raise ArchiveError(
            f"{path}: expected a group HDFEOS/GRIDS, found {', '.join(file.groups) or 'none'}; "
            "take the gridded product"
        ) from None
    for grid, group in grids.items():
        for name, data in group.groups["Data Fields"].variables.items():
            if len(data.shape) == 2:
                attributes = {key: data.getncattr(key) for key in data.ncattrs()}
                yield name, _Field(grid, tuple(data.shape), attributes)


def _struct_text(file: Any) -> str:
    """StructMetadata.0, stored as one string or as an array of characters."""
    group = file.groups.get("HDFEOS INFORMATION")
    if group is None or "StructMetadata.0" not in group.variables:
        return ""
    stored = np.asarray(group.variables["StructMetadata.0"][...])
    if stored.dtype.kind == "S":
        return b"".join(np.ravel(stored).tolist()).decode("ascii", "replace")
    return "".join(str(part) for part in np.ravel(stored))


class _Viirs:
    """VIIRS granules as a registered source."""

    name = "viirs"

    def matches(self, path: str) -> bool:
        """True for the published name of a daily reflectance granule, whatever its content."""
        named = has_published_name(path, "(VNP|VJ1|VJ2)09GA")
        return named and PurePath(path).suffix in (".h5", ".hdf5", ".nc")

    def describe(self, path: str) -> Description:
        """Product, collection, grids, date and fields."""
        granule = open_granule(path)
        tile = granule.named.tile
        place = "" if tile is None else f"h{tile[0]:02d}v{tile[1]:02d}, "
        return Description(
            file=PurePath(path).name,
            product=granule.named.product,
            collection=granule.named.collection,
            grid=place + "; ".join(geometry.words for geometry in granule.geometries),
            date=granule.named.date.isoformat(),
            variables=tuple(granule.fields),
        )

    def layers(self, path: str) -> Iterator[Layer]:
        """Every two-dimensional field."""
        granule = open_granule(path)
        for name in granule.fields:
            yield granule.layer(name)


#: The source for the registry.
VIIRS = _Viirs()
