"""What a ledger of a global decade costs, loose and compacted: status, validation, resume, report.

Makes a driver cube of the globe at 0.05 degrees (static layers and metadata; no run is made of
it), plans ten years of it, and enters every work item with entries as large as those of a run with
ten members. Prints seconds of wall time, medians of turns, and sizes. Needs 0.5 GB of disk.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from upscale.calendar import day_number
from upscale.drivers.writer import SeriesSpec, create_cube, create_series, seal, write_static
from upscale.engine import run as engine
from upscale.engine.config import parse_run
from upscale.engine.ledger import RunEntry, RunLedger
from upscale.engine.report import make_report
from upscale.engine.validate import Checked, validate
from upscale.grid import Grid, load_grid
from upscale.jobs.ledger import MANY

MET = ("ta", "sw_in", "vpd", "p")
ARRAYS = tuple(f"array_{number:02d}" for number in range(16))
PERIOD = dt.date(2003, 1, 1), dt.date(2012, 12, 31)


def write_globe(path: Path) -> Path:
    """A sealed driver cube of the globe, a fiftieth of it land, without any value over days."""
    grid, nodes = load_grid("global-0p05"), load_grid("era5-land-0p1")
    create_cube(str(path), title="Globe", source="made", day_definition="utc", synthetic=True)
    write_static(
        str(path), grid, sftlf=land_of(grid), igbp=np.full(grid.shape, 10),
        koppen=np.full(grid.shape, 15), elevation=np.zeros(grid.shape),
    )  # fmt: skip
    first, last = map(day_number, PERIOD)
    land = land_of(nodes) > 0
    create_series(str(path), SeriesSpec("meteo", nodes, first, last - first + 1, MET), land)
    seal(str(path))
    return path


def land_of(grid: Grid) -> np.ndarray:
    """Land share in %: small islands everywhere, so that the store would fit on most disks,
    which validation asks for."""
    wave = np.sin(np.deg2rad(grid.lat * 80))[:, None] + np.sin(np.deg2rad(grid.lon * 80))
    return np.where(wave > 1.9, 100.0, 0.0)


def prepare(folder: Path) -> Checked:
    """A run over ten years that may start."""
    content = {
        "model": "tamrl-met-v1",
        "drivers": str(folder / "globe.zarr"),
        "period": {"start": str(PERIOD[0]), "end": str(PERIOD[1])},
        "output": {"store": str(folder / "f.zarr"), "tile": 100},
        "cluster": {"workers": 1, "memory": 16.0},
    }
    return validate(parse_run(content, "run"))


def entry_of(item: str, checked: Checked, random: random.Random) -> RunEntry:
    """An entry of the size of a real one: 16 arrays, two years in a block, ten members."""
    job, layout = checked.plan.job, checked.plan.job.layout
    segments = layout.segments_of(int(item.rsplit("-b", 1)[1]))
    totals = [
        [random.uniform(1e9, 1e11) for _ in range(layout.members)]
        for _ in layout.segments[segments]
    ]
    stats = {"max": random.random(), "mean": random.random(), "min": random.random()}
    return RunEntry(
        item=item, run=job.digest, release=job.release, cube=job.cube, version="0.1.0",
        status="done", digests={name: f"{random.getrandbits(256):064x}" for name in ARRAYS},
        counts=dict.fromkeys(("cells", "land", "values", "water", "clipped"), 1000),
        stats=dict.fromkeys(("gpp", "reco", "nee"), stats),
        totals=dict.fromkeys(("gpp", "reco", "nee"), totals),
        seconds={"read": 0.2, "predict": 1.5, "write": 0.3}, memory=2**29,
        worker="machine 1234 cpu", finished="2026-11-28T16:41:52Z",
    )  # fmt: skip


def enter(checked: Checked, entries: Iterable[RunEntry]) -> None:
    """Write entries as `Ledger.write` does, without waiting for the disk each time."""
    folder = Path(RunLedger(checked.plan.job.store).url)
    for number, entry in enumerate(entries):
        name = f"{entry.item}.{time.time_ns():019d}-{number:08x}.done.json"
        (folder / name).write_text(json.dumps(asdict(entry), indent=1, sort_keys=True))


def resume(checked: Checked) -> int:
    """What a resume reads before it starts its workers; work items left."""
    ledger = RunLedger(checked.plan.job.store)
    ledger.tidy(10**9)
    done = ledger.done(checked.plan.job.digest)
    return sum(item.id not in done for item in checked.plan.items())


def measure(name: str, act: Callable[[], object], turns: int) -> None:
    """Print the median wall seconds of `turns` calls, and their spread."""
    seconds = []
    for _ in range(turns):
        begin = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - begin)
    middle = statistics.median(seconds)
    spread = (max(seconds) - min(seconds)) / middle
    print(f"  {name:28} {middle:7.2f} s  spread {spread:.0%}, {turns} turns", flush=True)


def measure_all(checked: Checked, folder: Path, turns: int) -> None:
    store, ledger = checked.run.output.store, Path(RunLedger(checked.run.output.store).url)
    sizes = [path.stat().st_size for path in ledger.iterdir() if path.is_file()]
    print(f"  {len(sizes):,} files, {sum(sizes) / 1e6:.1f} MB")
    measure("status", lambda: engine.status(store), turns)
    measure("validate", lambda: prepare(folder), turns)
    measure("resume: what is left", lambda: resume(checked), turns)
    measure("report: all entries", lambda: make_report(store, 0.0), turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep everything there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = given.folder or Path(made)
        if not (folder / "globe.zarr").exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_globe(folder / "globe.zarr")
        begin = time.perf_counter()
        checked = prepare(folder)
        print(f"validate, no store yet: {time.perf_counter() - begin:.2f} s", flush=True)
        begin = time.perf_counter()
        engine.init(checked)
        print(f"init: {time.perf_counter() - begin:.2f} s", flush=True)
        ledger, numbers = RunLedger(checked.plan.job.store), random.Random(1)
        ledger.clear()
        items = [item.id for item in checked.plan.items()]
        enter(checked, (entry_of(item, checked, numbers) for item in items))
        print(f"{len(items):,} work items, loose (load {os.getloadavg()[0]:.1f}):")
        measure_all(checked, folder, given.turns)
        begin = time.perf_counter()
        ledger.compact()
        print(f"compacting: {time.perf_counter() - begin:.2f} s\ncompacted:")
        measure_all(checked, folder, given.turns)
        enter(checked, (entry_of(item, checked, numbers) for item in items[:MANY]))
        print(f"compacted, {MANY} loose ones beside:")
        measure_all(checked, folder, given.turns)


if __name__ == "__main__":
    main()
