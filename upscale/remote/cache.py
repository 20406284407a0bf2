"""Copies of remote files in one folder of bounded size, shared by many processes.

Each copy is in a folder of its own, `DIGEST-BYTES`, under its published name. Three locks (flock,
which the system drops when a process dies) keep processes apart:

- `.lock` of the cache is held while copies are entered, counted or removed, not while fetched;
- `.use` of a copy is shared by all processes that read or fetch it; a process that gets it alone
  may remove the copy;
- `.fetch` of a copy is held by the one process that fetches it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from upscale.remote.copies import download
from upscale.remote.errors import ArchiveError
from upscale.remote.locations import Hosts, check_location, is_store, name_of, scheme_of
from upscale.remote.redaction import redact
from upscale.remote.retries import PATIENCE, Patience

_ENTRY = re.compile(r"[0-9a-f]{32}-(\d+)")


@dataclass(frozen=True)
class Cache:
    """Local copies of remote files; the least recently used are removed first.

    folder: on a disk of this machine, made where missing, for its owner alone; a folder that
    belongs to somebody else or that all may write to is refused. Other files in it are left alone.
    limit: bytes that all copies may take; it is exceeded only while all copies are in use, as these
    are never removed. hosts: as in `expand`.
    """

    folder: Path
    limit: int
    hosts: Hosts = None
    patience: Patience = PATIENCE

    @contextmanager
    def local(self, url: str, *, size: int, stamp: str) -> Iterator[Path]:
        """A local path of a file: its own, or that of a copy, which stays until the block ends.

        size (bytes) and stamp are those of `expand`; with another one the copy is another. Raises
        ArchiveError for a folder that is refused, for a file that is larger than the limit, for a
        Zarr store (read it in place) and for a file that is not the listed one, RemoteError where
        it cannot be fetched.
        """
        check_location(url, self.hosts)
        if scheme_of(url) in ("", "file"):
            yield Path(url.removeprefix("file://"))
            return
        self._check_fits(url, size)
        with self._entered(url, size, stamp) as entry:
            yield self._whole(entry, url, size, stamp)

    def _check_fits(self, url: str, size: int) -> None:
        if is_store(url):
            raise ArchiveError(
                f"{redact(url)}: expected a file, found a Zarr store; read it in place"
            )
        if size > self.limit:
            raise ArchiveError(
                f"{redact(url)}: expected a file of at most {self.limit} bytes, found {size}; "
                f"raise the limit of the cache in {self.folder} to {size} or more"
            )

    @contextmanager
    def _entered(self, url: str, size: int, stamp: str) -> Iterator[Path]:
        """The folder of a copy, held against removal."""
        key = hashlib.sha256(f"{url}\n{size}\n{stamp}".encode()).hexdigest()[:32]
        entry = self.folder / f"{key}-{size}"
        self._make_folder()
        with self._alone():
            entry.mkdir(exist_ok=True)
            use = _opened(entry / ".use")
            fcntl.flock(
                use, fcntl.LOCK_SH
            )  # no wait: it is held alone only under the lock of the cache
            _touch(use)
        try:
            yield entry
        finally:
            _touch(use)
            os.close(use)
            with self._alone():
                self._make_room()
                _remove_if_empty(entry)

    def _make_folder(self) -> None:
        """Make the folder, or refuse one in which others could replace what a server gave."""
        if not self.folder.exists():
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
        found = self.folder.stat()
        if found.st_uid not in (os.getuid(), 0) or found.st_mode & stat.S_IWOTH:
            raise ArchiveError(
                f"{self.folder}: expected a folder for the cache that is yours and that not all "
                "may write to, found another; name a new folder in it"
            )

    def _whole(self, entry: Path, url: str, size: int, stamp: str) -> Path:
        """The copy in its folder, fetched by one process while the others wait."""
        path = entry / name_of(url)
        if _is_whole(path, size):
            return path
        with _locked(entry / ".fetch"):
            if not _is_whole(path, size):
                with self._alone():
                    self._make_room()
                download(url, path, size=size, stamp=stamp, hosts=self.hosts,
                         patience=self.patience)  # fmt: skip
        return path

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with _locked(self.folder / ".lock"):
            yield

    def _make_room(self) -> None:
        """Remove unused copies, the oldest first, until all that are there fit.

        A copy counts in full as soon as it is entered, so that what is yet to come has room.
        """
        sizes = {entry: int(found[1]) for entry in self.folder.iterdir()
                 if (found := _ENTRY.fullmatch(entry.name))}  # fmt: skip
        excess = sum(sizes.values()) - self.limit
        for entry in sorted(sizes, key=_last_use) if excess > 0 else ():
            if excess > 0 and _removed(entry):
                excess -= sizes[entry]


def _is_whole(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    file = _opened(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def _touch(file: int) -> None:
    now = time.time_ns()  # the clock of the system's own stamps is too coarse to order uses
    os.utime(file, ns=(now, now))


def _last_use(entry: Path) -> int:
    try:
        return (entry / ".use").stat().st_mtime_ns
    except FileNotFoundError:  # its process died before it could enter
        return 0


def _removed(entry: Path) -> bool:
    """Remove a copy that nobody uses; False for one in use. Call it under the lock of the cache."""
    use = _opened(entry / ".use")
    try:
        fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(entry)
    except BlockingIOError:
        return False
    finally:
        os.close(use)
    return True


def _remove_if_empty(entry: Path) -> None:
    """Remove a copy of which nothing has come. Call it under the lock of the cache."""
    with suppress(FileNotFoundError):
        if {row.name for row in entry.iterdir()} <= {".use", ".fetch"}:
            _removed(entry)
