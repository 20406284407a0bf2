"""Drivers as users hold them, brought to what a model reads; refused where they are not right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from upscale.calendar import CALENDAR, date_of, day_numbers
from upscale.drivers.composites import composite_filled
from upscale.drivers.cube import DriverError, check_days
from upscale.drivers.tiles import DERIVED, check_range, is_ice, is_water
from upscale.network.scaler import Scaler
from upscale.variables import IGBP, KOPPEN, of_kind, variable

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: A dataset with a dimension time, or a table with an index of days.
Drivers: TypeAlias = xr.Dataset | pd.DataFrame

#: Dimensions that drivers may have beside time.
PLACES = ("lat", "lon", "site")
_LEGENDS = {"igbp": IGBP, "koppen": KOPPEN}
_UNKNOWN = ("", "unknown")


@dataclass(frozen=True, eq=False)
class Places:
    """Where drivers belong, all `(cell,)`.

    lat, lon: degrees, lon None where nobody gave it; igbp, koppen: class codes, 0 = unknown;
    sftlf: % of the cell that is land, NaN outside the domain.
    """

    lat: Reals
    lon: Reals | None
    igbp: NDArray[np.int64]
    koppen: NDArray[np.int64]
    sftlf: Reals

    @property
    def outside(self) -> Bools:
        """Cells of which nothing is known."""
        return np.isnan(self.sftlf)

    @property
    def water(self) -> Bools:
        """Cells without land."""
        return is_water(self.igbp, self.sftlf)

    @property
    def ice(self) -> Bools:
        """Cells of permanent snow and ice."""
        return is_ice(self.igbp, self.sftlf)

    @property
    def land(self) -> Bools:
        """Cells whose fluxes are predicted."""
        return ~(self.outside | self.water | self.ice)

    @property
    def codes(self) -> NDArray[np.int64]:
        """Class codes `(cell, 2)`."""
        return np.stack([self.igbp, self.koppen], axis=1)


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
    drivers: Drivers, scaler: Scaler, given: Mapping[str, Any], what: str = "drivers"
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
    first = _first_day(table, what)
    there = tuple(name for name in scaler.names if name in table and name not in DERIVED)
    _check_features(table, scaler, what)
    dims = _dims(table, there, what)
    shape = tuple(table.sizes[dim] for dim in dims)
    places = _read_places(table, dims, given, what)
    values, filled = _features(table, scaler, dims, places, first, what)
    absent = tuple(name for name in scaler.names if name not in (*there, *DERIVED))
    return PlaceRecords(table, dims, shape, places, first, values, filled, absent)


def _table(drivers: Drivers, what: str) -> xr.Dataset:
    """Drivers as a dataset, whatever they were."""
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
    """Day number of the first day, once the days are known to be one after the other."""
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


def _read_places(
    table: xr.Dataset, dims: tuple[str, ...], given: Mapping[str, Any], what: str
) -> Places:
    """Where the drivers belong, by what the table holds or the caller gives."""
    lat = _of_place(table, dims, "lat", given, what)
    if lat is None:
        raise DriverError(
            f"{what}: expected the latitude of the place, from which the radiation at the top of "
            "the atmosphere and the length of the day follow, found none; give lat="
        )
    sftlf = _of_place(table, dims, "sftlf", {}, what)
    sftlf = np.full(lat.shape, 100.0) if sftlf is None else sftlf.astype(np.float64)
    lon = _of_place(table, dims, "lon", given, what)
    places = Places(
        lat=_degrees(lat, 90, "lat", what),
        lon=None if lon is None else _degrees(lon, 180, "lon", what),
        igbp=_codes(table, dims, "igbp", given, what, lat.shape),
        koppen=_codes(table, dims, "koppen", given, what, lat.shape),
        sftlf=sftlf,
    )
    check_range("sftlf", sftlf.astype(np.float32)[None], 0, lambda cell: f" of cell {cell}")
    return places


def _of_place(
    table: xr.Dataset, dims: tuple[str, ...], name: str, given: Mapping[str, Any], what: str
) -> NDArray[Any] | None:
    """Find what is said of each place `(cell,)`; None where nobody says it."""
    sizes = {dim: table.sizes[dim] for dim in dims}
    value = given.get(name)
    if value is not None and name in table.variables:
        raise DriverError(
            f"{name}: expected it once, found it as an argument and in the {what}; drop one of them"
        )
    if value is None and name not in table.variables:
        return None
    found = table[name].variable if value is None else _variable(value, dims, sizes, name)
    strange = [str(dim) for dim in found.dims if dim not in dims]
    if strange:
        raise DriverError(
            f"{what}.{name}: expected one value for each place ({', '.join(dims) or 'a number'}), "
            f"found it along {', '.join(strange)}; select or average"
        )
    array = found.transpose(*(dim for dim in dims if dim in found.dims)).to_numpy()
    lead = tuple(sizes[dim] if dim in found.dims else 1 for dim in dims)
    return np.broadcast_to(array.reshape(lead), tuple(sizes.values())).reshape(-1)


def _variable(
    value: ArrayLike | xr.DataArray, dims: tuple[str, ...], sizes: Mapping[str, int], name: str
) -> xr.Variable:
    if isinstance(value, xr.DataArray):
        return value.variable
    array = np.asarray(value)
    if array.shape not in ((), tuple(sizes.values())):
        raise DriverError(
            f"{name}: expected one value, or an array of shape {tuple(sizes.values())} "
            f"({', '.join(dims) or 'one place'}), found shape {array.shape}"
        )
    return xr.Variable(dims if array.shape else (), array)


def _degrees(values: NDArray[Any], most: float, name: str, what: str) -> Reals:
    """Degrees `(cell,)` as they must be: numbers up to `most` on either side of zero."""
    degrees = values.astype(np.float64)
    if not (np.abs(degrees) <= most).all():
        wrong = degrees[~(np.abs(degrees) <= most)][0]
        raise DriverError(
            f"{what}.{name}: expected degrees from {-most:g} to {most:g}, found {wrong:g}"
        )
    return degrees


def _codes(
    table: xr.Dataset,
    dims: tuple[str, ...],
    name: str,
    given: Mapping[str, Any],
    what: str,
    shape: tuple[int, ...],
) -> NDArray[np.int64]:
    """Class codes `(cell,)` of labels or codes; 0 where nobody says it."""
    found = _of_place(table, dims, name, given, what)
    if found is None:
        return np.zeros(shape, np.int64)
    return np.array([_code(value, name) for value in found.tolist()], np.int64)


def _code(value: Any, name: str) -> int:
    """Find the code of one class, given by its label in the legend or by its code."""
    legend = _LEGENDS[name]
    labels = {label.casefold(): code for code, label in enumerate(legend, 1)}
    if isinstance(value, str):
        text = value.strip().casefold()
        if text in labels or text in _UNKNOWN:
            return labels.get(text, 0)
    elif isinstance(value, (int, float)) and value in range(len(legend) + 1):
        return int(value)
    raise DriverError(
        f"{name}: expected one of {', '.join(legend)}, its code from 1 to {len(legend)}, or "
        f"'unknown', found {value!r}"
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
    if series.dtype.kind not in "iufb":
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
    """Add the days around a record, of which nothing is known but latitude and season.

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


def check_same_places(drivers: PlaceRecords, history: PlaceRecords) -> None:
    """Refuse a history of other places.

    Parameters
    ----------
    drivers, history : PlaceRecords
        What is predicted, and what the support set is drawn from.

    Raises
    ------
    DriverError
        Where dimensions, latitudes or longitudes differ.
    """
    here, there = drivers.places, history.places
    same = drivers.dims == history.dims and drivers.shape == history.shape
    if same and here.lon is not None and there.lon is not None:
        same = np.array_equal(here.lon, there.lon)
    if not same or not np.array_equal(here.lat, there.lat):
        raise DriverError(
            f"history: expected the places of the drivers ({_in_words(drivers)}), found others "
            f"({_in_words(history)}); give other days of the same places"
        )


def _in_words(records: PlaceRecords) -> str:
    lat = records.places.lat
    sizes = ", ".join(f"{d} {n}" for d, n in zip(records.dims, records.shape, strict=True))
    span = f"{date_of(int(records.days[0]))} to {date_of(int(records.days[-1]))}"
    return f"{sizes or 'one place'}, from {lat.min():g} to {lat.max():g} N, {span}"
