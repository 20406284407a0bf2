"""The work items of an ingest: which chunks each one writes, and from which files.

A work item of granules or weather is a band of rows of tiles, over a block of days, for one
source: whole chunks, so that every chunk has one writer. A band of granules lies between two
multiples of 10 degrees where the grid allows it, as sinusoidal tiles do: each granule is then
read once. One of global granules is as high as memory allows. Filling goes tile by tile, over
all days.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from upscale.archives.cells.cellwise import LatticeRectangle, window_of
from upscale.drivers.gaps import GapRule
from upscale.drivers.writer import SeriesSpec
from upscale.grid import Grid
from upscale.ingest.archive import File, Holdings
from upscale.ingest.config import Ingest, Satellite
from upscale.ingest.entry import IngestEntry, Kind
from upscale.ingest.files import GroundFiles
from upscale.ingest.hourly import HourlyFile, WeatherFiles
from upscale.jobs.settings import absolute, digest_of
from upscale.remote.listing import ListedFile

#: Part of every digest of inputs: another number where the same files give other values.
RULES = 1

#: Version of how maps become static layers; 2: legends are read, named or proven.
MAP_RULES = 2

Part = tuple[int, int]


@dataclass(frozen=True)
class SatelliteSeries:
    """Granules of one entry of INGEST.yaml, as a worker needs to know them."""

    variables: tuple[str, ...]
    products: tuple[str, ...]
    least_share: float


@dataclass(frozen=True)
class IngestJob:
    """What a worker needs for any work item of an ingest; plain values that travel.

    first: day number of the first day; count: days; tile: edge of a chunk in cells; block: days
    of a chunk; statistics: of each variable of the weather, what its numbers stand for; cache,
    limit: folder and bytes of the local cache.
    """

    run: str
    cube: str
    grid: Grid
    nodes: Grid
    first: int
    count: int
    tile: int
    block: int
    day: str
    product: str
    drivers: tuple[str, ...]
    statistics: tuple[tuple[str, str], ...]
    sources: tuple[SatelliteSeries, ...]
    ground: GroundFiles
    rule: GapRule
    cache: str | None
    limit: int

    @property
    def satellite(self) -> tuple[str, ...]:
        """All satellite variables, in the order of the sources."""
        return tuple(dict.fromkeys(name for s in self.sources for name in s.variables))

    def spec(self, group: Any) -> SeriesSpec:
        """How a series group of the cube is laid out."""
        grid, names = (
            (self.nodes, self.drivers) if group == "meteo" else (self.grid, self.satellite)
        )
        chunk = self.block, self.tile, self.tile
        return SeriesSpec(group, grid, self.first, self.count, names, chunk=chunk, growing=True)

    def rectangle(self, rows: Part, cols: Part) -> LatticeRectangle:
        """Cells of the product grid as a rectangle of the global lattice."""
        return window_of(self.grid.crop(slice(*rows), slice(*cols)))


@dataclass(frozen=True)
class IngestItem:
    """Chunks that one task writes. days: first index of the time axis and the one after the
    last; rows, cols: of the grid of its group; source: which one of the job, for granules."""

    kind: Kind
    days: Part
    rows: Part
    cols: Part
    source: int = 0

    @property
    def id(self) -> str:
        number = f"-s{self.source}" if self.kind == "granules" else ""
        return f"{self.kind}{number}-d{self.days[0]:05d}-r{self.rows[0]:04d}-c{self.cols[0]:04d}"


@dataclass(frozen=True)
class IngestTask:
    """A work item with the files that it is made from and the digest of all its inputs.

    names: of weather, the variables of each file.
    """

    item: IngestItem
    inputs: str
    files: tuple[ListedFile, ...] = ()
    names: tuple[frozenset[str], ...] = ()

    @property
    def id(self) -> str:
        return self.item.id


def make_job(
    ingest: Ingest, weather: WeatherFiles, holdings: Sequence[Holdings], ground: GroundFiles
) -> IngestJob:
    """What all workers are told."""
    sources = (_source(s, h) for s, h in zip(ingest.satellite, holdings, strict=True))
    cache = ingest.cache
    return IngestJob(
        run=ingest.digest,
        cube=absolute(ingest.cube),
        grid=ingest.product_grid,
        nodes=weather.nodes,
        first=ingest.period.first,
        count=ingest.period.count,
        tile=ingest.tile,
        block=ingest.block,
        day=ingest.day,
        product=weather.product,
        drivers=weather.drivers,
        statistics=tuple((name, verdict.statistic) for name, verdict in weather.verdicts),
        sources=tuple(sources),
        ground=ground,
        rule=ingest.gaps.rule,
        cache=None if cache.folder is None else absolute(cache.folder),
        limit=int(cache.gigabytes * 1e9),
    )


def _source(asked: Satellite, held: Holdings) -> SatelliteSeries:
    return SatelliteSeries(held.variables, held.products, asked.least_share)


def ground_task(job: IngestJob) -> IngestTask:
    """The task of the static layers."""
    item = IngestItem("static", (0, 0), (0, job.grid.rows), (0, job.grid.cols))
    inputs = digest_of([job.ground.identity, job.grid.to_dict(), RULES, MAP_RULES])
    return IngestTask(item, inputs, job.ground.files)


def granule_tasks(
    job: IngestJob, holdings: Sequence[Holdings], ground: str, memory: int
) -> Iterator[IngestTask]:
    """The tasks of all granules. ground: digest of where the land is; memory: bytes that a
    worker may use."""
    for number, held in enumerate(holdings):
        source = job.sources[number]
        for rows in _bands(job, held, memory):
            for cols in _columns(job, held, rows, memory):
                for days in _blocks(job):
                    item = IngestItem("granules", days, rows, cols, number)
                    part = job.grid.crop(slice(*rows), slice(*cols))
                    first, end = (job.first + day for day in days)
                    files = held.between(first, end, part)
                    yield IngestTask(item, _inputs(item, source, files, ground), _found(files))


def _inputs(item: IngestItem, source: SatelliteSeries, files: Sequence[File], ground: str) -> str:
    made_from = [list(item.days), list(item.rows), list(item.cols), ground, RULES]
    asked = [source.variables, source.products, source.least_share]
    return digest_of([made_from, asked, [file.identity for file in files]])


def _found(files: Sequence[File]) -> tuple[ListedFile, ...]:
    return tuple(file.found for file in files)


def weather_tasks(job: IngestJob, weather: WeatherFiles, memory: int) -> Iterator[IngestTask]:
    """The tasks of the meteorology."""
    rows = [_part(n, job.tile, job.nodes.rows) for n in range(0, job.nodes.rows, job.tile)]
    wide = _weather_columns(job, memory)
    cols = [_part(n, wide, job.nodes.cols) for n in range(0, job.nodes.cols, wide)]
    for days in _blocks(job):
        first, end = (job.first + day for day in days)
        chosen: dict[str, HourlyFile] = {}
        for driver in weather.drivers:
            chosen |= {f.found.url: f for f in weather.between(first, end, driver)}
        files = tuple(file for _, file in sorted(chosen.items()))
        identities = [file.identity_of(first, end) for file in files]
        names = tuple(frozenset(file.header.names) for file in files)
        asked = [job.drivers, job.day, job.statistics, job.nodes.to_dict(), identities]
        for down in rows:
            for across in cols:
                item = IngestItem("weather", days, down, across)
                made_from = [list(days), list(down), list(across), RULES, asked]
                yield IngestTask(item, digest_of(made_from), tuple(f.found for f in files), names)


def fill_tasks(job: IngestJob, stamps: Sequence[tuple[IngestItem, str]]) -> Iterator[IngestTask]:
    """The tasks of gap filling. stamps: of the granule tasks as they were last done."""
    days = 0, job.count
    for top in range(0, job.grid.rows, job.tile):
        rows = _part(top, job.tile, job.grid.rows)
        for left in range(0, job.grid.cols, job.tile):
            cols = _part(left, job.tile, job.grid.cols)
            item = IngestItem("fill", days, rows, cols)
            below = sorted(
                (i.id, stamp) for i, stamp in stamps if _meet(i.rows, rows) and _meet(i.cols, cols)
            )
            yield IngestTask(
                item, digest_of([list(days), RULES, asdict(job.rule), job.satellite, below])
            )


def gap_tasks(
    job: IngestJob, granules: Iterable[IngestTask], known: Mapping[str, IngestEntry]
) -> list[IngestTask]:
    """The tasks of gap filling after those of the granules, of which `known` holds the entries."""
    if not job.sources:
        return []
    done = (task for task in granules if task.item.kind == "granules" and task.id in known)
    return list(fill_tasks(job, [(task.item, known[task.id].stamp) for task in done]))


def left_of(tasks: Iterable[IngestTask], known: Mapping[str, IngestEntry]) -> list[IngestTask]:
    """Tasks without an entry of the same inputs: those that are still to be done."""
    return [task for task in tasks if task.id not in known or known[task.id].inputs != task.inputs]


def _meet(one: Part, other: Part) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _part(start: int, size: int, end: int) -> Part:
    return start, min(start + size, end)


def _blocks(job: IngestJob) -> list[Part]:
    return [_part(n, job.block, job.count) for n in range(0, job.count, job.block)]


def _bands(job: IngestJob, held: Holdings, memory: int) -> list[Part]:
    """Rows of the bands: tiles between two multiples of 10 degrees; global granules are read by
    rows, so bands are joined up to what memory allows."""
    globally = all(file.named.tile is None for file in held.files)
    bands: list[Part] = []
    for top in range(0, job.grid.rows, job.tile):
        bottom = min(top + job.tile, job.grid.rows)
        if bands and _joins(job, held, (bands[-1][0], bottom), globally, memory):
            bands[-1] = bands[-1][0], bottom
        else:
            bands.append((top, bottom))
    return bands


def _joins(job: IngestJob, held: Holdings, rows: Part, globally: bool, memory: int) -> bool:
    """Whether a band may be as high as `rows`."""
    if globally:
        return granule_bytes(job, held, rows, (0, job.grid.cols)) < memory
    last = (rows[1] - 1) // job.tile * job.tile
    return len({_belt(float(job.grid.lat_bounds[top, 0])) for top in (rows[0], last)}) == 1


def _belt(north: float) -> int:
    """Row of sinusoidal tiles in which what begins at a latitude lies."""
    return int((90 - north + 1e-6) // 10)


def _columns(job: IngestJob, held: Holdings, rows: Part, memory: int) -> list[Part]:
    """All columns, or parts of whole tiles where memory does not hold them."""
    parts = 1
    tiles = -(-job.grid.cols // job.tile)
    while parts < tiles:
        wide = -(-tiles // parts) * job.tile
        if granule_bytes(job, held, rows, (0, min(wide, job.grid.cols))) < memory:
            break
        parts += 1
    wide = -(-tiles // parts) * job.tile
    return [_part(n, wide, job.grid.cols) for n in range(0, job.grid.cols, wide)]


#: Bytes of a worker process before it holds anything; it loads no torch.
BASE = 320 * 2**20

#: Bytes of an open granule with its layers and of the places of a band's pixels: of pixels of
#: 500 m and more, and of 250 m.
GRANULE, FINE_GRANULE = 370 * 2**20, 700 * 2**20


def granule_bytes(job: IngestJob, held: Holdings, rows: Part, cols: Part) -> int:
    """Memory of a granule task: packed values of all days, sums of one day, one granule."""
    cells = (rows[1] - rows[0]) * (cols[1] - cols[0])
    count = len(held.variables)
    fine = any(product.endswith("Q1") for product in held.products)
    granule = FINE_GRANULE if fine else GRANULE
    return BASE + granule + cells * (2 * job.block * count + 8 * (3 * count + 6))


def weather_bytes(job: IngestJob, rows: int, cols: int) -> int:
    """Memory of a weather task: two hourly variables in float32, and in float64 while they are
    summed; packed values of all drivers."""
    hours = (job.block + 3) * 24
    return BASE + rows * cols * (hours * 32 + 2 * job.block * len(job.drivers))


def fill_bytes(job: IngestJob) -> int:
    """Memory of a fill task: one variable of a tile over all days, about 40 bytes a value."""
    return BASE + job.tile**2 * job.count * 40


def _weather_columns(job: IngestJob, memory: int) -> int:
    wide = -(-job.nodes.cols // job.tile) * job.tile
    while wide > job.tile and weather_bytes(job, job.tile, wide) > memory:
        wide -= job.tile
    return wide
