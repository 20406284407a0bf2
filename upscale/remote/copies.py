"""The one copy of a remote file: resumed after any interruption, never joined of two states.

`pooch` (1.9) does not replace it. It would take away the renaming and the comparison of a checksum
(about 15 lines), but it begins every try from the start, follows redirects without a look at the
host or its address, and has no limit for sizes, slow bodies or changed files.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from upscale.remote.buckets import PACKAGES, open_object
from upscale.remote.errors import ArchiveError, WrongFileError
from upscale.remote.http import Client, Opened, validates
from upscale.remote.locations import Hosts, check_location, scheme_of
from upscale.remote.redaction import redact
from upscale.remote.retries import PATIENCE, Patience, TransientError, retried
from upscale.stores.files import take_place

#: Opens a file from a byte on, if it still has a stamp; as `Client.open_at` does for its URL.
OpenAt = Callable[[int, str], Opened]


def download(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    stamp: str = "",
    hosts: Hosts = None,
    patience: Patience = PATIENCE,
) -> None:
    """Copy a remote file to `target`, by way of `target`.part.

    size (bytes), stamp: as `expand` gave them; None and "" take the file as it is. A later call
    resumes the part if it is given a stamp; a part without a note is then taken for one of the file
    with this stamp. hosts: as in `expand`. Raises ArchiveError where the file is not the listed
    one, RemoteError where it cannot be fetched.
    """
    check_location(url, hosts)
    client = Client(hosts, patience)
    open_url = open_object if scheme_of(url) in PACKAGES else client.open_at
    part = target.with_name(f"{target.name}.part")
    if not validates(stamp):
        discard(part)  # nobody knows whether the file is still the same
    with client.session:
        PartialCopy(part, url, size, stamp).complete(partial(open_url, url), patience)
    rename_part(part, target)


def without_query(url: str) -> str:
    """A URL without what could be a secret."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


@dataclass(frozen=True)
class _Note:
    """What is known of a partial copy, kept in a file beside it. size: of the whole, -1 unknown."""

    source: str
    stamp: str
    size: int


def _no_fault(part: Path) -> str:
    return ""


def _unwatched(count: int) -> None:
    pass


@dataclass(frozen=True)
class PartialCopy:
    """A copy in the making.

    size (bytes), stamp: as listed, None and "" where no listing tells them. kind, largest: what the
    file is, and the bytes that any of its kind may have. fault_of: says what is wrong with a copy
    that has come to its end, "" for a good one. on_bytes: is called with the number of bytes that
    have come, and may raise to end the copy.
    """

    part: Path
    url: str
    size: int | None = None
    stamp: str = ""
    kind: str = "a file"
    largest: int | None = None
    fault_of: Callable[[Path], str] = _no_fault
    on_bytes: Callable[[int], None] = _unwatched

    def complete(
        self, open_at: OpenAt, patience: Patience, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Make the copy whole. A wrong one is removed, one that broke off stays for a later call.

        Raises WrongFileError where it is not the listed file, ArchiveError where it may not be
        fetched or is too large, RemoteError where the server does not give it.
        """
        try:
            retried(lambda: self._resume(open_at), patience, without_query(self.url), sleep)
            fault = self.fault_of(self.part)
            if fault:
                raise WrongFileError(f"{redact(self.url)}: {fault}; try again later")
        except WrongFileError:
            discard(self.part)
            raise

    def _resume(self, open_at: OpenAt) -> None:
        """One try to make the copy whole; TransientError where it stays short."""
        note, done = self._begun()
        if done and done == note.size and self.size in (None, done):
            return
        opened = open_at(done, note.stamp)
        if opened.size is not None and self.size not in (None, opened.size):
            raise self._wrong_file(f"{self.size} bytes as listed", f"{opened.size} bytes")
        size = self.size if opened.size is None else opened.size
        self._check_largest(size or 0)
        stamp = self.stamp if validates(self.stamp) else opened.stamp
        _write_note(self.part, _Note(without_query(self.url), stamp, -1 if size is None else size))
        with self.part.open("r+b" if opened.start else "wb") as file:
            file.seek(opened.start)
            file.truncate()
            self._append(file, opened.chunks, size)

    def _begun(self) -> tuple[_Note, int]:
        """What is known of the copy and the bytes of it that can be used; any other part goes."""
        source, listed = without_query(self.url), validates(self.stamp)
        known = _Note(source, self.stamp, -1 if self.size is None else self.size)
        note = _read_note(self.part) or (known if listed else None)
        done = self.part.stat().st_size if self.part.exists() else 0
        if done and note is not None and note.source == source:
            same = note.stamp == self.stamp if listed else validates(note.stamp)
            if same or (done == note.size and not listed):
                return note, done
        discard(self.part)
        return known, 0

    def _append(self, file: BinaryIO, chunks: Iterator[bytes], size: int | None) -> None:
        """Write what comes; a server that sends more or less than it said is not believed."""
        for chunk in chunks:
            self.on_bytes(len(chunk))
            end = file.tell() + len(chunk)
            if size is not None and end > size:
                raise self._wrong_file(f"{size} bytes as listed", "more")
            self._check_largest(end)
            self._write(file, chunk)
        if size is not None and file.tell() < size:
            raise TransientError(f"{file.tell()} of {size} bytes")
        file.flush()
        os.fsync(file.fileno())  # a whole file stays one if the machine goes down

    def _write(self, file: BinaryIO, chunk: bytes) -> None:
        try:
            file.write(chunk)
        except OSError as error:
            raise OSError(error.errno, f"cannot write: {error.strerror}", str(self.part)) from None

    def _check_largest(self, size: int) -> None:
        """ArchiveError where a file is larger than any of its kind, or without an end."""
        if self.largest is not None and size > self.largest:
            discard(self.part)
            raise ArchiveError(
                f"{redact(self.url)}: expected {self.kind} of at most {self.largest} bytes, found "
                "more; do not use this file"
            )

    def _wrong_file(self, expected: str, found: str) -> WrongFileError:
        return WrongFileError(
            f"{redact(self.url)}: expected {expected}, found {found}; list it again"
        )


def rename_part(part: Path, target: Path) -> None:
    """Give a whole copy its name; a file of that name is replaced."""
    take_place(part, target)
    note_of(part).unlink(missing_ok=True)


def discard(part: Path) -> None:
    """Remove a partial copy."""
    part.unlink(missing_ok=True)
    note_of(part).unlink(missing_ok=True)


def note_of(part: Path) -> Path:
    """The file in which it is noted what a partial copy is of."""
    return part.with_name(f"{part.name}.note")


def _read_note(part: Path) -> _Note | None:
    try:
        return _Note(**json.loads(note_of(part).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _write_note(part: Path, note: _Note) -> None:
    note_of(part).write_text(json.dumps(asdict(note)))
