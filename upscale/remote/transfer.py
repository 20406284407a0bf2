"""One file from a server to this machine: gone on with after any end, and verified when whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from requests.auth import AuthBase

from upscale.remote.checksums import Checksum
from upscale.remote.errors import ArchiveError
from upscale.remote.http import Client, Opened, validates
from upscale.remote.pace import Pace, PacedSession
from upscale.remote.redaction import redact
from upscale.remote.retries import PATIENCE, Patience, TransientError, retried
from upscale.stores.files import first_bytes, take_place

#: First bytes of the kinds of files that are fetched; any of them will do.
STARTS = {
    "HDF4": (b"\x0e\x03\x13\x01",),
    "HDF5": (b"\x89HDF\r\n\x1a\n",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "NetCDF, GRIB or ZIP": (b"CDF", b"\x89HDF", b"PK\x03\x04", b"GRIB"),
}

#: Bytes of the largest file of each kind: a tile, a granule, a month of hours of the whole Earth.
LARGEST = {"HDF4": 2**32, "HDF5": 2**34, "TIFF": 2**32, "NetCDF, GRIB or ZIP": 2**38}


@dataclass(frozen=True)
class Remote:
    """A file as a catalogue lists it.

    hosts: that it may lie at and lead to. kind: of `STARTS`, what its first bytes must say. size
    (bytes) and checksum: None where the catalogue has none. sign: makes the URL one that may be
    read; what it adds is a secret.
    """

    url: str
    hosts: tuple[str, ...]
    kind: str
    size: int | None = None
    checksum: Checksum | None = None
    sign: Callable[[str], str] | None = None

    @property
    def source(self) -> str:
        """Where it lies, without what could be a secret."""
        return urlsplit(self.url)._replace(query="", fragment="").geturl()

    def fault_of(self, path: Path) -> str:
        """What is wrong with a copy, "" for a good one."""
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            return f"expected {self.size} bytes as listed, found {size}"
        start = first_bytes(str(path))
        if not start.startswith(STARTS[self.kind]):
            page = start.lstrip()[:1] in (b"<", b"{")
            return f"expected {self.kind}, found " + (
                "a page of text; check your account" if page else f"{start[:8]!r}"
            )
        if self.checksum is not None and (found := self.checksum.of(path)) != self.checksum:
            return f"expected {self.checksum} as listed, found {found.digits}"
        return ""


@dataclass(frozen=True)
class _Note:
    """What is known of a copy in the making, kept beside it; size: of the whole, -1 untold."""

    source: str = ""
    stamp: str = ""
    size: int = -1


@dataclass(frozen=True)
class Carrier:
    """Copies files into a folder of parts. For many threads.

    told: is called with the number of bytes that came. auth: what is added to requests for files.
    """

    parts: Path
    pace: Pace
    patience: Patience = PATIENCE
    told: Callable[[int], None] = field(default=lambda count: None)
    auth: AuthBase | None = None

    def copy(self, remote: Remote, name: str) -> Path:
        """A whole and verified copy, `parts`/`name`.part; one that is wrong is fetched once more.

        Raises ArchiveError where it may not be fetched or is wrong twice, RemoteError where the
        server does not give it, StoppedError at the end of the fetch.
        """
        part = self.parts / f"{name}.part"
        for again in (False, True):
            self._fill(remote, part)
            fault = remote.fault_of(part)
            if not fault:
                break
            discard(part)
            if again:
                raise ArchiveError(f"{redact(remote.url)}: {fault}, twice; try again later")
        return part

    def _fill(self, remote: Remote, part: Path) -> None:
        client = Client(remote.hosts, self.patience, PacedSession(self.pace))
        if self.auth is not None:
            client.session.auth = self.auth
        with client.session:
            retried(lambda: self._go_on(client, remote, part), self.patience, remote.source,
                    self.pace.sleep)  # fmt: skip

    def _go_on(self, client: Client, remote: Remote, part: Path) -> None:
        """One try to make a copy whole; TransientError where it stays short."""
        note, done = _begun(remote, part)
        if done and done == note.size:
            return
        opened = self._open(client, remote, part, done, note.stamp)
        size = opened.size if opened.size is not None else remote.size
        _check_fits(remote, size)
        _write_note(part, _Note(remote.source, opened.stamp, -1 if size is None else size))
        with part.open("r+b" if opened.start else "wb") as file:
            file.seek(opened.start)
            file.truncate()
            for chunk in self._within(remote, opened.chunks, opened.start, size):
                file.write(chunk)
            if size is not None and file.tell() < size:
                raise TransientError(f"{file.tell()} of {size} bytes")
            file.flush()
            os.fsync(file.fileno())  # whole also after the machine went down

    def _open(self, client: Client, remote: Remote, part: Path, done: int, stamp: str) -> Opened:
        """The file from where the copy ends; from its start where it is another by now."""
        url = remote.url if remote.sign is None else remote.sign(remote.url)
        try:
            return client.open_at(url, done, stamp)
        except ArchiveError:
            if not done:
                raise
            discard(part)
            return client.open_at(url, 0, "")

    def _within(
        self, remote: Remote, chunks: Iterator[bytes], start: int, size: int | None
    ) -> Iterator[bytes]:
        """Pieces of a file; TransientError where there are more than were told."""
        at = start
        for chunk in chunks:
            self.pace.check()
            at += len(chunk)
            if size is not None and at > size:
                raise TransientError(f"more than {size} bytes")
            _check_fits(remote, at)
            self.told(len(chunk))
            yield chunk


def _check_fits(remote: Remote, size: int | None) -> None:
    """ArchiveError where a file is larger than any of its kind, or without an end."""
    largest = LARGEST[remote.kind]
    if size is not None and size > largest:
        raise ArchiveError(
            f"{redact(remote.url)}: expected {remote.kind} of at most {largest} bytes, found more; "
            "do not use this file"
        )


def _begun(remote: Remote, part: Path) -> tuple[_Note, int]:
    """What an earlier try left: its note and bytes; nothing where it cannot be gone on with."""
    note = _read_note(part)
    if note.source != remote.source or not part.exists():
        discard(part)
        return _Note(), 0
    done = part.stat().st_size
    useful = validates(note.stamp) or done == note.size
    return (note, done) if done and useful else (_Note(), 0)


def discard(part: Path) -> None:
    """Remove a copy in the making."""
    part.unlink(missing_ok=True)
    _note_of(part).unlink(missing_ok=True)


def taken(part: Path, target: Path) -> None:
    """Give a whole copy its name, or let a whole file take its place."""
    take_place(part, target)
    for note in (_note_of(part), job_of(part.parent, target.name)):
        note.unlink(missing_ok=True)


def sweep(parts: Path, folder: Path) -> None:
    """Remove the notes of files that got their names just before a fetch was killed."""
    for note in [*parts.glob("*.part.note"), *parts.glob("*.job")]:
        name = note.name.removesuffix(".note").removesuffix(".part").removesuffix(".job")
        if (folder / name).exists() and not (parts / f"{name}.part").exists():
            note.unlink()


def job_of(parts: Path, name: str) -> Path:
    """Where it is noted what a source was asked for a file."""
    return parts / f"{name}.job"


def _note_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.note")


def _read_note(part: Path) -> _Note:
    try:
        return _Note(**json.loads(_note_of(part).read_text()))
    except (OSError, ValueError, TypeError):
        return _Note()


def _write_note(part: Path, note: _Note) -> None:
    _note_of(part).write_text(json.dumps(asdict(note)))
