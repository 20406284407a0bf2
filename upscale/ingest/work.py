"""What is done for each kind of work item of a series: files in, packed chunks out."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from upscale.archives.cells.cellwise import CellMeans, open_gridded
from upscale.archives.reanalysis.era5 import Day, NoWholeDayError, daily
from upscale.archives.reanalysis.fields import FIELDS, check_range, check_unit
from upscale.archives.reanalysis.joined import assemble, least_preliminary
from upscale.archives.reanalysis.netcdf import NodeBounds, magic, read_published, unpacked
from upscale.archives.reanalysis.pattern import AccumulationError
from upscale.archives.reanalysis.preliminary import told_days
from upscale.archives.reanalysis.statistic import Product, Statistic
from upscale.archives.reanalysis.stores import unwritten_stamps
from upscale.archives.satellite.published import published
from upscale.archives.satellite.recipes import Recipe, days_of, offer_of
from upscale.calendar import date_of, day_numbers
from upscale.drivers.packing import MISSING, packing_of
from upscale.drivers.preliminary import FINAL, PRELIMINARY, UNKNOWN
from upscale.ingest.files import Local
from upscale.ingest.hourly import needs_of
from upscale.ingest.plan import IngestItem, IngestJob, IngestTask, SatelliteSeries
from upscale.remote.errors import ArchiveError
from upscale.remote.listing import ListedFile
from upscale.remote.locations import is_store, name_of

Stored = NDArray[np.int16]


@dataclass
class Made:
    """Packed values `(day, row, col)` by variable; files that were read; those left out.

    clipped: hours a little below zero that were set to zero; preliminary: hours of ERA5T; told:
    what is said of each day, see `upscale.drivers.preliminary`, once for each group of drivers.
    """

    values: dict[str, Stored]
    read: int = 0
    clipped: int = 0
    preliminary: int = 0
    told: list[NDArray[np.uint8]] = field(default_factory=list)
    faults: list[list[str]] = field(default_factory=list)

    def leave_out(self, found: ListedFile, error: Exception | str) -> None:
        """Write down a file, or a part of it, that cannot be used."""
        self.faults.append([name_of(found.url), str(error)])


def _empty(item: IngestItem, names: Iterable[str]) -> dict[str, Stored]:
    shape = tuple(end - start for start, end in (item.days, item.rows, item.cols))
    return {name: np.full(shape, MISSING, np.int16) for name in names}


def observe(job: IngestJob, task: IngestTask, local: Local, land: NDArray[np.bool_]) -> Made:
    """The observations of a granule task. land: cells `(row, col)` of the item that may have
    values; where there is none, nothing is read."""
    item, source = task.item, job.sources[task.item.source]
    made = Made(_empty(item, source.variables))
    if not land.any():
        return made
    by_product = _by_product_and_date(task.files)
    for product in source.products:
        for date, files in sorted(by_product.get(product, {}).items()):
            maps = _day(job, item, source, product, files, local, land, made)
            _place(job, item, product, date, maps, land, made)
    return made


def _by_product_and_date(files: Sequence[ListedFile]) -> dict[str, dict[dt.date, list[ListedFile]]]:
    sorted_files: dict[str, dict[dt.date, list[ListedFile]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for found in files:
        named = published(found.url)
        sorted_files[named.product][named.date].append(found)
    return sorted_files


def _day(
    job: IngestJob,
    item: IngestItem,
    source: SatelliteSeries,
    product: str,
    files: Sequence[ListedFile],
    local: Local,
    land: NDArray[np.bool_],
    made: Made,
) -> dict[str, NDArray[np.float32]]:
    """Maps `(row, col)` of one product and day, from the granules that can be read."""
    rectangle = job.rectangle(item.rows, item.cols)
    means = CellMeans(rectangle, _recipes(source, product), source.least_share, land)
    for found in files:
        try:
            with local(found) as path:
                for lacking in means.add(open_gridded(path, rectangle)):
                    made.leave_out(found, lacking)
            made.read += 1
        except ArchiveError as error:
            made.leave_out(found, error)
    return means.variables()


def _recipes(source: SatelliteSeries, product: str) -> dict[str, Recipe]:
    recipes = offer_of(product).recipes
    return {name: recipes[name] for name in source.variables if name in recipes}


def _place(
    job: IngestJob,
    item: IngestItem,
    product: str,
    date: dt.date,
    maps: dict[str, NDArray[np.float32]],
    land: NDArray[np.bool_],
    made: Made,
) -> None:
    """Put maps on the days that they stand for, where no product before had a value."""
    start = job.first + item.days[0]
    days = days_of(product, date)
    inside = range(max(days.start, start), min(days.stop, start + item.days[1] - item.days[0]))
    for name, values in maps.items():
        packed = packing_of(name).pack(np.where(land, values, np.nan))
        for day in inside:
            here = made.values[name][day - start]
            np.copyto(here, packed, where=here == MISSING)


def weather(job: IngestJob, task: IngestTask, local: Local) -> Made:
    """The meteorology of a weather task; files that cannot be read, variables with wrong values
    and drivers that cannot be made are left out."""
    item = task.item
    made = Made(_empty(item, job.drivers))
    held = dict(zip(task.files, task.names, strict=True))
    with ExitStack() as stack:
        members = {}
        for found in task.files:
            try:
                members[found] = stack.enter_context(_members(local, found))
                made.read += 1
            except ArchiveError as error:
                made.leave_out(found, error)
        for needed, drivers in _groups(job.drivers, frozenset().union(*held.values())):
            useful = {f: paths for f, paths in members.items() if held[f] & needed}
            parts = list(_parts(job, item, useful, held, needed, made))
            made.told.append(_told(job, item, parts))
            _make(job, item, parts, drivers, made)
    return made


def _told(job: IngestJob, item: IngestItem, parts: Sequence[xr.Dataset]) -> NDArray[np.uint8]:
    """What the parts of files say of each day of an item."""
    days = np.arange(job.first + item.days[0], job.first + item.days[1])
    found = told_days(parts, days, job.nodes.lon[slice(*item.cols)], cast(Day, job.day))
    unsure = np.where(found.known, FINAL, UNKNOWN)
    return np.where(found.early, PRELIMINARY, unsure).astype(np.uint8)


@contextmanager
def _members(local: Local, found: ListedFile) -> Iterator[list[str]]:
    """The files that a file is or, of a ZIP, holds: it is unpacked once for all drivers."""
    with local(found) as path:
        if is_store(found.url) or not Path(path).is_file() or magic(Path(path)) != "zip":
            yield [path]
            return
        with unpacked(Path(path)) as members:
            yield [str(member) for member in members]


def _groups(
    drivers: Sequence[str], names: frozenset[str]
) -> Iterator[tuple[frozenset[str], tuple[str, ...]]]:
    """Variables that are read together, and the drivers made of them; few at a time."""
    left = [name for name in drivers if needs_of(name, names)]
    while left:
        widest = max(left, key=lambda name: len(needs_of(name, names)))
        needed = needs_of(widest, names)
        together = tuple(name for name in left if needs_of(name, names) <= needed)
        yield needed, together
        left = [name for name in left if name not in together]


def _parts(
    job: IngestJob,
    item: IngestItem,
    members: Mapping[ListedFile, Sequence[str]],
    held: Mapping[ListedFile, frozenset[str]],
    needed: frozenset[str],
    made: Made,
) -> Iterator[xr.Dataset]:
    """Datasets of the hours of an item, of the variables that are needed and sound."""
    nodes = job.nodes.crop(slice(*item.rows), slice(*item.cols))
    half = nodes.resolution / 2
    box = NodeBounds(
        nodes.lat[-1] - half, nodes.lon[0] - half, nodes.lat[0] + half, nodes.lon[-1] + half
    )
    first, last = (date_of(job.first + day) for day in (item.days[0], item.days[1] - 1))
    for found, paths in members.items():
        for path in paths:
            try:
                parts = read_published(path, box, (first, last), names=needed & held[found])
            except ArchiveError as error:
                made.leave_out(found, error)
                continue
            sound = (_sound(part, found, made) for part in parts if part.sizes["time"])
            yield from (part for part in sound if part.data_vars)


def _sound(part: xr.Dataset, found: ListedFile, made: Made) -> xr.Dataset:
    """A part of a file without variables of a wrong unit or with impossible values."""
    for name in map(str, part.data_vars):
        row = FIELDS[name]
        lost = unwritten_stamps(part[name])
        if lost.size:
            made.leave_out(found, _never_written(name, lost))
        try:
            check_unit(row, part[name].attrs.get("units"))
            if row.kind != "amount":
                check_range(row, part[name].values)
        except ArchiveError as error:
            made.leave_out(found, error)
            part = part.drop_vars(name)
    return part


def _never_written(name: str, stamps: NDArray[np.datetime64]) -> str:
    first, last = (np.datetime_as_string(stamps[end], "h") for end in (0, -1))
    return (
        f"{name}: expected all chunks, found none for {stamps.size} hours from {first} to {last}; "
        "its fill value is 0, so that lost hours and zeros cannot be told apart: they are missing; "
        "write all chunks of the store (write_empty_chunks), with NaN as fill value"
    )


def _make(
    job: IngestJob, item: IngestItem, parts: list[xr.Dataset], drivers: Sequence[str], made: Made
) -> None:
    """Drivers from the parts of their files; one that cannot be made costs no other."""
    names = frozenset(str(name) for part in parts for name in part.data_vars)
    possible = [name for name in drivers if needs_of(name, names)]
    if not possible:
        return
    try:
        _put_days(job, item, parts, possible, made)
    except NoWholeDayError:
        return  # the scan has said which hours are missing
    except AccumulationError:
        raise  # drier parts of the same files would not show it, and be wrong without a word
    except ArchiveError as error:
        if len(possible) == 1:
            made.faults.append([possible[0], str(error)])
            return
        for driver in possible:
            needed = needs_of(driver, names)
            own = [part[[n for n in part.data_vars if n in needed]] for part in parts]
            _make(job, item, [part for part in own if part.data_vars], (driver,), made)


def _put_days(
    job: IngestJob, item: IngestItem, parts: list[xr.Dataset], drivers: Sequence[str], made: Made
) -> None:
    """Sum hours to days and put them where they belong; days that lack hours stay missing."""
    nodes = job.nodes.crop(slice(*item.rows), slice(*item.cols))
    settled = cast(dict[str, Statistic], dict(job.statistics))
    whole = assemble(parts, cast(Product, job.product), settled=settled)
    found = daily(whole, cast(Day, job.day))
    for axis, expected in (("lat", nodes.lat), ("lon", nodes.lon)):
        there = found[axis].values
        if there.shape != expected.shape or not np.allclose(there, expected, atol=1e-3):
            raise ArchiveError(
                f"expected {expected.size} nodes of {axis} from {expected[0]} to {expected[-1]}, "
                f"found {there.size}; ingest files of one area"
            )
    start = job.first + item.days[0]
    days = day_numbers(found["time"].values) - start
    inside = (days >= 0) & (days < item.days[1] - item.days[0])
    early = least_preliminary(found.attrs["preliminary_hours"])
    made.preliminary = max(made.preliminary, early)
    for name in drivers:
        if name in found:
            made.clipped += int(found[name].attrs["clipped"])
            made.values[name][days[inside]] = packing_of(name).pack(found[name].values[inside])
