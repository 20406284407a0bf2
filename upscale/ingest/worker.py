"""What happens on a Dask worker: one work item from its files to its chunks and its entry."""

from __future__ import annotations

import os
import resource
import socket
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from upscale.drivers.growing import bytes_digest, fill_series, write_block
from upscale.drivers.packing import MISSING
from upscale.drivers.preliminary import worst_of
from upscale.drivers.writer import unseal, write_static
from upscale.ingest.entry import IngestEntry, IngestLedger
from upscale.ingest.files import Local
from upscale.ingest.ground import read_ground
from upscale.ingest.plan import IngestItem, IngestJob, IngestTask
from upscale.ingest.work import Made, observe, weather
from upscale.jobs.clock import Stopwatch, now
from upscale.remote.cache import Cache
from upscale.remote.listing import ListedFile
from upscale.remote.locations import is_store
from upscale.version import __version__


def process(job: IngestJob, task: IngestTask) -> IngestEntry:
    """Do one work item, read back what was written, and enter it into the ledger."""
    watch, ledger = Stopwatch(), IngestLedger(job.cube)
    ledger.forget(task.id)  # chunks that are being written over do not count as done
    with watch.stage("work"):
        outputs, made = _WORK[task.item.kind](job, task, local_of(job.cache, job.limit), watch)
    entry = IngestEntry(
        item=task.id,
        run=job.run,
        status="done",
        inputs=task.inputs,
        stamp=uuid.uuid4().hex,
        outputs=outputs,
        counts=_counts(made),
        told=worst_of(made.told).tolist() if made.told else [],
        faults=made.faults,
        seconds=watch.seconds,
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        worker=f"{socket.gethostname()} {os.getpid()}",
        version=__version__,
        finished=now(),
    )
    ledger.write(entry)
    return entry


def failed_entry(job: IngestJob, task: IngestTask, error: BaseException) -> IngestEntry:
    """The entry of a work item that could not be done."""
    return IngestEntry(
        item=task.id, run=job.run, status="failed", inputs=task.inputs, stamp="",
        worker=socket.gethostname(), version=__version__, finished=now(),
        error=f"{type(error).__name__}: {error}",
    )  # fmt: skip


def local_of(folder: str | None, limit: int) -> Local:
    """Opens listed files: local ones where they are, others by a copy in the cache of at most
    `limit` bytes; a Zarr store is read in place."""
    place = folder or str(Path(tempfile.gettempdir()) / f"upscale-cache-{os.getuid()}")
    cache = Cache(Path(place), limit)

    @contextmanager
    def opened(found: ListedFile) -> Iterator[str]:
        if is_store(found.url):
            yield found.url
            return
        with cache.local(found.url, size=found.size, stamp=found.stamp) as path:
            yield str(path)

    return opened


def _counts(made: Made) -> dict[str, int]:
    values = sum(int((v != MISSING).sum()) for v in made.values.values())
    counts = {"files": made.read, "values": values}
    if made.clipped or made.preliminary:
        counts |= {"clipped": made.clipped, "preliminary": made.preliminary}
    return counts


Outputs = dict[str, str]
Work = Callable[[IngestJob, IngestTask, Local, Stopwatch], tuple[Outputs, Made]]


def _granules(
    job: IngestJob, task: IngestTask, local: Local, watch: Stopwatch
) -> tuple[Outputs, Made]:
    made = observe(job, task, local, _land(job, task.item))
    return _write(job, task, "satellite", made, watch), made


def _weather(
    job: IngestJob, task: IngestTask, local: Local, watch: Stopwatch
) -> tuple[Outputs, Made]:
    made = weather(job, task, local)
    return _write(job, task, "meteo", made, watch), made


def _write(job: IngestJob, task: IngestTask, group: str, made: Made, watch: Stopwatch) -> Outputs:
    """Write the chunks of an item and read them back; their sha256 by array."""
    item, outputs = task.item, {}
    region = slice(*item.days), slice(*item.rows), slice(*item.cols)
    with watch.stage("write"):
        for name, stored in made.values.items():
            outputs[f"{group}/{name}"] = write_block(job.cube, group, name, region, stored)
    return outputs


def _fill(job: IngestJob, task: IngestTask, local: Local, watch: Stopwatch) -> tuple[Outputs, Made]:
    outputs: Outputs = {}
    if _land(job, task.item).any():
        cells = slice(*task.item.rows), slice(*task.item.cols)
        for name in job.satellite:
            digest, _ = fill_series(job.cube, name, cells, job.first, job.rule)
            outputs[f"satellite/{name}"] = digest
    return outputs, Made({})


def _land(job: IngestJob, item: IngestItem) -> NDArray[np.bool_]:
    """Cells `(row, col)` of an item on the product grid that have some land."""
    share: Any = zarr.open_group(job.cube, mode="r")["static/sftlf"]
    land: NDArray[np.bool_] = np.asarray(share[slice(*item.rows), slice(*item.cols)]) > 0
    return land


def _static(
    job: IngestJob, task: IngestTask, local: Local, watch: Stopwatch
) -> tuple[Outputs, Made]:
    """Write the static layers; the cube is unsealed before any of it changes."""
    made = Made({}, len(job.ground.files))
    ground = read_ground(job.ground, job.grid, local, made.leave_out)
    layers: dict[str, Any] = {
        "igbp": ground.igbp, "koppen": ground.koppen,
        "sftlf": ground.sftlf, "elevation": ground.elevation,
    }  # fmt: skip
    unseal(job.cube)
    write_static(job.cube, job.grid, **layers)
    root: Any = zarr.open_group(job.cube, mode="r+")
    for name, words in ground.legends.items():
        root[f"static/{name}"].attrs["map_legend"] = words
    outputs = {f"static/{name}": bytes_digest(layer) for name, layer in layers.items()}
    if job.ground.koppen is None:
        del outputs["static/koppen"]  # it follows from the weather, later
    return outputs, made


_WORK: dict[str, Work] = {
    "static": _static, "granules": _granules, "weather": _weather, "fill": _fill,
}  # fmt: skip
