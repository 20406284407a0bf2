"""What a year of ingest costs against the run that uses it, for each land cell, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/ingest.py [--turns 3] [--only granules weather ...]

Made archives of real size and layout: whole granules of 2400 x 2400 pixels of one tile, MOD09GA
with clouds over two thirds of it (ndvi, evi, nirv) and MCD15A2H (fapar), 30 days; hourly
ERA5-Land in NetCDF, a month; a year of series with gaps; and a run of a year with `tamrl-v2`, all
ten members, on inland cells of the synthetic planet of the same size. All parts take turns
(A B C A B C); printed are medians of CPU seconds of this process, their spread, and what a land
cell and year takes of each. What follows from 30 days for a year is a multiplication, and the
table says so. `--only transposition` compares ways from daily maps to series in time: CPU seconds,
and the largest memory that Python and numpy held in a turn of its own.
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import netCDF4
import numpy as np
import torch
import xarray as xr
import zarr
from gap_filling import cloudy
from regridding import PIXELS, made_granule, patches

from upscale.archives.cells.sinusoidal import cells_of
from upscale.archives.formats.structure import NORTH, TILE, WEST, Geometry
from upscale.calendar import day_number
from upscale.drivers.gaps import GapRule
from upscale.drivers.growing import fill_series, grow_series, write_block
from upscale.drivers.packing import packing_of
from upscale.drivers.writer import create_cube
from upscale.grid import Grid, load_grid
from upscale.ingest.archive import survey
from upscale.ingest.files import GroundFiles
from upscale.ingest.hourly import read_header, survey_weather
from upscale.ingest.plan import IngestJob, SatelliteSeries, granule_tasks, weather_tasks
from upscale.ingest.work import observe, weather
from upscale.planet.cube import write_planet
from upscale.remote.listing import ListedFile, expand
from upscale.testing.granules import StoredGrid, tile_corners, write_modis
from upscale.testing.hourly import make_hourly, write_months
from upscale.testing.runs import prepare, run_here

FIRST, DAYS, YEAR = dt.date(2019, 7, 1), 30, 365
WHERE = (18, 5)  # tile: 30 to 40 degrees north, from 0 degrees east on
MEMORY = 8 * 2**30
#: Land cells of 0.05 degrees, and the tiles with land, that the globe has: for multiplications.
GLOBE, TILES = 6_000_000, 300
#: First row and column of 60 x 60 cells of the planet without any water.
INLAND, EDGE = (830, 3870), 60
SATELLITE = ("ndvi", "evi", "nirv", "fapar")


@dataclass(frozen=True)
class Part:
    """One of the things that are timed. cells: how many a turn is for, land cells or nodes;
    times: turns in a year; do: CPU seconds of a turn by stage."""

    cells: int
    times: float
    do: Callable[[], Mapping[str, float]]


class Clock:
    """CPU seconds of this process by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0) + time.process_time() - start


@contextmanager
def in_place(found: ListedFile) -> Iterator[str]:
    yield found.url


def job_of(
    cube: Path, grid: Grid, nodes: Grid, sources: Sequence[SatelliteSeries] = (), **keys: Any
) -> IngestJob:
    return IngestJob(
        run="benchmark", cube=str(cube), grid=grid, nodes=nodes, first=day_number(FIRST),
        count=keys.pop("count", DAYS), tile=100, block=DAYS, day="local-standard",
        product="ERA5-Land", drivers=keys.pop("drivers", ("ta",)), sources=tuple(sources),
        ground=GroundFiles((), None, None, (), (), None), rule=GapRule(), cache=None, limit=0,
    )  # fmt: skip


def opened(job: IngestJob, group: str) -> None:
    """An empty cube with one group."""
    create_cube(job.cube, title="t", source="t", day_definition="local-standard", overwrite=True)
    grow_series(job.cube, job.spec(group))


def box(north: float, south: float, west: float, east: float) -> Grid:
    rows = slice(round((90 - north) * 20), round((90 - south) * 20))
    return load_grid("global-0p05").crop(rows, slice(round((west + 180) * 20),
                                                     round((east + 180) * 20)))  # fmt: skip


def reflectances(folder: Path) -> None:
    """MOD09GA of 30 days: one file under the names of all."""
    path = Path(made_granule(folder, 0.35))
    name = path.name.replace("A2019180", "A2019182")
    path = path.rename(folder / name)
    for day in range(183, 182 + DAYS):
        (folder / name.replace("A2019182", f"A2019{day}")).symlink_to(path)


def fractions(folder: Path) -> None:
    """MCD15A2H of the same days."""
    rng = np.random.default_rng(0)
    fapar = rng.integers(20, 60, (PIXELS, PIXELS)).astype(np.uint8)
    fapar[patches(0.1, 40, 3)] = 254
    qc = np.where(patches(0.6, 10, 8), 0, 0b1000).astype(np.uint8)
    layers = {
        "Fpar_500m": (fapar, {"_FillValue": 255, "valid_range": (0, 100), "scale_factor": 0.01}),
        "FparLai_QC": (qc, {"_FillValue": 255, "valid_range": (0, 254)}),
    }
    name = "MCD15A2H.A2019177.h18v05.061.2020180000000.hdf"
    write_modis(folder / name, StoredGrid("MOD_Grid_MOD15A2H", tile_corners(*WHERE), layers))
    for day in (185, 193, 201, 209):
        (folder / name.replace("A2019177", f"A2019{day}")).symlink_to(folder / name)


def granules(folder: Path, make: Callable[[Path], None], times: float) -> Part:
    """From the granules of a block of 30 days to its chunks."""
    folder.mkdir()
    make(folder)
    h, v = WHERE
    tile = Geometry("t", True, PIXELS, PIXELS, WEST + h * TILE, NORTH - v * TILE, TILE / PIXELS)
    cells, grid = cells_of(tile), box(40, 30, 0, 13.1)
    held = survey(expand([str(folder)]), grid, (FIRST, FIRST + dt.timedelta(days=DAYS - 1)))
    source = SatelliteSeries(held.variables, held.products, 0.0)
    job = job_of(folder / "cube.zarr", grid, load_grid("era5-land-0p1"), [source])
    tasks = list(granule_tasks(job, [held], "land", MEMORY))
    land = np.ones(grid.shape, bool)

    def do() -> Mapping[str, float]:
        opened(job, "satellite")
        clock = Clock()
        for task in tasks:
            item = task.item
            with clock("granules"):
                made = observe(job, task, in_place, land[slice(*item.rows), slice(*item.cols)])
            assert made.read == len(task.files)
            assert not made.faults
            put(job, "satellite", task.item, made.values, clock)
        return clock.seconds

    return Part(int((cells.pixels > 0).sum()), times, do)


def put(job: IngestJob, group: str, item: Any, values: Mapping[str, Any], clock: Clock) -> None:
    region = slice(*item.days), slice(*item.rows), slice(*item.cols)
    with clock("writing"):
        for name, stored in values.items():
            write_block(job.cube, group, name, region, stored)


def hours(folder: Path, deflated: bool) -> Part:
    """From hourly files to chunks of daily drivers, for 30 days of 100 x 100 nodes."""
    folder.mkdir()
    lat, lon = np.arange(400, 300, -1) / 10, np.arange(0, 100) / 10
    start = dt.datetime.combine(FIRST, dt.time()) - dt.timedelta(days=1)
    for path in write_months(folder, make_hourly(lat, lon, start, start + dt.timedelta(days=33)),
                             "netcdf"):  # fmt: skip
        if deflated:
            deflate(path)
    headers = [(found, read_header(found.url)) for found in expand([str(folder)])]
    grid, last = box(39.8, 30.2, 0.2, 9.8), FIRST + dt.timedelta(days=DAYS - 1)
    told = survey_weather(headers, grid, (FIRST, last), "local-standard")
    job = job_of(folder / "cube.zarr", grid, told.nodes, drivers=told.drivers)
    tasks = list(weather_tasks(job, told, MEMORY))

    def do() -> Mapping[str, float]:
        opened(job, "meteo")
        clock = Clock()
        for task in tasks:
            with clock("weather"):
                made = weather(job, task, in_place)
            assert not made.faults
            put(job, "meteo", task.item, made.values, clock)
        return clock.seconds

    return Part(told.nodes.rows * told.nodes.cols, YEAR / DAYS, do)


def deflate(path: Path) -> None:
    """The same file, deflated at level 1."""
    with xr.open_dataset(path, decode_cf=False) as file:
        names = [name for name in file.data_vars if file[name].ndim == 3]
        encoding = {name: {"zlib": True, "complevel": 1, "shuffle": True} for name in names}
        file.to_netcdf(path.with_suffix(".new"), encoding=encoding)
    path.with_suffix(".new").replace(path)


def gaps(folder: Path) -> Part:
    """Filling a year of the four variables of a tile of 100 x 100 cells."""
    grid = box(40, 35, 0, 5)
    job = job_of(folder / "cube.zarr", grid, load_grid("era5-land-0p1"),
                 [SatelliteSeries(SATELLITE, ("MOD09GA",), 0.0)], count=YEAR)  # fmt: skip
    record = cloudy(100, 1)[:YEAR].clip(0, 1)
    whole = (slice(0, YEAR), slice(0, 100), slice(0, 100))

    def do() -> Mapping[str, float]:
        opened(job, "satellite")
        for name in SATELLITE:
            write_block(job.cube, "satellite", name, whole, packing_of(name).pack(record))
        clock = Clock()
        with clock("gaps"):
            for name in SATELLITE:
                fill_series(job.cube, name, whole[1:], job.first, job.rule)
        return clock.seconds

    return Part(100 * 100, 1, do)


def run(folder: Path) -> Part:
    """A run of a year from drivers to finished fluxes, embeddings made anew."""
    folder.mkdir()
    drivers, store = folder / "drivers.zarr", folder / "fluxes.zarr"
    grid = load_grid("global-0p05").crop(*(slice(n, n + EDGE) for n in INLAND))
    north, west = 90 - INLAND[0] / 20, INLAND[1] / 20 - 180
    down, across = round((90 - north) * 10) - 2, round((west + 180) * 10) - 2
    nodes = load_grid("era5-land-0p1").crop(slice(down, down + 36), slice(across, across + 36))
    period = dt.date(2011, 1, 1), dt.date(2012, 12, 31)
    write_planet(str(drivers), grid, nodes, period, satellite=SATELLITE, tile=EDGE)

    def do() -> Mapping[str, float]:
        for left in folder.glob("fluxes*"):
            shutil.rmtree(left)
        checked = prepare("tamrl-v2", drivers, store, period=("2012-01-01", "2012-12-31"))
        clock = Clock()
        with clock("run"):
            run_here(checked)
        return clock.seconds

    return Part(EDGE * EDGE, 1, do)


def compare(parts: Mapping[str, Part], turns: int) -> None:
    """Print what each part takes, and the sum of an ingest against a run."""
    spent: dict[str, list[Mapping[str, float]]] = {name: [] for name in parts}
    for _ in range(turns):
        for name, part in parts.items():
            spent[name].append(part.do())
    print(f"{'part':20} {'stage':9} {'CPU s':>7} (spread) {'cells':>7} {'times':>6} ms a cell-year")
    cost: dict[tuple[str, str], float] = {}
    for name, part in parts.items():
        for stage in spent[name][0]:
            seconds = [turn[stage] for turn in spent[name]]
            middle = statistics.median(seconds)
            wide = (max(seconds) - min(seconds)) / middle
            cost[name, stage] = 1000 * middle * part.times / part.cells
            print(f"{name:20} {stage:9} {middle:7.2f} ({wide:5.0%})  {part.cells:7,} "
                  f"{part.times:6.1f} {cost[name, stage]:9.3f}", flush=True)  # fmt: skip
    conclude(parts, cost)


def conclude(parts: Mapping[str, Part], cost: Mapping[tuple[str, str], float]) -> None:
    """Sums for tiles that are all land, and for the globe, where a cell shares its granules with
    the sea and with what lies off the Earth."""
    if not {"MOD09GA", "MCD15A2H", "ERA5-Land, deflated", "gaps", "tamrl-v2"} <= parts.keys():
        return
    bands, fapar = (cost[name, "granules"] for name in ("MOD09GA", "MCD15A2H"))
    nodes = cost["ERA5-Land, deflated", "weather"] / 4  # a node serves four cells of 0.05 degrees
    written = cost["MOD09GA", "writing"] + cost["MCD15A2H", "writing"] * DAYS / 32
    written += cost["ERA5-Land, deflated", "writing"] / 4
    fixed = nodes + written + cost["gaps", "gaps"]
    used = parts["MOD09GA"].cells / (GLOBE / TILES)
    for place, share in (("a tile that is all land", 1.0), ("the globe (multiplied)", used)):
        total = share * (bands + fapar) + fixed
        print(f"{place}: granules {share * (bands + fapar):.2f}, weather {nodes:.2f}, gaps "
              f"{cost['gaps', 'gaps']:.2f}, writing {written:.2f}, together {total:.2f}; run "
              f"{cost['tamrl-v2', 'run']:.2f} ms; ingest : run = "
              f"{total / cost['tamrl-v2', 'run']:.2f}")  # fmt: skip


def daily_maps(folder: Path, edge: int) -> list[Path]:
    """A year of maps of int16, a NetCDF file a day."""
    rng, paths = np.random.default_rng(0), []
    for day in range(YEAR):
        path = folder / f"{day:03d}.nc"
        with netCDF4.Dataset(path, "w") as file:
            for name, size in (("time", 1), ("lat", edge), ("lon", edge)):
                file.createDimension(name, size)
            made = file.createVariable("ndvi", "i2", ("time", "lat", "lon"))
            made[:] = rng.integers(0, 9000, (1, edge, edge))
        paths.append(path)
    return paths


def transpose(folder: Path, turns: int, edge: int = 800) -> None:
    """From daily maps to chunks of 30 days of 100 x 100 cells."""
    folder.mkdir()
    paths = daily_maps(folder, edge)
    source = SatelliteSeries(("ndvi",), ("MOD09GA",), 0.0)
    job = job_of(folder / "ours.zarr", box(60, 60 - edge / 20, 0, edge / 20),
                 load_grid("era5-land-0p1"), [source], count=YEAR)  # fmt: skip

    def ours() -> None:
        opened(job, "satellite")
        for first in range(0, YEAR, DAYS):
            block = [read_map(path) for path in paths[first : first + DAYS]]
            region = (slice(first, first + len(block)), slice(0, edge), slice(0, edge))
            write_block(job.cube, "satellite", "ndvi", region, np.stack(block))

    def rechunked(days: int) -> None:
        maps = xr.open_mfdataset(
            paths, combine="nested", concat_dim="time", mask_and_scale=False
        ).chunk(time=days, lat=100, lon=100)
        with dask.config.set(scheduler="synchronous"):
            maps.to_zarr(folder / "naive.zarr", mode="w", consolidated=False)

    ways = {"ours, a block at a time": ours, "xarray, 30 days": lambda: rechunked(DAYS),
            "xarray, all days": lambda: rechunked(YEAR)}  # fmt: skip
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            start = time.process_time()
            way()
            cpu[name].append(time.process_time() - start)
    stored = np.asarray(zarr.open_group(job.cube, mode="r")["satellite/ndvi"])
    there = np.asarray(zarr.open_group(folder / "naive.zarr", mode="r")["ndvi"])
    assert np.array_equal(stored, there)
    print(f"\n{YEAR} maps of {edge} x {edge} cells of int16")
    for name, seconds in cpu.items():
        middle = statistics.median(seconds)
        print(f"{name:26} {middle:6.1f} CPU s ({(max(seconds) - min(seconds)) / middle:4.0%}), "
              f"{held_by(ways[name]) / 2**20:6.0f} MiB")  # fmt: skip


def held_by(way: Callable[[], None]) -> int:
    """The most bytes at a time that Python and numpy ask for."""
    tracemalloc.start()
    way()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def read_map(path: Path) -> Any:
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        return file["ndvi"][0]


PARTS: Mapping[str, Callable[[Path], Part]] = {
    "MOD09GA": lambda folder: granules(folder / "09", reflectances, YEAR / DAYS),
    "MCD15A2H": lambda folder: granules(folder / "15", fractions, 46 / 5),
    "ERA5-Land": lambda folder: hours(folder / "plain", deflated=False),
    "ERA5-Land, deflated": lambda folder: hours(folder / "deflated", deflated=True),
    "gaps": lambda folder: gaps(folder / "gaps"),
    "tamrl-v2": lambda folder: run(folder / "run"),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[*PARTS, "transposition"])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        parts = {key: make(Path(name)) for key, make in PARTS.items() if key in asked.only}
        compare(parts, asked.turns)
        if "transposition" in asked.only:
            transpose(Path(name) / "maps", asked.turns)


if __name__ == "__main__":
    main()
