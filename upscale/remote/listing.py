"""Folders on disks, in buckets and behind index pages, listed alike."""

from __future__ import annotations

import os
import re
import stat as modes
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from fnmatch import fnmatchcase
from functools import partial
from html.parser import HTMLParser
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote, urljoin, urlsplit

import fsspec

from upscale.remote.errors import ArchiveError, RemoteError
from upscale.remote.http import Client, Head, Opened
from upscale.remote.locations import STORE_FILES, Hosts, is_store, scheme_of
from upscale.remote.redaction import redact
from upscale.remote.retries import Patience, TransientError, retried

T = TypeVar("T")

#: Schemes of buckets and the packages that fsspec reads them with.
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}
#: Bytes of a bucket's object that are read at once.
_PIECE = 16 * 2**20
#: Servers are asked for the sizes of so many files at a time.
_AT_ONCE = 8


@dataclass(frozen=True)
class ListedFile:
    """A file or folder; size (bytes) and stamp are -1 and "" where a listing does not tell them."""

    url: str
    folder: bool
    size: int = -1
    stamp: str = ""

    @property
    def name(self) -> str:
        """Its last part, as it is published."""
        last = self.url.rstrip("/").rpartition("/")[2]
        return unquote(last) if scheme_of(self.url) in ("http", "https") else last


class Tree(Protocol):
    """One file system. deep: what is below a named folder belongs to it."""

    @property
    def deep(self) -> bool: ...

    def look(self, url: str) -> ListedFile | None:
        """What lies at a URL, None for nothing."""
        ...

    def inside(self, url: str) -> list[ListedFile]:
        """What lies in a folder; nothing where there is none."""
        ...

    def described(self, entries: Sequence[ListedFile]) -> list[ListedFile]:
        """The same with size and stamp."""
        ...


def tree_of(location: str, hosts: Hosts, patience: Patience) -> Tree:
    """The file system of a path or URL that has been checked."""
    scheme = scheme_of(location)
    if scheme in PACKAGES:
        return Bucket(scheme, bucket_system(scheme), patience)
    return Pages(hosts, patience) if scheme in ("http", "https") else Disk()


def named(tree: Tree, pattern: str) -> Iterator[ListedFile]:
    """The files and Zarr stores that a pattern names; some may come twice."""
    root, parts = split_pattern(pattern)
    found = tree.look(root)
    if found is not None:
        for entry in _matching(tree, found, parts):
            yield from _whole(tree, entry, ())


def split_pattern(pattern: str) -> tuple[str, list[str]]:
    """A pattern as the place that it starts from and its parts from the first wildcard on."""
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


def _matching(tree: Tree, entry: ListedFile, parts: Sequence[str]) -> Iterator[ListedFile]:
    """What is named by the parts of a pattern below an entry."""
    if not parts or (tree.deep and list(parts) == ["**"]):
        yield entry
    elif parts[0] == "**":
        yield from _at_any_depth(tree, entry, parts, ())
    elif entry.folder:
        for row in _visible(tree.inside(entry.url), parts[0]):
            entered = len(parts) > 1
            if fnmatchcase(row.name, parts[0]) and not (entered and _holds_store(tree, row)):
                yield from _matching(tree, row, parts[1:])


def _at_any_depth(
    tree: Tree, entry: ListedFile, parts: Sequence[str], above: tuple[str, ...]
) -> Iterator[ListedFile]:
    """`**`: what the other parts name below an entry and below all its folders."""
    if not tree.deep:
        raise ArchiveError(
            f"{redact(entry.url)}**: expected `*` at http, found `**`; name each level"
        )
    yield from _matching(tree, entry, parts[1:])
    here = os.path.realpath(entry.url)
    for row in _visible(tree.inside(entry.url)) if here not in above else []:
        if row.folder and not _holds_store(tree, row):
            yield from _at_any_depth(tree, row, parts, (*above, here))


def _whole(tree: Tree, entry: ListedFile, above: tuple[str, ...]) -> Iterator[ListedFile]:
    """A file or store itself, the files of a folder; a link back to a folder above is left out."""
    if not entry.folder or is_store(entry.url):
        yield entry
        return
    here = os.path.realpath(entry.url)
    if here in above:
        return
    if _holds_store(tree, entry):
        yield entry
        return
    for row in _visible(tree.inside(entry.url)):
        if tree.deep or not row.folder or is_store(row.url):
            yield from _whole(tree, row, (*above, here))


def _visible(rows: list[ListedFile], pattern: str = "") -> list[ListedFile]:
    return rows if pattern.startswith(".") else [r for r in rows if not r.name.startswith(".")]


def _holds_store(tree: Tree, entry: ListedFile) -> bool:
    return entry.folder and (
        is_store(entry.url) or any(row.name in STORE_FILES for row in tree.inside(entry.url))
    )


@dataclass(frozen=True)
class Disk:
    """Local folders; links are followed."""

    deep: bool = True

    def look(self, url: str) -> ListedFile | None:
        path = os.path.abspath(url.removeprefix("file://"))
        try:
            return _on_disk(path, os.stat(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def inside(self, url: str) -> list[ListedFile]:
        with os.scandir(url) as rows:
            paths = sorted(row.path for row in rows)
        found = map(self.look, paths)
        return [row for row in found if row is not None and (row.folder or row.size >= 0)]

    def described(self, entries: Sequence[ListedFile]) -> list[ListedFile]:
        return [_stamped(self, entry) for entry in entries]


def _on_disk(path: str, found: os.stat_result) -> ListedFile | None:
    """A file or folder, None for a socket and the like."""
    if modes.S_ISDIR(found.st_mode):
        return ListedFile(path, folder=True)
    regular = modes.S_ISREG(found.st_mode)
    return ListedFile(path, False, found.st_size, str(found.st_mtime_ns)) if regular else None


def _stamped(tree: Tree, entry: ListedFile) -> ListedFile:
    """A Zarr store gets the stamp of its metadata; files have theirs from the listing."""
    if not entry.folder:
        return entry
    inner = [tree.look(f"{entry.url.rstrip('/')}/{name}") for name in STORE_FILES]
    return replace(entry, size=0, stamp=next((row.stamp for row in inner if row), ""))


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


def asked(url: str, call: Callable[[], T]) -> T:
    """One try of a call to a bucket; TransientError where it may be tried again."""
    try:
        return call()
    except FileNotFoundError:
        raise
    except Exception as error:  # each cloud has kinds of its own
        kind = type(error).__name__
        if isinstance(error, PermissionError) or "Credential" in kind or "Auth" in kind:
            raise RemoteError(
                f"{redact(url)}: expected to be let in, found {kind} ({redact(str(error))}); check "
                "the name and the credentials in the environment"
            ) from None
        raise TransientError(f"{kind} ({error})") from None


@dataclass(frozen=True)
class Bucket:
    """Objects of s3, gs or az; every "/" in a name makes a folder."""

    scheme: str
    system: Any
    patience: Patience
    listed: dict[str, list[ListedFile]] = field(default_factory=dict)
    deep: bool = True

    def look(self, url: str) -> ListedFile | None:
        try:
            info = retried(lambda: asked(url, lambda: self.system.info(url)), self.patience, url)
        except FileNotFoundError:
            return None
        return self._entry(info)

    def inside(self, url: str) -> list[ListedFile]:
        if url not in self.listed:
            self.listed[url] = retried(lambda: self._inside(url), self.patience, url)
        return self.listed[url]

    def described(self, entries: Sequence[ListedFile]) -> list[ListedFile]:
        return [_stamped(self, entry) for entry in entries]

    def _inside(self, url: str) -> list[ListedFile]:
        try:
            rows = asked(url, lambda: self.system.ls(url, detail=True))
        except FileNotFoundError:
            return []
        found = [self._entry(row) for row in rows if not row["name"].endswith("/")]
        return [row for row in found if row.url != url.rstrip("/")]

    def _entry(self, info: dict[str, Any]) -> ListedFile:
        url = f"{self.scheme}://{info['name'].rstrip('/')}"
        if info["type"] == "directory":
            return ListedFile(url, folder=True)
        return ListedFile(url, False, int(info["size"] or 0), stamp_of(info))


def stamp_of(info: dict[str, Any]) -> str:
    """What tells one state of an object from another: its ETag, else the time of its change."""
    tag = next((info[key] for key in ("ETag", "etag") if info.get(key)), "")
    if tag:
        return f'"{tag.strip(chr(34))}"'
    changed = next((info[key] for key in ("LastModified", "last_modified") if key in info), None)
    return format_datetime(changed, usegmt=True) if changed is not None else ""


def open_object(url: str, start: int, stamp: str) -> Opened:
    """One try to read an object of a bucket from `start` on, from 0 where it is another by now.

    Raises ArchiveError where it is not the listed one, TransientError for what may be tried again.
    """
    scheme = scheme_of(url)
    system = bucket_system(scheme)
    try:
        info = asked(url, lambda: system.info(url))
    except FileNotFoundError:
        raise RemoteError(f"{redact(url)}: expected a file, found none; list it again") from None
    size, now = int(info["size"] or 0), stamp_of(info)
    if stamp.startswith('"') and now != stamp:
        raise ArchiveError(f"{redact(url)}: expected the file as it was listed ({stamp}), found "
                           f"another ({now}); list it again")  # fmt: skip
    begin = start if now == stamp else 0
    return Opened(begin, size, now, _pieces(system, url, begin, size, now))


def _pieces(system: Any, url: str, start: int, size: int, stamp: str) -> Iterator[bytes]:
    for at in range(start, size, _PIECE):
        end = min(at + _PIECE, size)
        yield asked(url, partial(_piece, system, url, at, end))
    system.invalidate_cache()
    if stamp_of(asked(url, lambda: system.info(url))) != stamp:
        raise ArchiveError(f"{redact(url)}: expected one state of the file, found that it changed "
                           "while it was read; list it again")  # fmt: skip


def _piece(system: Any, url: str, start: int, end: int) -> bytes:
    return bytes(system.cat_file(url, start=start, end=end))


@dataclass(frozen=True)
class Pages:
    """Index pages of HTTP servers: the links of a page to what lies directly below it."""

    hosts: Hosts
    patience: Patience
    listed: dict[str, list[ListedFile]] = field(default_factory=dict)
    deep: bool = False

    def look(self, url: str) -> ListedFile | None:
        if is_store(url):
            entry = ListedFile(url.rstrip("/"), folder=True)
            return entry if _stamped(self, entry).stamp else None
        if urlsplit(url).path.endswith("/"):
            return ListedFile(url, folder=True)
        return _told(Client(self.hosts, self.patience), url)

    def inside(self, url: str) -> list[ListedFile]:
        if url not in self.listed:
            page = Client(self.hosts, self.patience).page(url)
            self.listed[url] = [] if page is None else list(_links(*page))
        return self.listed[url]

    def described(self, entries: Sequence[ListedFile]) -> list[ListedFile]:
        """Size and stamp of each file, some asked for at once."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            parts = pool.map(self._described, [entries[at::_AT_ONCE] for at in range(_AT_ONCE)])
            return [entry for part in parts for entry in part]

    def _described(self, entries: Sequence[ListedFile]) -> list[ListedFile]:
        client = Client(self.hosts, self.patience)
        return [entry if entry.size >= 0 else self._one(client, entry) for entry in entries]

    def _one(self, client: Client, entry: ListedFile) -> ListedFile:
        if entry.folder:
            return _stamped(self, entry)
        found = _told(client, entry.url)
        if found is None or found.folder:
            raise RemoteError(f"{redact(entry.url)}: expected a listed file, found none; try again")
        return found


def _told(client: Client, url: str) -> ListedFile | None:
    head: Head | None = client.head(url)
    if head is None:
        return None
    # a server leads from the name of a folder to its index page
    if urlsplit(head.url).path == f"{urlsplit(url).path}/":
        return ListedFile(f"{url}/", folder=True)
    return ListedFile(url, False, head.size, head.stamp)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for key, value in attrs if key == "href" and value]


def _links(page: str, text: str) -> Iterator[ListedFile]:
    """The files and folders of an index page; links to sort it, up, and elsewhere are left out."""
    parser = _Links()
    parser.feed(text)
    base = page.partition("?")[0].rpartition("/")[0] + "/"
    for link in parser.found:
        url = urljoin(base, link)
        below = url.removeprefix(base)
        if url.startswith(base) and re.fullmatch(r"[^/?#]+/?", below) and unquote(below) != "..":
            yield ListedFile(url, folder=below.endswith("/"))
