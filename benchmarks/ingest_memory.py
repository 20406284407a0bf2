"""The memory of a granule task as wide as the globe, beside what the plan reckons with.

    OMP_NUM_THREADS=1 python benchmarks/ingest_memory.py [--rows 8 1] [--days 3]

Every tile between two multiples of 10 degrees has a whole granule of MOD09GA (made: one, under
the corners of all tiles) on each of some days; all cells are land. Rows are counted from the
north. Prints the largest memory of the process that does the task, and CPU seconds a granule,
with the places of the pixels computed once for each tile. Writes up to 2 GB into the temporary
folder. Linux alone tells the memory of one process.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import zarr
from ingest import DAYS, FIRST, MEMORY, WHERE, job_of, opened
from regridding import PIXELS, made_granule

from upscale.archives.formats.structure import tiles_over
from upscale.grid import load_grid
from upscale.ingest.archive import survey
from upscale.ingest.plan import IngestJob, IngestTask, SatelliteSeries, granule_bytes, granule_tasks
from upscale.ingest.worker import process
from upscale.remote.listing import expand
from upscale.testing.granules import StoredGrid, struct_metadata, tile_corners


def write_band(folder: Path, north: int, days: int) -> None:
    """The granules of all tiles between `north` and 10 degrees further south."""
    template = Path(made_granule(folder, 0.35))
    content, before = template.read_bytes(), text_of(*WHERE)
    template.unlink()
    place = content.index(before)
    for h, v in sorted(tiles_over(north - 0.01, north - 9.99, -180, 180)):
        name = f"MOD09GA.A2019182.h{h:02d}v{v:02d}.061.2020180000000.hdf"
        rest = content[place + len(before) :]
        (folder / name).write_bytes(content[:place] + text_of(h, v) + rest)
        for day in range(183, 182 + days):
            (folder / name.replace("A2019182", f"A2019{day}")).symlink_to(folder / name)


def text_of(h: int, v: int) -> bytes:
    """StructMetadata.0 of `made_granule` as if it were of another tile."""
    fine = {f"sur_refl_b{n:02d}_1": (np.empty((PIXELS, PIXELS), np.int8), {}) for n in range(1, 8)}
    fine["QC_500m_1"] = next(iter(fine.values()))
    coarse = {"state_1km_1": (np.empty((PIXELS // 2, PIXELS // 2), np.int8), {})}
    corners = tile_corners(h, v)
    grids = (
        StoredGrid("MODIS_Grid_1km_2D", corners, coarse),
        StoredGrid("MODIS_Grid_500m_2D", corners, fine),
    )
    return struct_metadata(grids).encode()


def task_of(folder: Path, north: int, days: int) -> tuple[IngestJob, IngestTask, int]:
    """The task of a band in an empty cube, and the bytes that the plan reckons with."""
    write_band(folder, north, days)
    grid, last = load_grid("global-0p05"), FIRST + dt.timedelta(days=DAYS - 1)
    held = survey(expand([str(folder)]), grid, (FIRST, last))
    source = SatelliteSeries(held.variables, held.products, 0.0)
    job = job_of(folder / "cube.zarr", grid, load_grid("era5-land-0p1"), [source])
    opened(job, "satellite")
    share = zarr.create_array(
        f"{job.cube}/static/sftlf", shape=grid.shape, dtype="f4", chunks=(200, grid.cols)
    )
    share[...] = 100
    task = next(t for t in granule_tasks(job, [held], "land", MEMORY) if t.files)
    return job, task, granule_bytes(job, held, task.item.rows, task.item.cols)


def most() -> int:
    """The most bytes that this process ever held, without those of the one that started it."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def measured(job: IngestJob, task: IngestTask) -> tuple[int, int, float]:
    """Most bytes of this process before and after a task, and CPU seconds a granule."""
    before, start = most(), time.process_time()
    entry = process(job, task)
    assert entry.counts["files"] == len(task.files)
    return before, most(), (time.process_time() - start) / len(task.files)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[8, 1])
    parser.add_argument("--days", type=int, default=3)
    asked = parser.parse_args()
    for row in asked.rows:
        north = 90 - 10 * row
        with tempfile.TemporaryDirectory() as name:
            job, task, reckoned = task_of(Path(name), north, asked.days)
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                before, peak, seconds = pool.submit(measured, job, task).result()
        print(
            f"from {north} degrees on, {len(task.files)} granules: {seconds:.2f} CPU s each; "
            f"{before / 2**20:.0f} MiB before, {peak / 2**20:.0f} at most, reckoned "
            f"{reckoned / 2**20:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
