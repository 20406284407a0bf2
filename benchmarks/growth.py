"""What a month more costs: a store that grows month by month, beside the same year at once.

Makes two years of a synthetic planet, lets a driver cube grow from month to month as an ingest
does, and brings a store to it each time, in this process and without a cluster. Prints the seconds
of each month, the strides of 15 days that it predicted, and the share of a year at once, which is
made before and after.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import tempfile
import time
from pathlib import Path

import torch

from upscale.engine.run import finalise
from upscale.grid import load_grid
from upscale.planet.cube import write_planet
from upscale.testing.cubes import grow_cube
from upscale.testing.runs import differences, prepare, process_here

#: 40 x 40 cells of the planet without any water, and the nodes around them.
CELLS = slice(830, 870), slice(3870, 3910)
NODES = slice(410, 445), slice(1930, 1965)
FIRST, LAST = dt.date(2011, 1, 1), dt.date(2012, 12, 31)


def ends_of_months() -> list[dt.date]:
    """The last day of each month of 2012."""
    return [dt.date(2012, m, 1) - dt.timedelta(days=1) for m in range(2, 13)] + [LAST]


def at_once(model: str, cube: Path, store: Path) -> float:
    """Seconds that the year takes from scratch, with the support of the store that grew."""
    start = time.perf_counter()
    until = {"until": str(ends_of_months()[0])}
    period = str(ends_of_months()[0].replace(day=1)), str(LAST)
    process_here(prepare(model, cube, store, period=period, context=until))
    finalise(str(store))
    return time.perf_counter() - start


def month(model: str, cube: Path, store: Path, end: dt.date) -> tuple[float, float, int]:
    """Seconds that a store takes to grow to a day, strides predicted in an item at most, and
    cells."""
    start = time.perf_counter()
    entries = process_here(prepare(model, cube, store, period=("2012-01-01", str(end))))
    finalise(str(store))
    spent = time.perf_counter() - start
    days = max((e.days - e.kept for e in entries if e.counts["land"]), default=0)
    return spent, -(-days // 15), sum(entry.counts["land"] for entry in entries)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tamrl-v2")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as name:
        compare(arguments.model, Path(name))


def compare(model: str, folder: Path) -> None:
    grid = load_grid("global-0p05").crop(*CELLS)
    nodes = load_grid("era5-land-0p1").crop(*NODES)
    whole, cube = folder / "whole.zarr", folder / "d.zarr"
    write_planet(str(whole), grid, nodes, (FIRST, LAST), tile=40)
    spent = []
    for end in ends_of_months():
        grow_cube(cube, whole, end, edge=40)
        seconds, strides, cells = month(model, cube, folder / "f.zarr", end)
        print(f"{end}: {seconds:6.1f} s, {strides} strides of {cells} cells", flush=True)
        spent.append(seconds)
    years = [at_once(model, cube, folder / f"year{turn}.zarr") for turn in range(2)]
    share = statistics.median(spent[1:]) / statistics.median(years)
    print(f"a year at once: {', '.join(f'{s:.1f}' for s in years)} s")
    print(f"a month more: median {statistics.median(spent[1:]):.1f} s, {share:.3f} of the year")
    print("differs in:", differences(str(folder / "f.zarr"), str(folder / "year0.zarr")))


if __name__ == "__main__":
    main()
