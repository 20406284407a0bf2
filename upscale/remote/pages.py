"""Index pages of HTTP servers, read as folders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

from upscale.remote.errors import RemoteError
from upscale.remote.folders import DirectoryEntry, with_store_stamp
from upscale.remote.http import Client
from upscale.remote.locations import Hosts, is_store
from upscale.remote.redaction import redact
from upscale.remote.retries import Patience

#: A server is asked for the sizes of so many files at a time.
_AT_ONCE = 8


@dataclass(frozen=True)
class IndexPages:
    """Folders of HTTP servers: the links of an index page to what is directly below it."""

    hosts: Hosts
    patience: Patience
    listed: dict[str, list[DirectoryEntry]] = field(default_factory=dict)
    recursive: bool = False

    def entry(self, url: str) -> DirectoryEntry | None:
        if is_store(url):
            entry = DirectoryEntry(url.rstrip("/"), folder=True)
            return entry if with_store_stamp(self, entry).stamp else None
        if urlsplit(url).path.endswith("/"):
            return DirectoryEntry(url, folder=True)
        return _entry_by_head(Client(self.hosts, self.patience), url)

    def children(self, url: str) -> list[DirectoryEntry]:
        if url not in self.listed:
            page = Client(self.hosts, self.patience).page(url)
            self.listed[url] = [] if page is None else list(_links(*page))
        return self.listed[url]

    def detailed(self, entries: Sequence[DirectoryEntry]) -> list[DirectoryEntry]:
        """Size and stamp of each file; several are asked for at a time."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            parts = pool.map(self._detailed, [entries[at::_AT_ONCE] for at in range(_AT_ONCE)])
            return [entry for part in parts for entry in part]

    def _detailed(self, entries: Sequence[DirectoryEntry]) -> list[DirectoryEntry]:
        client = Client(self.hosts, self.patience)
        return [entry if entry.size >= 0 else self._described(client, entry) for entry in entries]

    def _described(self, client: Client, entry: DirectoryEntry) -> DirectoryEntry:
        if entry.folder:
            return with_store_stamp(self, entry)
        found = _entry_by_head(client, entry.url)
        if found is None or found.folder:
            raise RemoteError(f"{redact(entry.url)}: expected a listed file, found none; try again")
        return found


def _entry_by_head(client: Client, url: str) -> DirectoryEntry | None:
    head = client.head(url)
    if head is None:
        return None
    # a server leads from the name of a folder to its index page
    if urlsplit(head.url).path == f"{urlsplit(url).path}/":
        return DirectoryEntry(f"{url}/", folder=True)
    return DirectoryEntry(url, False, head.size, head.stamp)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for key, value in attrs if key == "href" and value]


def _links(page: str, text: str) -> Iterator[DirectoryEntry]:
    """The files and folders of an index page, without links that sort it, lead up or elsewhere."""
    parser = _Links()
    parser.feed(text)
    base = page.partition("?")[0].rpartition("/")[0] + "/"
    for link in parser.found:
        url = urljoin(base, link)
        below = url.removeprefix(base)
        if url.startswith(base) and re.fullmatch(r"[^/?#]+/?", below) and unquote(below) != "..":
            yield DirectoryEntry(url, folder=below.endswith("/"))
