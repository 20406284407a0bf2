"""Objects in cloud buckets (s3, gs, az), listed like folders and read in ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import format_datetime
from functools import partial
from typing import Any, TypeVar

import fsspec

from upscale.remote.errors import ArchiveError, RemoteError, WrongFileError
from upscale.remote.folders import DirectoryEntry, with_store_stamp
from upscale.remote.http import Opened
from upscale.remote.locations import scheme_of
from upscale.remote.redaction import redact
from upscale.remote.retries import Patience, TransientError, retried

T = TypeVar("T")

#: Schemes of buckets and the packages that fsspec reads them with.
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}
#: Bytes of an object that are read at once.
_CHUNK = 16 * 2**20


def bucket_system(scheme: str) -> Any:
    """The file system of a kind of bucket; ArchiveError names the package that it needs."""
    try:
        system = fsspec.filesystem(scheme)
    except ImportError:
        raise ArchiveError(
            f"{scheme}://: expected the package {PACKAGES[scheme]!r}, found none; install it "
            f"with: pip install {PACKAGES[scheme]}"
        ) from None
    system.invalidate_cache()
    return system


def tried(url: str, call: Callable[[], T]) -> T:
    """One try of a call to a bucket; TransientError where it may be tried again."""
    try:
        return call()
    except FileNotFoundError:
        raise
    except Exception as error:  # each cloud has its own kinds of errors
        kind = type(error).__name__
        if isinstance(error, PermissionError) or "Credential" in kind or "Auth" in kind:
            raise RemoteError(
                f"{redact(url)}: expected to be let in, found {kind} ({redact(str(error))}); check "
                "the name and the credentials in the environment"
            ) from None
        raise TransientError(f"{kind} ({error})") from None


@dataclass(frozen=True)
class Bucket:
    """Objects of s3, gs or az; each "/" in a name makes a folder."""

    scheme: str
    system: Any
    patience: Patience
    listed: dict[str, list[DirectoryEntry]] = field(default_factory=dict)
    recursive: bool = True

    def entry(self, url: str) -> DirectoryEntry | None:
        try:
            info = retried(lambda: tried(url, lambda: self.system.info(url)), self.patience, url)
        except FileNotFoundError:
            return None
        return self._entry(info)

    def children(self, url: str) -> list[DirectoryEntry]:
        if url not in self.listed:
            self.listed[url] = retried(lambda: self._children(url), self.patience, url)
        return self.listed[url]

    def detailed(self, entries: Sequence[DirectoryEntry]) -> list[DirectoryEntry]:
        return [with_store_stamp(self, entry) for entry in entries]

    def _children(self, url: str) -> list[DirectoryEntry]:
        try:
            rows = tried(url, lambda: self.system.ls(url, detail=True))
        except FileNotFoundError:
            return []
        found = [self._entry(row) for row in rows if not row["name"].endswith("/")]
        return [row for row in found if row.url != url.rstrip("/")]

    def _entry(self, info: dict[str, Any]) -> DirectoryEntry:
        url = f"{self.scheme}://{info['name'].rstrip('/')}"
        if info["type"] == "directory":
            return DirectoryEntry(url, folder=True)
        return DirectoryEntry(url, False, int(info["size"] or 0), stamp_of(info))


def stamp_of(info: dict[str, Any]) -> str:
    """What changes with an object: its ETag, else the time of its last change."""
    tag = next((info[key] for key in ("ETag", "etag") if info.get(key)), "")
    if tag:
        return f'"{tag.strip(chr(34))}"'
    changed = next((info[key] for key in ("LastModified", "last_modified") if key in info), None)
    return format_datetime(changed, usegmt=True) if changed is not None else ""


def open_object(url: str, start: int, stamp: str) -> Opened:
    """One try to read an object from byte `start` on, or from 0 where it is no longer the same.

    Raises WrongFileError where it is not the listed one, TransientError for what may be tried
    again.
    """
    scheme = scheme_of(url)
    system = bucket_system(scheme)
    try:
        info = tried(url, lambda: system.info(url))
    except FileNotFoundError:
        raise RemoteError(f"{redact(url)}: expected a file, found none; list it again") from None
    size, now = int(info["size"] or 0), stamp_of(info)
    if stamp.startswith('"') and now != stamp:
        raise WrongFileError(f"{redact(url)}: expected the file as it was listed ({stamp}), found "
                             f"another ({now}); list it again")  # fmt: skip
    begin = start if now == stamp else 0
    return Opened(begin, size, now, _chunks(system, url, begin, size, now))


def _chunks(system: Any, url: str, start: int, size: int, stamp: str) -> Iterator[bytes]:
    for at in range(start, size, _CHUNK):
        end = min(at + _CHUNK, size)
        yield tried(url, partial(_read_range, system, url, at, end))
    system.invalidate_cache()
    if stamp_of(tried(url, lambda: system.info(url))) != stamp:
        raise WrongFileError(
            f"{redact(url)}: expected one state of the file, found that it changed while it was "
            "read; list it again"
        )


def _read_range(system: Any, url: str, start: int, end: int) -> bytes:
    return bytes(system.cat_file(url, start=start, end=end))
