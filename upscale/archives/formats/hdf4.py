"""HDF4 files read through `pyhdf`: the header, or one dataset at a time.

The C library is not thread-safe and holds global state, so one lock per process is held around
every open, read and close. No file stays open between two calls.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.archives.source import not_this_kind, require
from upscale.remote.errors import ArchiveError
from upscale.stores.files import first_bytes

#: First bytes of every HDF4 file.
MAGIC = b"\x0e\x03\x13\x01"

#: Type of an attribute that is text, DFNT_CHAR8 of the HDF4 reference manual.
_CHAR8 = 4

LOCK = threading.RLock()


@dataclass(frozen=True)
class ScientificDataset:
    """The header of a scientific dataset: dimension names, shape and attributes."""

    name: str
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Hdf4Header:
    """The header of a file: its datasets in order, and its global attributes."""

    datasets: tuple[ScientificDataset, ...]
    attributes: Mapping[str, Any]


def is_hdf4(path: str) -> bool:
    """True where a local file starts with the signature of HDF4."""
    return first_bytes(path, 4) == MAGIC


def read_header(path: str) -> Hdf4Header:
    """The header of a file; ArchiveError where it is no complete HDF4 file."""
    with _open(path) as file, _identifier(path) as identifier:
        listed = sorted(file.datasets().items(), key=lambda item: item[1][3])
        datasets = [_dataset(file, identifier, name, entry) for name, entry in listed]
        return Hdf4Header(tuple(datasets), _attributes(file, identifier))


def read_dataset(path: str, name: str, rows: tuple[int, int] | None = None) -> NDArray[Any]:
    """The stored (unscaled) numbers of one dataset; ArchiveError where it is damaged.

    rows: (start, stop) of the rows to read of a two-dimensional dataset; all by default.
    """
    with _open(path) as file:
        dataset = file.select(name)
        part = {}
        if rows is not None:
            part = {"start": (rows[0], 0), "count": (rows[1] - rows[0], dataset.info()[2][1])}
        stored: NDArray[Any] = np.ascontiguousarray(dataset.get(**part))
        return stored


def _dataset(file: Any, identifier: int, name: str, entry: tuple[Any, ...]) -> ScientificDataset:
    dimensions, shape, number = entry[0], entry[1], entry[3]
    # pyhdf gives a plain number for the length of a dataset of one dimension
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    library = _library()
    selected = library.SDselect(identifier, number)
    try:
        attributes = _attributes(file.select(name), selected)
    finally:
        library.SDendaccess(selected)
    return ScientificDataset(name, tuple(dimensions), lengths, attributes)


def _attributes(of: Any, identifier: int) -> dict[str, Any]:
    """Attributes of a file or dataset, by name.

    of: the object of pyhdf; identifier: its number in the C library. `pyhdf` makes a Python object
    of every character of a text, 32,000 in the StructMetadata of any granule, which takes longer
    than the rest of a header. Texts are therefore copied from the library's buffer as a whole.
    """
    library = _library()
    found = {}
    for number in range(of.info()[-1]):
        attribute = of.attr(number)
        name, kind, count = attribute.info()
        found[name] = (
            _text(library, identifier, number, count) if kind == _CHAR8 else attribute.get()
        )
    return found


def _text(library: Any, identifier: int, number: int, count: int) -> str:
    buffer = library.array_byte(count)
    if library.SDreadattr(identifier, number, buffer) < 0:
        raise require("pyhdf.error", "archives").HDF4Error("an attribute cannot be read")
    return ctypes.string_at(int(buffer.cast()), count).decode("latin-1")


def _library() -> Any:
    """The functions of the C library under their C names."""
    return require("pyhdf.hdfext", "archives")


@contextmanager
def _identifier(path: str) -> Iterator[int]:
    """The identifier of an open file in the C library."""
    library = _library()
    identifier = library.SDstart(path, library.DFACC_READ)
    if identifier < 0:
        raise require("pyhdf.error", "archives").HDF4Error("the file cannot be opened")
    try:
        yield identifier
    finally:
        library.SDend(identifier)


@contextmanager
def _open(path: str) -> Iterator[Any]:
    """Open a file while holding the lock of HDF4; ArchiveError where it is damaged or no HDF4."""
    sd = require("pyhdf.SD", "archives")
    error = require("pyhdf.error", "archives").HDF4Error
    if not is_hdf4(path):
        raise ArchiveError(f"{path}: expected an HDF4 file, found {not_this_kind(path)}")
    with LOCK:
        file = None
        try:
            file = sd.SD(path, sd.SDC.READ)
            yield file
        except error as reason:
            raise ArchiveError(
                f"{path}: expected a whole HDF4 file, found a damaged or truncated one of "
                f"{Path(path).stat().st_size:,} bytes ({reason}); fetch it again"
            ) from None
        finally:
            if file is not None:
                file.end()
