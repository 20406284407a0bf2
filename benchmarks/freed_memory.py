"""What it costs that Dask tells malloc in its workers to return every freed page.

Predicts one tile of a synthetic planet with the shipped release, in processes that differ in
their environment alone, A B A B; prints wall, user and system seconds and page faults.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DASK = {"MALLOC_TRIM_THRESHOLD_": "65536"}
OURS = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_MMAP_THRESHOLD_": str(2**30)}
REPEATS = 3


def make(folder: Path) -> None:
    """A land-filled part of the planet with two years of drivers."""
    from upscale.grid import load_grid
    from upscale.planet import write_planet

    grid = load_grid("global-1p0").crop(slice(36, 60), slice(182, 206))
    period = dt.date(2011, 1, 1), dt.date(2012, 12, 31)
    drivers = str(folder / "drivers.zarr")
    write_planet(drivers, grid, load_grid("nodes-2p0"), period, satellite=(), tile=24)


def predict(folder: Path) -> None:
    """Predict the first block and print what it took as JSON."""
    from upscale.engine.run import init
    from upscale.engine.work.worker import open_session, process
    from upscale.testing.runs import prepare

    store = tempfile.mkdtemp(dir=folder)
    checked = prepare(
        "tamrl-met-v1", folder / "drivers.zarr", f"{store}/f.zarr",
        period=("2012-01-01", "2012-12-25"),
    )  # fmt: skip
    init(checked)
    session, item = open_session(checked.plan.job), next(checked.plan.items())
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    process(session, item, land=True)
    after = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "wall": time.perf_counter() - start,
        "user": after.ru_utime - before.ru_utime,
        "system": after.ru_stime - before.ru_stime,
        "faults": after.ru_minflt - before.ru_minflt,
    }
    print(json.dumps(figures))


def measure(folder: Path, settings: dict[str, str]) -> dict[str, float]:
    command = [sys.executable, __file__, str(folder)]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder)
        rows = [(measure(folder, DASK), measure(folder, OURS)) for _ in range(REPEATS)]
    for title, column in (("pages returned (Dask's default)", 0), ("pages kept (ours)", 1)):
        medians = {key: statistics.median(row[column][key] for row in rows) for key in rows[0][0]}
        print(f"{title:34s}", ", ".join(f"{key} {value:,.1f}" for key, value in medians.items()))


if __name__ == "__main__":
    predict(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
