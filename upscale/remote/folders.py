"""What a listing needs to know of a file system, and the file system of this machine."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import unquote

from upscale.remote.locations import STORE_FILES, scheme_of


@dataclass(frozen=True)
class DirectoryEntry:
    """A file or folder; size (bytes) and stamp are -1 and "" where they are not known yet."""

    url: str
    folder: bool
    size: int = -1
    stamp: str = ""

    @property
    def name(self) -> str:
        """The last part of its URL, as it is published."""
        last = self.url.rstrip("/").rpartition("/")[2]
        return unquote(last) if scheme_of(self.url) in ("http", "https") else last


class FileSystem(Protocol):
    """One file system. recursive: a folder stands for all files below it, at any depth."""

    @property
    def recursive(self) -> bool: ...

    def entry(self, url: str) -> DirectoryEntry | None:
        """The file or folder at a URL, None where there is none."""
        ...

    def children(self, url: str) -> list[DirectoryEntry]:
        """The files and folders in a folder; nothing where there is none."""
        ...

    def detailed(self, entries: Sequence[DirectoryEntry]) -> list[DirectoryEntry]:
        """The same entries with size and stamp."""
        ...


@dataclass(frozen=True)
class Disk:
    """Local folders; links are followed."""

    recursive: bool = True

    def entry(self, url: str) -> DirectoryEntry | None:
        path = os.path.abspath(url.removeprefix("file://"))
        try:
            return _entry_on_disk(path, os.stat(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def children(self, url: str) -> list[DirectoryEntry]:
        with os.scandir(url) as rows:
            paths = sorted(row.path for row in rows)
        found = map(self.entry, paths)
        return [row for row in found if row is not None and (row.folder or row.size >= 0)]

    def detailed(self, entries: Sequence[DirectoryEntry]) -> list[DirectoryEntry]:
        return [with_store_stamp(self, entry) for entry in entries]


def _entry_on_disk(path: str, found: os.stat_result) -> DirectoryEntry | None:
    """A file or folder, None for a socket and the like."""
    if modes.S_ISDIR(found.st_mode):
        return DirectoryEntry(path, folder=True)
    regular = modes.S_ISREG(found.st_mode)
    return DirectoryEntry(path, False, found.st_size, str(found.st_mtime_ns)) if regular else None


def with_store_stamp(system: FileSystem, entry: DirectoryEntry) -> DirectoryEntry:
    """A Zarr store with the stamp of its metadata; a file as it is."""
    if not entry.folder:
        return entry
    inner = [system.entry(f"{entry.url.rstrip('/')}/{name}") for name in STORE_FILES]
    return replace(entry, size=0, stamp=next((row.stamp for row in inner if row), ""))
