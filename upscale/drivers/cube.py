"""Opening and reading driver cubes: daily drivers in one Zarr group for each native grid.

    static      igbp, koppen, sftlf, elevation           its grid is the product grid
    meteo       ta, sw_in, vpd, p, ...; land (nodes)     ERA5-Land 0.1 degree, or any grid
                preliminary (days)                       of an ingest, where its files say it
    satellite   ndvi, ..., and <name>_filled for each    on the product grid

Every group names its own grid and packing. Whatever is opened here has been checked: units, a
calendar without gaps, coordinates that are those of the grid, values inside their physical
range. Of a sealed cube, every object that is read is compared with its digest in the manifest.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.errors import ContainsArrayError

from upscale.calendar import CALENDAR, TIME_UNITS, date_of
from upscale.drivers.packing import Packing, stored_packing
from upscale.grid.grid import MOST_SIDE, Grid
from upscale.stores.broken import refusing
from upscale.stores.location import check_store_place, is_url
from upscale.stores.manifest import SEAL, ArrayManifest, Manifest, digests_by_part, read_manifest
from upscale.stores.verified import VerifiedStore
from upscale.variables import of_kind, variable

SERIES = ("meteo", "satellite")

#: Attribute `kind` of the root of every driver cube.
KIND = "upscale driver cube"

#: Array of the group of meteorology that says which days are preliminary.
PRELIMINARY_ARRAY = "preliminary"

#: Rows and columns of the parts of a mask of land that have a digest of their own.
LAND_PARTS = (20, 20)

#: Largest edge of a tile in cells, and most days of a series: 2,700 years.
MOST_TILE, MOST_DAYS = 1000, 1_000_000

#: What is said of a cube of version 0.1.
UNSEALED = (
    "{url}: the cube has no manifest, so that a chunk that is lost or changed is not noticed; "
    "`upscale seal {url}` seals it"
)


class DriverError(ValueError):
    """A driver cube that cannot be used; the message says where the fault is and what to do."""


class UnsealedCubeWarning(UserWarning):
    """A driver cube without a manifest: what is lost or changed in it is not noticed."""


@dataclass(frozen=True)
class SeriesGroup:
    """Daily series on one grid: `count` days from day number `first`."""

    name: str
    grid: Grid
    first: int
    count: int
    arrays: Mapping[str, zarr.Array]

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the drivers in the group, without flags and masks."""
        known = of_kind("meteo", "satellite")
        return tuple(name for name in known if name in self.arrays)

    @property
    def last(self) -> int:
        """Day number of the last day."""
        return self.first + self.count - 1

    def read(
        self, name: str, days: slice, rows: NDArray[np.integer], cols: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Values `(day, row, col)` float32 in the units of the table, NaN where missing.

        days: slice of indices on the time axis; rows, cols: indices, consecutive but for
        jumps from the last column to the first.
        """
        array = self.arrays[name]
        stored = read_block(array, days, rows, cols)
        packing = _packing(array)
        return packing.unpack(stored) if packing else stored.astype(np.float32, copy=False)

    @cached_property
    def land(self) -> NDArray[np.bool_] | None:
        """Nodes `(row, col)` that have values; None where every cell may have values."""
        mask = self.arrays.get("land")
        return None if mask is None else np.asarray(mask[:]).astype(bool)

    @cached_property
    def preliminary(self) -> NDArray[np.uint8] | None:
        """For each day `(day,)` whether it is preliminary, see `upscale.drivers.preliminary`; None
        where the cube does not say."""
        array: Any = self.arrays.get(PRELIMINARY_ARRAY)
        return None if array is None else np.asarray(array[:], np.uint8)

    @cached_property
    def land_manifest(self) -> ArrayManifest | None:
        """Digests of the parts of `LAND_PARTS` nodes of the mask, from their values: it is stored
        as one chunk, and a node that becomes land is to concern the cells around it alone."""
        return (
            None
            if self.land is None
            else ArrayManifest(b"", digests_by_part(self.land, LAND_PARTS))
        )


@dataclass(frozen=True)
class DriverCube:
    """An opened driver cube; reading is lazy. manifest: of a sealed cube, what belongs to it."""

    url: str
    attributes: Mapping[str, Any]
    grid: Grid
    static: Mapping[str, zarr.Array]
    series: Mapping[str, SeriesGroup]
    manifest: Manifest | None = None

    @property
    def digest(self) -> str:
        """Digest of the content, written when the cube was sealed."""
        return str(self.attributes["digest"])

    @property
    def sealed(self) -> bool:
        """Whether every object that is read is compared with its digest."""
        return self.manifest is not None

    @property
    def store(self) -> Any:
        """The Zarr store that is read from; of a sealed cube, one that compares digests."""
        return self.static["igbp"].store_path.store

    @property
    def day_definition(self) -> str:
        return str(self.attributes["day_definition"])

    @property
    def tile(self) -> int:
        """Edge in cells of the tiles that the cube is stored in; DriverError where it is none."""
        found = self.attributes.get("tile", 100)
        if type(found) is not int or not 1 <= found <= MOST_TILE:
            raise DriverError(
                f"{self.url}: attribute 'tile': expected 1 to {MOST_TILE} cells, found "
                f"{str(found)[:50]}; correct it"
            )
        return found

    @property
    def synthetic(self) -> bool:
        """True for drivers of a synthetic planet."""
        return bool(self.attributes.get("synthetic", False))

    @property
    def variables(self) -> tuple[str, ...]:
        """All dynamic drivers of the cube."""
        return tuple(name for group in self.series.values() for name in group.variables)

    def group_of(self, name: str) -> SeriesGroup | None:
        """The group that holds a dynamic driver."""
        return next((g for g in self.series.values() if name in g.variables), None)

    @property
    def first(self) -> int:
        """First day number with meteorology."""
        return self.series["meteo"].first

    @property
    def last(self) -> int:
        """Last day number with meteorology."""
        return self.series["meteo"].last


def open_cube(url: str, storage_options: Mapping[str, Any] | None = None) -> DriverCube:
    """Open a driver cube and check its metadata.

    Raises DriverError where there is no driver cube or an unfinished one, and where a group is
    missing, a variable is unknown or has the wrong unit, days are in another calendar or have
    gaps, or coordinates are not those of the grid; of a sealed cube, now and whenever something
    is read, where an object is lost, cut or changed. Warns of a cube that is not sealed.
    """
    root, options = open_root(url, storage_options), _options(url, storage_options)
    manifest = None
    if SEAL in root.attrs:
        manifest = read_manifest(url, root.attrs, _not_sealed, options)
        store = VerifiedStore(root.store, manifest, url, _not_sealed)
        root = zarr.open_group(store, mode="r", use_consolidated=False)
    else:
        warnings.warn(UNSEALED.format(url=url), UnsealedCubeWarning, stacklevel=2)
    with _naming(url):
        groups = dict(root.groups())
    for needed in ("static", "meteo"):
        if needed not in groups:
            raise DriverError(f"{url}: no group {needed!r}; a driver cube needs static and meteo")
    with _naming(f"{url}/static"):
        static = dict(groups["static"].arrays())
        needed_layers = ("igbp", "koppen", "sftlf", "elevation")
        _check_complete(f"{url}/static", groups["static"], needed_layers)
        _check_arrays(url, "static", static, of_kind("static"))
        grid = _open_grid(f"{url}/static", groups["static"])
        _check_shapes(f"{url}/static", {n: static[n] for n in needed_layers}, grid.shape)
    series = {n: _open_series(url, n, groups[n]) for n in SERIES if n in groups}
    if "satellite" in series:
        _check_lattice(f"{url}/satellite", series["satellite"].grid, grid)
    return DriverCube(url, dict(root.attrs), grid, static, series, manifest)


def _not_sealed(text: str) -> DriverError:
    return DriverError(
        f"{text}; restore it from a copy, or make the cube again (`upscale check` of the cube "
        "names all that is wrong)"
    )


def series_of(url: str, name: str) -> SeriesGroup:
    """A series group of a cube that may be unfinished; DriverError as in `open_cube`."""
    group: Any = zarr.open_group(url, mode="r")[name]
    return _open_series(url, name, group)


def _check_complete(where: str, group: zarr.Group, names: tuple[str, ...]) -> None:
    needed = (*names, "lat", "lon")
    missing = [name for name in needed if name not in group]
    if missing or "grid" not in group.attrs:
        lacking = ", ".join(missing) or "the attribute 'grid'"
        raise DriverError(f"{where}: expected {', '.join(needed)}, found no {lacking}; add it")


def _open_grid(where: str, group: zarr.Group) -> Grid:
    """The grid of a group; DriverError where coordinates are not the centres of its cells."""
    with _naming(f"{where}: attribute 'grid'"):
        grid = Grid(**group.attrs["grid"])
    for name, centres in (("lat", grid.lat), ("lon", grid.lon)):
        stored: Any = group[name]
        with _naming(f"{where}/{name}"):
            found = np.asarray(stored[:] if stored.size <= MOST_SIDE else ())
        if found.shape == centres.shape and np.allclose(found, centres, rtol=0, atol=1e-6):
            continue
        raise DriverError(
            f"{where}/{name}: expected the {_range_of(centres)} of the attribute 'grid', found "
            f"{_range_of(found.ravel())}; correct the attribute, or flip or roll the "
            "data so that rows run north to south and columns west to east from -180"
        )
    return grid


def _range_of(coordinate: NDArray[Any]) -> str:
    ends = f" from {coordinate[0]:.6f} to {coordinate[-1]:.6f}" if coordinate.size else ""
    return f"{coordinate.size} centres{ends}"


def _check_lattice(where: str, found: Grid, product: Grid) -> None:
    try:
        found.offset_of(product)
    except ValueError as error:
        raise DriverError(f"{where}: satellite series lie on the product grid: {error}") from error


def open_root(url: str, storage_options: Mapping[str, Any] | None = None) -> zarr.Group:
    """The root of a finished driver cube, not looked into; DriverError where there is none."""
    try:
        with _naming(url, passing=(FileNotFoundError, KeyError, ContainsArrayError)):
            check_store_place(url)
            root = zarr.open_group(url, mode="r", storage_options=_options(url, storage_options))
            root.attrs.get("kind")
    except (FileNotFoundError, KeyError, ContainsArrayError) as error:
        raise DriverError(f"{url}: no Zarr group there; give the path of a driver cube") from error
    if root.attrs.get("kind") != KIND:
        raise DriverError(f"{url}: a Zarr store, but no driver cube (attribute 'kind')")
    if "digest" not in root.attrs:
        raise DriverError(f"{url}: the cube was never finished (no 'digest'); write it again")
    return root


def _options(url: str, options: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return dict(options or {}) if is_url(url) else None


def _open_series(url: str, name: str, group: zarr.Group) -> SeriesGroup:
    """A series group whose arrays, grid and days have been checked."""
    with _naming(f"{url}/{name}"):
        return _checked_series(url, name, group)


def _checked_series(url: str, name: str, group: zarr.Group) -> SeriesGroup:
    """As `_open_series`; what Zarr raises is not caught."""
    arrays, where = dict(group.arrays()), f"{url}/{name}"
    _check_complete(where, group, ("time",))
    known = of_kind("meteo", "satellite")
    apart = {"time", "lat", "lon", "land", PRELIMINARY_ARRAY}
    drivers = {key: a for key, a in arrays.items() if key not in apart}
    flags = {key for key in drivers if key.endswith(("_filled", "_distance"))}
    _check_arrays(url, name, {k: a for k, a in drivers.items() if k not in flags}, known)
    grid = _open_grid(where, group)
    time = _open_time(f"{where}/time", arrays["time"])
    _check_shapes(where, drivers, (len(time), *grid.shape))
    _check_shapes(where, {n: arrays[n] for n in ("land",) if n in arrays}, grid.shape)
    for array in drivers.values():
        _packing(array)
    return SeriesGroup(name, grid, int(time[0]), len(time), arrays)


def _check_arrays(
    url: str, group: str, arrays: Mapping[str, zarr.Array], known: tuple[str, ...]
) -> None:
    """Refuse variables that are unknown or have another unit than the table."""
    for name, array in arrays.items():
        if name in {"lat", "lon"}:
            continue
        if name not in known:
            raise DriverError(f"{url}/{group}: unknown variable {name!r}; known: {list(known)}")
        expected, found = variable(name).units, array.attrs.get("units")
        if found != expected:
            raise DriverError(
                f"{url}/{group}/{name}: expected units {expected!r}, found {found!r}; "
                "convert the data and write the attribute again"
            )


def _open_time(where: str, array: zarr.Array) -> NDArray[np.int64]:
    """The day numbers `(day,)` of a group, checked."""
    for name, expected in (("units", TIME_UNITS), ("calendar", CALENDAR)):
        if (found := array.attrs.get(name)) != expected:
            raise DriverError(
                f"{where}: expected {name} {expected!r}, found {found!r}; convert the days to "
                "whole days since then and write the attribute again"
            )
    if array.ndim != 1 or array.size > MOST_DAYS:
        raise DriverError(
            f"{where}: expected 1 to {MOST_DAYS:,} days, found {str(array.shape)[:60]}; write some"
        )
    with _naming(where):
        time = np.asarray(array[:])
    if time.dtype.kind not in "iu":
        raise DriverError(
            f"{where}: expected whole days as integers, found {time.dtype}; a day has one row, "
            "numbered by the date on which the day begins"
        )
    days = time.astype(np.int64)
    check_days(where, days)
    return days


def check_days(where: str, time: NDArray[np.int64]) -> None:
    """Refuse days `(day,)` that do not follow one another; where: named in the DriverError."""
    steps = np.diff(time)
    if time.size == 0:
        raise DriverError(f"{where}: expected one row per day, found no days; write some")
    if (steps == 1).all():
        return
    at = int(np.flatnonzero(steps != 1)[0])
    raise DriverError(
        f"{where}: expected one row per day, found a step of {int(steps[at])} days after day "
        f"number {int(time[at])} ({date_of(int(time[at]))}); sort the days, keep one row of each "
        "and write missing ones as NaN"
    )


def _packing(array: zarr.Array) -> Packing | None:
    with _naming(str(array.store_path)):
        return stored_packing(array.attrs)


def _naming(where: str, passing: tuple[type[Exception], ...] = ()) -> Any:
    """Turn what Zarr raises for damaged metadata or chunks into a DriverError."""
    return refusing(where, "a part of a driver cube", DriverError, passing=passing)


def _check_shapes(where: str, arrays: Mapping[str, zarr.Array], expected: tuple[int, ...]) -> None:
    """Refuse arrays whose axes are not those of their group."""
    for name, array in arrays.items():
        if (found := getattr(array, "shape", None)) != expected:
            text = f"expected an array {expected}, found {str(found)[:60]}; write it again"
            raise DriverError(f"{where}/{name}: {text}")


def read_block(
    array: zarr.Array, days: slice, rows: NDArray[np.integer], cols: NDArray[np.integer]
) -> NDArray[Any]:
    """Stored values `(day, row, col)` at consecutive rows and columns that may wrap."""
    jump = np.flatnonzero(np.diff(cols) != 1) + 1
    parts = np.split(cols, jump)
    row = slice(int(rows[0]), int(rows[-1]) + 1)
    with _naming(str(array.store_path)):
        blocks = [array[days, row, int(p[0]) : int(p[-1]) + 1] for p in parts]
    return np.asarray(blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=2))
