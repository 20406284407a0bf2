"""A granule task takes no more memory than the plan says, and not much less."""

from __future__ import annotations

import datetime as dt
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import zarr

from upscale.calendar import day_number
from upscale.drivers.gaps import GapRule
from upscale.drivers.growing import grow_series
from upscale.drivers.writer import create_cube
from upscale.grid import load_grid
from upscale.ingest.archive import Holdings, survey
from upscale.ingest.files import GroundFiles
from upscale.ingest.plan import IngestJob, IngestTask, SatelliteSeries, granule_bytes, granule_tasks
from upscale.remote.listing import expand
from upscale.testing.scenes import SceneBounds, write_mod09ga

pytest.importorskip("pyhdf.SD")
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells the peak of one process"
)

FIRST, DAYS = dt.date(2019, 7, 1), 30

#: Does one task, as a worker does, and prints the most memory that its process ever had.
#: What getrusage tells is no less than that of the process which started this one.
WORKER = """
import pickle, sys
from upscale.ingest.worker import process
job, task = pickle.load(open(sys.argv[1], "rb"))
entry = process(job, task)
assert entry.counts["files"] == 2 and entry.counts["values"] > 10_000 and not entry.faults
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(1024 * int(status["VmHWM"].split()[0]))
"""


@pytest.fixture(scope="module")
def holdings(tmp_path_factory: pytest.TempPathFactory) -> Holdings:
    """Two days of a whole tile of 2400 x 2400 pixels."""
    folder = tmp_path_factory.mktemp("tile")
    path = write_mod09ga(folder, SceneBounds(30, 40, 0, 13), (18, 5), FIRST)
    path.with_name(path.name.replace("A2019182", "A2019183")).symlink_to(path)
    period = FIRST, FIRST + dt.timedelta(days=DAYS - 1)
    return survey(expand([str(folder)]), load_grid("global-0p05"), period)


def job_of(cube: Path, held: Holdings) -> IngestJob:
    source = SatelliteSeries(held.variables, held.products, 0.0)
    return IngestJob(
        run="memory", cube=str(cube), grid=load_grid("global-0p05"),
        nodes=load_grid("era5-land-0p1"), first=day_number(FIRST), count=DAYS, tile=100, block=DAYS,
        day="utc", product="ERA5-Land", drivers=("ta",), sources=(source,),
        ground=GroundFiles((), None, None, (), (), None), rule=GapRule(), cache=None, limit=10**9,
        statistics=(),
    )  # fmt: skip


def peak_of(job: IngestJob, task: IngestTask, folder: Path) -> int:
    """Bytes that a process of its own needs for a task."""
    create_cube(job.cube, title="t", source="t", day_definition="utc")
    grow_series(job.cube, job.spec("satellite"))
    land = zarr.create_array(
        f"{job.cube}/static/sftlf", shape=job.grid.shape, dtype="f4", chunks=(200, 7200)
    )
    land[slice(*task.item.rows)] = 100.0
    path = folder / "task.pickle"
    path.write_bytes(pickle.dumps((job, task)))
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("memory", [1.6, 1.0])
def test_a_task_takes_the_memory_that_the_plan_reckons_with(
    memory: float, holdings: Holdings, tmp_path: Path
) -> None:
    job = job_of(tmp_path / "cube.zarr", holdings)
    tasks = granule_tasks(job, [holdings], "land", int(memory * 2**30))
    task = next(task for task in tasks if len(task.files) == 2)
    rows, cols = task.item.rows, task.item.cols
    assert (cols[1] - cols[0] == 7200) == (memory > 1.5), "a band, or a part of one"
    reckoned = granule_bytes(job, holdings, rows, cols)
    assert reckoned < memory * 2**30
    peak = peak_of(job, task, tmp_path)
    assert 0.45 * reckoned < peak < reckoned, f"{peak / 2**20:.0f} of {reckoned / 2**20:.0f} MiB"
