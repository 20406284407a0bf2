"""Axes of a store as the CF conventions (1.11, chapters 4, 5 and 7) want them.

A flux cube is published: its axes have names for people, bounds, and a grid mapping. A driver
cube has what decides its numbers and no more, because its digest is made of every byte in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from upscale.calendar import CALENDAR, TIME_UNITS
from upscale.grid import Grid
from upscale.stores.arrays import PLAIN, put_array

#: Axes, their bounds and the grid mapping of a store with described axes.
AXES = ("time", "time_bnds", "lat", "lat_bnds", "lon", "lon_bnds", "crs")

#: Dimensions of a layer, and of a daily array.
CELLS = ("lat", "lon")
DAILY = ("time", *CELLS)

#: What the numbers of an axis of days are.
COUNTED: Mapping[str, str] = MappingProxyType({"units": TIME_UNITS, "calendar": CALENDAR})

#: Length of a chunk of an axis of days that grows: eleven years are one object, and a reader who
#: knows fewer days finds them in its first part.
AXIS_CHUNK = 4096

_TEXT: dict[str, dict[str, str]] = {
    "time": {
        "standard_name": "time",
        "long_name": "first instant of the day",
        "axis": "T",
        "units_metadata": "leap_seconds: none",  # asked for by the checkers of CF-1.11
        **COUNTED,
    },
    "lat": {
        "standard_name": "latitude",
        "long_name": "latitude",
        "units": "degrees_north",
        "axis": "Y",
    },
    "lon": {
        "standard_name": "longitude",
        "long_name": "longitude",
        "units": "degrees_east",
        "axis": "X",
    },
}

#: What the axes of driver cubes never said; if they did now, their digests would change.
_UNSAID = {("time", "axis"), ("time", "units_metadata")}


def put_bare_axes(group: zarr.Group, grid: Grid, days: NDArray[np.integer] | None = None) -> None:
    """Write the axes of a group of a driver cube, or replace them.

    days: day numbers `(day,)`; none for static layers. No bounds are written.
    """
    _put_bare(group, "lat", grid.lat)
    _put_bare(group, "lon", grid.lon)
    if days is not None:
        _put_bare(group, "time", days.astype(np.int32))


def _put_bare(group: zarr.Group, name: str, values: NDArray[Any]) -> None:
    text = {
        key: value
        for key, value in _TEXT[name].items()
        if key != "long_name" and (name, key) not in _UNSAID
    }
    put_array(group, name, values, (name,), text, codec=PLAIN, overwrite=True)


def put_axes(group: zarr.Group, grid: Grid, days: NDArray[np.integer]) -> None:
    """Write time, latitude and longitude with their bounds, and the grid mapping `crs`.

    days: day numbers `(day,)`; a day ends where the next begins.
    """
    numbers = days.astype(np.int32)
    ends = np.stack([numbers, numbers + 1], 1)
    _put(group, "time", numbers, ends, _TEXT["time"], growing=AXIS_CHUNK)
    _put(group, "lat", grid.lat, grid.lat_bounds, _TEXT["lat"])
    _put(group, "lon", grid.lon, grid.lon_bounds, _TEXT["lon"])
    put_array(group, "crs", np.array(0, np.int32), (), crs_attributes())


def axis_attributes(name: str) -> dict[str, str]:
    """What is said of an axis (time, lat, lon, segment or step) beside its bounds and, of days,
    how they are counted: xarray keeps that elsewhere."""
    text = _TEXT.get(name, {"long_name": f"first day of the {name}"})
    return {key: value for key, value in text.items() if name != "time" or key not in COUNTED}


def put_stretches(
    group: zarr.Group, name: Literal["segment", "step"], bounds: NDArray[np.int32]
) -> None:
    """Write an axis of stretches of days.

    bounds: first day and day after the last `(stretch, 2)`, day numbers.
    """
    text = axis_attributes(name)
    _put(group, name, bounds[:, 0], bounds, text, COUNTED, growing=AXIS_CHUNK)


def _put(
    group: zarr.Group,
    name: str,
    values: NDArray[Any],
    bounds: NDArray[Any],
    text: Mapping[str, str],
    after: Mapping[str, str] = MappingProxyType({}),
    growing: int | None = None,
) -> None:
    """Write an axis and its bounds, which take their attributes from it (CF, section 7.1)."""
    enclosed = f"{name}_bnds"
    put_array(group, name, values, (name,), {**text, "bounds": enclosed, **after}, growing=growing)
    put_array(group, enclosed, bounds, (name, "bnds"), growing=growing)


def crs_attributes() -> dict[str, Any]:
    """Attributes of the grid mapping: coordinates of WGS 84, areas of a sphere."""
    from pyproj import CRS  # loads a library and its database, which readers do not need

    return {
        "long_name": "latitude and longitude; cell areas are those of a sphere",
        "grid_mapping_name": "latitude_longitude",
        "semi_major_axis": 6378137.0,
        "inverse_flattening": 298.257223563,
        "crs_wkt": CRS("EPSG:4326").to_wkt(),
    }
