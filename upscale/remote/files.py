"""Files of an archive wherever they lie: found by patterns, and copied so that they are whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from upscale.remote.errors import ArchiveError
from upscale.remote.http import Client, Opened, validates
from upscale.remote.listing import PACKAGES, named, open_object, tree_of
from upscale.remote.locations import Hosts, check_catalogue_url, check_place, scheme_of
from upscale.remote.redaction import redact
from upscale.remote.retries import PATIENCE, Patience, TransientError, retried
from upscale.stores.files import take_place


@dataclass(frozen=True)
class Found:
    """A file, or a Zarr store, which is read in place (`size` 0).

    url: absolute path or URL; size: bytes; stamp: ETag, else the time of the last change, so that
    other content has another one.
    """

    url: str
    size: int
    stamp: str


def expand(
    patterns: Sequence[str], hosts: Hosts = None, patience: Patience = PATIENCE
) -> list[Found]:
    """The files that paths and URLs name, sorted by URL, each once.

    patterns: may hold `*`, `?`, `[...]`, and `**` for any depth; at http(s), where index pages are
    read, `*` and `[...]` alone. A folder stands for all files in and below it, at http(s) for those
    of its index page. Hidden files are left out. A Zarr store is one of the found, not entered.
    hosts: allowed hosts of URLs out of catalogues, None where a person named them.

    Raises ArchiveError for a place that is not allowed and where nothing is found, RemoteError
    where a server does not answer.
    """
    found: dict[str, Found] = {}
    for pattern in patterns:
        check(pattern, hosts)
        tree = tree_of(pattern, hosts, patience)
        entries = {entry.url: entry for entry in named(tree, pattern)}
        if not entries:
            raise ArchiveError(
                f"{redact(pattern)}: expected files, found none; check the name, and that you may "
                "read there"
            )
        rows = tree.described(list(entries.values()))
        found |= {row.url: Found(row.url, row.size, row.stamp) for row in rows}
    return sorted(found.values(), key=lambda row: row.url)


def check(location: str, hosts: Hosts = None) -> None:
    """`check_place` where a person named the place, else `check_catalogue_url`."""
    if hosts is None:
        check_place(location)
    else:
        check_catalogue_url(location, hosts)


def download(
    url: str,
    target: Path,
    *,
    size: int | None = None,
    stamp: str = "",
    hosts: Hosts = None,
    patience: Patience = PATIENCE,
) -> None:
    """Copy a remote file to `target`, by way of `target`.part, which a later call goes on with.

    size, stamp: as `expand` gave them; None and "" take the file as it is. hosts: as in `expand`.
    Raises ArchiveError where the file is another by now, RemoteError where it cannot be fetched.
    """
    check(url, hosts)
    client = Client(hosts, patience)
    opened = open_object if scheme_of(url) in PACKAGES else client.open_at
    copy = _Copy(url, target.with_name(f"{target.name}.part"), size, stamp)
    with client.session:
        try:
            retried(lambda: copy.go_on(opened), patience, url)
        except ArchiveError:
            copy.part.unlink(missing_ok=True)
            raise
    take_place(copy.part, target)


@dataclass
class _Copy:
    """A copy in the making; the stamp is that of the first answer where none was listed."""

    url: str
    part: Path
    size: int | None
    stamp: str

    def go_on(self, opened: Callable[[str, int, str], Opened]) -> None:
        """One try to make the copy whole; TransientError where it stays short."""
        done = self.part.stat().st_size if self.part.exists() else 0
        if done and done == self.size and validates(self.stamp):
            return
        source = opened(self.url, done, self.stamp)
        self.stamp = self.stamp if validates(self.stamp) else source.stamp
        if None not in (source.size, self.size) and source.size != self.size:
            raise self._unlike(f"{source.size} bytes")
        with self.part.open("r+b" if done else "wb") as file:
            file.seek(source.start)
            file.truncate()
            self._fill(file, source.chunks, self.size if source.size is None else source.size)

    def _fill(self, file: BinaryIO, chunks: Iterator[bytes], size: int | None) -> None:
        for chunk in chunks:
            self._write(file, chunk)
            if size is not None and file.tell() > size:
                raise self._unlike(f"more than {size} bytes")
        if size is not None and file.tell() < size:
            raise TransientError(f"{file.tell()} of {size} bytes")
        file.flush()
        os.fsync(file.fileno())  # a whole file is one also after the machine went down

    def _write(self, file: BinaryIO, chunk: bytes) -> None:
        try:
            file.write(chunk)
        except OSError as error:
            raise OSError(error.errno, f"cannot write: {error.strerror}", str(self.part)) from None

    def _unlike(self, found: str) -> ArchiveError:
        return ArchiveError(
            f"{redact(self.url)}: expected {self.size} bytes as listed, found {found}; "
            "list it again"
        )
