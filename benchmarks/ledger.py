"""What a ledger of a global decade costs, loose and compacted: status, validation, resume, report.

Makes a driver cube of the globe at 0.05 degrees (static layers, metadata and a manifest of three
million chunks with made digests; no run is made of it), plans ten years of it with `tamrl-v2`, and
enters the embeddings of all tiles and every work item, with the identities that the plan asks for,
and as large as those of a run. Prints seconds of wall time and of the processor, medians of turns,
and sizes. Needs 0.7 GB of disk.
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
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from upscale.calendar import day_number
from upscale.drivers.writer import SeriesSpec, create_cube, create_series, seal, write_static
from upscale.engine import run as engine
from upscale.engine.config import parse_run
from upscale.engine.ledger import RunEntry, RunLedger
from upscale.engine.report import make_report
from upscale.engine.validate import Checked, validate
from upscale.engine.work.context import (
    ContextEntry,
    ContextLedger,
    context_item,
    support_reads,
)
from upscale.grid import Grid, load_grid
from upscale.jobs.ledger import MANY
from upscale.jobs.progress import make_progress
from upscale.jobs.settings import digest_of
from upscale.stores.manifest import NAME, SEAL, ArrayManifest, object_digest

MET, SEEN = ("ta", "sw_in", "vpd", "p"), ("ndvi", "evi", "nirv", "fapar")
ARRAYS = tuple(f"array_{number:02d}" for number in range(16))
PERIOD = dt.date(2003, 1, 1), dt.date(2012, 12, 31)


def write_globe(path: Path) -> Path:
    """A sealed driver cube of the globe, a fiftieth of it land, whose manifest lists chunks of
    all days that are not there."""
    grid, nodes = load_grid("global-0p05"), load_grid("era5-land-0p1")
    create_cube(str(path), title="Globe", source="made", day_definition="utc", synthetic=True)
    write_static(
        str(path), grid, sftlf=land_of(grid), igbp=np.full(grid.shape, 10),
        koppen=np.full(grid.shape, 15), elevation=np.zeros(grid.shape),
    )  # fmt: skip
    first, last = map(day_number, PERIOD)
    land = land_of(nodes) > 0
    count, chunk = last - first + 1, (30, 100, 100)
    weather = SeriesSpec("meteo", nodes, first, count, MET, chunk=chunk, growing=True)
    create_series(str(path), weather, land)
    create_series(
        str(path), SeriesSpec("satellite", grid, first, count, SEEN, chunk=chunk, growing=True)
    )
    seal(str(path))
    list_chunks(path)
    return path


def list_chunks(path: Path) -> None:
    """Put made digests of all chunks of days into the manifest."""
    root: Any = zarr.open_group(str(path), mode="r+")
    seal, numbers = dict(root.attrs[SEAL]), np.random.default_rng(1)
    for name in seal["arrays"]:
        if root[name].ndim == 3:
            place = path / name / NAME
            held = ArrayManifest.from_bytes(place.read_bytes())
            digests = numbers.integers(0, 256, held.digests.shape, np.uint8)
            made = ArrayManifest(held.metadata, digests).to_bytes()
            place.write_bytes(made)
            seal["arrays"][name] = object_digest(made).hex()
    root.attrs[SEAL] = seal


def land_of(grid: Grid) -> np.ndarray:
    """Land share in %: small islands everywhere, so that the store would fit on most disks,
    which validation asks for."""
    wave = np.sin(np.deg2rad(grid.lat * 80))[:, None] + np.sin(np.deg2rad(grid.lon * 80))
    return np.where(wave > 1.9, 100.0, 0.0)


def prepare(folder: Path) -> Checked:
    """A run over ten years that may start."""
    content = {
        "model": "tamrl-v2",
        "drivers": str(folder / "globe.zarr"),
        "period": {"start": str(PERIOD[0]), "end": str(PERIOD[1])},
        "output": {"store": str(folder / "f.zarr"), "tile": 100},
        "cluster": {"workers": 1, "memory": 16.0},
    }
    return validate(parse_run(content, "run"))


def enter_embeddings(checked: Checked) -> None:
    """Entries of the embeddings of all tiles with land, from windows of three years."""
    job, cube, scaler = checked.plan.job, checked.cube, checked.release.scaler
    tiles = [plan.tile for plan in checked.plan.tiles if plan.land]
    spans = [[cube.first + 365 * year, 360] for year in range(3)]
    ledger = ContextLedger(job.context_store)
    for tile, reads in zip(tiles, support_reads(cube, job, scaler, tiles, spans, 0), strict=True):
        name = context_item(job, tile, 0)
        entry = ContextEntry(name, job.embeddings, digest_of(tile.id)[:32], reads, spans, {})
        write_entry(ledger, entry)
    ledger.compact()


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
        identity=checked.standing.identities[item] or "", surface=f"{random.getrandbits(128):032x}",
        embeddings=f"{random.getrandbits(128):032x}", days=360, settled=360,
        strides=tuple(f"{random.getrandbits(128):032x}" for _ in range(24)),
    )  # fmt: skip


def write_entry(ledger: RunLedger | ContextLedger, entry: RunEntry | ContextEntry) -> None:
    """Write an entry as `Ledger.write` does, without waiting for the disk."""
    folder = Path(ledger.url)
    folder.mkdir(exist_ok=True)
    name = f"{entry.item}.{time.time_ns():019d}-{0:08x}.done.json"
    (folder / name).write_text(json.dumps(asdict(entry), indent=1, sort_keys=True))


def resume(checked: Checked) -> None:
    """What a run that has nothing left does after its validation."""
    engine.init(checked)
    assert not engine.execute(checked, make_progress(1e9)).done


def measure(name: str, act: Callable[[], object], turns: int) -> None:
    """Print the median seconds of `turns` calls, their spread, and those of the processor."""
    seconds, busy = [], []
    for _ in range(turns):
        begin, used = time.perf_counter(), time.process_time()
        act()
        seconds.append(time.perf_counter() - begin)
        busy.append(time.process_time() - used)
    middle = statistics.median(seconds)
    spread = (max(seconds) - min(seconds)) / middle
    print(
        f"  {name:28} {middle:7.2f} s  spread {spread:.0%}, {turns} turns; "
        f"processor {statistics.median(busy):.2f} s",
        flush=True,
    )


def all_done(folder: Path) -> Checked:
    """A run that finds all of its work items done."""
    checked = prepare(folder)
    assert len(checked.standing.done) == len(checked.standing.identities)
    return checked


def measure_all(checked: Checked, folder: Path, turns: int) -> None:
    store, ledger = checked.run.output.store, Path(RunLedger(checked.run.output.store).url)
    sizes = [path.stat().st_size for path in ledger.iterdir() if path.is_file()]
    print(f"  {len(sizes):,} files, {sum(sizes) / 1e6:.1f} MB")
    measure("status", lambda: engine.status(store), turns)
    measure("validate", lambda: all_done(folder), turns)
    if len(sizes) < 1000:  # else it begins with compacting
        measure("resume, after validation", lambda: resume(checked), turns)
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
        checked = prepare(folder)
        print("no store yet:")
        measure("plan and validate", lambda: prepare(folder), given.turns)
        begin = time.perf_counter()
        engine.init(checked)
        print(f"init: {time.perf_counter() - begin:.2f} s", flush=True)
        enter_embeddings(checked)
        checked = replace(checked, standing=engine.renew_plan(checked))
        ledger, numbers = RunLedger(checked.plan.job.store), random.Random(1)
        ledger.clear()
        items = [item.id for item in checked.plan.items()]
        for item in items:
            write_entry(ledger, entry_of(item, checked, numbers))
        checked = all_done(folder)
        print(f"{len(items):,} work items, loose (load {os.getloadavg()[0]:.1f}):")
        measure_all(checked, folder, given.turns)
        begin = time.perf_counter()
        ledger.compact()
        print(f"compacting: {time.perf_counter() - begin:.2f} s\ncompacted:")
        measure_all(checked, folder, given.turns)
        for item in items[:MANY]:
            write_entry(ledger, entry_of(item, checked, numbers))
        print(f"compacted, {MANY} loose ones beside:")
        measure_all(checked, folder, given.turns)


if __name__ == "__main__":
    main()
