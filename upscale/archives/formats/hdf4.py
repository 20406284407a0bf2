"""HDF4 files by `pyhdf`: what they hold, and one dataset at a time.

The C library is not thread-safe and holds global state: one lock per process around every
open, read and close. Nothing stays open between two calls.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.archives.source import require
from upscale.remote.errors import ArchiveError
from upscale.stores.files import first_bytes

#: First bytes of every HDF4 file.
MAGIC = b"\x0e\x03\x13\x01"

LOCK = threading.RLock()


@dataclass(frozen=True)
class ScientificDataset:
    """A scientific dataset: names of its dimensions, its shape and its attributes."""

    name: str
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Hdf4Header:
    """All that a file says of itself: its datasets in their order, and its own attributes."""

    datasets: tuple[ScientificDataset, ...]
    attributes: Mapping[str, Any]


def is_hdf4(path: str) -> bool:
    """True where a local file starts as HDF4 does."""
    return first_bytes(path, 4) == MAGIC


def read_header(path: str) -> Hdf4Header:
    """What a file holds; ArchiveError where it is no whole HDF4 file."""
    with _open(path) as file:
        listed = sorted(file.datasets().items(), key=lambda item: item[1][3])
        datasets = [_dataset(file, name, entry) for name, entry in listed]
        return Hdf4Header(tuple(datasets), dict(file.attributes()))


def read_dataset(path: str, name: str, rows: tuple[int, int] | None = None) -> NDArray[Any]:
    """The stored numbers of one dataset, without scale; ArchiveError where it is damaged.

    rows: first row and the one after the last, of a dataset of rows and columns; all by default.
    """
    with _open(path) as file:
        dataset = file.select(name)
        part = {}
        if rows is not None:
            part = {"start": (rows[0], 0), "count": (rows[1] - rows[0], dataset.info()[2][1])}
        stored: NDArray[Any] = np.ascontiguousarray(dataset.get(**part))
        return stored


def _dataset(file: Any, name: str, entry: tuple[Any, ...]) -> ScientificDataset:
    dimensions, shape = entry[0], entry[1]
    # pyhdf gives a plain number for the length of a dataset of one dimension
    lengths = (shape,) if isinstance(shape, int) else tuple(shape)
    return ScientificDataset(name, tuple(dimensions), lengths, dict(file.select(name).attributes()))


@contextmanager
def _open(path: str) -> Iterator[Any]:
    sd = require("pyhdf.SD", "archives")
    error = require("pyhdf.error", "archives").HDF4Error
    if not is_hdf4(path):
        found = f"one that starts with {first_bytes(path)!r}" if Path(path).is_file() else "none"
        raise ArchiveError(f"{path}: expected an HDF4 file, found {found}; fetch it again")
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
