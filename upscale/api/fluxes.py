"""Predicted fluxes as a dataset that describes itself in the words of a flux cube."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from upscale.api.records import PlaceRecords
from upscale.calendar import STEP_DAYS, dates_of
from upscale.engine.provenance import COMMENT, TITLE, model_attributes, planet_of
from upscale.engine.work.predict import ground_reasons
from upscale.engine.work.uncertainty import uncertainty_of
from upscale.jobs.clock import now
from upscale.network.releases.release import Release
from upscale.product.cube import MEMBER_AXIS, PER_LAND, daily_attributes, plain
from upscale.product.quality import Quality, flag_attributes
from upscale.product.uncertainty import STEP_ARRAYS, StoredUncertainty
from upscale.stores.axes import COUNTED, axis_attributes
from upscale.variables import FLUXES, variable

#: Drivers are given at their place, so that nothing is borrowed from elsewhere, and do not say
#: what is preliminary.
_UNUSED = Quality.WEATHER_BEYOND_COAST | Quality.WEATHER_PRELIMINARY

#: What a cell that is not predicted holds; `quality` holds its reason.
_FILLS = {"filled_share": np.uint8(255)}


@dataclass(frozen=True, eq=False)
class PredictedCells:
    """What is predicted for the cells of land.

    daily: `(cell, day)` by name, as a flux cube has them; steps: `(cell, step)` by name, empty
    where the model has no area of applicability; members: `(member, cell, day, 3)`, None unless
    wanted.
    """

    daily: dict[str, NDArray[Any]]
    steps: dict[str, NDArray[Any]]
    members: NDArray[np.float32] | None


def dataset_of(release: Release, records: PlaceRecords, cells: PredictedCells) -> xr.Dataset:
    """Lay fluxes on the places and days of their drivers.

    Parameters
    ----------
    release : Release
        The model.
    records : PlaceRecords
        What the fluxes were made from.
    cells : PredictedCells
        Fluxes of the cells of land, g m-2 d-1.

    Returns
    -------
    xarray.Dataset
        Dimensions time, step and member where they apply, and those of the drivers.
    """
    uncertainty = uncertainty_of(release)
    arrays: dict[str, xr.DataArray] = {}
    for name in (*FLUXES, *(f"{flux}_sd" for flux in FLUXES), "quality", "filled_share"):
        arrays[name] = _daily(name, cells.daily[name], records, uncertainty)
    for name, values in cells.steps.items():
        arrays[name] = _stepped(name, values, records, uncertainty)
    if cells.members is not None:
        arrays |= _members(cells.members, records)
    found = xr.Dataset(arrays, _coordinates(records, cells), _attributes(release, records))
    for name in ("lat", "lon", "step", "time"):
        if name in found.coords:
            found[name].attrs = _axis(name, found)
    for name in ("time", "step", "step_bnds"):
        if name in found.coords:  # in files, days are counted as in stores
            found[name].encoding = {"dtype": "int32", **COUNTED}
    if "member" in found.coords:
        found["member"].attrs = dict(MEMBER_AXIS)
    return found


def _axis(name: str, found: xr.Dataset) -> dict[str, str]:
    """Attributes of a coordinate; the latitude of a single place is no axis."""
    text = axis_attributes(name)
    if name == "step":
        text["bounds"] = "step_bnds"
    return {key: value for key, value in text.items() if key != "axis" or name in found.dims}


def _daily(
    name: str, values: NDArray[Any], records: PlaceRecords, uncertainty: StoredUncertainty
) -> xr.DataArray:
    """One daily array `(time, ...)`."""
    fill: Any = _FILLS.get(name, np.float32(np.nan))
    if name == "quality":
        fill = ground_reasons(records.places)
    text = daily_attributes(name, uncertainty)
    if name == "quality":
        text = flag_attributes(uncertainty.unused_flags | _UNUSED)
    if values.dtype.kind == "f":
        gridded = {"lat", "lon"} <= set(records.dims)
        text["cell_methods"] = PER_LAND if gridded else "time: mean"
    return xr.DataArray(_lay(values, records, fill), dims=("time", *records.dims), attrs=text)


def _lay(values: NDArray[Any], records: PlaceRecords, fill: Any) -> NDArray[Any]:
    """Values of the cells of land `(cell, n)` on all places `(n, ...)`."""
    land = records.places.land
    canvas = np.empty((values.shape[1], land.size), values.dtype)
    canvas[...] = fill
    canvas[:, land] = values.T
    return canvas.reshape(values.shape[1], *records.shape)


def _stepped(
    name: str, values: NDArray[Any], records: PlaceRecords, uncertainty: StoredUncertainty
) -> xr.DataArray:
    """One array of applicability `(step, ...)`."""
    dtype, fill = STEP_ARRAYS[name]
    laid = _lay(values.astype(dtype), records, fill)
    return xr.DataArray(laid, dims=("step", *records.dims), attrs=uncertainty.step_attributes(name))


def _members(members: NDArray[np.float32], records: PlaceRecords) -> dict[str, xr.DataArray]:
    """Each flux by member `(member, time, ...)`."""
    found = {}
    for position, flux in enumerate(FLUXES):
        each = [_lay(one[..., position], records, np.float32(np.nan)) for one in members]
        row = variable(flux)
        text = row.attributes | {"long_name": f"{row.long_name}, by member"}
        dims = ("member", "time", *records.dims)
        found[f"{flux}_members"] = xr.DataArray(np.stack(each), dims=dims, attrs=text)
    return found


def _coordinates(records: PlaceRecords, cells: PredictedCells) -> dict[str, Any]:
    """Coordinates of the drivers, latitude and longitude, days, steps and members."""
    source, dims = records.source, records.dims
    found: dict[str, Any] = {
        str(name): source[name].variable
        for name in source.coords
        if name != "time" and set(source[name].dims) <= set(dims)
    }
    for name, values in (("lat", records.places.lat), ("lon", records.places.lon)):
        if values is not None and name not in found:
            one = np.unique(values).size == 1
            found[name] = ((), values[0]) if one else (dims, values.reshape(records.shape))
    found["time"] = dates_of(records.days).astype("datetime64[ns]")
    if cells.steps:
        begin, end = _step_bounds(records)
        found["step"] = begin
        found["step_bnds"] = (("step", "bnds"), np.stack([begin, end], axis=1))
    if cells.members is not None:
        found["member"] = np.arange(len(cells.members), dtype=np.int32)
    return found


def _step_bounds(records: PlaceRecords) -> tuple[NDArray[Any], NDArray[Any]]:
    """First day and day after the last of each step, cut where the record begins and ends."""
    days = records.days
    numbers = np.arange(days[0] // STEP_DAYS, days[-1] // STEP_DAYS + 1)
    begin = np.maximum(numbers * STEP_DAYS, days[0])
    end = np.minimum((numbers + 1) * STEP_DAYS, days[-1] + 1)
    first, last = (dates_of(each).astype("datetime64[ns]") for each in (begin, end))
    return first, last


def _attributes(release: Release, records: PlaceRecords) -> dict[str, Any]:
    """Global attributes: what the fluxes are, and of which model and drivers."""
    theirs = records.source.attrs
    known = {key: theirs[key] for key in ("synthetic", "day_definition") if key in theirs}
    title = f"{planet_of(bool(theirs.get('synthetic', False)))}{TITLE}"
    source = theirs.get("title", "drivers given to upscale.predict")
    content = {
        "Conventions": "CF-1.11, ACDD-1.3",
        "title": title,
        "source": f"{release.manifest.name} driven by: {source}",
        "comment": COMMENT,
        **known,
        **model_attributes(release),
        "date_created": now(),
    }
    return {name: plain(value) for name, value in content.items()}
