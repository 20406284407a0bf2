"""Which granules are due and missing: by products, dates and sinusoidal tiles."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from upscale.archives.formats.hdf4 import read_header
from upscale.archives.satellite.published import published
from upscale.archives.satellite.recipes import OFFERS, with_platform
from upscale.archives.source import require
from upscale.fetch.ledger import FetchedFile, FetchLedger
from upscale.grid import Grid
from upscale.ingest.archive import Fault, TileName, due_dates, tiles_of
from upscale.ingest.config import Ingest, Satellite
from upscale.remote.catalogue import STARTS
from upscale.remote.errors import ArchiveError
from upscale.stores.files import first_bytes

#: Products with one granule for the whole Earth.
_GLOBAL = re.compile(r"\w{5}(CMG|C\d)")
#: The suffixes of granules, and what their first bytes are.
KINDS = {".hdf": "HDF4", ".h5": "HDF5"}


@dataclass(frozen=True, order=True)
class GranuleKey:
    """Product, date and tile of a granule. tile: (h, v), () for the whole Earth."""

    product: str
    date: dt.date
    tile: tuple[int, int] | tuple[()]

    @classmethod
    def of(cls, name: str) -> GranuleKey:
        """The key in a published name; ArchiveError where the name is none of a granule."""
        named = published(name)
        return cls(named.product, named.date, named.tile or ())


@dataclass(frozen=True)
class Bounds:
    """The box in which catalogues are searched, degrees."""

    west: float
    south: float
    east: float
    north: float

    @property
    def corners(self) -> tuple[float, float, float, float]:
        return self.west, self.south, self.east, self.north


@dataclass(frozen=True)
class GranulesDue:
    """The granules of an entry of INGEST.yaml: how many are due, and which are missing.

    box: a little larger than the region, as catalogues draw tiles with few corners. damaged: files
    in the folder that are not whole.
    """

    entry: Satellite
    products: tuple[str, ...]
    folder: Path
    box: Bounds
    count: int
    missing: tuple[GranuleKey, ...]
    damaged: tuple[Fault, ...]

    def missing_of(self, product: str) -> set[GranuleKey]:
        return {key for key in self.missing if key.product == product}


def granules_due(ingest: Ingest, entry: Satellite, *, deep: bool = False) -> GranulesDue:
    """Compare the granules that the period and the region need with those in the folder.

    deep: checksums of fetched files are computed and compared. ArchiveError where it is not said
    which products are wanted.
    """
    products = products_of(entry)
    folder, grid = Path(entry.files[0]), ingest.product_grid
    due = {
        GranuleKey(product, date, tile or ())
        for product in products
        for tile in _tiles(product, grid)
        for date in due_dates(product, ingest.period.start, ingest.period.end)
    }
    present, damaged = _present(folder, due, deep=deep)
    missing = tuple(sorted(due - present))
    return GranulesDue(entry, products, folder, _bounds_around(grid), len(due), missing, damaged)


def products_of(entry: Satellite) -> tuple[str, ...]:
    """The products to fetch: those named, else the product in the name of a STAC collection."""
    if entry.products:
        return entry.products
    collection = getattr(entry.fetch, "collection", "")
    for part in re.split(r"[-_.]", collection.upper()):
        short = part.removeprefix("MOD").removeprefix("MCD")
        if short in OFFERS:
            return (with_platform(short),)
    raise ArchiveError(
        f"satellite: expected products to fetch, found none for collection {collection}; name them "
        "(products)"
    )


def _tiles(product: str, grid: Grid) -> Sequence[TileName]:
    return [None] if _GLOBAL.fullmatch(product) else sorted(tiles_of(grid))


def _bounds_around(grid: Grid) -> Bounds:
    lat, lon = grid.lat_bounds, grid.lon_bounds
    return Bounds(
        west=max(-180.0, float(lon[0, 0]) - 1), south=max(-90.0, float(lat[-1, 1]) - 1),
        east=min(180.0, float(lon[-1, 1]) + 1), north=min(90.0, float(lat[0, 0]) + 1),
    )  # fmt: skip


def _present(
    folder: Path, due: set[GranuleKey], *, deep: bool
) -> tuple[set[GranuleKey], tuple[Fault, ...]]:
    """Keys of the whole granules in a folder, and the granules that are not whole."""
    records = FetchLedger(folder).read()
    present, damaged = set(), []
    for path in visible_files(folder):
        if path.suffix not in KINDS:
            continue
        try:
            key = GranuleKey.of(path.name)
        except ArchiveError:
            continue
        if key in due:
            fault = granule_fault(path, records.get(path.name), deep=deep)
            if fault:
                damaged.append(Fault(str(path), fault))
            else:
                present.add(key)
    return present, tuple(damaged)


def visible_files(folder: Path) -> list[Path]:
    """The files in and below a folder that an ingest reads, without hidden ones."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def granule_fault(path: Path, record: FetchedFile | None, *, deep: bool) -> str:
    """What is wrong with a local granule: by its record, else by its first bytes and header."""
    if record is not None:
        return record.fault_of(path, deep=deep)
    kind = KINDS[path.suffix]
    if not first_bytes(str(path)).startswith(STARTS[kind]):
        return f"expected {kind}, found another content or none"
    if kind == "HDF4":
        require("pyhdf.SD", "archives")  # a package that is missing is no fault of the file
        try:
            read_header(str(path))
        except ArchiveError as error:
            return str(error)
    return ""
