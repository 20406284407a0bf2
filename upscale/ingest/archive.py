"""What an archive of granules holds and lacks, from the names of its files alone."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from upscale.archives.formats.structure import tiles_over
from upscale.archives.satellite.published import Published, published
from upscale.archives.satellite.recipes import check_collection, days_of, offer_of
from upscale.calendar import date_of, day_number, new_years
from upscale.grid import Grid
from upscale.remote.errors import ArchiveError
from upscale.remote.listing import ListedFile

#: What is said of a file that holds others.
_PACKED = "expected granules, found an archive that holds files; unpack it and name the folder"

#: Column and row of a sinusoidal tile; None for a global granule.
TileName = tuple[int, int] | None


@dataclass(frozen=True)
class Fault:
    """A file that is left out, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class File:
    """A granule of an archive: where it is, and what its name says."""

    found: ListedFile
    named: Published

    @property
    def place(self) -> tuple[str, dt.date, TileName]:
        """Product, date and tile of a granule; there should be one granule of each."""
        return self.named.product, self.named.date, self.named.tile

    @property
    def made(self) -> tuple[str, str]:
        """Orders granules of one place by how new they are."""
        return self.named.collection, self.named.produced

    @property
    def identity(self) -> str:
        """Tells this version of the granule from another: published names hold the time of
        production; where one does not, the stamp of the file must do."""
        stamp = "" if self.named.produced else self.found.stamp
        return f"{self.found.url.rsplit('/', 1)[-1]} {self.found.size} {stamp}"

    @cached_property
    def days(self) -> range:
        """Day numbers that it stands for."""
        return days_of(self.named.product, self.named.date)


@dataclass(frozen=True)
class Missing:
    """What a product should have and the archive lacks: whole days, and tiles of other days."""

    product: str
    days: tuple[dt.date, ...]
    tiles: tuple[tuple[dt.date, tuple[int, int]], ...]

    @property
    def count(self) -> int:
        return len(self.days) + len(self.tiles)


@dataclass(frozen=True)
class Holdings:
    """The granules that serve one entry of INGEST.yaml, the newest of each place.

    products: in order of preference. older: granules that a newer one of the same place
    replaces; twice: granules that are there more than once. missing: by product.
    """

    products: tuple[str, ...]
    variables: tuple[str, ...]
    files: tuple[File, ...]
    older: tuple[File, ...]
    twice: tuple[File, ...]
    missing: tuple[Missing, ...]
    faults: tuple[Fault, ...]

    @cached_property
    def _by_day(self) -> dict[int, list[File]]:
        by_day = defaultdict(list)
        for file in self.files:
            for day in file.days:
                by_day[day].append(file)
        return by_day

    def between(self, first: int, end: int, grid: Grid) -> tuple[File, ...]:
        """Files of the day numbers `first` to `end - 1` that may touch the cells of a grid, in
        order of product, date and tile."""
        tiles = tiles_of(grid)
        chosen = {f.place: f for day in range(first, end) for f in self._by_day.get(day, ())}
        touching = (f for f in chosen.values() if f.named.tile is None or f.named.tile in tiles)
        return tuple(sorted(touching, key=lambda f: (f.place[:2], f.named.tile or (0, 0))))


def tiles_of(grid: Grid) -> set[tuple[int, int]]:
    """Sinusoidal tiles that touch the cells of a grid."""
    lat, lon = grid.lat_bounds, grid.lon_bounds
    return tiles_over(lat[0, 0], lat[-1, 1], lon[0, 0], lon[-1, 1])


def survey(
    listed: Sequence[ListedFile],
    grid: Grid,
    period: tuple[dt.date, dt.date],
    products: Sequence[str] | None = None,
    variables: Sequence[str] | None = None,
) -> Holdings:
    """Sort the files of an entry by what their names say.

    period: first and last day. products, variables: as in INGEST.yaml. ArchiveError where no
    file can be used, or a product gives none of the variables.
    """
    files, faults = _named(listed, products)
    order = tuple(products or sorted({file.named.product for file in files}))
    wanted = _variables(order, variables)
    here, tiles = [], tiles_of(grid)
    first, end = day_number(period[0]), day_number(period[1]) + 1
    for file in files:
        if file.named.tile is not None and file.named.tile not in tiles:
            continue
        if file.days.start < end and first < file.days.stop:
            here.append(file)
    if not here:
        reasons = "; ".join(fault.reason for fault in faults[:3])
        raise ArchiveError(
            f"expected granules of {', '.join(order) or 'a known product'} from {period[0]} to "
            f"{period[1]} in the region, found none among {len(listed)} files"
            f"{reasons and f' ({reasons})'}; correct files, period or region"
        )
    newest, older, twice = _newest(here)
    missing = tuple(m for name in order if (m := _missing(name, newest, period)).count)
    return Holdings(order, wanted, newest, older, twice, missing, tuple(faults))


def _named(
    listed: Sequence[ListedFile], products: Sequence[str] | None
) -> tuple[list[File], list[Fault]]:
    """Granules of the products, all known ones without a list, and files with strange names."""
    files, faults = [], []
    for found in listed:
        try:
            named = published(found.url)
            if products is None:
                offer_of(named.product)
            check_collection(named)
        except ArchiveError as error:
            if found.url.endswith((".hdf", ".h5", ".nc")):  # browse images and metadata are not
                faults.append(Fault(found.url, str(error)))
            elif found.url.lower().endswith((".zip", ".tar", ".gz")):
                faults.append(Fault(found.url, f"{found.url}: {_PACKED}"))
            continue
        if products is None or named.product in products:
            files.append(File(found, named))
    return files, faults


def _variables(products: Sequence[str], asked: Sequence[str] | None) -> tuple[str, ...]:
    """The variables asked for, or the usual ones; ArchiveError for one that no product gives."""
    offers = {name: offer_of(name) for name in products}
    if asked is None:
        return tuple(dict.fromkeys(name for o in offers.values() for name in o.usual))
    for name in asked:
        if not any(name in offer.recipes for offer in offers.values()):
            known = sorted({key for offer in offers.values() for key in offer.recipes})
            raise ArchiveError(
                f"expected variables that {', '.join(products)} give ({', '.join(known)}), found "
                f"{name}; name another product for it"
            )
    return tuple(asked)


def _newest(files: Iterable[File]) -> tuple[tuple[File, ...], tuple[File, ...], tuple[File, ...]]:
    """The newest file of each place, older versions, and files that are there twice."""
    places: dict[object, list[File]] = defaultdict(list)
    for file in files:
        places[file.place].append(file)
    newest: list[File] = []
    older: list[File] = []
    twice: list[File] = []
    for several in places.values():
        best, *others = sorted(several, key=lambda f: (f.made, f.found.url), reverse=True)
        newest.append(best)
        for other in others:
            (twice if other.made == best.made else older).append(other)
    return tuple(newest), tuple(older), tuple(twice)


def _missing(product: str, files: Sequence[File], period: tuple[dt.date, dt.date]) -> Missing:
    mine = [file for file in files if file.named.product == product]
    days = {file.named.date for file in mine}
    tiles = sorted({file.named.tile for file in mine if file.named.tile is not None})
    held = {(file.named.date, file.named.tile) for file in mine}
    due = due_dates(product, *period)
    absent = tuple(day for day in due if day not in days)
    lacking = tuple((d, t) for d in due if d in days for t in tiles if (d, t) not in held)
    return Missing(product, absent, lacking)


def due_dates(product: str, first: dt.date, last: dt.date) -> tuple[dt.date, ...]:
    """Dates of the granules of a product that stand for days from `first` to `last`."""
    offer = offer_of(product)
    years = range(first.year - 1, last.year + 1)
    if offer.span == "month":
        dates = [dt.date(year, month, 1) for year in years for month in range(1, 13)]
    else:
        begin = 8 if product.startswith("MYD13") else 0  # Aqua's composites lie between Terra's
        opens = new_years(np.array([*years, years.stop]))
        dates = [
            date_of(day)
            for new_year, next_one in itertools.pairwise(opens)
            for day in range(new_year + begin, next_one, offer.step or offer.span)
        ]
    return tuple(
        date for date in dates if date <= last and day_number(first) < days_of(product, date).stop
    )
