"""Files that patterns name, on disks, in buckets and behind index pages alike."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from upscale.remote.buckets import PACKAGES, Bucket, bucket_system
from upscale.remote.errors import ArchiveError
from upscale.remote.folders import DirectoryEntry, Disk, FileSystem
from upscale.remote.locations import STORE_FILES, Hosts, check_location, is_store, scheme_of
from upscale.remote.pages import IndexPages
from upscale.remote.redaction import redact
from upscale.remote.retries import PATIENCE, Patience


@dataclass(frozen=True)
class ListedFile:
    """A file, or a Zarr store, which is read in place (`size` 0).

    url: absolute path or URL; size: bytes; stamp: ETag, else the time of the last change, so that
    other content has another one.
    """

    url: str
    size: int
    stamp: str


def expand(
    patterns: Sequence[str], hosts: Hosts = None, patience: Patience = PATIENCE
) -> list[ListedFile]:
    """The files that paths and URLs name, sorted by URL, each once.

    patterns: may contain `*`, `?`, `[...]`, and `**` for any depth; at http(s), where index pages
    are read, only `*` and `[...]`. A folder stands for all files in and below it, at http(s) for
    those of its index page. Hidden files are left out. A Zarr store counts as one file. hosts:
    allowed hosts where a catalogue named the URLs, None where a person did.

    Raises ArchiveError for a location that is not allowed and where nothing is found, RemoteError
    where a server does not answer.
    """
    found: dict[str, ListedFile] = {}
    for pattern in patterns:
        check_location(pattern, hosts)
        system = file_system_of(pattern, hosts, patience)
        entries = {entry.url: entry for entry in matching(system, pattern)}
        if not entries:
            raise ArchiveError(
                f"{redact(pattern)}: expected files, found none; check the name, and that you may "
                "read there"
            )
        rows = system.detailed(list(entries.values()))
        found |= {row.url: ListedFile(row.url, row.size, row.stamp) for row in rows}
    return sorted(found.values(), key=lambda row: row.url)


def file_system_of(location: str, hosts: Hosts, patience: Patience) -> FileSystem:
    """The file system of a path or URL that has been checked."""
    scheme = scheme_of(location)
    if scheme in PACKAGES:
        return Bucket(scheme, bucket_system(scheme), patience)
    return IndexPages(hosts, patience) if scheme in ("http", "https") else Disk()


def matching(system: FileSystem, pattern: str) -> Iterator[DirectoryEntry]:
    """The files and Zarr stores that a pattern names; some may be named twice."""
    root, parts = split_pattern(pattern)
    found = system.entry(root)
    if found is not None:
        for entry in _matching(system, found, parts):
            yield from _files_of(system, entry, ())


def split_pattern(pattern: str) -> tuple[str, list[str]]:
    """The folder in which a pattern starts, and its parts from the first wildcard on."""
    web = scheme_of(pattern) in ("http", "https")
    wild = re.compile(r"[*\[]" if web else r"[*?\[]")
    head, _, path = pattern.rpartition("://") if scheme_of(pattern) else ("", "", pattern)
    parts = path.split("/")
    plain = (web and "?" in path) or os.path.lexists(pattern)
    first = next((at for at, part in enumerate(parts) if at and wild.search(part)), len(parts))
    if not scheme_of(pattern) and wild.search(parts[0]):
        parts, first = [".", *parts], 1
    if plain or first == len(parts):
        return pattern, []
    root = "/".join(parts[:first]) + "/"
    return (f"{head}://{root}" if head else root), [part for part in parts[first:] if part]


def _matching(
    system: FileSystem, entry: DirectoryEntry, parts: Sequence[str]
) -> Iterator[DirectoryEntry]:
    """The entries below an entry that the parts of a pattern name."""
    if not parts or (system.recursive and list(parts) == ["**"]):
        yield entry
    elif parts[0] == "**":
        yield from _at_any_depth(system, entry, parts, ())
    elif entry.folder:
        for row in _visible(system.children(entry.url), parts[0]):
            entered = len(parts) > 1
            if fnmatchcase(row.name, parts[0]) and not (entered and _holds_store(system, row)):
                yield from _matching(system, row, parts[1:])


def _at_any_depth(
    system: FileSystem, entry: DirectoryEntry, parts: Sequence[str], above: tuple[str, ...]
) -> Iterator[DirectoryEntry]:
    """The entries that the parts after `**` name, below an entry and below all its folders."""
    if not system.recursive:
        raise ArchiveError(
            f"{redact(entry.url)}**: expected `*` at http, found `**`; name each level"
        )
    yield from _matching(system, entry, parts[1:])
    here = os.path.realpath(entry.url)
    for row in _visible(system.children(entry.url)) if here not in above else []:
        if row.folder and not _holds_store(system, row):
            yield from _at_any_depth(system, row, parts, (*above, here))


def _files_of(
    system: FileSystem, entry: DirectoryEntry, above: tuple[str, ...]
) -> Iterator[DirectoryEntry]:
    """A file or store itself, the files of a folder; a link back to a folder above is left out."""
    if not entry.folder or is_store(entry.url):
        yield entry
        return
    here = os.path.realpath(entry.url)
    if here in above:
        return
    if _holds_store(system, entry):
        yield entry
        return
    for row in _visible(system.children(entry.url)):
        if system.recursive or not row.folder or is_store(row.url):
            yield from _files_of(system, row, (*above, here))


def _visible(rows: list[DirectoryEntry], pattern: str = "") -> list[DirectoryEntry]:
    return rows if pattern.startswith(".") else [r for r in rows if not r.name.startswith(".")]


def _holds_store(system: FileSystem, entry: DirectoryEntry) -> bool:
    return entry.folder and (
        is_store(entry.url) or any(row.name in STORE_FILES for row in system.children(entry.url))
    )
