"""Which hours of reanalysis are due and missing, as requests of a month each."""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upscale.archives.formats.grib import library
from upscale.archives.reanalysis.accumulate import standard_offsets
from upscale.archives.reanalysis.era5 import RULES
from upscale.archives.reanalysis.fields import FIELDS
from upscale.archives.reanalysis.netcdf import magic
from upscale.calendar import date_of, day_number, day_of_hour, first_hour
from upscale.fetch.granules import Bounds, visible_files
from upscale.fetch.ledger import FetchLedger
from upscale.grid import Grid
from upscale.ingest.archive import Fault
from upscale.ingest.config import Ingest
from upscale.ingest.hourly import HourlyHeader, read_header
from upscale.ingest.sources import CdsSource
from upscale.remote.errors import ArchiveError

#: Names in the Climate Data Store, by short name.
NAMES = {
    "t2m": "2m_temperature",
    "d2m": "2m_dewpoint_temperature",
    "sp": "surface_pressure",
    "u10": "10m_u_component_of_wind",
    "v10": "10m_v_component_of_wind",
    "ssrd": "surface_solar_radiation_downwards",
    "strd": "surface_thermal_radiation_downwards",
    "tp": "total_precipitation",
}
#: Spacing of the nodes of each dataset, degrees.
STEPS = {"reanalysis-era5-land": 0.1, "reanalysis-era5-single-levels": 0.25}
_REACH = 3  #: nodes around the cells that are requested, too; an ingest uses no more


@dataclass(frozen=True)
class HoursRequest:
    """One request: all hours of some days of a month. box: None for the whole Earth."""

    source: CdsSource
    names: tuple[str, ...]
    days: tuple[dt.date, ...]
    box: Bounds | None

    @property
    def file(self) -> str:
        """The name of its file: dataset, first and last day, variables."""
        ending = {"netcdf": "nc", "grib": "grib"}[self.source.form]
        period = f"{self.days[0]}_{self.days[-1]}"
        return f"{self.source.dataset}_{period}_{'-'.join(self.names)}.{ending}"

    @property
    def keys(self) -> dict[str, object]:
        """The request with the keys of the Climate Data Store."""
        keys: dict[str, object] = {
            "variable": [NAMES[name] for name in self.names],
            "year": [f"{self.days[0]:%Y}"],
            "month": [f"{self.days[0]:%m}"],
            "day": [f"{day:%d}" for day in self.days],
            "time": [f"{hour:02d}:00" for hour in range(24)],
            "data_format": self.source.form,
            "download_format": "unarchived",
        }
        if self.source.dataset == "reanalysis-era5-single-levels":
            keys["product_type"] = ["reanalysis"]
        if self.box is not None:
            keys["area"] = [self.box.north, self.box.west, self.box.south, self.box.east]
        return keys

    def fault_of(self, header: HourlyHeader) -> str:
        """What is missing in an answer, "" where it has all that was requested."""
        lacking = sorted(set(self.names) - set(header.names))
        first = first_hour(day_number(self.days[0]))
        last = first_hour(day_number(self.days[-1])) + 23
        if lacking:
            return f"expected {', '.join(lacking)}, found {', '.join(header.names)}"
        if header.first > first or header.last < last:
            return f"expected hours {first} to {last}, found {header.first} to {header.last}"
        return ""


@dataclass(frozen=True)
class HoursDue:
    """The hours that the meteorology of an INGEST.yaml needs, and requests for those that are
    missing. due, missing: numbers of hours, summed over variables."""

    source: CdsSource
    folder: Path
    due: int
    missing: int
    requests: tuple[HoursRequest, ...]
    damaged: tuple[Fault, ...]


def hours_due(ingest: Ingest, source: CdsSource, *, deep: bool = False) -> HoursDue:
    """Compare the hours that the days of the period need with those in the files of the folder.

    Days of local standard time reach into the day before and after; amounts end at 00 UTC of the
    day after. ArchiveError where the folder has files of another area.
    """
    folder, step = Path(ingest.meteo.files[0]), STEPS[source.dataset]
    headers, damaged = _headers(folder, deep=deep)
    names = _names(ingest.meteo.variables)
    lacking = {
        name: _lacking(_span(ingest, name), [h for h in headers if name in h.names])
        for name in names
    }
    box = _area(ingest.product_grid, step, headers, folder)
    requests = tuple(
        HoursRequest(source, group, days, box) for group, days in _by_month(lacking, source.by)
    )
    due = sum(high - low + 1 for low, high in (_span(ingest, name) for name in names))
    missing = sum(len(hours) for hours in lacking.values())
    return HoursDue(source, folder, due, missing, requests, damaged)


def _names(drivers: Sequence[str] | None) -> tuple[str, ...]:
    """Short names of the variables that drivers are computed from, in the order of `NAMES`."""
    needed = {name for driver in drivers or RULES for name in RULES[driver][0][0]}
    return tuple(name for name in NAMES if name in needed)


def _headers(folder: Path, *, deep: bool) -> tuple[list[HourlyHeader], tuple[Fault, ...]]:
    """Headers of the readable files in a folder, and what is wrong with the others."""
    records = FetchLedger(folder).read()
    headers, damaged = [], []
    for path in visible_files(folder):
        record = records.get(path.name)
        fault = "" if record is None else record.fault_of(path, deep=deep)
        if magic(path) == "grib":
            library()  # a package that is missing is no fault of the file
        try:
            if not fault:
                headers.append(read_header(str(path)))
        except ArchiveError as error:
            fault = str(error)
        if fault:
            damaged.append(Fault(str(path), fault))
    return headers, tuple(damaged)


def _span(ingest: Ingest, name: str) -> tuple[int, int]:
    """First and last hour that a variable needs, since 1970-01-01 00 UTC.

    Amounts need one hour more: what falls in an hour is stamped at its end.
    """
    grid, local = ingest.product_grid, ingest.day == "local-standard"
    ahead = standard_offsets(np.array([grid.lon[0], grid.lon[-1]])) * local
    low = first_hour(day_number(ingest.period.start)) - int(ahead.max())
    high = first_hour(day_number(ingest.period.end)) + 23 - int(ahead.min())
    return low, high + (FIELDS[name].kind != "instant")


def _lacking(span: tuple[int, int], headers: Iterable[HourlyHeader]) -> set[int]:
    """Hours of a span that are in no file."""
    hours = set(range(span[0], span[1] + 1))
    for header in headers:
        hours.difference_update(range(header.first, header.last + 1))
    return hours


def _by_month(
    lacking: Mapping[str, set[int]], by: str
) -> list[tuple[tuple[str, ...], tuple[dt.date, ...]]]:
    """Variables and days of each request: a month at most, with the same days for all variables."""
    groups: dict[tuple[dt.date, ...], list[str]] = defaultdict(list)
    for name, hours in lacking.items():
        for days in _months({day_of_hour(hour) for hour in hours}):
            groups[days].append(name)
    whole = [(tuple(names), days) for days, names in sorted(groups.items())]
    if by == "month":
        return whole
    return [((name,), days) for names, days in whole for name in names]


def _months(numbers: set[int]) -> list[tuple[dt.date, ...]]:
    """Day numbers as dates, in runs without a gap and within one month."""
    runs: list[list[dt.date]] = []
    for number in sorted(numbers):
        date = date_of(number)
        follows = bool(runs) and date_of(number - 1) == runs[-1][-1] and date.day != 1
        if follows:
            runs[-1].append(date)
        else:
            runs.append([date])
    return [tuple(days) for days in runs]


def _area(grid: Grid, step: float, headers: Sequence[HourlyHeader], folder: Path) -> Bounds | None:
    """The nodes to request: those of the files in the folder, else those that the cells need.

    An ingest takes files of one area only.
    """
    nodes = {header.nodes for header in headers}
    if not nodes:
        return _box(grid, step)
    north, west, rows, cols, spacing = min(nodes)
    south, east = north - (rows - 1) * spacing, west + (cols - 1) * spacing
    lat, lon = grid.lat, grid.lon
    whole = cols * spacing > 360 - 1e-6
    across = whole or (west <= lon[0] and lon[-1] <= east)
    if (
        len(nodes) > 1
        or abs(spacing - step) > 1e-3
        or not (south <= lat[-1] and across and lat[0] <= north)
    ):
        raise ArchiveError(
            f"{folder}: expected files of one area around the region, every {step} degree, found "
            f"{len(nodes)} area(s), one from {south:g} to {north:g} N, {west:g} to {east:g} E "
            f"every {spacing:g}; fetch into a new folder"
        )
    if whole:
        return None
    return Bounds(round(west, 4), round(south, 4), round(east, 4), round(north, 4))


def _box(grid: Grid, step: float) -> Bounds | None:
    """The box of nodes around the cells of a grid, `_REACH` nodes beyond them."""

    def down(value: float) -> float:
        return round((math.floor(value / step + 1e-6) - _REACH) * step, 4)

    def up(value: float) -> float:
        return round((math.ceil(value / step - 1e-6) + _REACH) * step, 4)

    west, east = down(float(grid.lon[0])), up(float(grid.lon[-1]))
    if east - west >= 360:
        return None
    return Bounds(max(west, -180.0), max(down(float(grid.lat[-1])), -90.0), min(east, 180.0 - step),
               min(up(float(grid.lat[0])), 90.0))  # fmt: skip
