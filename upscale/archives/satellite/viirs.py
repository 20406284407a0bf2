"""VIIRS granules (HDF5): gridded products that continue those of MODIS.

Grids are groups HDFEOS/GRIDS/<grid>/Data Fields; VNP09GA has 500 m bands I1 to I3 and 1 km bands
M1 to M11. Layouts follow the user guides; none was tested on a real granule. Files are read with
netCDF4, which is not thread-safe: the lock of the NetCDF readers is held around every open, read
and close.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from upscale.archives.formats import structure
from upscale.archives.formats.bits import passes, widened
from upscale.archives.formats.scaling import Numbers, numbers_of, physical, units_of
from upscale.archives.formats.structure import Geometry
from upscale.archives.granule import Description, Layer
from upscale.archives.reanalysis.netcdf import NETCDF
from upscale.archives.satellite.coded import is_coded
from upscale.archives.satellite.products import Product, Rule
from upscale.archives.satellite.published import (
    Published,
    has_published_name,
    published,
    swath_words,
)
from upscale.archives.satellite.viirs_products import viirs_row
from upscale.archives.source import not_this_kind
from upscale.remote.errors import ArchiveError
from upscale.stores.files import first_bytes

#: First bytes of every HDF5 file.
MAGIC = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class _Field:
    """A field of the file: its grid, group, shape and attributes."""

    grid: str
    shape: tuple[int, ...]
    attributes: Mapping[str, Any]

    @property
    def place(self) -> str:
        return f"HDFEOS/GRIDS/{self.grid}/Data Fields"


@contextmanager
def _open(path: str) -> Iterator[Any]:
    """Open a file while holding the NetCDF lock; ArchiveError where it is damaged or no HDF5."""
    if first_bytes(path, 8) != MAGIC:
        raise ArchiveError(f"{path}: expected an HDF5 file, found {not_this_kind(path)}")
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

    @property
    def row(self) -> Product:
        return viirs_row(self.named.product)

    def layer(self, name: str) -> Layer:
        """One field in physical units, with the QA of its band."""
        attributes = self._attributes(name)
        values = physical(name, self.stored(name), attributes, self.row.adds)
        coded = is_coded(name, attributes)
        return Layer(name, units_of(attributes), values, self.usable(name), coded)

    def numbers(self, name: str) -> Numbers:
        """One field as stored numbers."""
        attributes = self._attributes(name)
        stored, usable = self.stored(name), self.usable(name)
        return numbers_of(name, stored, attributes, self.row.adds, usable)

    def _attributes(self, name: str) -> Mapping[str, Any]:
        return {**self.row.attributes(name), **self._field(name).attributes}

    def usable(self, name: str) -> NDArray[np.bool_] | None:
        """Where the default QA accepts a band (row, col); None for other fields."""
        for rule in self.row.rules.get(name, ()):
            if all(check.layer in self.fields for check in rule):
                good = self._accepted(rule)
                times = self._field(name).shape[0] // good.shape[0]
                return good if times == 1 else widened(good, times, times)
        return None

    def _accepted(self, rule: Rule) -> NDArray[np.bool_]:
        """Where a rule holds (row, col), kept: the bands of a product share theirs."""
        kept: dict[Rule, NDArray[np.bool_]] = self.__dict__.setdefault("_kept", {})
        if rule not in kept:
            verdicts = [passes(self._codes(test.layer), test.conditions) for test in rule]
            kept[rule] = np.logical_and.reduce(verdicts)
        return kept[rule]

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
        if {"geolocation_data", "observation_data", "All_Data"} & set(file.groups) or (
            "HDFEOS" in file.groups and "SWATHS" in file["HDFEOS"].groups
        ):
            raise ArchiveError(f"{path}: {swath_words(published(path).product)}") from None
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
        """True for the published name of a granule, whatever its content."""
        named = has_published_name(path, "VNP|VJ1|VJ2")
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
