"""What the default tile of a global decade means: objects by `upscale plan`, memory of a work item.

Makes a global driver cube at 0.05 degrees that is all land and holds no meteorology, prints what
`upscale plan` says of ten years and of one. Then makes one work item of 360 days, all land, with
two small members, in tiles of 100 and of 200 cells, each in a process of its own, and prints the
memory that the process took beside what the plan says.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from upscale.calendar import day_number
from upscale.grid import Grid, load_grid

FEATURES = ("ta", "sw_in", "vpd", "p", "day_length")
METEO = ("ta", "sw_in", "vpd", "p")


def make_cube(url: Path, grid: Grid, nodes: Grid, years: tuple[int, int], *, filled: bool) -> None:
    """A driver cube that is all land; its meteorology is noise, or is not there."""
    from upscale.drivers.writer import (
        SeriesSpec,
        create_cube,
        create_series,
        seal,
        write_series,
        write_static,
    )

    first = day_number(dt.date(years[0], 1, 1))
    count = day_number(dt.date(years[1] + 1, 1, 1)) - first
    create_cube(str(url), title="all land", source="made", day_definition="utc", synthetic=True)
    share, classes = np.full(grid.shape, 100, np.float32), np.ones(grid.shape, np.uint8)
    write_static(str(url), grid, igbp=classes, koppen=classes, sftlf=share, elevation=share)
    spec = SeriesSpec("meteo", nodes, first, count, METEO)
    create_series(str(url), spec, land=np.ones(nodes.shape, bool))
    if filled:
        noise = np.random.default_rng(0).random((count, *nodes.shape), np.float32)
        for name in METEO:
            write_series(str(url), "meteo", name, (0, 0, 0), 10 * noise)
    seal(str(url))


def plan(cube: Path, start: str, end: str) -> None:
    from upscale.commands.forecast import plan_facts
    from upscale.testing.runs import prepare

    begin = time.perf_counter()
    checked = prepare("tamrl-met-v1", cube, f"memory://{start}.zarr", period=(start, end),
                      cluster={"memory": 8.0})  # fmt: skip
    facts = plan_facts(checked)
    whole = sum(facts["files"][name] for name in ("store", "embeddings", "ledger"))
    print(
        f"{start} to {end}: {facts['tiles']} tiles of {facts['tile_cells']} cells, "
        f"{facts['work_items']} work items, {whole} objects {facts['files']}, "
        f"{facts['worker_bytes'] / 2**30:.2f} GiB for each worker; "
        f"{time.perf_counter() - begin:.0f} s"
    )


def item(folder: Path, edge: int) -> None:
    """Make one work item and print the memory of the process and what a plan says of it."""
    import resource

    from upscale.engine.run import init
    from upscale.engine.validate import task_bytes
    from upscale.engine.work.worker import open_session, process
    from upscale.testing.runs import prepare

    checked = prepare(folder / "model", folder / "square.zarr", folder / f"{edge}.zarr",
                      period=("2012-01-01", "2012-02-29"), output={"tile": edge})  # fmt: skip
    init(checked)
    session = open_session(checked.plan.job)
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    process(session, next(checked.plan.items()), land=True)
    figures = {
        "before": before * 1024,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "planned": task_bytes(checked.plan, checked.release),
        "seconds": time.perf_counter() - begin,
    }
    print(json.dumps(figures))


def main() -> None:
    from upscale.testing.releases import fake_release

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        globe, square = load_grid("global-0p05"), Grid("square", 200, 200, 0.05, 20, 10)
        make_cube(folder / "globe.zarr", globe, load_grid("era5-land-0p1"), (2003, 2012),
                  filled=False)  # fmt: skip
        plan(folder / "globe.zarr", "2003-01-01", "2012-12-31")
        plan(folder / "globe.zarr", "2012-01-01", "2012-12-31")
        nodes = Grid("nodes", 104, 104, 0.1, 20.15, 9.85)
        make_cube(folder / "square.zarr", square, nodes, (2012, 2012), filled=True)
        fake_release(folder / "model", FEATURES, members=2, hidden=8)
        for edge in (100, 200):
            command = [sys.executable, __file__, str(folder), str(edge)]
            done = subprocess.run(command, capture_output=True, check=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            taken = (found["peak"] - found["before"]) / 2**20
            print(
                f"tile of {edge} cells: {taken:,.0f} MiB beyond the process "
                f"({found['before'] / 2**20:,.0f} MiB), planned {found['planned'] / 2**20:,.0f} "
                f"MiB, {found['seconds']:.0f} s"
            )


if __name__ == "__main__":
    item(Path(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) > 2 else main()
