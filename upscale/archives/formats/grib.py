"""GRIB files of ERA5 and ERA5-Land, read through `eccodes` one message at a time.

The headers of all messages are read once; values are decoded when they are needed. `cfgrib` is
not used: it omits the accumulations of ERA5 files, whose base times differ, gives ERA5-Land two
time axes, does not distinguish final from preliminary data, and leaves index files beside the
data.

A message is placed at its valid time: in ERA5-Land 00 UTC of the day plus 1 to 24 hours, in ERA5
the time of the analysis, or 06 and 18 UTC plus 1 to 12 hours.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from upscale.archives.source import require
from upscale.remote.errors import ArchiveError

#: The library holds global state and is not thread-safe: this lock is held around every use.
ECCODES = threading.Lock()

#: The number that missing nodes decode to: no field comes near it.
_MISSING = 1e34

#: Types of levels in the atmosphere; no driver is made from them.
_ALOFT = frozenset({"isobaricInhPa", "isobaricInPa", "hybrid", "theta", "potentialVorticity"})

_PRELIMINARY = 5
_END = b"7777"

#: Attribute of a variable: what the ranges of its steps span.
STEP_RANGES = "step_ranges"
_DIMS = ("valid_time", "latitude", "longitude")


@dataclass(frozen=True, eq=False)
class _GribNodes:
    """Latitudes `(row,)` and longitudes `(col,)` of the nodes in the file's order, degrees."""

    lat: NDArray[np.float64]
    lon: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Message:
    """The header of one map of one variable, and its position in the file (bytes).

    method: type of its step; stream: of the archive; steps: what the range of its steps spans.
    """

    name: str
    units: str
    grid: str
    method: str
    stream: str
    steps: str
    stamp: np.datetime64
    early: bool
    offset: int
    length: int

    @property
    def kind(self) -> tuple[str, ...]:
        """Messages of another one are another variable, also under the same name."""
        return self.grid, self.name, self.method, self.stream


def library() -> Any:
    """The package `eccodes`; ArchiveError where it is missing.

    Its wheel loads a PROJ library for the whole process. If pyproj and rasterio are loaded later,
    they use that library by mistake: they know no projection, and the process crashes when it
    ends. So they are loaded first.
    """
    import_module("rioxarray")
    return require("eccodes", "grib")


def open_grib(path: Path) -> list[xr.Dataset]:
    """Open the fields of a file with dims `(valid_time, latitude, longitude)`, lazily.

    Variables that share nodes and stamps form one dataset. Coordinate `expver` distinguishes final
    from preliminary stamps; final messages replace preliminary ones. Repeated stamps go to another
    dataset. Raises OSError where the file is damaged, now or when values are read; ArchiveError
    where `eccodes` is missing or the file holds no map in degrees.
    """
    messages, grids = _scan(path)
    parts: dict[tuple[Any, ...], dict[str, list[_Message]]] = {}
    for again, series in _series(messages):
        stamps = tuple(message.stamp for message in series)
        kind = series[0].method, series[0].stream
        alike = (part for part in parts if part[:3] == (series[0].grid, again, stamps))
        free = next((part for part in alike if series[0].name not in parts[part]), None)
        variables = parts.setdefault(free or (series[0].grid, again, stamps, *kind), {})
        variables[series[0].name] = series
    return [_dataset(path, grids[key[0]], variables) for key, variables in parts.items()]


def _dataset(path: Path, grid: _GribNodes, variables: dict[str, list[_Message]]) -> xr.Dataset:
    first = next(iter(variables.values()))
    stamps = np.array([message.stamp for message in first]).astype("datetime64[ns]")
    early = np.any([[message.early for message in row] for row in variables.values()], axis=0)
    axes = dict(zip(_DIMS, (stamps, grid.lat, grid.lon), strict=True))
    arrays = {}
    for name, row in variables.items():
        stack = indexing.LazilyIndexedArray(_Stack(path, grid, row))
        arrays[name] = xr.Variable(_DIMS, stack, _attributes(row))
    stream = ("valid_time", np.where(early, "0005", "0001"))
    return xr.Dataset(arrays, {**axes, "expver": stream})


def _attributes(row: list[_Message]) -> dict[str, str]:
    """Attributes of a variable, with those that NetCDF of the archive has, too."""
    first = row[0]
    named = {"units": first.units, "GRIB_stepType": first.method, "GRIB_stream": first.stream}
    spans = {message.steps for message in row} - {"", "first hour"}
    return named | ({STEP_RANGES: " and ".join(sorted(spans))} if spans else {})


def _steps(method: str, base: int, start: int, end: int) -> str:
    """What a range of steps (hours) after a base time (hour of the day) spans; "" of instants."""
    if method == "instant":
        return ""
    if (base, start, end) == (0, 0, 1):
        return "first hour"
    if end - start == 1:
        return "hour"
    return "since midnight" if start == base == 0 and end <= 24 else f"{start} to {end} h"


def _series(messages: list[_Message]) -> Iterator[tuple[int, list[_Message]]]:
    """Messages of one variable on one grid by ascending stamp, one list for each repetition."""
    final = {(m.kind, m.stamp) for m in messages if not m.early}
    found: dict[tuple[str, ...], list[dict[np.datetime64, _Message]]] = {}
    for message in messages:
        if message.early and (message.kind, message.stamp) in final:
            continue
        layers = found.setdefault(message.kind, [])
        free = next((layer for layer in layers if message.stamp not in layer), None)
        if free is None:
            layers.append(free := {})
        free[message.stamp] = message
    for layers in found.values():
        for again, layer in enumerate(layers):
            yield again, [layer[stamp] for stamp in sorted(layer)]


def _scan(path: Path) -> tuple[list[_Message], dict[str, _GribNodes]]:
    """The headers of all messages at the surface, and the grids by their digest."""
    eccodes = library()
    grids: dict[str, _GribNodes] = {}
    messages = []
    aloft = set()
    with ECCODES, _damage(eccodes), closing(_handles(eccodes, path)) as handles:
        for handle in handles:
            level = eccodes.codes_get(handle, "typeOfLevel")
            if level in _ALOFT:
                aloft.add(level)
                continue
            messages.append(message := _message(eccodes, handle))
            if message.grid not in grids:
                grids[message.grid] = _grid(eccodes, handle, path)
    if not messages:
        raise ArchiveError(
            f"{path}: expected fields at the surface, found levels {', '.join(sorted(aloft))}; "
            "ask the archive for single levels"
        )
    return messages, grids


def _handles(eccodes: Any, path: Path) -> Generator[int, None, None]:
    """Handles of the headers of all messages; OSError where bytes belong to no message."""
    end = 0
    with path.open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file, headers_only=True)) is not None:
            try:
                start = int(eccodes.codes_get_message_offset(handle))
                _refuse_rest(path, end, start)
                end = start + int(eccodes.codes_get(handle, "totalLength"))
                yield handle
            finally:
                eccodes.codes_release(handle)
    _refuse_rest(path, end, path.stat().st_size)


def _refuse_rest(path: Path, start: int, stop: int) -> None:
    """OSError where something other than zeros lies between two messages."""
    if start == stop:
        return
    with path.open("rb") as file:  # opened again: the library reads ahead in its own handle
        file.seek(start)
        if stop < start or file.read(stop - start).strip(b"\0"):
            raise OSError(f"bytes {start} to {stop} belong to no message")


def _message(eccodes: Any, handle: int) -> _Message:
    """The header of an open message: variable, grid, valid time, position in the file."""

    def get(key: str) -> Any:
        return eccodes.codes_get(handle, key)

    date, time = get("validityDate"), get("validityTime")
    day = f"{date // 10000:04d}-{date // 100 % 100:02d}-{date % 100:02d}"
    name, method = get("cfVarName"), get("stepType")
    expver = get("expver") if eccodes.codes_is_defined(handle, "expver") else ""
    return _Message(
        name=f"param{get('paramId')}" if name == "unknown" else name,
        units=get("units"),
        grid=get("md5GridSection"),
        method=method,
        stream=get("stream") if eccodes.codes_is_defined(handle, "stream") else "",
        steps=_steps(method, get("dataTime") // 100, get("startStep"), get("endStep")),
        stamp=np.datetime64(f"{day}T{time // 100:02d}:{time % 100:02d}"),
        early=str(expver).lstrip("0") == str(_PRELIMINARY),
        offset=int(eccodes.codes_get_message_offset(handle)),
        length=int(get("totalLength")),
    )


def _grid(eccodes: Any, handle: int, path: Path) -> _GribNodes:
    """The nodes of a message; ArchiveError unless they form a regular grid in degrees."""
    kind = eccodes.codes_get(handle, "gridType")
    turned = ("iScansNegatively", "jPointsAreConsecutive", "alternativeRowScanning")
    if kind != "regular_ll" or any(eccodes.codes_get(handle, key) for key in turned):
        raise ArchiveError(
            f"{path}: expected rows from west to east on a regular grid of latitudes and "
            f"longitudes, found {kind}; ask the archive for such a grid"
        )
    rows, cols = eccodes.codes_get(handle, "Nj"), eccodes.codes_get(handle, "Ni")
    top, bottom, left, right = (
        eccodes.codes_get(handle, f"{axis}Of{end}GridPointInDegrees", float)
        for axis in ("latitude", "longitude") for end in ("First", "Last")
    )  # fmt: skip
    return _GribNodes(
        np.linspace(top, bottom, rows), np.linspace(left, right + 360 * (right < left), cols)
    )


class _Stack(BackendArray):
    """Values `(stamp, row, col)` of one variable, decoded on access."""

    dtype = np.dtype(np.float32)

    def __init__(self, path: Path, grid: _GribNodes, messages: list[_Message]) -> None:
        self._path, self._messages = path, messages
        self.shape = len(messages), grid.lat.size, grid.lon.size

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        support = indexing.IndexingSupport.OUTER
        return indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[np.float32]:
        wanted = np.arange(self.shape[0])[key[0]]
        nodes = [np.arange(size)[part].shape for size, part in zip(self.shape[1:], key[1:],
                 strict=True)]  # fmt: skip
        made = np.empty((wanted.size, *nodes[0], *nodes[1]), self.dtype)
        if made.size:
            asked = (self._messages[number] for number in np.atleast_1d(wanted))
            for place, values in enumerate(_decoded(self._path, asked, self.shape[1:])):
                made[place] = values[key[1]][..., key[2]]
        return made if wanted.ndim else made[0]


def _decoded(
    path: Path, messages: Iterable[_Message], shape: tuple[int, ...]
) -> Iterator[NDArray[np.float64]]:
    """Maps `(row, col)` of messages, NaN where the bitmap marks a node as missing.

    Raises OSError where a message is damaged.
    """
    eccodes = library()
    with path.open("rb") as file:
        for message in messages:
            file.seek(message.offset)
            stored = file.read(message.length)
            if not stored.endswith(_END):
                raise OSError(f"the message at byte {message.offset} has no end")
            with ECCODES, _damage(eccodes):
                values = _values(eccodes, stored)
            yield np.where(values == _MISSING, np.nan, values).reshape(shape)


def _values(eccodes: Any, stored: bytes) -> NDArray[np.float64]:
    handle = eccodes.codes_new_from_message(stored)
    try:
        eccodes.codes_set(handle, "missingValue", _MISSING)
        values: NDArray[np.float64] = eccodes.codes_get_values(handle)
        return values
    finally:
        eccodes.codes_release(handle)


@contextmanager
def _damage(eccodes: Any) -> Iterator[None]:
    """Turn errors of the library into OSError, which a truncated file raises, too."""
    try:
        yield
    except (eccodes.CodesInternalError, ValueError, TypeError, MemoryError) as error:
        if isinstance(error, ArchiveError):
            raise
        raise OSError(str(error)[:300]) from error
