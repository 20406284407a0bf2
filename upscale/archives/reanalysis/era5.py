"""Daily drivers from hourly ERA5 and ERA5-Land.

Days are days of local standard time by default, as at the towers: UTC plus round(lon / 15) hours.
An instantaneous value belongs to the day of its stamp (hours 00 to 23), an amount to the day in
which its hour ends (01 to 24). At each node, a day with a missing hour is NaN. The daily vapour
pressure deficit is the mean of hourly deficits, never the deficit of daily means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from upscale.archives.reanalysis import fields
from upscale.archives.reanalysis.accumulate import (
    closing_totals,
    daily_sums,
    on_every_hour,
    standard_offsets,
    undo_running,
)
from upscale.archives.reanalysis.fields import FIELDS
from upscale.archives.reanalysis.joined import assemble
from upscale.archives.reanalysis.netcdf import NodeBounds, Period, read_published
from upscale.archives.reanalysis.pattern import check_pattern
from upscale.archives.reanalysis.statistic import DAILY, Product, Stated, takers
from upscale.calendar import dates_of, day_of_hour, first_hour
from upscale.remote.errors import ArchiveError
from upscale.variables import variable

Floats = NDArray[np.floating]
Day = Literal["local-standard", "utc"]


_SECONDS = 86400.0


def read_era5(
    paths: Sequence[str | Path],
    product: Product | None = None,
    box: NodeBounds | None = None,
    period: Period | None = None,
    stated: Mapping[str, Stated] | None = None,
) -> xr.Dataset:
    """Read files and stores of one area into one dataset `(time, lat, lon)` with short names.

    Each variable may have a file of its own, and times may come in any order. product: decides
    how accumulations are differenced where the files do not say it; by default what they are
    called, or recognised from the node spacing. box, period: what to read. stated: statistics of
    variables whose files do not prove them. Attribute `statistic` of each variable is what its
    numbers stand for, `evidence` why. Raises ArchiveError where the layout of a file is unknown,
    files disagree, no product fits, or a variable is not proven to be what a driver takes.
    """
    members = [part for path in paths for part in read_published(path, box, period)]
    if not members:
        raise ArchiveError("expected at least one file of ERA5, found none; name one")
    whole = assemble(members, product, stated=stated)
    if 0 in whole.sizes.values():
        raise ArchiveError(
            f"expected nodes and hours in {box} and {period}, found sizes {dict(whole.sizes)}; "
            "check that the files cover them"
        )
    return whole


def daily(dataset: xr.Dataset, day: Day = "local-standard") -> xr.Dataset:
    """Daily drivers `(time, lat, lon)`, float32, from a dataset of `read_era5`.

    Computes those drivers whose variables are present: ta degC, sw_in W m-2, vpd hPa, p mm d-1,
    lw_in W m-2, ws m s-1, pa kPa. Daily means give neither vpd nor ws, and only UTC days. Attribute
    `day_definition` names the kind of day; attribute `clipped` of a variable counts the small
    negative hours or days that were set to zero. The days run from the first to the last that is
    complete in some column. Raises ArchiveError where a unit is wrong, a value impossible, or no
    day is complete.
    """
    used: Day = "utc" if dataset.attrs["daily"] else day
    frame = _Frame(dataset, used)
    made = {name: rule(frame) for name, (needs, rule) in RULES.items()
            if any(_has(dataset, name, group) for group in needs)}  # fmt: skip
    if not made:
        raise ArchiveError(
            f"expected variables such as t2m, d2m, ssrd, tp; found {', '.join(map(str, dataset))}"
        )
    whole = np.any([rows.whole for rows in made.values()], axis=0)
    if not whole.any():
        raise NoWholeDayError(
            f"expected all hours of at least one {used} day, found none; read the day before and "
            "the day after, too"
        )
    kept = slice(int(np.argmax(whole)), whole.size - int(np.argmax(whole[::-1])))
    return _as_dataset(frame, {name: rows.cut(kept) for name, rows in made.items()}, kept, used)


def _has(dataset: xr.Dataset, driver: str, group: Sequence[str]) -> bool:
    """Whether variables are there, with statistics that a driver takes."""
    return all(n in dataset and driver in takers(n, dataset[n].attrs["statistic"]) for n in group)


class NoWholeDayError(ArchiveError):
    """The hours are valid but cover no complete day."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """Values `(day, row, col)`, complete days `(day,)`, and the number of negatives set to zero."""

    values: Floats
    whole: NDArray[np.bool_]
    clipped: int = 0

    def cut(self, kept: slice) -> _Rows:
        return _Rows(self.values[kept], self.whole[kept], self.clipped)

    def scaled(self, factor: float, shift: float = 0.0) -> _Rows:
        return _Rows(self.values * factor + shift, self.whole, self.clipped)


class _Frame:
    """The days of a dataset and its offsets from UTC; sums its hours to these days."""

    def __init__(self, dataset: xr.Dataset, day: Day) -> None:
        """Compute the offsets from UTC by longitude, and the days that the hours may touch."""
        self.dataset, self.day = dataset, day
        lon = dataset["lon"].values
        self.offsets = standard_offsets(lon) * (day == "local-standard")
        self.hours = fields.whole_hours(dataset["time"].values)
        first, last = (day_of_hour(int(self.hours[end])) for end in (0, -1))
        self.days = np.arange(first - 1, last + 2)

    def hourly(self, name: str) -> NDArray[np.floating]:
        """Values `(stamp, row, col)` in the unit of `FIELDS`, checked."""
        array = self.dataset[name].transpose("time", "lat", "lon")
        fields.check_unit(FIELDS[name], array.attrs.get("units"))
        values: NDArray[np.floating] = array.values
        if FIELDS[name].kind != "amount":
            fields.check_range(FIELDS[name], values)
        return values

    def mean(self, name: str, values: NDArray[np.floating]) -> _Rows:
        """Daily means of `values` of variable `name`; daily values stay as they are."""
        statistic = self.dataset[name].attrs["statistic"]
        if statistic in DAILY:
            return self._placed(values)
        ending = statistic == "hourly-mean"
        sums = self._gather(self.hours, values, ending)
        return _Rows(sums / 24, self._whole(self.hours, ending))

    def amount(self, name: str) -> _Rows:
        """Daily totals of an accumulated variable, by how it accumulates."""
        row, values = FIELDS[name], self.hourly(name)
        statistic = self.dataset[name].attrs["statistic"]
        if statistic in DAILY:
            rows = self._placed(values)
            return _Rows(fields.not_below_zero(row, rows.values), rows.whole)
        first, amounts = on_every_hour(self.hours, values)
        running = statistic == "running-total"
        if running:
            amounts = undo_running(first, amounts)
        clipped = fields.check_amounts(row, amounts)
        check_pattern(name, statistic, self.hours, values)
        if running and self.day == "utc":
            totals = closing_totals(self.hours, values, self.days)
            whole = np.isin(first_hour(self.days + 1), self.hours)
        else:
            totals = daily_sums(first, amounts, self.offsets, self.days, ending=True)
            whole = self._whole(self.hours, True)
        return _Rows(fields.not_below_zero(row, totals), whole, clipped)

    def rate(self, name: str) -> _Rows:
        """Daily means of a mean rate, not below zero."""
        values = self.hourly(name)
        rows = self.mean(name, values)
        return _Rows(np.maximum(rows.values, 0), rows.whole, int((values < 0).sum()))

    def _gather(
        self, hours: NDArray[np.int64], values: NDArray[np.floating], ending: bool
    ) -> Floats:
        first, full = on_every_hour(hours, values)
        return daily_sums(first, full, self.offsets, self.days, ending=ending)

    def _whole(self, hours: NDArray[np.int64], ending: bool) -> NDArray[np.bool_]:
        """Days `(day,)` that have every stamp in at least one column."""
        present = np.ones((hours.size, 1, self.offsets.size))
        gathered = np.isfinite(self._gather(hours, present, ending))
        return np.asarray(gathered.any(axis=(1, 2)))

    def _placed(self, values: NDArray[np.floating]) -> _Rows:
        """Values of one stamp a day, at 00 UTC, on their days."""
        midnight = self.hours % 24 == 0
        days = day_of_hour(self.hours[midnight])
        rows = np.full((self.days.size, *values.shape[1:]), np.nan)
        rows[days - self.days[0]] = values[midnight]
        return _Rows(rows, np.isin(self.days, days))


def _air(frame: _Frame) -> _Rows:
    return frame.mean("t2m", frame.hourly("t2m")).scaled(1.0, -273.15)


def _pressure(frame: _Frame) -> _Rows:
    return frame.mean("sp", frame.hourly("sp")).scaled(1e-3)


def _wind(frame: _Frame) -> _Rows:
    return frame.mean("u10", np.hypot(frame.hourly("u10"), frame.hourly("v10")))


def _deficit(frame: _Frame) -> _Rows:
    vpd, clipped = fields.deficit(frame.hourly("t2m"), frame.hourly("d2m"))
    rows = frame.mean("t2m", vpd)
    return _Rows(rows.values, rows.whole, clipped)


def _radiation(frame: _Frame, amount: str, rate: str) -> _Rows:
    if amount in frame.dataset:
        return frame.amount(amount).scaled(1 / _SECONDS)
    return frame.rate(rate)


def _shortwave(frame: _Frame) -> _Rows:
    return _radiation(frame, "ssrd", "avg_sdswrf")


def _longwave(frame: _Frame) -> _Rows:
    return _radiation(frame, "strd", "avg_sdlwrf")


def _rain(frame: _Frame) -> _Rows:
    if "tp" in frame.dataset:
        return frame.amount("tp").scaled(1e3)
    return frame.rate("avg_tprate").scaled(_SECONDS)


#: For each driver: alternative groups of variables, one of which is needed, and its formula.
RULES = {
    "ta": ((("t2m",),), _air),
    "sw_in": ((("ssrd",), ("avg_sdswrf",)), _shortwave),
    "vpd": ((("t2m", "d2m"),), _deficit),
    "p": ((("tp",), ("avg_tprate",)), _rain),
    "lw_in": ((("strd",), ("avg_sdlwrf",)), _longwave),
    "ws": ((("u10", "v10"),), _wind),
    "pa": ((("sp",),), _pressure),
}


def _as_dataset(frame: _Frame, made: dict[str, _Rows], kept: slice, day: Day) -> xr.Dataset:
    times = dates_of(frame.days[kept]).astype("datetime64[ns]")
    arrays = {}
    for name, rows in made.items():
        attributes = variable(name).attributes | {"clipped": rows.clipped}
        arrays[name] = (("time", "lat", "lon"), rows.values.astype(np.float32), attributes)
        _refuse_impossible(name, rows.values)
    coords = {"time": times, "lat": frame.dataset["lat"].values, "lon": frame.dataset["lon"].values}
    carried = {key: frame.dataset.attrs[key] for key in ("product", "preliminary_hours")}
    return xr.Dataset(arrays, coords, carried | {"day_definition": day})


def _refuse_impossible(name: str, values: Floats) -> None:
    row = variable(name)
    known = values[np.isfinite(values)]
    if known.size and not (row.valid_min <= known.min() and known.max() <= row.valid_max):
        raise ArchiveError(
            f"{name}: expected daily values of {row.valid_min} to {row.valid_max} {row.units}, "
            f"found {known.min():.4g} to {known.max():.4g}; check the units and the product"
        )
