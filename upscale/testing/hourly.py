"""Synthetic hourly weather of a region, written in every layout in which ERA5 is published.

`make_hourly` makes the data, and `write_layout` writes all or part of them in the form in which
archives deliver ERA5-Land (running totals) or ERA5 (amounts of each hour).
"""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from upscale.archives.formats.grib import ECCODES, library

Floats = NDArray[np.float64]
Layout = Literal["netcdf", "zip", "legacy", "legacy-expver", "grib", "earthdatahub", "arco"]
Accumulation = Literal["running", "hourly"]

#: Suffix of a file or store of each layout.
SUFFIXES: Mapping[Layout, str] = {
    "netcdf": ".nc", "zip": ".zip", "legacy": ".nc", "legacy-expver": ".nc", "grib": ".grib",
    "earthdatahub": ".zarr", "arco": ".zarr-v3",
}  # fmt: skip
UNITS = {"t2m": "K", "d2m": "K", "sp": "Pa", "u10": "m s**-1", "v10": "m s**-1",
         "ssrd": "J m**-2", "strd": "J m**-2", "tp": "m"}  # fmt: skip
LONG_NAMES = {
    "t2m": "2m_temperature", "d2m": "2m_dewpoint_temperature", "sp": "surface_pressure",
    "u10": "10m_u_component_of_wind", "v10": "10m_v_component_of_wind",
    "ssrd": "surface_solar_radiation_downwards", "tp": "total_precipitation",
    "strd": "surface_thermal_radiation_downwards",
}  # fmt: skip
AMOUNTS = ("ssrd", "strd", "tp")

_PARAMETERS = {"t2m": 167, "d2m": 168, "sp": 134, "u10": 165, "v10": 166, "ssrd": 169,
               "strd": 175, "tp": 228}  # fmt: skip
_HOUR = dt.timedelta(hours=1)
_MISSING = 1e34


@dataclass(frozen=True, eq=False)
class HourlyWorld:
    """Hourly data: instantaneous values at the stamp, amounts of the hour that ends at the stamp.

    lat, lon: degrees `(row,)`, `(col,)`, in the order in which they are written. first: the
    first stamp, UTC. values: `(hour, row, col)` by short name, in the units of `UNITS`.
    """

    lat: Floats
    lon: Floats
    first: dt.datetime
    values: Mapping[str, Floats]

    @property
    def count(self) -> int:
        """Number of stamps."""
        return int(next(iter(self.values.values())).shape[0])

    @property
    def last(self) -> dt.datetime:
        """The last stamp, UTC."""
        return self.first + (self.count - 1) * _HOUR

    def stamps(self) -> Floats:
        """Hours since 1970-01-01 00 UTC `(hour,)`."""
        start = (self.first - dt.datetime(1970, 1, 1)) / _HOUR
        return start + np.arange(self.count, dtype=np.float64)

    def between(self, first: dt.datetime, last: dt.datetime) -> slice:
        """Positions of the stamps from `first` to `last`, both included."""
        return slice((first - self.first) // _HOUR, (last - self.first) // _HOUR + 1)

    def months(self) -> list[slice]:
        """Positions of the stamps of each calendar month, as files are usually requested."""
        times = [self.first + k * _HOUR for k in range(self.count)]
        starts = [k for k, t in enumerate(times) if k == 0 or (t.day, t.hour) == (1, 0)]
        return [slice(*ends) for ends in zip(starts, [*starts[1:], self.count], strict=True)]

    def running(self) -> HourlyWorld:
        """The same data with the amounts of ERA5-Land: totals since 00 UTC, where the stamp
        00 UTC holds the total of the day before."""
        opens = (self.first.hour + np.arange(self.count)) % 24 == 1
        made = dict(self.values)
        for name in AMOUNTS:
            if name in made:
                made[name] = _since_midnight(made[name], opens)
        return replace(self, values=made)


def _since_midnight(amounts: Floats, opens: NDArray[np.bool_]) -> Floats:
    total = amounts.copy()
    for k in range(1, len(total)):
        if not opens[k]:
            total[k] += total[k - 1]
    return total


def make_hourly(
    lat: ArrayLike, lon: ArrayLike, first: dt.datetime, last: dt.datetime, seed: int = 7
) -> HourlyWorld:
    """Random weather with a diurnal cycle, all of `UNITS`, from stamp `first` to stamp `last`.

    lat, lon: degrees. Amounts of the hour that ends at the first stamp are NaN.
    """
    random = np.random.default_rng(seed)
    rows, cols = np.asarray(lat, np.float64), np.asarray(lon, np.float64)
    shape = (last - first) // _HOUR + 1, rows.size, cols.size
    hours = first.hour + np.arange(shape[0])[:, None, None]
    sun = np.maximum(np.sin(2 * np.pi * (hours % 24 - 6) / 24), 0)
    t2m = 278 + 8 * sun + random.normal(0, 2, shape)
    values = {
        "t2m": t2m,
        "d2m": t2m - random.uniform(0.1, 8, shape),
        "sp": 95000 + random.normal(0, 500, shape),
        "u10": random.normal(0, 3, shape),
        "v10": random.normal(1, 3, shape),
        "ssrd": 3600 * 600 * sun * random.uniform(0.3, 1, shape),
        "strd": 3600 * random.uniform(200, 400, shape),
        "tp": random.gamma(0.2, 5e-4, shape),
    }
    for name in AMOUNTS:
        values[name][0] = np.nan
    return HourlyWorld(rows, cols, first, values)


def write_layout(
    path: Path,
    world: HourlyWorld,
    layout: Layout,
    accumulation: Accumulation = "running",
    *,
    hours: slice = slice(None),
    names: Sequence[str] | None = None,
    preliminary: int = 0,
) -> Path:
    """Write hourly data, or a part of them, in the layout of an archive. Returns `path`.

    accumulation: whether amounts are totals since 00 UTC (ERA5-Land) or of each hour (ERA5), as
    in `world`. hours: positions of the stamps to write (`world.between`), by default all; names:
    variables to write. preliminary: number of stamps at the end that are marked as ERA5T, in
    layouts that distinguish it. GRIB needs evenly spaced axes and `eccodes`.
    """
    stored = world.running() if accumulation == "running" else world
    part = _HourlyPart(
        world.lat, world.lon, world.stamps()[hours], running=accumulation == "running",
        values={name: stored.values[name][hours] for name in names or stored.values},
        preliminary=preliminary,
    )  # fmt: skip
    _WRITERS[layout](path, part)
    return path


def write_months(
    folder: Path,
    world: HourlyWorld,
    layout: Layout,
    accumulation: Accumulation = "running",
    *,
    by_variable: bool = False,
) -> list[Path]:
    """Write one file per month, or per month and variable, named accordingly."""
    groups = [(name,) for name in world.values] if by_variable else [tuple(world.values)]
    paths = []
    for hours in world.months():
        month = f"{world.first + hours.start * _HOUR:%Y-%m}"
        for names in groups:
            label = f"{month}_{names[0]}" if by_variable else month
            path = folder / f"{label}{SUFFIXES[layout]}"
            paths.append(write_layout(path, world, layout, accumulation, hours=hours, names=names))
    return paths


@dataclass(frozen=True, eq=False)
class _HourlyPart:
    """Content of one file: stamps in hours since 1970 and the values as stored."""

    lat: Floats
    lon: Floats
    stamps: Floats
    values: Mapping[str, Floats]
    running: bool
    preliminary: int

    def only(self, names: Sequence[str]) -> _HourlyPart:
        return replace(self, values={name: self.values[name] for name in names})


def _write_netcdf(path: Path, part: _HourlyPart) -> None:
    """Write NetCDF in the layout of the Climate Data Store (CDS) since 2024."""
    with netCDF4.Dataset(path, "w") as file:
        sizes = {"valid_time": part.stamps.size, "latitude": part.lat.size,
                 "longitude": part.lon.size}  # fmt: skip
        for dim, size in sizes.items():
            file.createDimension(dim, size)
        file.createVariable("number", "i8", ())[...] = 0
        time = file.createVariable("valid_time", "i8", ("valid_time",))
        time.units, time.calendar = "seconds since 1970-01-01", "proleptic_gregorian"
        time[:] = (part.stamps * 3600).astype(int)
        file.createVariable("latitude", "f8", ("latitude",))[:] = part.lat
        file.createVariable("longitude", "f8", ("longitude",))[:] = part.lon
        file.createVariable("expver", str, ("valid_time",))[:] = _streams(part).astype(object)
        for name, data in part.values.items():
            made = file.createVariable(name, "f4", tuple(sizes), fill_value=np.nan)
            made.units, made.coordinates = UNITS[name], "number valid_time latitude longitude"
            made.GRIB_stepType = "accum" if name in AMOUNTS else "instant"
            made[:] = data


def _streams(part: _HourlyPart) -> NDArray[np.str_]:
    """The experiment version of each stamp: final, or preliminary for the last stamps."""
    late = np.arange(part.stamps.size) >= part.stamps.size - part.preliminary
    return np.where(late, "0005", "0001")


def _write_zip(path: Path, part: _HourlyPart) -> None:
    """Write the ZIP that the CDS returns for instantaneous and accumulated variables together."""
    kinds = {"instant": [name for name in part.values if name not in AMOUNTS],
             "accum": [name for name in part.values if name in AMOUNTS]}  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        for kind, names in kinds.items():
            if names:
                member = path.parent / f"data_stream-oper_stepType-{kind}.nc"
                _write_netcdf(member, part.only(names))
                archive.write(member, member.name)
                member.unlink()


def _write_legacy(path: Path, part: _HourlyPart, *, streams: bool = False) -> None:
    """Write the layout of the CDS before 2024: hours since 1900, packed int16, and an expver
    dimension if `streams`."""
    sizes = {"time": part.stamps.size, "latitude": part.lat.size, "longitude": part.lon.size}
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        for dim, size in sizes.items():
            file.createDimension(dim, size)
        time = file.createVariable("time", "i4", ("time",))
        time.units, time.calendar = "hours since 1900-01-01 00:00:00.0", "gregorian"
        time[:] = (part.stamps + 25567 * 24).astype(int)
        file.createVariable("latitude", "f4", ("latitude",))[:] = part.lat
        file.createVariable("longitude", "f4", ("longitude",))[:] = part.lon
        if streams:
            file.createDimension("expver", 2)
            file.createVariable("expver", "i4", ("expver",))[:] = [1, 5]
        for name, values in part.values.items():
            known = np.ma.masked_array(np.nan_to_num(values), np.isnan(values))
            _pack(file, name, known, part if streams else None)


def _pack(file: Any, name: str, data: Any, streamed: _HourlyPart | None) -> None:
    """Write values as int16 with scale and offset, as the Climate Data Store did before 2024."""
    dims = ("time", "latitude", "longitude")
    kept = (dims[0], "expver", *dims[1:]) if streamed else dims
    made = file.createVariable(name, "i2", kept, fill_value=-32767)
    made.units = UNITS[name]
    made.scale_factor = max(float(data.max() - data.min()), 1e-9) / 65532
    made.add_offset = float(data.max() + data.min()) / 2
    if streamed is None:
        made[:] = data
        return
    late = np.broadcast_to((_streams(streamed) == "0005")[:, None, None], data.shape)
    made[:, 0] = np.ma.masked_array(data, late)
    made[:, 1] = np.ma.masked_array(data, ~late)


def _write_legacy_streams(path: Path, part: _HourlyPart) -> None:
    _write_legacy(path, part, streams=True)


def _write_zarr(path: Path, part: _HourlyPart, *, arco: bool = False) -> None:
    """Write Zarr chunked by time (Earth Data Hub: short names, valid_time) or by map (ARCO: long
    names)."""
    dims = ("time" if arco else "valid_time", "latitude", "longitude")
    times = (part.stamps * 3600).astype("datetime64[s]").astype("datetime64[ns]")
    axes = dict(zip(dims, (times, part.lat, part.lon % 360), strict=True))
    named = {LONG_NAMES[name] if arco else name: name for name in part.values}
    arrays = {given: (dims, part.values[name].astype(np.float32), {"units": UNITS[name]})
              for given, name in named.items()}  # fmt: skip
    shape = (part.stamps.size, part.lat.size, part.lon.size)
    chunks = (24, *shape[1:]) if arco else (360, 2, 2)
    encoding = {given: {"chunks": tuple(map(min, chunks, shape))} for given in named}
    store = xr.Dataset(arrays, axes)
    store.to_zarr(path, encoding=encoding, zarr_format=3 if arco else 2)


def _write_arco(path: Path, part: _HourlyPart) -> None:
    _write_zarr(path, part, arco=True)


def _write_grib(path: Path, part: _HourlyPart) -> None:
    """Write one message for each variable and stamp, hour by hour; a bitmap marks missing values.

    ERA5-Land: all are forecasts of 1 to 24 hours from 00 UTC. ERA5: instants are analyses,
    amounts forecasts of 1 to 12 hours from 06 or 18 UTC.
    """
    eccodes, streams = library(), _streams(part)
    with ECCODES, path.open("wb") as file:
        handles = {name: _message(eccodes, part, name) for name in part.values}
        for k, stamp in enumerate(part.stamps):
            for name, handle in handles.items():
                amount = name in AMOUNTS
                _set_time(eccodes, handle, _step(int(stamp), amount, part.running), amount)
                eccodes.codes_set(handle, "expver", str(streams[k]))
                _set_values(eccodes, handle, part.values[name][k])
                file.write(eccodes.codes_get_message(handle))
        for handle in handles.values():
            eccodes.codes_release(handle)


def _step(stamp: int, amount: bool, running: bool) -> tuple[int, int, int]:
    """Base time (hours since 1970), start and end (hours from base time) of a message."""
    if running:
        step = (stamp - 1) % 24 + 1
        return stamp - step, 0, step
    if amount:
        step = (stamp - 7) % 12 + 1
        return stamp - step, step - 1, step
    return stamp, 0, 0


def _set_time(eccodes: Any, handle: int, step: tuple[int, int, int], amount: bool) -> None:
    base, start, end = step
    time = dt.datetime(1970, 1, 1) + base * _HOUR
    eccodes.codes_set(handle, "dataDate", int(f"{time:%Y%m%d}"))
    eccodes.codes_set(handle, "dataTime", time.hour * 100)
    eccodes.codes_set(handle, "stepRange", f"{start}-{end}" if amount else str(end))


def _set_values(eccodes: Any, handle: int, values: Floats) -> None:
    filled = np.where(np.isnan(values), _MISSING, values)
    eccodes.codes_set(handle, "bitmapPresent", int(np.isnan(values).any()))
    eccodes.codes_set_values(handle, filled.ravel())


def _message(eccodes: Any, part: _HourlyPart, name: str) -> int:
    """A GRIB 1 message on the nodes of a part, still without time and values."""
    handle: int = eccodes.codes_grib_new_from_samples("regular_ll_sfc_grib1")
    keys: dict[str, Any] = _nodes(part) | {
        "setLocalDefinition": 1, "localDefinitionNumber": 1, "class": "ea", "stream": "oper",
        "type": "fc" if part.running or name in AMOUNTS else "an",
        "paramId": _PARAMETERS[name], "stepType": "accum" if name in AMOUNTS else "instant",
        "missingValue": _MISSING, "bitsPerValue": 24,
    }  # fmt: skip
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    return handle


def _nodes(part: _HourlyPart) -> dict[str, Any]:
    """The grid section; ValueError if the nodes are not evenly spaced."""
    keys: dict[str, Any] = {"Ni": part.lon.size, "Nj": part.lat.size,
                            "jScansPositively": int(part.lat[-1] > part.lat[0])}  # fmt: skip
    axes = {"latitude": part.lat, "longitude": np.unwrap(part.lon, period=360)}
    for (axis, nodes), short in zip(axes.items(), "ji", strict=True):
        steps = np.diff(nodes)
        if steps.size and not np.allclose(steps, steps[0]):
            raise ValueError(f"expected evenly spaced nodes of {axis} for GRIB, found {nodes}")
        turned = nodes % 360 if axis == "longitude" else nodes
        keys[f"{axis}OfFirstGridPointInDegrees"] = float(turned[0])
        keys[f"{axis}OfLastGridPointInDegrees"] = float(turned[-1])
        if steps.size:
            keys[f"{short}DirectionIncrementInDegrees"] = float(abs(steps[0]))
    return keys


_WRITERS: Mapping[Layout, Callable[[Path, _HourlyPart], None]] = {
    "netcdf": _write_netcdf, "zip": _write_zip, "legacy": _write_legacy,
    "legacy-expver": _write_legacy_streams, "grib": _write_grib, "earthdatahub": _write_zarr,
    "arco": _write_arco,
}  # fmt: skip
