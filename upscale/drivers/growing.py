"""A driver cube that grows: an ingest writes it block by block and adds days later.

The length of a block of days does not depend on the last day, so new days are new chunks and no
stored chunk moves. A satellite series has two companion arrays: how each value was made
(`<name>_filled`, 0 = observed) and the days to its nearest observation (`<name>_distance`).

A chunk of observations is written before its flags are cleared, and flags are set before filled
values are written. Whenever a writer is killed, a value with flag 0 was therefore observed, and
filling can start again from the stored values.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from upscale.drivers.gaps import FLAG_MEANINGS, NO_VALUE, Filled, GapRule, fill_gaps
from upscale.drivers.packing import MISSING, packing_of
from upscale.drivers.writer import SeriesSpec, create_bytes, create_driver, put_axes
from upscale.grid import Grid

Region = tuple[slice, slice, slice]
Stored = NDArray[np.int16]


def grow_series(url: str, spec: SeriesSpec) -> None:
    """Create a series group, or extend an existing one to the variables and days of `spec`.

    Variables that are not in `spec` are removed. It is safe to interrupt and to call again.
    ValueError where the group has another grid or more days.
    """
    root: Any = zarr.open_group(url, mode="r+")
    if spec.group not in root:
        root.create_group(spec.group, attributes={"grid": spec.grid.to_dict()})
    group = root[spec.group]
    _check_same(url, group, spec)
    for name in spec.variables:
        if name not in group:
            create_driver(group, name, spec)
        if spec.group == "satellite":
            _create_origins(group, name, spec)
    for name in _series(group) - _names(spec):
        del group[name]
    for _, array in sorted(group.arrays()):
        if array.ndim == 3 and array.shape[0] != spec.count:
            array.resize((spec.count, *array.shape[1:]))
    put_axes(group, spec)


def is_grown(url: str, spec: SeriesSpec) -> bool:
    """Whether a series group has exactly the variables and the days of `spec`; where `spec` has
    no variables, whether there is no such group."""
    root: Any = zarr.open_group(url, mode="r")
    if spec.group not in root or not spec.variables:
        return bool(spec.group in root) == bool(spec.variables)
    group = root[spec.group]
    lengths = {array.shape[0] for _, array in group.arrays() if array.ndim == 3}
    return _series(group) == _names(spec) and lengths == {spec.count}


def _series(group: Any) -> set[str]:
    return {name for name, array in group.arrays() if array.ndim == 3}


def _names(spec: SeriesSpec) -> set[str]:
    """Names of the arrays of a group."""
    parts = ("", "_filled", "_distance") if spec.group == "satellite" else ("",)
    return {f"{name}{part}" for name in spec.variables for part in parts}


def _check_same(url: str, group: Any, spec: SeriesSpec) -> None:
    """ValueError where a group has another grid, or more days, than `spec`."""
    if Grid(**group.attrs["grid"]) != spec.grid:
        raise ValueError(
            f"{url}/{spec.group}: expected the grid {spec.grid}, found {group.attrs['grid']}; "
            "the archive or the region has changed: write a new cube"
        )
    count = max((array.shape[0] for _, array in group.arrays() if array.ndim == 3), default=0)
    if count > spec.count:
        raise ValueError(
            f"{url}/{spec.group}: expected at most {spec.count} days, found {count}; a cube "
            "grows and never shrinks: give a longer period or another path"
        )


def _create_origins(group: Any, name: str, spec: SeriesSpec) -> None:
    """Write the metadata of how and from how far each value of a satellite series was made."""
    if f"{name}_filled" not in group:
        meanings = FLAG_MEANINGS.split()
        text = {
            "long_name": f"how {name} was made; 0 also where there is no value",
            "flag_values": list(range(len(meanings))),
            "flag_meanings": " ".join(meanings),
        }
        create_bytes(group, f"{name}_filled", spec, 0, text)
    if f"{name}_distance" not in group:
        text = {
            "long_name": f"days from {name} to its nearest observation, at most 254",
            "units": "d",
            "comment": "0: observed; 255: no value.",
        }
        create_bytes(group, f"{name}_distance", spec, NO_VALUE, text)


def write_block(url: str, group: str, name: str, region: Region, stored: Stored) -> str:
    """Write packed values `(day, row, col)` of whole chunks, verify them, return their digest.

    Values of a satellite series are observations: earlier fillings in these chunks are discarded.
    Raises OSError where the values read back differ from those written.
    """
    arrays: Any = zarr.open_group(url, mode="r+", path=group)
    arrays[name][region] = stored
    if f"{name}_filled" in arrays:
        arrays[f"{name}_filled"][region] = np.uint8(0)
        arrays[f"{name}_distance"][region] = np.uint8(NO_VALUE)
    _check_written(url, f"{group}/{name}", arrays[name], region, stored)
    return _by_chunk(region, arrays[name].chunks, stored)


def _check_written(url: str, name: str, array: Any, region: Region, expected: NDArray[Any]) -> None:
    if not np.array_equal(np.asarray(array[region]), expected):
        raise OSError(
            f"{url}/{name}: expected {[(s.start, s.stop) for s in region]} as written, found "
            "other values; check the disk, and run the same command again"
        )


def stored_values(url: str, name: str, array: Any, region: tuple[slice, ...]) -> NDArray[Any]:
    """What is stored in a region of an array; OSError names a chunk that cannot be decoded."""
    try:
        return np.asarray(array[region])
    except (ValueError, RuntimeError) as error:
        parts = [
            range(part.start // size, -(-part.stop // size))
            for part, size in zip(region, array.chunks, strict=True)
        ]
        for place in itertools.product(*parts):
            _check_decodes(f"{url}/{name}", array, place)
        raise OSError(f"{url}/{name}: cannot be decoded ({error})") from error


def _check_decodes(where: str, array: Any, place: tuple[int, ...]) -> None:
    """OSError where a chunk, at a position in the grid of chunks, cannot be decoded."""
    inside = (slice(p * n, (p + 1) * n) for p, n in zip(place, array.chunks, strict=True))
    try:
        array[tuple(inside)]
    except (ValueError, RuntimeError) as error:
        raise OSError(
            f"{where}/{'/'.join(['c', *map(str, place)])}: expected a chunk as it was written, "
            f"found one that cannot be decoded ({error}); remove it and run the same command again"
        ) from error


def bytes_digest(*arrays: NDArray[Any]) -> str:
    """sha256 of the bytes of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def combined(digests: Iterable[str]) -> str:
    """One digest of several, independent of their order and so of how the work was divided."""
    total = sum(int(digest, 16) for digest in digests)
    return f"{total % (1 << 256):064x}"


def _by_chunk(region: Region, chunks: tuple[int, ...], *arrays: NDArray[Any]) -> str:
    """The combined digest of the chunks of a region; each includes its position in the array."""
    starts = [
        range(0, part.stop - part.start, size) for part, size in zip(region, chunks, strict=True)
    ]
    digests = []
    for corner in itertools.product(*starts):
        inside = tuple(slice(a, a + size) for a, size in zip(corner, chunks, strict=True))
        place = [part.start + a for part, a in zip(region, corner, strict=True)]
        where = np.array(place, np.int64)
        digests.append(bytes_digest(where, *(array[inside] for array in arrays)))
    return combined(digests)


def fill_series(
    url: str, name: str, cells: tuple[slice, slice], first: int, rule: GapRule
) -> tuple[str, dict[str, int]]:
    """Fill the gaps of a satellite series, for the cells of whole chunks.

    first: day number of the first day. Unchanged chunks are not rewritten. Returns a digest of
    values, flags and distances, and the numbers of observed and of filled values.
    """
    arrays: Any = zarr.open_group(url, mode="r+", path="satellite")
    region = (slice(0, arrays[name].shape[0]), *cells)
    stored = stored_values(url, f"satellite/{name}", arrays[name], region)
    flag = f"{name}_filled"
    flags = stored_values(url, f"satellite/{flag}", arrays[flag], region)
    packing = packing_of(name)
    observed = packing.unpack(np.where(flags == 0, stored, np.int16(MISSING)))
    made = fill_gaps(observed, first, rule)
    packed = np.where(np.isfinite(observed), stored, packing.pack(made.values))
    _put_changed(url, arrays, name, region, flags, stored, packed, made)
    known = int(np.isfinite(observed).sum())
    counts = {"observed": known, "filled": int(np.isfinite(made.values).sum()) - known}
    digest = _by_chunk(region, arrays[name].chunks, packed, made.method, made.distance)
    return digest, counts


def _put_changed(
    url: str,
    arrays: Any,
    name: str,
    region: Region,
    flags: NDArray[np.uint8],
    stored: Stored,
    packed: Stored,
    made: Filled,
) -> None:
    """Write the chunks that differ: flags first, then distances, then values."""
    length = arrays[name].chunks[0]
    away = f"{name}_distance"
    distances = stored_values(url, f"satellite/{away}", arrays[away], region)
    for start in range(0, stored.shape[0], length):
        days = slice(start, min(start + length, stored.shape[0]))
        place = (days, *region[1:])
        for target, old, new in (
            (f"{name}_filled", flags, made.method),
            (f"{name}_distance", distances, made.distance),
            (name, stored, packed),
        ):
            if not np.array_equal(old[days], new[days]):
                arrays[target][place] = new[days]
                _check_written(url, f"satellite/{target}", arrays[target], place, new[days])
