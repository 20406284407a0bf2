"""Published files of ERA5 and ERA5-Land brought to one form: NetCDF, GRIB, ZIP of these, Zarr.

Every layout becomes a dataset with dims `(time, lat, lon)`, short names (`t2m`), float values in
the units of the archive, latitude from north to south and longitude from -180 to 180. NetCDF and
GRIB are read into memory; Zarr is read lazily, so give a box and a period.
"""

from __future__ import annotations

import datetime as dt
import shutil
import stat
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from upscale.archives.formats.grib import open_grib
from upscale.archives.reanalysis.axes import on_plain_axes
from upscale.archives.reanalysis.evidence import attach
from upscale.archives.reanalysis.stores import open_store
from upscale.archives.satellite.published import held_in_words
from upscale.calendar import dates_of, day_number, hour_numbers
from upscale.remote.errors import ArchiveError
from upscale.remote.locations import STORE_FILES
from upscale.stores.broken import BROKEN, in_short

#: The netCDF library is not thread-safe: this lock is held around every open, read and close.
NETCDF = threading.Lock()

#: Largest total size of the unpacked members of one ZIP, bytes.
UNPACKED = 64 * 2**30

_MEMBERS = (".nc", ".nc4", ".grib", ".grib1", ".grib2", ".grb", ".grb1", ".grb2")

_DIMS = {"valid_time": "time", "latitude": "lat", "longitude": "lon"}
_LONG_NAMES = {
    "2m_temperature": "t2m", "2m_dewpoint_temperature": "d2m",
    "surface_solar_radiation_downwards": "ssrd", "surface_thermal_radiation_downwards": "strd",
    "total_precipitation": "tp", "surface_pressure": "sp", "10m_u_component_of_wind": "u10",
    "10m_v_component_of_wind": "v10", "land_sea_mask": "lsm",
    "mean_total_precipitation_rate": "avg_tprate", "mtpr": "avg_tprate",
    "mean_surface_downward_short_wave_radiation_flux": "avg_sdswrf", "msdwswrf": "avg_sdswrf",
    "mean_surface_downward_long_wave_radiation_flux": "avg_sdlwrf", "msdwlwrf": "avg_sdlwrf",
}  # fmt: skip
_FINAL, _PRELIMINARY = 1, 5


@dataclass(frozen=True)
class NodeBounds:
    """A box of nodes, degrees, edges included; longitudes -180 to 180."""

    south: float = -90.0
    west: float = -180.0
    north: float = 90.0
    east: float = 180.0


Period = tuple[dt.date, dt.date]


class DamagedError(ArchiveError):
    """A file of a known kind that is truncated or damaged."""


def is_zarr(path: str | Path) -> bool:
    """True for a folder or URL whose metadata or name is that of a Zarr store."""
    local = Path(path)
    held = any((local / name).exists() for name in STORE_FILES)
    return held or str(path).rstrip("/").split("/")[-1].split(".")[-1].startswith("zarr")


def magic(path: Path) -> str:
    """`netcdf`, `zip` or `grib` by the first bytes of a file, empty for any other."""
    with path.open("rb") as file:
        head = file.read(8)
    kinds = {b"CDF": "netcdf", b"\x89HDF": "netcdf", b"PK\x03\x04": "zip", b"GRIB": "grib"}
    return next((kind for start, kind in kinds.items() if head.startswith(start)), "")


def variables_of(part: xr.Dataset) -> dict[str, str]:
    """Variables on time, latitude and longitude: their short names and their names in the file."""
    return {str(array.name): str(array.attrs["name_in_file"]) for array in _mapped(part)}


def read_published(
    path: str | Path,
    box: NodeBounds | None = None,
    period: Period | None = None,
    *,
    header: bool = False,
    names: Collection[str] | None = None,
) -> list[xr.Dataset]:
    """The fields of one file or store in the form described above, one dataset for each member.

    box: nodes to read, all by default; period: first and last day to read (one more day is read
    on either side, for days of local time); header: only names and axes, without values; names:
    variables to read, all by default. Raises ArchiveError where the layout of the file is unknown.
    """
    if is_zarr(path):
        with _whole(path, "Zarr"):
            store = open_store(str(path))
            return [_cropped(in_one_shape(store, str(path)), box, period, names)]
    with _files(Path(path)) as files:
        return [part for f in files for part in _read(f, box, period, header=header, names=names)]


def each_variable(path: str | Path) -> Iterator[xr.DataArray]:
    """The variables of a file or store, one in memory at a time; errors as `read_published`."""
    if is_zarr(path):
        yield from _mapped(read_published(path)[0])
        return
    with _files(Path(path)) as files:
        for file in files:
            yield from _each_of_grib(file) if magic(file) == "grib" else _each_of_netcdf(file)


def _each_of_netcdf(path: Path) -> Iterator[xr.DataArray]:
    names = [str(array.name) for array in _mapped(_read_netcdf(path, header=True))]
    for name in names:
        yield _read_netcdf(path, names={name})[name]


def _each_of_grib(path: Path) -> Iterator[xr.DataArray]:
    with _whole(path, "GRIB"):
        for part in open_grib(path):
            for array in _mapped(in_one_shape(part, path.name)):
                yield array.compute()


def _mapped(part: xr.Dataset) -> list[xr.DataArray]:
    """The variables that lie on time, latitude and longitude."""
    return [array for array in part.data_vars.values() if array.dims == ("time", "lat", "lon")]


@contextmanager
def _files(path: Path) -> Iterator[list[Path]]:
    """The file itself, or the NetCDF and GRIB members of a ZIP; ArchiveError for another kind."""
    kind = magic(path)
    if kind == "zip":
        with unpacked(path) as members:
            yield members
    elif kind:
        yield [path]
    else:
        raise _unknown(path)


def _unknown(path: Path) -> ArchiveError:
    return ArchiveError(
        f"{path}: expected NetCDF, GRIB, ZIP or Zarr, found another kind of file; fetch it again"
    )


def _read(
    path: Path,
    box: NodeBounds | None = None,
    period: Period | None = None,
    *,
    header: bool = False,
    names: Collection[str] | None = None,
) -> list[xr.Dataset]:
    """The parts of one file; of a header, GRIB values can still be read later, NetCDF not."""
    if magic(path) == "netcdf":
        return [_read_netcdf(path, box, period, header=header, names=names)]
    if magic(path) != "grib":
        raise _unknown(path)
    with _whole(path, "GRIB"):
        shaped = (in_one_shape(part, path.name) for part in open_grib(path))
        parts = [_cropped(part, box, period, names) for part in shaped]
        return parts if header else [part.load() for part in parts]


def _read_netcdf(
    path: Path,
    box: NodeBounds | None = None,
    period: Period | None = None,
    *,
    header: bool = False,
    names: Collection[str] | None = None,
) -> xr.Dataset:
    with NETCDF, _whole(path, "NetCDF"), xr.open_dataset(path, engine="netcdf4") as file:
        part = _cropped(in_one_shape(file, path.name), box, period, names)
        return part if header else part.load()


@contextmanager
def _whole(path: Path | str, kind: str) -> Iterator[None]:
    """DamagedError where a library finds that a file is truncated or damaged."""
    try:
        yield
    except ArchiveError:
        raise
    except (OSError, *BROKEN) as error:
        raise DamagedError(
            f"{path}: expected a whole {kind} file, found a truncated or damaged one "
            f"({in_short(error)}); fetch it again"
        ) from error


@contextmanager
def unpacked(path: Path) -> Iterator[list[Path]]:
    """The NetCDF and GRIB members of a ZIP, unpacked to a folder that is removed afterwards.

    Raises ArchiveError where a member would be written outside the folder, is a link or damaged,
    or where all members together are larger than `UNPACKED`.
    """
    with tempfile.TemporaryDirectory(prefix="upscale-zip-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                yield [_unpack(archive, member, Path(folder)) for member in _members(path, archive)]
        except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError) as error:
            raise DamagedError(f"{path}: damaged ZIP ({error}); fetch it again") from error


def _members(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The NetCDF and GRIB files of a ZIP; ArchiveError for unsafe paths or too much content."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        linked = stat.S_ISLNK(member.external_attr >> 16)
        if name.is_absolute() or ".." in name.parts or ":" in member.filename or linked:
            raise ArchiveError(
                f"{path}: expected plain files, found member {member.filename!r}, which leads "
                "out of the archive; do not use this file"
            )
    if sum(member.file_size for member in members) > UNPACKED:
        raise ArchiveError(
            f"{path}: unpacks to more than {UNPACKED} bytes; ask for shorter periods"
        )
    wanted = [member for member in members if member.filename.lower().endswith(_MEMBERS)]
    if not wanted:
        held = held_in_words([member.filename for member in members])
        raise ArchiveError(f"{path}: expected files of NetCDF or GRIB in the ZIP, found {held}")
    return wanted


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> Path:
    target = folder / PurePosixPath(member.filename).name
    if target.exists():
        raise ArchiveError(f"{archive.filename}: two members are called {target.name}")
    if member.flag_bits & 1:
        raise ArchiveError(f"{archive.filename}: {target.name} is encrypted; ask for a plain file")
    with archive.open(member) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    return target


def in_one_shape(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """Rename, sort and round the axes and join the expver streams; only axes are read.

    name: of the dataset in errors. ArchiveError where an axis is missing.
    """
    dataset = on_plain_axes(dataset, name)
    found = {old: new for old, new in _DIMS.items() if old in dataset.dims}
    scalars = [c for c in dataset.coords if c in {"time", "step", "number", "surface"}
               and dataset[c].ndim == 0]  # fmt: skip
    shaped = dataset.drop_vars(scalars).rename(found)
    for old in shaped.data_vars:
        shaped[old].attrs["name_in_file"] = str(old)
    shaped = shaped.rename({old: new for old, new in _LONG_NAMES.items() if old in shaped})
    missing = [dim for dim in ("time", "lat", "lon") if dim not in shaped.dims]
    if missing or not all(dim in shaped.coords for dim in ("time", "lat", "lon")):
        raise ArchiveError(
            f"{name}: expected axes of time, latitude and longitude, found "
            f"{', '.join(map(str, dataset.dims))}; this is not an ERA5 file of a known layout"
        )
    return attach(_ordered(_one_stream(shaped)), dataset, name)


def _one_stream(dataset: xr.Dataset) -> xr.Dataset:
    """Final data where they exist, otherwise preliminary data (ERA5T)."""
    if "expver" not in dataset.variables:
        return dataset
    stream = dataset["expver"]
    if "expver" not in dataset.dims:
        numbers = stream.astype(str).str.lstrip("0")
        plain = dataset.drop_vars("expver")
        if not numbers.isin([str(_FINAL), str(_PRELIMINARY)]).all():
            return plain  # another version: nothing is known of its hours
        early = (numbers == str(_PRELIMINARY)).values
        return _told(plain, np.broadcast_to(early, dataset.sizes["time"]))
    by_number = {int(value): place for place, value in enumerate(stream.values)}
    if set(by_number) - {_FINAL, _PRELIMINARY}:
        raise ArchiveError(
            f"expected an axis expver of {_FINAL} (final) and {_PRELIMINARY} (preliminary), found "
            f"{sorted(by_number)}; ask the archive for these"
        )
    parts = [dataset.isel(expver=by_number[number], drop=True)
             for number in (_FINAL, _PRELIMINARY) if number in by_number]  # fmt: skip
    if len(parts) == 2:
        early = _only_late(*parts)
        return _told(parts[0].fillna(parts[1]), early)
    return _told(parts[0], np.full(parts[0].sizes["time"], _FINAL not in by_number))


def _told(dataset: xr.Dataset, early: NDArray[np.bool_]) -> xr.Dataset:
    """A dataset that says which of its hours `(time,)` are preliminary; one that does not know has
    neither attribute."""
    hours = hour_numbers(dataset["time"].values)[early]
    return dataset.assign_attrs(preliminary_hours=int(early.sum()), preliminary=hours)


def _only_late(final: xr.Dataset, late: xr.Dataset) -> NDArray[np.bool_]:
    """Hours at which some variable has preliminary values, and no final ones."""
    early = np.zeros(final.sizes["time"], bool)
    for name, values in final.data_vars.items():
        if "time" in values.dims:
            nodes = [dim for dim in values.dims if dim != "time"]
            known = values.notnull().any(nodes)
            early |= (late[name].notnull().any(nodes) & ~known).values
    return early


def _ordered(dataset: xr.Dataset) -> xr.Dataset:
    """Latitude north to south, longitude -180 to 180 west to east, each node once."""
    lat = np.round(dataset["lat"].values.astype(np.float64), 4)
    lon = np.round((dataset["lon"].values.astype(np.float64) + 180) % 360 - 180, 4)
    rows, cols = np.unique(lat, return_index=True)[1][::-1], np.unique(lon, return_index=True)[1]
    placed = dataset.assign_coords(lat=lat, lon=lon)
    if not placed.indexes["time"].is_monotonic_increasing:
        placed = placed.sortby("time")
    return placed.isel(lat=_run(rows), lon=_run(cols)).transpose("time", "lat", "lon", ...)


def _run(index: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """Consecutive positions as a slice, which is cheaper to read; others unchanged."""
    rising = index.size > 0 and bool((np.diff(index) == 1).all())
    return slice(int(index[0]), int(index[-1]) + 1) if rising else index


def _cropped(
    dataset: xr.Dataset,
    box: NodeBounds | None,
    period: Period | None,
    names: Collection[str] | None = None,
) -> xr.Dataset:
    if box is not None:
        dataset = dataset.sel(lat=slice(box.north, box.south), lon=slice(box.west, box.east))
    if period is not None:
        ends = np.array([day_number(period[0]) - 1, day_number(period[1]) + 2])
        dataset = dataset.sel(time=slice(*dates_of(ends)))
    if names is not None:
        dataset = dataset.drop_vars([name for name in dataset.data_vars if name not in names])
    return dataset


def join(name: str, parts: Sequence[xr.DataArray]) -> xr.DataArray:
    """Parts of one variable at different times as one array in ascending time.

    A stamp may be repeated if its values agree within packing error. ArchiveError where they do
    not agree, or where the nodes differ.
    """
    first = parts[0]
    units = sorted({str(part.attrs.get("units")) for part in parts})
    if len(units) > 1:
        raise ArchiveError(
            f"{name}: expected one unit in all files, found {', '.join(units)}; convert some"
        )
    for part in parts[1:]:
        if not (part["lat"].equals(first["lat"]) and part["lon"].equals(first["lon"])):
            raise ArchiveError(
                f"{name}: expected the same nodes in every file, found different ones; read one "
                "area at a time"
            )
    if (
        len(parts) == 1
        and first.indexes["time"].is_monotonic_increasing
        and (first.indexes["time"].is_unique)
    ):
        return first
    whole = xr.concat(parts, "time", join="exact", combine_attrs="override").sortby("time")
    repeated = whole.indexes["time"].duplicated(keep="first")
    return _without(name, whole, np.asarray(repeated))


def _without(name: str, whole: xr.DataArray, repeated: NDArray[np.bool_]) -> xr.DataArray:
    """The array with each stamp once; ArchiveError where repeated stamps disagree."""
    if not repeated.any():
        return whole
    again = np.flatnonzero(repeated)
    late, early = whole.values[again], whole.values[again - 1]
    slack = 1e-4 * float(np.nanmax(whole) - np.nanmin(whole))
    if bool((np.abs(late - early) > slack).any()):
        stamp = np.datetime_as_string(whole["time"].values[again[0]], "h")
        raise ArchiveError(
            f"{name}: expected each hour once, found {stamp} and {again.size - 1} others repeated "
            "with different values; remove one of the files"
        )
    merged = whole.values.copy()
    merged[again - 1] = np.where(np.isnan(early), late, early)
    return whole.copy(data=merged).isel(time=~repeated)
