"""A fetch: missing files are listed, copied by a few threads, verified, renamed and recorded."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from upscale.fetch.available import AvailableFile
from upscale.fetch.earthdata import log_in
from upscale.fetch.granules import GranuleKey
from upscale.fetch.ledger import FetchedFile, FetchLedger
from upscale.fetch.plan import FetchPlan
from upscale.fetch.progress import FetchProgress
from upscale.remote.catalogue import Downloader
from upscale.remote.copies import discard
from upscale.remote.errors import ArchiveError
from upscale.remote.pace import Pace, StoppedError
from upscale.remote.redaction import redact
from upscale.remote.retries import PATIENCE, Patience


@dataclass(frozen=True)
class Speed:
    """How much is asked of servers. parallel: files at a time; per_second: requests for all files
    together; patience: for each request."""

    parallel: int = 4
    per_second: float = 5.0
    patience: Patience = PATIENCE


@dataclass(frozen=True)
class Failure:
    """A file, or a whole entry, that was not fetched, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class FetchOutcome:
    """The result of a fetch. absent: granules that are due and that no catalogue has."""

    fetched: tuple[FetchedFile, ...]
    absent: tuple[GranuleKey, ...]
    failed: tuple[Failure, ...]


@dataclass(frozen=True)
class _Task:
    """A file to fetch; before: what was under its name when it was planned."""

    file: AvailableFile
    downloader: Downloader
    ledger: FetchLedger
    before: tuple[int, ...]

    @property
    def target(self) -> Path:
        return self.ledger.folder / self.file.name


def fetch(plan: FetchPlan, progress: FetchProgress, speed: Speed = Speed()) -> FetchOutcome:
    """Download what a plan says is missing. A file or an entry that fails stops no other one.

    Raises ArchiveError where another fetch works in one of the folders. On KeyboardInterrupt each
    thread ends after its current piece; what has come stays for the next fetch.
    """
    pace = Pace(speed.per_second)
    ledgers = {folder: FetchLedger(folder) for folder in plan.folders}
    with ExitStack() as held:
        for ledger in ledgers.values():
            held.enter_context(ledger.held())
        tasks, absent, failed = _tasks_of(plan, ledgers, pace, progress, speed)
        sizes = [task.file.size for task in tasks]
        known = None if None in sizes else sum(size for size in sizes if size is not None)
        progress.start(len(tasks), known)
        records, unfetched = _run_tasks(tasks, pace, progress, speed.parallel)
    return FetchOutcome(tuple(records), tuple(absent), (*failed, *unfetched))


def _tasks_of(
    plan: FetchPlan,
    ledgers: dict[Path, FetchLedger],
    pace: Pace,
    progress: FetchProgress,
    speed: Speed,
) -> tuple[list[_Task], list[GranuleKey], list[Failure]]:
    """A task for each missing file that the sources have."""
    tasks: dict[Path, _Task] = {}  # two entries may name one folder and one product
    absent: list[GranuleKey] = []
    failed: list[Failure] = []
    for request in plan.requests:
        if not request.missing:
            continue
        ledger = ledgers[request.folder.absolute()]
        try:
            listing = request.listing(pace, speed.patience)
            downloader = Downloader(ledger.parts, pace, speed.patience, progress.came)
            if listing.files and request.account:
                downloader = replace(downloader, auth=log_in())
        except StoppedError:
            raise
        except Exception as error:  # one entry that fails stops no other one
            failed.append(_failure(request.title, error))
            continue
        for file in listing.files:
            task = _Task(file, downloader, ledger, _fingerprint(ledger.folder / file.name))
            tasks.setdefault(task.target, task)
        absent += listing.absent
    return list(tasks.values()), absent, failed


def _fingerprint(path: Path) -> tuple[int, ...]:
    """What differs between two files of the same name; () where there is no file."""
    try:
        found = path.lstat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _run_tasks(
    tasks: Sequence[_Task], pace: Pace, progress: FetchProgress, parallel: int
) -> tuple[list[FetchedFile], list[Failure]]:
    """Run the tasks in a few threads; whatever ends the fetch stops the other threads, too."""
    records: list[FetchedFile] = []
    failed: list[Failure] = []
    with ThreadPoolExecutor(parallel, thread_name_prefix="fetch") as pool:
        running = {pool.submit(_fetch_one, task): task for task in tasks}
        try:
            for future in as_completed(running):
                name = running[future].file.name
                result = _result_of(future, name)
                progress.ended(name, result.reason if isinstance(result, Failure) else "")
                if isinstance(result, Failure):
                    failed.append(result)
                else:
                    records.append(result)
        except BaseException:
            pace.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return records, failed


def _fetch_one(task: _Task) -> FetchedFile:
    task.downloader.pace.check()
    part = task.file.download(task.downloader)
    if _fingerprint(task.target) != task.before:
        discard(part)
        raise ArchiveError(
            f"{task.target}: expected no other file of this name to appear during the fetch, "
            "found one, which is left as it is; fetch again to see whether it is usable"
        )
    return task.ledger.keep(part, task.file.name, task.file.source)


def _result_of(future: Future[FetchedFile], name: str) -> FetchedFile | Failure:
    """The record of a file, or why it failed; an error of any kind stops no other file."""
    try:
        return future.result()
    except StoppedError:
        raise
    except Exception as error:
        return _failure(name, error)


def _failure(name: str, error: Exception) -> Failure:
    kind = "" if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: "
    return Failure(name, f"{kind}{redact(str(error))}")
