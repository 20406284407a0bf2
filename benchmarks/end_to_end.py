"""A whole run on a synthetic planet: a local Dask cluster, from drivers to a finished store.

    OMP_NUM_THREADS=1 python benchmarks/end_to_end.py [--workers 1 2] [--south 30 --north 60]

Writes a planet of 1 degree into a temporary folder, then maps one year of a belt of latitude
with the shipped release, once for each number of workers. Prints wall seconds, cell-days per
second, and the seconds of each stage, summed over workers, as the run's own report has them.
Start of the cluster included; making the planet and checking the store are timed apart.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from pathlib import Path

from upscale.engine.check import check_store
from upscale.engine.config import parse_run
from upscale.engine.report import RunReport, make_report
from upscale.engine.run import execute, finalise, init
from upscale.engine.validate import validate
from upscale.grid import load_grid
from upscale.jobs.progress import LogProgress
from upscale.planet.cube import write_planet

PERIOD = dt.date(2011, 1, 1), dt.date(2012, 12, 31)
TILE = 30


def make_planet(folder: Path) -> str:
    """Two years of drivers of the globe at 1 degree; returns the path of the cube."""
    path = str(folder / "drivers.zarr")
    begin = time.perf_counter()
    write_planet(path, load_grid("global-1p0"), load_grid("nodes-2p0"), PERIOD, tile=TILE)
    print(f"planet: two years at 1 degree in {time.perf_counter() - begin:.0f} s", flush=True)
    return path


def run_once(
    drivers: str, store: Path, model: str, belt: tuple[float, float], workers: int
) -> None:
    """One run from an empty folder to a finished store, and its check."""
    south, north = belt
    region = {"south": south, "north": north, "west": -180, "east": 180}
    content = {
        "model": model,
        "drivers": drivers,
        "period": {"start": dt.date(2012, 1, 1), "end": dt.date(2012, 12, 31)},
        "output": {"store": str(store), "region": region},
        "cluster": {"workers": workers},
    }
    begin = time.perf_counter()
    checked = validate(parse_run(content, "benchmark"))
    init(checked)
    with open("/dev/null", "w") as nowhere:
        execute(checked, LogProgress(nowhere, 60))
    finalise(str(store))
    spent = time.perf_counter() - begin
    show(make_report(str(store), round(spent, 1)), workers, time_check(str(store)))


def time_check(store: str) -> float:
    """Seconds of `upscale check`."""
    begin = time.perf_counter()
    if not check_store(store).passed:
        raise SystemExit(f"{store}: checks failed")
    return time.perf_counter() - begin


def show(report: RunReport, workers: int, check: float) -> None:
    """Print one run in one paragraph."""
    rate = report.cell_days / report.wall
    print(
        f"{workers} workers: {report.items} work items, {report.land_cells:,} land cells, "
        f"{report.cell_days:,} cell-days in {report.wall:.1f} s = {rate:,.0f} cell-days/s "
        f"({rate / 365:.0f} pixel-years/s); check {check:.1f} s"
    )
    for stage, seconds in report.seconds.items():
        print(f"  {stage:14s} {seconds:8.1f} worker seconds")
    print(f"  peak memory of a worker {report.memory / 2**20:.0f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--model", default="tamrl-v2")
    parser.add_argument("--south", type=float, default=30)
    parser.add_argument("--north", type=float, default=60)
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        drivers = make_planet(Path(name))
        for workers in choice.workers:
            store = Path(name) / f"fluxes-{workers}.zarr"
            run_once(drivers, store, choice.model, (choice.south, choice.north), workers)


if __name__ == "__main__":
    main()
