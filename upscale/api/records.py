"""Drivers as users hold them, brought to what a model reads; invalid drivers are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from upscale.api.alignment import aligned
from upscale.api.places import Places, read_places
from upscale.calendar import CALENDAR, date_of, day_numbers
from upscale.drivers.composites import composite_filled
from upscale.drivers.cube import DriverError, check_days
from upscale.drivers.tiles import DERIVED, check_range
from upscale.network.scaler import Scaler
from upscale.variables import of_kind, variable

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: A dataset with a dimension time, or a table with an index of days.
Drivers: TypeAlias = xr.Dataset | pd.DataFrame

#: Dimensions that drivers may have beside time.
PLACES = ("lat", "lon", "site")


@dataclass(frozen=True, eq=False)
class PlaceRecords:
    """Drivers in the order of a model's features.

    source: what they were taken from; dims, shape: of the places; first: day number of the first
    day; values: `(cell, day, feature)` in the units of the table, NaN = missing; filled:
    `(cell, day)`; absent: features that are not there.
    """

    source: xr.Dataset
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    places: Places
    first: int
    values: Floats
    filled: Bools
    absent: tuple[str, ...]

    @property
    def days(self) -> NDArray[np.int64]:
        """Day numbers `(day,)`."""
        return self.first + np.arange(self.values.shape[1])


def read_records(
    drivers: Drivers,
    scaler: Scaler,
    given: Mapping[str, Any],
    what: str = "drivers",
    like: PlaceRecords | None = None,
) -> PlaceRecords:
    """Bring drivers to the features of a model.

    Parameters
    ----------
    drivers : xarray.Dataset or pandas.DataFrame
        Daily series in the units of ``upscale.variables``.
    scaler : Scaler
        Of the model.
    given : mapping
        Values for lat, lon (degrees), igbp and koppen, in place of what `drivers` hold.
    what : str
        What to call the drivers in messages.
    like : PlaceRecords, optional
        Records of the same places, whose order of dimensions and labels is taken.

    Returns
    -------
    PlaceRecords
        Values ``(cell, day, feature)``.

    Raises
    ------
    DriverError or ScalerError
        Where anything is not as it should be: see `upscale.predict`.
    """
    table = _table(drivers, what)
    if like is not None:
        table = aligned(table, like.source, like.dims, what)
        table = table.transpose(*like.dims, ..., missing_dims="ignore")
    first = _first_day(table, what)
    there = tuple(name for name in scaler.names if name in table and name not in DERIVED)
    _check_features(table, scaler, what)
    dims = _dims(table, there, what)
    if like is not None and dims != like.dims:
        raise DriverError(
            f"{what}: expected the places of the drivers, along {_listed(like.dims)}, found "
            f"{_listed(dims)}; give other days of the same places"
        )
    shape = tuple(table.sizes[dim] for dim in dims)
    if like is None:
        _check_labels(table, dims, given, what)
    places = read_places(table, dims, given, what)
    values, filled = _features(table, scaler, dims, places, first, what)
    absent = tuple(name for name in scaler.names if name not in (*there, *DERIVED))
    return PlaceRecords(table, dims, shape, places, first, values, filled, absent)


def _listed(dims: Sequence[str]) -> str:
    return ", ".join(dims) or "no dimension but time"


def _table(drivers: Drivers, what: str) -> xr.Dataset:
    """Convert drivers to a dataset."""
    if isinstance(drivers, pd.DataFrame):
        return _from_frame(drivers, what)
    if isinstance(drivers, xr.Dataset):
        return drivers
    raise TypeError(
        f"{what}: expected an xarray.Dataset or a pandas.DataFrame, found "
        f"{type(drivers).__name__}; of a driver cube give the series of one group, such as "
        'cube["meteo"].to_dataset()'
    )


def _from_frame(frame: pd.DataFrame, what: str) -> xr.Dataset:
    """Make a dataset of a table; units of columns may stand in `frame.attrs["units"]`."""
    if not isinstance(frame.index, pd.DatetimeIndex):
        raise DriverError(
            f"{what}: expected a table with an index of days, found {type(frame.index).__name__}; "
            'call set_index("time") with a column of dates'
        )
    if frame.index.tz is not None:
        raise DriverError(
            f"{what}: expected days without a time zone, found {frame.index.tz}; a day is the "
            "local one of the place: call tz_localize(None)"
        )
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise DriverError(f"{what}: expected each column once, found {twice[0]!r} again; drop one")
    units = frame.attrs.get("units", {})
    columns = {
        str(name): ("time", column.to_numpy(), {"units": units[name]} if name in units else {})
        for name, column in frame.items()
    }
    return xr.Dataset(columns, {"time": frame.index.to_numpy()})


def _first_day(table: xr.Dataset, what: str) -> int:
    """Day number of the first day, after checking that the days are consecutive."""
    if "time" not in table.dims or "time" not in table.coords:
        found = ", ".join(map(str, table.dims)) or "none"
        raise DriverError(
            f"{what}: expected a dimension time with dates as coordinate, found the dimensions "
            f"{found}; add it or rename one"
        )
    time = table["time"]
    if time.dtype.kind != "M":
        raise DriverError(f"{what}: expected {_TIMES}, found {_calendar_of(time)}; {_CONVERT}")
    dates = time.to_numpy()
    if np.isnat(dates).any():
        raise DriverError(f"{what}: expected a date for each row, found NaT; drop these rows")
    if (dates != dates.astype("datetime64[D]")).any():
        raise DriverError(
            f"{what}: expected each day once, at 00:00 of the day that it stands for, found "
            f"{dates[dates != dates.astype('datetime64[D]')][0]}; make daily means or sums, or "
            'floor the dates: time.dt.floor("D")'
        )
    days = day_numbers(dates)
    check_days(f"{what}.time", days)
    return int(days[0])


_TIMES = f"dates (datetime64) of the {CALENDAR} calendar"
_CONVERT = f'call convert_calendar("{CALENDAR}", use_cftime=False) and fill the days that lack'


def _calendar_of(time: xr.DataArray) -> str:
    """Say in words what a time axis holds."""
    if time.dtype.kind == "O" and time.size and hasattr(time.values[0], "calendar"):
        return f"the calendar {time.values[0].calendar!r}"
    return f"values of type {time.dtype}"


def _check_features(table: xr.Dataset, scaler: Scaler, what: str) -> None:
    """Refuse missing required drivers and units that are not those of the table."""
    known = of_kind("meteo", "satellite")
    units = {name: variable(name).units for name in DERIVED}
    for name in known:
        if name in table:
            units[name] = str(table[name].attrs.get("units", variable(name).units))
            if units[name] != variable(name).units:
                raise DriverError(
                    f"{what}.{name}: expected units {variable(name).units!r}, found "
                    f"{units[name]!r}; convert the values and write the attribute again"
                )
    scaler.check_available(units)


def _dims(table: xr.Dataset, names: Sequence[str], what: str) -> tuple[str, ...]:
    """Dimensions of the places, the same for all series."""
    found = {name: tuple(str(dim) for dim in table[name].dims) for name in names}
    first = next(iter(found.values()))
    for name, dims in found.items():
        strange = [dim for dim in dims if dim not in (*PLACES, "time")]
        if strange or "time" not in dims or set(dims) != set(first):
            raise DriverError(
                f"{what}.{name}: expected the dimensions time and any of {', '.join(PLACES)}, the "
                f"same for all drivers, found {', '.join(dims) or 'none'}; rename or select"
            )
    return tuple(dim for dim in first if dim != "time")


def _check_labels(
    table: xr.Dataset, dims: tuple[str, ...], given: Mapping[str, Any], what: str
) -> None:
    """Refuse degrees beside a dimension that should have them as its labels."""
    for name in ("lat", "lon"):
        if name in dims and name not in table.coords and given.get(name) is not None:
            raise DriverError(
                f"{what}: expected degrees as the coordinate of the dimension {name}, found none; "
                f"call assign_coords({name}=...) instead of giving {name}=, or rename the "
                "dimension to site"
            )


def _features(
    table: xr.Dataset,
    scaler: Scaler,
    dims: tuple[str, ...],
    places: Places,
    first: int,
    what: str,
) -> tuple[Floats, Bools]:
    """Values `(cell, day, feature)`, and where one of them was filled `(cell, day)`."""
    days = first + np.arange(table.sizes["time"])
    values = np.full((len(places.lat), len(days), len(scaler.names)), np.nan, np.float32)
    filled = np.zeros(values.shape[:2], bool)
    for position, name in enumerate(scaler.names):
        if name in DERIVED:
            values[:, :, position] = _derived(name, places, days, what)
        elif name in table:
            daily, flags = _series(table, name, dims, first, what)
            if length := scaler.composites.get(name, 0):
                daily, flags = composite_filled(daily, flags, days, length)
            values[:, :, position] = daily
            filled |= flags
    return values, filled


def _derived(name: str, places: Places, days: NDArray[np.int64], what: str) -> Floats:
    if name == "lon" and places.lon is None:
        raise DriverError(
            f"{what}: expected the longitude of the place, which this model reads, found none; "
            "give lon="
        )
    return DERIVED[name](places.lat, days, places.lon)


def _series(
    table: xr.Dataset, name: str, dims: tuple[str, ...], first: int, what: str
) -> tuple[Floats, Bools]:
    """One driver `(cell, day)` and where it was filled, as its neighbour NAME_filled says."""
    daily = _cells(table, name, dims, what)
    cells = table[name].isel(time=0, drop=True)

    def where(cell: int) -> str:
        at = np.unravel_index(cell, tuple(table.sizes[dim] for dim in dims)) if dims else ()
        here = cells.isel({dim: int(i) for dim, i in zip(dims, at, strict=True)})
        known = [f"{dim} {here[dim].item()}" for dim in dims if dim in here.coords]
        return f" at {', '.join(known)}" if known else ""

    check_range(name, daily.T, first, where)
    flag = f"{name}_filled"
    if flag not in table:
        return daily, np.zeros(daily.shape, bool)
    return daily, _cells(table, flag, dims, what) != 0


def _cells(table: xr.Dataset, name: str, dims: tuple[str, ...], what: str) -> Floats:
    """Bring a series to `(cell, day)`."""
    series = table[name]
    numbers = "iufb" if name.endswith("_filled") else "iuf"
    if series.dtype.kind not in numbers:
        raise DriverError(
            f"{what}.{name}: expected numbers, found {series.dtype}; convert them, NaN = missing"
        )
    if set(series.dims) != {*dims, "time"}:
        raise DriverError(
            f"{what}.{name}: expected the dimensions {', '.join((*dims, 'time'))}, found "
            f"{', '.join(map(str, series.dims))}"
        )
    ordered = series.transpose(*dims, "time").to_numpy()
    return np.asarray(ordered, np.float32).reshape(-1, series.sizes["time"])


def with_margin(records: PlaceRecords, scaler: Scaler, margin: int) -> Floats:
    """Add days before and after a record, for which only latitude and season are known.

    Parameters
    ----------
    records : PlaceRecords
        The record of some places.
    scaler : Scaler
        Of the model.
    margin : int
        Days at either end.

    Returns
    -------
    numpy.ndarray
        ``(cell, day, feature)`` from ``records.first - margin``: as a run reads its drivers.
    """
    sides = ((0, 0), (margin, margin), (0, 0))
    values = np.pad(records.values, sides, constant_values=np.nan)
    days = records.first - margin + np.arange(values.shape[1])
    for position, name in enumerate(scaler.names):
        if name in DERIVED:
            values[:, :, position] = DERIVED[name](records.places.lat, days, records.places.lon)
    return values


def of_places(records: PlaceRecords, values: NDArray[Any]) -> xr.DataArray:
    """Label values of places.

    Parameters
    ----------
    records : PlaceRecords
        Of these places.
    values : numpy.ndarray
        One value for each place ``(cell,)``.

    Returns
    -------
    xarray.DataArray
        The values along the dimensions of the places, with the labels of the drivers.
    """
    labels = {dim: records.source[dim] for dim in records.dims if dim in records.source.indexes}
    return xr.DataArray(values.reshape(records.shape), labels, records.dims)


def check_same_places(drivers: PlaceRecords, history: PlaceRecords) -> None:
    """Refuse a history of other places.

    Parameters
    ----------
    drivers, history : PlaceRecords
        What is predicted, and what the support set is drawn from.

    Raises
    ------
    DriverError
        Where dimensions, latitudes, longitudes or the name of a single site differ.
    """
    here, there = drivers.places, history.places
    _check_same_site(drivers.source, history.source)
    same = drivers.dims == history.dims and drivers.shape == history.shape
    if same and here.lon is not None and there.lon is not None:
        same = np.array_equal(here.lon, there.lon)
    if not same or not np.array_equal(here.lat, there.lat):
        raise DriverError(
            f"history: expected the places of the drivers ({_in_words(drivers)}), found others "
            f"({_in_words(history)}); give other days of the same places"
        )


def _check_same_site(drivers: xr.Dataset, history: xr.Dataset) -> None:
    """Compare the names of a single site; along a dimension they are already the same."""
    here, there = (each.coords.get("site") for each in (drivers, history))
    if here is None or there is None or here.ndim or there.ndim:
        return
    if here.item() != there.item():
        raise DriverError(
            f"history: expected the places of the drivers (site {here.item()}), found site "
            f"{there.item()}; give other days of the same place"
        )


def _in_words(records: PlaceRecords) -> str:
    lat = records.places.lat
    sizes = ", ".join(f"{d} {n}" for d, n in zip(records.dims, records.shape, strict=True))
    span = f"{date_of(int(records.days[0]))} to {date_of(int(records.days[-1]))}"
    return f"{sizes or 'one place'}, from {lat.min():g} to {lat.max():g} N, {span}"
