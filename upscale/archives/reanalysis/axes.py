"""Axes of reanalysis files other than valid time, latitude and longitude: resolved or named.

`cfgrib` writes base times and steps, an ensemble has members, an atmosphere has levels, and models
have calendars of their own. None of these is an error of the user's path: each is brought to stamps
of valid time where that is certain, and refused with its name otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from upscale.archives.reanalysis.fields import FIELDS, RELATED
from upscale.remote.errors import ArchiveError

#: Names of axes of time and of place, in files.
_TIME = ("time", "valid_time")
_PLACE = (("latitude", "longitude"), ("lat", "lon"))

#: Axes of levels in the atmosphere or in model space; no driver is made from them.
_LEVELS = frozenset({
    "level", "pressure_level", "isobaricInhPa", "isobaricInPa", "plev", "lev", "hybrid",
    "model_level", "theta", "potentialVorticity", "depthBelowLandLayer", "depth",
})  # fmt: skip

#: What an axis is, and what to do where it has several entries.
_KNOWN = {
    "number": ("members of an ensemble", "take the reanalysis itself, or choose one member"),
    "realization": ("members of an ensemble", "take the reanalysis itself, or choose one member"),
    "member": ("members of an ensemble", "take the reanalysis itself, or choose one member"),
}

#: Seconds of the units in which steps are given.
_SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "hour": 3600.0, "h": 3600.0,
            "days": 86400.0}  # fmt: skip


class AxisError(ArchiveError):
    """A file of reanalysis on axes that no driver can be made from."""


def on_plain_axes(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """The fields of a file on one axis of valid time, latitude and longitude.

    Axes of length 1 go; base times and steps become valid times; fields on levels are left out
    where there are others. name: of the file in errors. AxisError where an axis has several entries
    of which one had to be chosen, or where the calendar is not that of the weather. What has no
    latitude and longitude is returned unchanged.
    """
    place = next((axes for axes in _PLACE if set(axes) <= set(dataset.dims)), None)
    if place is None:
        return dataset
    _refuse_calendar(dataset, name)
    stamped = _at_valid_times(_without_levels(dataset, place, name), name)
    known = {*_TIME, *place, "expver"}
    for array in list(stamped.data_vars.values()):
        if set(place) <= set(array.dims):
            for axis in map(str, set(array.dims) - known):
                stamped = _without(stamped, axis, name)
    return stamped


def _without(dataset: xr.Dataset, axis: str, name: str) -> xr.Dataset:
    """The dataset without an axis of length 1; AxisError for a longer one."""
    if axis not in dataset.dims:
        return dataset
    count = dataset.sizes[axis]
    if count == 1:
        return dataset.isel({axis: 0}, drop=True)
    what, remedy = _KNOWN.get(axis, ("an axis of its own", "choose one entry"))
    raise AxisError(
        f"{name}: expected one value for each time and node, found {count} along {axis!r} "
        f"({what}); {remedy} and write it to a file"
    )


def _without_levels(dataset: xr.Dataset, place: tuple[str, str], name: str) -> xr.Dataset:
    """The dataset without fields on levels; AxisError where it has no others."""
    fields = {str(key): v for key, v in dataset.data_vars.items() if set(place) <= set(v.dims)}
    aloft = {key: axis for key, array in fields.items() if (axis := _level_of(key, array))}
    if aloft and len(aloft) == len(fields):
        axis = next(iter(aloft.values()))
        raise AxisError(
            f"{name}: expected fields at the surface, found {', '.join([*aloft][:4])} on levels "
            f"(axis {axis!r} of {dataset.sizes[axis]}); ask the archive for single levels"
        )
    return dataset.drop_vars(list(aloft))


def _level_of(key: str, field: xr.DataArray) -> str:
    """The axis of levels that a field has; "" where it is one of the surface."""
    axis = next((str(axis) for axis in field.dims if axis in _LEVELS), "")
    one_of_the_surface = bool(axis) and field.sizes[axis] == 1 and key in FIELDS.keys() | RELATED
    return "" if one_of_the_surface else axis


def _refuse_calendar(dataset: xr.Dataset, name: str) -> None:
    """AxisError where times are those of a model year: without leap days, or of 360 days."""
    for axis in _TIME:
        if axis in dataset.variables and dataset[axis].dtype == object and dataset[axis].size:
            first = dataset[axis].values.flat[0]
            found = getattr(first, "calendar", type(first).__name__)
            raise AxisError(
                f"{name}: expected days of the calendar (standard or proleptic_gregorian), found "
                f"the calendar {found!r} from {first}: this is a climate model, whose days "
                "are no days of weather; take a reanalysis"
            )


def _at_valid_times(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """The dataset on valid times, where it has base times `time` and forecast lengths `step`."""
    if "valid_time" in dataset.dims or "step" not in dataset.variables:
        if "step" in dataset.dims:
            raise AxisError(
                f"{name}: expected the hours of each 'step' beside its axis, found none; write "
                "the file again with its coordinates"
            )
        return dataset
    axes = [axis for axis in ("time", "step") if axis in dataset.dims]
    if not axes or "time" not in dataset.variables:
        return dataset
    stamps = _valid_times(dataset, axes, name)
    bare = dataset.drop_vars([key for key in ("time", "step", "valid_time") if key in dataset])
    # no stamp is chosen: where two base times give one hour, the values are compared later
    flat = bare.stack(valid_time=axes, create_index=False)
    return flat.assign_coords(valid_time=("valid_time", stamps.ravel()))


def _valid_times(dataset: xr.Dataset, axes: list[str], name: str) -> NDArray[np.datetime64]:
    """Base time + step on `axes`, as the file says it or by adding both."""
    if "valid_time" in dataset.variables and set(dataset["valid_time"].dims) == set(axes):
        said: NDArray[np.datetime64] = dataset["valid_time"].transpose(*axes).values
        return said
    made: Any = (dataset["time"] + _durations(dataset["step"], name)).transpose(*axes).values
    return np.asarray(made, "datetime64[ns]")


def _durations(step: xr.DataArray, name: str) -> xr.DataArray:
    """Steps as durations; AxisError where they are numbers of an unknown unit."""
    if step.dtype.kind == "m":
        return step
    unit = _SECONDS.get(str(step.attrs.get("units", "")).split(" ")[0])
    if unit is None:
        raise AxisError(
            f"{name}: expected 'step' as a length of time, found units "
            f"{step.attrs.get('units')!r}; write the file again with its units"
        )
    return step.copy(data=(step.values * unit * 1e9).astype("m8[ns]"))
