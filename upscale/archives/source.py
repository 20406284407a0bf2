"""The registry of sources: readers with one protocol, chosen by the content of a file.

A reader is imported only when it is asked about a file. Optional packages are imported by
`require` when a file is opened, so that a missing package fails only where it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from upscale.archives.granule import Description, Layer
from upscale.remote.errors import ArchiveError
from upscale.stores.files import first_bytes


class GranuleReader(Protocol):
    """Reader of one kind of file; `path` is a local path, or the URL of a store read in place."""

    @property
    def name(self) -> str:
        """The name of the reader in the registry."""
        ...

    def matches(self, path: str) -> bool:
        """True for a file of this kind, by content and name; never raises, needs no extra."""
        ...

    def describe(self, path: str) -> Description:
        """Describe a file; ArchiveError where it is damaged or its name and content disagree."""
        ...

    def layers(self, path: str) -> Iterator[Layer]:
        """The layers of a file, one after another; ArchiveError as in `describe`."""
        ...


#: Module and object of each source, in the order in which they are tried.
SOURCES = {
    "modis": "upscale.archives.satellite.modis:MODIS",
    "viirs": "upscale.archives.satellite.viirs:VIIRS",
    "era5": "upscale.archives.reanalysis.era5_files:ERA5",
    "maps": "upscale.archives.cells.maps:MAPS",
}

#: Kinds of files that may stand in place of another, by their first bytes.
_KINDS = {
    b"PK\x03\x04": "a ZIP; unpack it and name what it holds",
    b"\x1f\x8b": "a file compressed with gzip; unpack it",
    b"\x0e\x03\x13\x01": "HDF4, which MODIS granules are; give it its published name",
    b"\x89HDF": "HDF5 or NetCDF, which granules of VIIRS are; give it its published name",
}


def load_source(name: str) -> GranuleReader:
    """A source by its name; ArchiveError names the known ones."""
    if name not in SOURCES:
        raise ArchiveError(f"no source {name!r}; known sources: {', '.join(SOURCES)}")
    module, attribute = SOURCES[name].split(":")
    source: GranuleReader = getattr(import_module(module), attribute)
    return source


def open_source(path: str) -> GranuleReader:
    """The source that reads `path`; ArchiveError describes a file that no source reads."""
    for source in map(load_source, SOURCES):
        if source.matches(path):
            return source
    raise ArchiveError(
        f"{path}: expected a file of one of the sources {', '.join(SOURCES)}, found {_found(path)}"
    )


def not_this_kind(path: str) -> str:
    """What a file is instead of the expected kind, and what to do."""
    if not Path(path).is_file():
        return "no file; fetch it again"
    start = first_bytes(path)
    for magic, what in _KINDS.items():
        if start.startswith(magic):
            return what
    return f"one that starts with {start!r}; fetch it again"


def require(module: str, extra: str) -> Any:
    """An optional package by the name of its module; ArchiveError names the extra to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ArchiveError(
            f"expected the package {module!r}, found no such package ({error}); "
            f"install it with: pip install 'upscale[{extra}]'"
        ) from None


def _found(path: str) -> str:
    """What a file is that no reader claims, and what to do."""
    start = first_bytes(path)
    if not Path(path).exists():
        return "no such file; correct the path"
    if not start:
        what = "a folder" if Path(path).is_dir() else "an empty file"
        return f"{what}; give a granule under its published name"
    if start.lstrip().startswith((b"<", b"{")):
        return (
            f"text that starts with {start!r} (the answer of a server instead of a file?); fetch "
            "it again"
        )
    if start.startswith((b"\x89HDF", b"CDF")):
        return (
            "NetCDF or HDF5 that is neither a VIIRS granule under its published name nor weather "
            "of ERA5; see the table of archives"
        )
    return f"content that starts with {start!r}; give a granule under its published name"
