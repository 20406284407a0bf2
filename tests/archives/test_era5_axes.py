"""Axes of reanalysis files other than valid time, latitude and longitude."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

from upscale.archives.inspect import inspect
from upscale.archives.reanalysis.era5 import daily, read_era5
from upscale.remote.errors import ArchiveError

LAT, LON = np.array([50.2, 50.1, 50.0]), np.array([10.0, 10.1, 10.2])
DAYS, HOURS = 3, 24
WARMTH = 283.15 + np.arange(DAYS * HOURS, dtype=np.float64) / 10


def write(path: Path, axes: dict[str, Any], fields: dict[str, Any]) -> Path:
    """A NetCDF file by another writer. axes: values and attributes; fields: axes, units, values."""
    with netCDF4.Dataset(path, "w") as file:
        for name, (values, attributes) in axes.items():
            dims = attributes.pop("dims", (name,))
            if dims == (name,):
                file.createDimension(name, np.size(values))
            file.createVariable(name, "f8", dims)[...] = values
            file[name].setncatts(attributes)
        for name, (dims, units, values) in fields.items():
            variable = file.createVariable(name, "f4", dims)
            variable.units = units
            variable[...] = values
    return path


def nodes() -> dict[str, Any]:
    return {"latitude": (LAT, {}), "longitude": (LON, {})}


def hours(name: str = "time", **attributes: str) -> dict[str, Any]:
    said = {"units": "hours since 2023-07-01 00:00:00", "calendar": "standard"} | attributes
    return {name: (np.arange(DAYS * HOURS), said)}


def on_nodes(values: Any) -> Any:
    """Values spread over the nodes, with the node's own part, so that a mix-up would be seen."""
    return np.asarray(values)[..., None, None] + np.arange(3)[:, None] + 10 * np.arange(3)


def of_cfgrib(path: Path) -> Path:
    """ERA5-Land as cfgrib writes it: base times at 00 UTC and steps of 1 to 24 hours."""
    base = {"units": "days since 2023-07-01 00:00:00", "calendar": "proleptic_gregorian"}
    rain = np.broadcast_to(np.arange(1, 25) * 1e-4, (DAYS, HOURS))[..., None, None]
    axes = {"time": (np.arange(DAYS), base), "step": (np.arange(1, 25), {"units": "hours"})}
    dims = ("time", "step", "latitude", "longitude")
    warmth = on_nodes(WARMTH.reshape(DAYS, HOURS))
    return write(path, axes | nodes(), {
        "t2m": (dims, "K", warmth), "tp": (dims, "m", np.broadcast_to(rain, warmth.shape)),
    })  # fmt: skip


def test_base_times_and_steps_become_valid_times(tmp_path: Path) -> None:
    found = daily(read_era5([of_cfgrib(tmp_path / "land.nc")]), "utc")
    # 1 July lacks the instant of 00 UTC: the first stamp of the file is 01 UTC
    first = WARMTH[23:47].mean() - 273.15
    assert str(found["time"].values[1])[:10] == "2023-07-02"
    np.testing.assert_allclose(found["ta"].values[1], on_nodes(first), rtol=1e-5)
    np.testing.assert_allclose(found["p"].values, 2.4, rtol=1e-5)


def test_a_valid_time_that_the_file_states_is_taken(tmp_path: Path) -> None:
    path = of_cfgrib(tmp_path / "land.nc")
    with xr.open_dataset(path, decode_timedelta=True) as file:
        said = file.assign_coords(valid_time=file["time"] + file["step"]).load()
    said.to_netcdf(tmp_path / "said.nc")
    one, other = (daily(read_era5([p]), "utc") for p in (path, tmp_path / "said.nc"))
    xr.testing.assert_equal(one, other)


def test_one_step_for_all_is_added_to_the_base_time(tmp_path: Path) -> None:
    """Of instants one hour after their base time the stamp is not the base time."""
    step = {"step": (1.0, {"units": "hours", "dims": ()})}
    field = {"t2m": (("time", "latitude", "longitude"), "K", on_nodes(WARMTH))}
    path = write(tmp_path / "step.nc", hours() | nodes() | step, field)
    assert str(read_era5([path])["time"].values[0])[:13] == "2023-07-01T01"


def ensemble(path: Path, members: int) -> Path:
    dims = ("time", "number", "latitude", "longitude")
    values = np.stack([on_nodes(WARMTH + 5 * member) for member in range(members)], axis=1)
    number = {"number": (np.arange(members), {})}
    return write(path, hours() | number | nodes(), {"t2m": (dims, "K", values)})


def test_an_ensemble_of_one_member_is_read_as_it_is(tmp_path: Path) -> None:
    found = daily(read_era5([ensemble(tmp_path / "one.nc", 1)]), "utc")
    expected = on_nodes(WARMTH.reshape(DAYS, HOURS).mean(axis=1) - 273.15)
    np.testing.assert_allclose(found["ta"].values, expected, rtol=1e-5)


def calendar(name: str) -> Callable[[Path], Path]:
    field = {"t2m": (("time", "latitude", "longitude"), "K", on_nodes(WARMTH))}
    return lambda path: write(path, hours(calendar=name) | nodes(), field)


def aloft(path: Path) -> Path:
    dims = ("valid_time", "pressure_level", "latitude", "longitude")
    values = np.stack([on_nodes(WARMTH)] * 2, axis=1)
    levels = {"pressure_level": (np.array([1000.0, 850.0]), {"units": "hPa"})}
    return write(path, hours("valid_time") | levels | nodes(), {"t": (dims, "K", values)})


def stacked(path: Path) -> Path:
    dims = ("time", "experiment", "latitude", "longitude")
    values = np.stack([on_nodes(WARMTH)] * 3, axis=1)
    return write(path, hours() | {"experiment": (np.arange(3), {})} | nodes(),
                 {"t2m": (dims, "K", values)})  # fmt: skip


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "members": (lambda p: ensemble(p, 10), "found 10 along 'number' .members of an ensem.*choose"),
    "noleap": (calendar("noleap"), "found the calendar 'noleap' from 2023-07-01.*climate model"),
    "360_day": (calendar("360_day"), "found the calendar '360_day'.*take a reanalysis"),
    "levels": (aloft, "at the surface, found t on levels .axis 'pressure_level' of 2.*single lev"),
    "unknown": (stacked, "found 3 along 'experiment'.*choose one entry"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_each_axis_has_its_sentence(tmp_path: Path, kind: str) -> None:
    make, message = REFUSED[kind]
    path = make(tmp_path / "file.nc")
    with pytest.raises(ArchiveError, match=message):
        read_era5([path])
    with pytest.raises(ArchiveError, match=message):
        inspect(str(path))


def test_levels_beside_the_surface_are_left_out(tmp_path: Path) -> None:
    levels = {"level": (np.array([1000.0, 850.0]), {})}
    dims = ("time", "level", "latitude", "longitude")
    path = write(tmp_path / "both.nc", hours() | levels | nodes(), {
        "t": (dims, "K", np.stack([on_nodes(WARMTH)] * 2, axis=1)),
        "t2m": (("time", "latitude", "longitude"), "K", on_nodes(WARMTH)),
    })  # fmt: skip
    assert list(read_era5([path]).data_vars) == ["t2m"]


def test_steps_without_a_unit_are_refused(tmp_path: Path) -> None:
    axes = {"time": (np.arange(2), {"units": "days since 2023-07-01"}),
            "step": (np.arange(1, 25), {})} | nodes()  # fmt: skip
    dims = ("time", "step", "latitude", "longitude")
    field = {"t2m": (dims, "K", on_nodes(WARMTH[:48].reshape(2, 24)))}
    path = write(tmp_path / "f.nc", axes, field)
    with pytest.raises(ArchiveError, match="expected 'step' as a length of time, found units None"):
        read_era5([path])
