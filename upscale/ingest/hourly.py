"""What an archive of reanalysis files holds and lacks, from the headers of its files."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from upscale.archives.reanalysis.accumulate import standard_offsets
from upscale.archives.reanalysis.era5 import RULES
from upscale.archives.reanalysis.evidence import evidence_of
from upscale.archives.reanalysis.fields import FIELDS
from upscale.archives.reanalysis.joined import SPACING
from upscale.archives.reanalysis.netcdf import read_published, variables_of
from upscale.archives.reanalysis.proven import Proven, prove
from upscale.archives.reanalysis.statistic import (
    DAILY,
    Evidence,
    Product,
    Stated,
    Verdict,
    takers,
)
from upscale.calendar import date_of, day_number, days_between, first_hour, hour_numbers
from upscale.grid import Grid, load_grid
from upscale.ingest.archive import Fault
from upscale.remote.errors import ArchiveError
from upscale.remote.listing import ListedFile
from upscale.remote.locations import is_store

_LATTICES = {0.1: "era5-land-0p1", 0.25: "era5-0p25"}


class Nodes(NamedTuple):
    """Nodes at regular steps (degrees) from the first one in the north-west."""

    north: float
    west: float
    rows: int
    cols: int
    step: float

    def __str__(self) -> str:
        return f"{self.rows} x {self.cols} from {self.north} N, {self.west} E every {self.step}"


@dataclass(frozen=True)
class HourlyHeader:
    """What a file says of itself. first, last: hours since 1970-01-01 00 UTC; evidence: of the
    statistic of each of its variables that drivers are made of."""

    names: tuple[str, ...]
    first: int
    last: int
    evidence: tuple[Evidence, ...]
    nodes: Nodes

    @classmethod
    def of(cls, content: dict[str, Any]) -> HourlyHeader:
        """From plain values, as `to_dict` gives them."""
        made = {
            "names": tuple(content["names"]),
            "evidence": tuple(map(Evidence.of, content["evidence"])),
            "nodes": Nodes(*content["nodes"]),
        }
        return cls(**content | made)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class HourlyFile:
    """A file of an archive and its header."""

    found: ListedFile
    header: HourlyHeader

    def identity_of(self, first: int, end: int) -> str:
        """Tells this version of the file from another, for the day numbers `first` to `end - 1`.

        Of a store that grows, only how many hours of these days it has: what changes in place
        is not noticed.
        """
        found, name = self.found, self.found.url.rstrip("/").rsplit("/", 1)[-1]
        if not is_growing(found):
            return f"{name} {found.size} {found.stamp}"
        hours = first_hour(end + 1)
        return f"{name} {self.header.first} {min(self.header.last, hours)} {self.header.names}"


@dataclass(frozen=True)
class Gap:
    """Days that a driver lacks hours of: first and last, both included."""

    driver: str
    first: dt.date
    last: dt.date

    @property
    def count(self) -> int:
        return days_between(self.first, self.last)


@dataclass(frozen=True)
class WeatherFiles:
    """The files that make the meteorology of a cube.

    nodes: the grid of the group, cut to what the product grid needs. drivers: what is made.
    verdicts: what the numbers of each variable stand for, and why.
    """

    product: str
    nodes: Grid
    drivers: tuple[str, ...]
    verdicts: tuple[tuple[str, Verdict], ...]
    files: tuple[HourlyFile, ...]
    missing: tuple[Gap, ...]
    faults: tuple[Fault, ...]

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(name for file in self.files for name in file.header.names)

    def between(self, first: int, end: int, driver: str) -> tuple[HourlyFile, ...]:
        """Files with hours that the day numbers `first` to `end - 1` of a driver need."""
        needed = needs_of(driver, self.names)
        low, high = first_hour(first - 1), first_hour(end + 1)
        return tuple(
            file
            for file in self.files
            if needed & set(file.header.names)
            and file.header.first <= high
            and low <= file.header.last
        )


def is_growing(found: ListedFile) -> bool:
    """Whether a place is a store, to which hours may be appended, and no file."""
    return is_store(found.url) or found.size == 0


def needs_of(driver: str, names: Iterable[str]) -> frozenset[str]:
    """The variables among `names` that a driver is made of; none where they do not suffice."""
    there = set(names)
    for group in RULES[driver][0]:
        if there.issuperset(group):
            return frozenset(group)
    return frozenset()


def read_header(path: str) -> HourlyHeader:
    """The header of a file or store; ArchiveError where its layout is unknown, its nodes are not
    regular, or it holds no variable that drivers are made of."""
    parts = read_published(path, header=True)
    names = tuple(sorted({name for part in parts for name in variables_of(part)}))
    hours = np.concatenate([hour_numbers(part["time"].values) for part in parts])
    told = tuple(
        evidence_of(part[name]) for part in parts for name in variables_of(part) if name in FIELDS
    )
    lat, lon = parts[0]["lat"].values, parts[0]["lon"].values
    nodes = _nodes(path, lat, lon)
    return HourlyHeader(names, int(hours.min()), int(hours.max()), told, nodes)


def _nodes(path: str, lat: NDArray[np.floating[Any]], lon: NDArray[np.floating[Any]]) -> Nodes:
    steps = np.concatenate([-np.diff(lat), np.diff(lon)])
    if lat.size < 2 or lon.size < 2 or np.ptp(steps) > 1e-3:
        raise ArchiveError(
            f"{path}: expected nodes at regular steps in both directions, found {lat.size} x "
            f"{lon.size} with steps of {np.unique(np.round(steps, 3))[:4].tolist()} degrees; "
            "ask for one box that does not cross 180 degrees"
        )
    step = round(float(np.median(steps)), 4)
    return Nodes(round(float(lat[0]), 4), round(float(lon[0]), 4), lat.size, lon.size, step)


def survey_weather(
    headers: Sequence[tuple[ListedFile, HourlyHeader | Fault]],
    grid: Grid,
    period: tuple[dt.date, dt.date],
    day: str,
    product: Product | None = None,
    drivers: Sequence[str] | None = None,
    stated: Mapping[str, Stated] | None = None,
) -> WeatherFiles:
    """Sort the files of reanalysis by what their headers say.

    grid: the product grid, whose cells need nodes around them. stated: what a person says that
    the numbers of variables stand for. ArchiveError where no file can be used, a driver cannot be
    made, or daily files should give days of local time.
    """
    faults = [header for _, header in headers if isinstance(header, Fault)]
    files = [HourlyFile(found, h) for found, h in headers if isinstance(h, HourlyHeader)]
    useful = [file for file in files if _makes(file.header.names)]
    if not useful:
        raise _nothing(len(headers), faults)
    nodes, others = _common_nodes(useful)
    faults += [_other_nodes(file, nodes) for file in others]
    used = product or _product(nodes.step, useful)
    proven = _prove([file for file in useful if file.header.nodes == nodes], used,
                    product is not None, stated or {}, drivers or tuple(RULES))  # fmt: skip
    verdicts = proven.verdicts
    faults += [Fault(url, reason) for (url, _), reason in proven.refused.items()]
    kept = tuple(
        file
        for file in (_only(file, proven) for file in useful if file.header.nodes == nodes)
        if file.header.names
    )
    if not kept:
        raise _nothing(len(headers), faults)
    if day != "utc" and any(verdict.statistic in DAILY for verdict in verdicts.values()):
        raise ArchiveError(
            "meteo.files: expected hours for days of local standard time, found daily values, "
            "which are days of UTC; set day: utc"
        )
    made = _drivers(verdicts, drivers, faults)
    missing = tuple(gap for name in made for gap in _gaps(name, kept, verdicts, grid, period, day))
    told = tuple(sorted(verdicts.items()))
    return WeatherFiles(used, _crop(nodes, grid), made, told, kept, missing, tuple(faults))


def _nothing(count: int, faults: Sequence[Fault]) -> ArchiveError:
    reasons = "; ".join(fault.reason for fault in faults[:3])
    return ArchiveError(
        "meteo.files: expected files with t2m, d2m, ssrd, tp or the like, found none among "
        f"{count} {reasons and f'({reasons})'}; correct the paths"
    )


def _prove(
    files: Sequence[HourlyFile],
    product: Product,
    forced: bool,
    stated: Mapping[str, Stated],
    drivers: Sequence[str],
) -> Proven:
    """What the variables of drivers are in files of the same nodes."""
    needed = {name for driver in drivers for group in RULES[driver][0] for name in group}
    told = [(file.found.url, evidence) for file in files for evidence in file.header.evidence]
    return prove(told, needed, product, stated, forced=forced)


def _only(file: HourlyFile, proven: Proven) -> HourlyFile:
    """A file with those of its variables that drivers are made of."""
    names = proven.names(file.found.url, file.header.names)
    return replace(file, header=replace(file.header, names=names))


def _product(step: float, files: Sequence[HourlyFile]) -> Product:
    """The product that files are called, or whose nodes lie so far apart."""
    told = {e.product for file in files for e in file.header.evidence} - {""}
    if len(told) == 1:
        return cast(Product, told.pop())
    for name, spacing in SPACING.items():
        if abs(spacing - step) < 1e-3:
            return name
    raise ArchiveError(
        f"meteo: expected nodes every 0.1 (ERA5-Land) or 0.25 degree (ERA5), found {step}; "
        "say which product it is (meteo.product)"
    )


def _makes(names: Iterable[str]) -> bool:
    known = {name for needs, _ in RULES.values() for group in needs for name in group}
    return bool(known & set(names))


def _common_nodes(
    files: Sequence[HourlyFile],
) -> tuple[Nodes, list[HourlyFile]]:
    """The nodes that most files have, and the files that have others."""
    counts: dict[Nodes, int] = {}
    for file in files:
        counts[file.header.nodes] = counts.get(file.header.nodes, 0) + 1
    nodes = max(counts, key=lambda key: (counts[key], key))
    return nodes, [file for file in files if file.header.nodes != nodes]


def _other_nodes(file: HourlyFile, nodes: Nodes) -> Fault:
    return Fault(
        file.found.url,
        f"expected nodes as most files have ({nodes} degree), found {file.header.nodes}; ingest "
        "one area at a time",
    )


def _drivers(
    verdicts: Mapping[str, Verdict], asked: Sequence[str] | None, faults: Sequence[Fault]
) -> tuple[str, ...]:
    """The drivers asked for, or all that the files allow; ArchiveError for one that they do not."""
    possible = [name for name in RULES if _needs(name, verdicts)]
    lacking = [name for name in asked or () if name not in possible]
    if lacking or not possible:
        reasons = "; ".join(dict.fromkeys(fault.reason for fault in faults[:3]))
        raise ArchiveError(
            f"meteo.variables: expected drivers that the files allow "
            f"({', '.join(possible) or 'none'}), found {', '.join(lacking) or 'none'}"
            f"{reasons and f' ({reasons})'}; add the variables that they are made of"
        )
    return tuple(asked or possible)


def _needs(driver: str, verdicts: Mapping[str, Verdict]) -> frozenset[str]:
    """The variables that a driver is made of, of those whose statistics it takes."""
    names = [
        name for name, verdict in verdicts.items() if driver in takers(name, verdict.statistic)
    ]
    return needs_of(driver, names)


def _gaps(
    driver: str,
    files: Sequence[HourlyFile],
    verdicts: Mapping[str, Verdict],
    grid: Grid,
    period: tuple[dt.date, dt.date],
    day: str,
) -> list[Gap]:
    """Runs of days of the period of which some variable lacks hours, by the files' first and
    last stamps."""
    ahead = standard_offsets(np.array([grid.lon[0], grid.lon[-1]])) * (day == "local-standard")
    first, last = (day_number(date) for date in period)
    days = np.arange(first, last + 1)
    starts = first_hour(days) - int(ahead.max())
    ends = first_hour(days + 1) - int(ahead.min())
    lacking = np.zeros(days.size, bool)
    for name in _needs(driver, verdicts):
        one_a_day = verdicts[name].statistic in DAILY
        held = [_whole_days(f.header, one_a_day) for f in files if name in f.header.names]
        ending = verdicts[name].statistic != "instant"  # such a day has the stamps 01 to 24
        lacking |= ~_covered(starts + ending, ends - 1 + ending, held)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lacking.astype(int), [0]])))
    return [
        Gap(driver, date_of(first + int(a)), date_of(first + int(b) - 1))
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def _whole_days(header: HourlyHeader, one_a_day: bool) -> HourlyHeader:
    """The header of a file as if values of a day had all its hours."""
    ends = header.first // 24 * 24, header.last // 24 * 24 + 24
    return replace(header, first=ends[0], last=ends[1]) if one_a_day else header


def _covered(
    starts: NDArray[np.int64], ends: NDArray[np.int64], headers: Sequence[HourlyHeader]
) -> NDArray[np.bool_]:
    """Which stretches of stamps `(day,)` lie inside what files hold one after the other."""
    spans: list[list[int]] = []
    for header in sorted(headers, key=lambda h: h.first):
        if spans and header.first <= spans[-1][1] + 1:
            spans[-1][1] = max(spans[-1][1], header.last)
        else:
            spans.append([header.first, header.last])
    covered = np.zeros(starts.size, bool)
    for low, high in spans:
        covered |= (low <= starts) & (ends <= high)
    return covered


def _crop(nodes: Nodes, grid: Grid) -> Grid:
    """The nodes that the cells of `grid` need, on the lattice of the product where there is one."""
    north, west, rows, cols, step = nodes
    whole = Grid("nodes", rows, cols, step, round(north + step / 2, 6), round(west - step / 2, 6))
    lattice = _LATTICES.get(step)
    if lattice is not None:
        full = load_grid(lattice)
        try:
            row, col = full.offset_of(whole)
        except ValueError:
            pass
        else:
            whole = full.crop(slice(row, row + rows), slice(col, col + cols))
    reach = 3 * step
    inside_rows = np.flatnonzero(
        (whole.lat < grid.lat[0] + reach) & (whole.lat > grid.lat[-1] - reach)
    )
    inside_cols = np.flatnonzero(
        (whole.lon > grid.lon[0] - reach) & (whole.lon < grid.lon[-1] + reach)
    )
    if not inside_rows.size or not inside_cols.size:
        raise ArchiveError(
            f"meteo.files: expected nodes around {grid.lat[-1]} to {grid.lat[0]} N, {grid.lon[0]} "
            f"to {grid.lon[-1]} E, found {whole.lat[-1]} to {whole.lat[0]} N, {whole.lon[0]} to "
            f"{whole.lon[-1]} E; fetch the area of the region"
        )
    if grid.lon[-1] - grid.lon[0] + 2 * reach > 360:
        inside_cols = np.arange(whole.cols)  # a full circle needs its own neighbours
    return whole.crop(
        slice(int(inside_rows[0]), int(inside_rows[-1]) + 1),
        slice(int(inside_cols[0]), int(inside_cols[-1]) + 1),
    )
