"""The life of an ingest: scan, ground, series, gaps, climate, seal; any step may be repeated.

What was done and has not changed since is not done again: an entry of the ledger counts where
it was made from the same inputs. So a killed ingest goes on, and one with more days, or with
granules that were made anew, does what follows from these alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from distributed import Client

from upscale.drivers.writer import unseal
from upscale.ingest.climate import CLIMATE, climate_is_known, derive_climate, failed_climate
from upscale.ingest.cube import (
    check_cube,
    create,
    grow,
    has_grown,
    seal_cube,
    sealed_digest,
    tasks_of_lost_chunks,
    was_created,
)
from upscale.ingest.entry import IngestEntry, IngestLedger
from upscale.ingest.plan import (
    IngestJob,
    IngestTask,
    gap_tasks,
    granule_tasks,
    ground_task,
    left_of,
    weather_tasks,
)
from upscale.ingest.scan import HEADERS, Scan
from upscale.ingest.worker import failed_entry, process
from upscale.jobs.claim import claimed
from upscale.jobs.cluster import connect
from upscale.jobs.loop import Attempts, enter, entries_of
from upscale.jobs.progress import Progress
from upscale.jobs.queue import Future
from upscale.remote.errors import ArchiveError
from upscale.stores.location import is_url


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

#: Entries of the ledger by work item; those of this session are added.
Known = dict[str, IngestEntry]


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
        known = ledger.entries(scan.job.run)
        _forget_lost(scan, ledger, known)
        nothing_to_do = _up_to_date(scan, known)
        if nothing_to_do is not None:
            return nothing_to_do
        with ExitStack() as stack:
            chosen = runner or stack.enter_context(_cluster(scan, progress))
            ledger.tidy()
            outcome = _bring_up_to_date(_Attempt(scan, ledger, known, chosen, progress))
        ledger.tidy(0)
        return outcome


@contextmanager
def _cluster(scan: Scan, progress: Progress) -> Iterator[Runner]:
    """Does tasks on the cluster of an ingest, with logs beside the ledger."""
    ledger = IngestLedger(scan.job.cube).url
    logs = None if is_url(ledger) else Path(ledger) / "logs"
    progress.stage("starting cluster")
    with connect(scan.ingest.cluster, logs, tasks=1) as client:
        yield partial(on_cluster, client, scan.ingest.retries)


def on_cluster(
    client: Client, retries: int, job: IngestJob, tasks: Sequence[IngestTask]
) -> Iterator[IngestEntry]:
    def submit(task: IngestTask, tried: int) -> Future:
        key = f"ingest-{task.id}-{task.inputs[:8]}-{tried}"
        return client.submit(process, job, task, key=key, pure=False)

    attempts = Attempts(retries, final=(ArchiveError,))
    return entries_of(client, tasks, submit, partial(failed_entry, job), attempts)


def _up_to_date(scan: Scan, known: Known) -> IngestOutcome | None:
    """The outcome where a sealed cube holds all that the archive gives; nothing is touched then."""
    job, digest = scan.job, sealed_digest(scan.job)
    ground = known.get(ground_task(job).id)
    if digest is None or ground is None:
        return None
    tasks = _all_tasks(scan, ground, known)
    if left_of(tasks, known) or not climate_is_known(job, known) or not has_grown(job):
        return None
    return IngestOutcome(kept=len(tasks), digest=digest, faults=_left_out(tasks, known))


def _forget_lost(scan: Scan, ledger: IngestLedger, known: Known) -> None:
    """Forget what was done of chunks of a sealed cube that are not there any more."""
    ground = known.get(ground_task(scan.job).id)
    if ground is None:
        return
    for item in tasks_of_lost_chunks(scan.job, _all_tasks(scan, ground, known)):
        ledger.forget(item)
        known.pop(item, None)


def _all_tasks(scan: Scan, ground: IngestEntry, known: Known) -> list[IngestTask]:
    """Every task of an ingest whose static layers are there."""
    first = [ground_task(scan.job), *_series_tasks(scan, ground)]
    return [*first, *gap_tasks(scan.job, first, known)]


def _series_tasks(scan: Scan, ground: IngestEntry) -> list[IngestTask]:
    memory = int(scan.ingest.memory * 2**30)
    land = ground.outputs["static/sftlf"]
    return [
        *weather_tasks(scan.job, scan.weather, memory),
        *granule_tasks(scan.job, scan.holdings, land, memory),
    ]


def _left_out(tasks: Iterable[IngestTask], known: Known) -> list[tuple[str, str]]:
    """Files that tasks left out and why, also in former sessions."""
    entries = (known[task.id] for task in tasks if task.id in known)
    return [(file, why) for entry in entries for file, why in entry.faults]


@dataclass(frozen=True)
class _Attempt:
    """One attempt at an ingest: what is known, and where the work is done."""

    scan: Scan
    ledger: IngestLedger
    known: Known
    runner: Runner
    progress: Progress
    outcome: IngestOutcome = field(default_factory=IngestOutcome)

    def do(self, stage: str, tasks: Sequence[IngestTask]) -> bool:
        """Do what is left of a stage; False where something failed."""
        left = left_of(tasks, self.known)
        self.outcome.kept += len(tasks) - len(left)
        if left:
            self.progress.stage(stage)
            self.progress.start(len(tasks), len(tasks) - len(left))
            ended = enter(self.runner(self.scan.job, left), self.ledger, self.progress)
            self.known.update({entry.item: entry for entry in ended.done})
            self.outcome.done += ended.done
            self.outcome.failed += ended.failed
        self.outcome.faults += _left_out(tasks, self.known)
        return not self.outcome.failed


def _bring_up_to_date(attempt: _Attempt) -> IngestOutcome:
    """Do all that is left, stage by stage, and seal the cube where nothing failed.

    The order matters: granules are read where the maps say that land is, so the maps come first.
    The cube is unsealed when there is something to do and before anything of it changes, and
    entries of another plan are forgotten before the groups grow and their chunks are written over.
    """
    scan, known, job = attempt.scan, attempt.known, attempt.scan.job
    attempt.progress.stage("opening cube")
    if not was_created(job):
        attempt.ledger.clear()  # of a cube that somebody removed
        known.clear()
        create(scan)
    ground = ground_task(job)
    if not attempt.do("reading maps", [ground]):
        return attempt.outcome
    unseal(job.cube)
    series = _series_tasks(scan, known[ground.id])
    _forget_others(attempt, [ground, *series, *gap_tasks(job, [], known)])
    grow(job)
    if not attempt.do("reading archives", series):
        return attempt.outcome
    gaps = gap_tasks(job, series, known)
    if attempt.do("filling gaps", gaps) and _settle_climate(attempt):
        tasks = [ground, *series, *gaps]
        attempt.outcome.digest = seal_cube(scan, tasks, known, known[CLIMATE])
    return attempt.outcome


def _forget_others(attempt: _Attempt, tasks: Sequence[IngestTask]) -> None:
    """Forget what was done under another plan: its chunks are cut in another way, or belong
    to a source that is gone, and are written over now."""
    kept = {task.id for task in tasks} | {CLIMATE}
    for item in attempt.known.keys() - kept:
        attempt.ledger.forget(item)
        del attempt.known[item]


def _settle_climate(attempt: _Attempt) -> bool:
    """Derive the climate where it is not known; False where the weather does not tell it, or
    cannot be read."""
    job, known = attempt.scan.job, attempt.known
    attempt.progress.stage("climate")
    if climate_is_known(job, known):
        return True
    try:
        known[CLIMATE] = derive_climate(job, attempt.ledger, known)
    except (ArchiveError, OSError) as error:
        attempt.outcome.failed.append(failed_climate(job, error))
        return False
    return True
