"""The record of each fetched file in a folder: name, size, sha256, source and time.

`.fetched.jsonl` has one line of JSON for each file; the last line with a name counts. It is hidden,
as an ingest reads all visible files of the folder. It only grows, line by line, so that a fetch
that is killed leaves at most one broken line, which is skipped.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from upscale.remote.checksums import digits_of
from upscale.remote.copies import rename_part
from upscale.remote.errors import ArchiveError

#: The ledger, and the folder of unfinished files; both are hidden from an ingest.
LEDGER, PARTS = ".fetched.jsonl", ".part"


@dataclass(frozen=True)
class FetchedFile:
    """A fetched file. size: bytes; source: URL or request; time: when it was whole, UTC."""

    name: str
    size: int
    sha256: str
    source: str
    time: str

    def fault_of(self, path: Path, *, deep: bool) -> str:
        """What is wrong with the file now, "" if nothing; deep: its checksum is compared, too."""
        size = path.stat().st_size
        if size != self.size:
            return f"expected {self.size} bytes, found {size}"
        if deep and (found := digits_of(path)) != self.sha256:
            return f"expected sha256 {self.sha256}, found {found}"
        return ""


@dataclass(frozen=True)
class FetchLedger:
    """The ledger of a folder, for many threads of one process; `held` keeps other processes out."""

    folder: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def parts(self) -> Path:
        return self.folder / PARTS

    def read(self) -> dict[str, FetchedFile]:
        """Records by file name; none where nothing was fetched yet."""
        path = self.folder / LEDGER
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return {record.name: record for line in lines if (record := _parsed(line)) is not None}

    def keep(self, part: Path, name: str, source: str) -> FetchedFile:
        """Record a whole file, then give it its name: no file gets its name without a record."""
        time = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        record = FetchedFile(name, part.stat().st_size, digits_of(part), source, time)
        with self._lock:
            with (self.folder / LEDGER).open("ab+") as file:
                file.write(_line(file, json.dumps(asdict(record))))
                file.flush()
                os.fsync(file.fileno())
            rename_part(part, self.folder / name)
            job_note_of(self.parts, name).unlink(missing_ok=True)
        return record

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other fetches out of the folder; ArchiveError where one works in it already."""
        self.parts.mkdir(parents=True, exist_ok=True)
        file = os.open(self.parts / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._lock_alone(file)
            self._remove_stale_notes()
            yield
        finally:
            os.close(file)  # drops the lock, as the system does when a process dies

    def _remove_stale_notes(self) -> None:
        """Remove the notes of files that got their names just before a fetch was killed."""
        for note in [*self.parts.glob("*.part.note"), *self.parts.glob("*.job")]:
            name = note.name.removesuffix(".note").removesuffix(".part").removesuffix(".job")
            if (self.folder / name).exists() and not (self.parts / f"{name}.part").exists():
                note.unlink()

    def _lock_alone(self, file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArchiveError(
                f"{self.folder}: expected no other fetch into this folder, found one at work; wait "
                "for its end"
            ) from None


def job_note_of(parts: Path, name: str) -> Path:
    """The file in which it is noted which job makes a file."""
    return parts / f"{name}.job"


def _line(file: BinaryIO, text: str) -> bytes:
    """A new line, also after one that broke off."""
    file.seek(0, os.SEEK_END)
    if file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            return f"\n{text}\n".encode()
    return f"{text}\n".encode()


def _parsed(line: str) -> FetchedFile | None:
    try:
        record = FetchedFile(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    texts = (record.name, record.sha256, record.source, record.time)
    whole = all(isinstance(text, str) for text in texts) and isinstance(record.size, int)
    return record if whole else None
