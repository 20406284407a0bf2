"""The life of an ingest: scan, ground, series, gaps, climate, seal; any step may be repeated.

What was done and has not changed since is not done again: an entry of the ledger counts where
it was made from the same inputs. So a killed ingest goes on, and one with more days, or with
granules that were made anew, does what follows from these alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import zarr
from distributed import Client
from distributed.comm.core import CommClosedError

from upscale.calendar import date_of
from upscale.drivers.cube import KIND, series_of
from upscale.drivers.growing import bytes_digest, combined, grow_series, is_grown
from upscale.drivers.writer import create_cube, put_land, seal, unseal
from upscale.grid import Grid
from upscale.ingest.entry import IngestEntry, IngestLedger
from upscale.ingest.ground import climate_of, node_land
from upscale.ingest.plan import (
    IngestJob,
    IngestTask,
    fill_tasks,
    granule_tasks,
    ground_task,
    weather_tasks,
)
from upscale.ingest.scan import HEADERS, Scan
from upscale.ingest.worker import failed_entry, process
from upscale.jobs.claim import claimed
from upscale.jobs.clock import now
from upscale.jobs.cluster import connect
from upscale.jobs.progress import Progress
from upscale.jobs.queue import SubmissionQueue, lost, result_of
from upscale.jobs.settings import ConfigError, digest_of
from upscale.remote.errors import ArchiveError
from upscale.stores.location import is_empty, is_url


@dataclass
class IngestOutcome:
    """What an ingest did: entries of this session, those that failed, how many were there."""

    done: list[IngestEntry] = field(default_factory=list)
    failed: list[IngestEntry] = field(default_factory=list)
    kept: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)
    digest: str = ""

    @property
    def changed(self) -> bool:
        return bool(self.done)


#: Does tasks somewhere and gives their entries as they end.
Runner = Callable[[IngestJob, Sequence[IngestTask]], Iterable[IngestEntry]]


def ingest(scan: Scan, progress: Progress, runner: Runner | None = None) -> IngestOutcome:
    """Bring the cube of an ingest to what its archive holds now.

    runner: where the work is done; by default the cluster that the configuration names. Raises
    ConfigError where the cube is another one, ClusterError where the scheduler is lost,
    ArchiveError where no day has values.
    """
    ledger = IngestLedger(scan.job.cube)
    with claimed(f"{ledger.url}/ingest.claim"):
        check_cube(scan)
        if ledger.read_object(HEADERS) != scan.headers:
            ledger.write_object(HEADERS, scan.headers)
        session = _Session(scan, ledger, progress)
        if not session.up_to_date():
            with ExitStack() as stack:
                session.run(runner or stack.enter_context(_cluster(scan, progress)))
        return session.outcome


@contextmanager
def _cluster(scan: Scan, progress: Progress) -> Iterator[Runner]:
    """Does tasks on the cluster of an ingest, with logs beside the ledger."""
    ledger = IngestLedger(scan.job.cube).url
    logs = None if is_url(ledger) else Path(ledger) / "logs"
    progress.stage("starting cluster")
    with connect(scan.ingest.cluster, logs, tasks=1) as client:
        yield partial(_entries, client, scan.ingest.retries)


def check_cube(scan: Scan) -> None:
    """ConfigError where what lies at the cube's place is not a cube of this ingest."""
    job = scan.job
    if is_empty(job.cube):
        return
    try:
        attributes = zarr.open_group(job.cube, mode="r").attrs
    except (FileNotFoundError, KeyError, ValueError):
        raise ConfigError(
            f"cube: expected nothing, or a driver cube of this ingest at {job.cube}, found "
            "something else; give another path"
        ) from None
    known = attributes.get("ingest_digest")
    if attributes.get("kind") == KIND and known == job.run:
        _check_days(job, attributes)
        _check_nodes(job)
        return
    layout = scan.ingest.layout()
    former = dict(attributes.get("ingest_layout") or {})
    other = [f"{k} {former.get(k)!r} there, {v!r} here" for k, v in layout.items()
             if former.get(k) != v]  # fmt: skip
    raise ConfigError(
        f"cube: {job.cube} was laid out otherwise ({'; '.join(other) or 'not by an ingest'}); "
        "give another path, or the keys that it was made with"
    )


def _check_days(job: IngestJob, attributes: Any) -> None:
    days = int(attributes.get("ingest_days", 0))
    if days > job.count:
        end = date_of(job.first + days - 1)
        raise ConfigError(
            f"period.end: {job.cube} reaches to {end} already; a cube grows and never shrinks: "
            f"set {end} or a later day"
        )


def _check_nodes(job: IngestJob) -> None:
    root: Any = zarr.open_group(job.cube, mode="r")
    there = root["meteo"].attrs["grid"] if "meteo" in root else None
    if there is not None and Grid(**there) != job.nodes:
        raise ConfigError(
            f"meteo.files: {job.cube} has the nodes {Grid(**there)}, the files have {job.nodes}; "
            "give files of the same area, or another path for the cube"
        )


class _Session:
    """One attempt at an ingest. The cube is unsealed when there is something to do, not before."""

    def __init__(self, scan: Scan, ledger: IngestLedger, progress: Progress) -> None:
        self.scan, self.job, self.ledger, self.progress = scan, scan.job, ledger, progress
        self.known = ledger.entries(scan.job.run)
        self.outcome = IngestOutcome()

    def run(self, runner: Runner) -> None:
        """Do all that is left, and seal the cube where nothing failed."""
        self._open()
        self._stages(runner)
        if not self.outcome.failed:
            self._close()

    def up_to_date(self) -> bool:
        """Whether a sealed cube holds all that the archive gives; nothing is touched then."""
        if is_empty(self.job.cube):
            return False
        attributes = zarr.open_group(self.job.cube, mode="r").attrs
        tasks = self._all_tasks() if "digest" in attributes else None
        if tasks is None or any(self._left(tasks)) or not self._climate_is_known():
            return False
        specs = (self.job.spec(group) for group in ("meteo", "satellite"))
        if not all(is_grown(self.job.cube, spec) for spec in specs):
            return False
        self.outcome.kept = len(tasks)
        self.outcome.digest = str(attributes["digest"])
        self._recall(tasks)
        return True

    def _all_tasks(self) -> list[IngestTask] | None:
        """Every task, where the ledger knows enough to name them."""
        ground = self.known.get(ground_task(self.job).id)
        if ground is None:
            return None
        first = [ground_task(self.job), *self._series(ground)]
        return [*first, *self._gaps(first)]

    def _stages(self, runner: Runner) -> None:
        start = [ground_task(self.job)]
        self._do(runner, "reading maps", start)
        if self.outcome.failed:
            return
        ground = self.known[start[0].id]
        unseal(self.job.cube)
        series = self._series(ground)
        self._forget_others([*start, *series, *self._gaps([])])
        self._grow()
        self._do(runner, "reading archives", series)
        if self.outcome.failed:
            return
        self._do(runner, "filling gaps", self._gaps([*start, *series]))
        if not self.outcome.failed:
            self.progress.stage("climate")
            self._attempt_climate()

    def _series(self, ground: IngestEntry) -> list[IngestTask]:
        memory = int(self.scan.ingest.memory * 2**30)
        land = ground.outputs["static/sftlf"]
        return [
            *weather_tasks(self.job, self.scan.weather, memory),
            *granule_tasks(self.job, self.scan.holdings, land, memory),
        ]

    def _forget_others(self, tasks: Sequence[IngestTask]) -> None:
        """Forget what was done under another plan: its chunks are cut in another way, or belong
        to a source that is gone, and are written over now."""
        kept = {task.id for task in tasks} | {_CLIMATE}
        for item in self.known.keys() - kept:
            self.ledger.forget(item)
            del self.known[item]

    def _gaps(self, before: Sequence[IngestTask]) -> list[IngestTask]:
        if not self.job.sources:
            return []
        granules = [task for task in before if task.item.kind == "granules"]
        stamps = [(t.item, self.known[t.id].stamp) for t in granules if t.id in self.known]
        return list(fill_tasks(self.job, stamps))

    def _left(self, tasks: Iterable[IngestTask]) -> list[IngestTask]:
        """Tasks without an entry of the same inputs."""
        return [
            task
            for task in tasks
            if task.id not in self.known or self.known[task.id].inputs != task.inputs
        ]

    def _do(self, runner: Runner, stage: str, tasks: Sequence[IngestTask]) -> None:
        """Do what is left of a stage."""
        left = self._left(tasks)
        self.outcome.kept += len(tasks) - len(left)
        if not left:
            self._recall(tasks)
            return
        self.progress.stage(stage)
        self.progress.start(len(tasks), len(tasks) - len(left))
        for entry in runner(self.job, left):
            self._take(entry)
        self._recall(tasks)

    def _take(self, entry: IngestEntry) -> None:
        self.progress.advance(entry)
        if entry.status == "failed":
            with suppress(OSError):
                self.ledger.write(entry)
            self.outcome.failed.append(entry)
            return
        self.known[entry.item] = entry
        self.outcome.done.append(entry)

    def _recall(self, tasks: Iterable[IngestTask]) -> None:
        """Gather the files that tasks left out, also in former sessions."""
        for task in tasks:
            entry = self.known.get(task.id)
            if entry is not None:
                self.outcome.faults += [(file, why) for file, why in entry.faults]

    def _open(self) -> None:
        """Create the cube, or open it for writing."""
        self.progress.stage("opening cube")
        if is_empty(self.job.cube) or not _was_created(self.job):
            self._create()

    def _create(self) -> None:
        scan = self.scan
        self.ledger.clear()  # of a cube that somebody removed
        self.known = {}
        create_cube(
            self.job.cube,
            title=scan.ingest.title,
            source=_source(scan),
            day_definition=scan.ingest.day,
            tile=self.job.tile,
            attributes={
                "ingest_digest": self.job.run,
                "ingest_layout": scan.ingest.layout(),
                "ingest_days": 0,
            },
        )

    def _grow(self) -> None:
        """Give the groups the days and variables that the job has."""
        root = zarr.open_group(self.job.cube, mode="r+")
        root.attrs["ingest_days"] = self.job.count
        grow_series(self.job.cube, self.job.spec("meteo"))
        if self.job.sources:
            grow_series(self.job.cube, self.job.spec("satellite"))
        elif "satellite" in root:
            del root["satellite"]

    def _climate_inputs(self) -> str:
        ground = self.known[ground_task(self.job).id]
        weather = sorted(e.stamp for e in self.known.values() if e.item.startswith("weather-"))
        return digest_of([ground.stamp, weather])

    def _climate_is_known(self) -> bool:
        entry = self.known.get(_CLIMATE)
        return entry is not None and entry.inputs == self._climate_inputs()

    def _attempt_climate(self) -> None:
        try:
            self._climate()
        except ArchiveError as error:
            self.outcome.failed.append(
                IngestEntry(_CLIMATE, self.job.run, "failed", "", "", error=str(error))
            )

    def _climate(self) -> None:
        """Which nodes are land and, where no map says, the climate: both follow from weather."""
        if self._climate_is_known():
            return
        self.ledger.forget(_CLIMATE)
        root: Any = zarr.open_group(self.job.cube, mode="r+")
        land = node_land(root["meteo"], self.job.drivers, self.job.block)
        if not land.any():
            raise ArchiveError("meteo: expected some day with values, found none; see the faults")
        put_land(root["meteo"], land)
        outputs = {"meteo/land": bytes_digest(land)}
        if self.job.ground.koppen is None:
            koppen = climate_of(series_of(self.job.cube, "meteo"), self.job.grid)
            root["static/koppen"][...] = koppen
            outputs["static/koppen"] = bytes_digest(koppen)
        inputs = self._climate_inputs()
        entry = IngestEntry(_CLIMATE, self.job.run, "done", inputs, now(), outputs, finished=now())
        self.ledger.write(entry)
        self.known[_CLIMATE] = entry

    def _close(self) -> None:
        """Seal the cube with the digest of all its values."""
        tasks = self._all_tasks()
        assert tasks is not None
        arrays: dict[str, list[str]] = defaultdict(list)
        for task in tasks:
            if task.item.kind != "granules":  # filling tells of the same chunks
                for name, digest in self.known[task.id].outputs.items():
                    arrays[name].append(digest)
        outputs = {name: combined(digests) for name, digests in arrays.items()}
        content = [self.scan.ingest.layout(), self.job.count]
        climate = self.known[_CLIMATE].outputs
        attributes = zarr.open_group(self.job.cube, mode="r+").attrs
        attributes.update({"source": _source(self.scan), "title": self.scan.ingest.title})
        digest = digest_of([content, outputs, climate])
        self.outcome.digest = seal(self.job.cube, digest)


_CLIMATE = "climate"


def _was_created(job: IngestJob) -> bool:
    return bool(zarr.open_group(job.cube, mode="r").attrs.get("ingest_digest"))


def _source(scan: Scan) -> str:
    """Products of a cube in words."""
    names = [scan.weather.product]
    names += [name for held in scan.holdings for name in held.products]
    return ", ".join(dict.fromkeys(names))


def _entries(
    client: Client, retries: int, job: IngestJob, tasks: Sequence[IngestTask]
) -> Iterable[IngestEntry]:
    """What became of each task, as they end."""

    def submit(task: IngestTask, tried: int) -> Any:
        key = f"ingest-{task.id}-{task.inputs[:8]}-{tried}"
        return client.submit(process, job, task, key=key, pure=False)

    window = SubmissionQueue(client, submit, retries, final=(ArchiveError,))
    try:
        for task, future in window.results(tasks):
            entry = result_of(future, client, partial(failed_entry, job, task))
            if entry.status == "failed" and window.again(task, future):
                continue
            yield entry
    except (CancelledError, CommClosedError) as error:
        raise lost(error) from None
