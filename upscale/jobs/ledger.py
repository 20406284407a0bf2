"""The ledger beside a store: one small JSON entry for each work item, of any kind of work.

Done means a valid entry, never that a shard exists: an entry is written after its shards were
written and read back. Every entry, and every mark that an item is to be done again, is an object
of its own with a new name; the newest of an item counts. So what many of them say can be folded
into the two objects of `jobs.compact` while others write, and a process that is killed at any
moment leaves a ledger that says the same.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import fsspec
from pydantic import TypeAdapter

from upscale.jobs.compact import (
    EVENT,
    Compacted,
    LedgerError,
    LightEntry,
    damaged,
    fold,
    newest,
    newest_index,
    outdated,
    read_index,
)
from upscale.stores.broken import BROKEN
from upscale.stores.location import create_object, is_local, write_object

Status = Literal["done", "failed"]

#: Loose entries that a resume leaves as they are; more of them are compacted.
MANY = 300

#: How often a ledger is listed again because it was compacted while it was read.
_ATTEMPTS = 20


class LedgerEntry(Protocol):
    """A frozen dataclass of plain values: the work item, the digest of the work that it belongs
    to, and how it ended."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def item(self) -> str: ...

    @property
    def run(self) -> str: ...

    @property
    def status(self) -> Status: ...


R = TypeVar("R", bound=LedgerEntry)
T = TypeVar("T")


def beside(store: str, suffix: str) -> str:
    """URL of what lies beside a store: `fluxes.zarr` and `ledger` give `fluxes.ledger`."""
    return f"{store.rstrip('/').removesuffix('.zarr')}.{suffix}"


def store_name(store: str) -> str:
    """Last part of a store's path."""
    return store.rstrip("/").rsplit("/", 1)[-1]


@dataclass(frozen=True)
class _View(Generic[R]):
    """What a ledger held at one moment. names: of all objects; events: names of those that are
    not folded; loose: the newest entry of their items, None where it was forgotten or is damaged.
    """

    names: list[str]
    compacted: Compacted
    events: list[str]
    loose: Mapping[str, R | None]

    def rows(self) -> Iterator[tuple[int, LightEntry]]:
        """The compacted entries that nothing newer replaces, with their numbers."""
        rows = enumerate(self.compacted.rows)
        return ((number, row) for number, row in rows if row.item not in self.loose)


class Ledger(Generic[R]):
    """The entries of one store, on any file system that fsspec opens.

    identity: the field of an entry that names what its item was made from.
    """

    identity: ClassVar[str] = "identity"

    def __init__(self, store: str, kind: type[R]) -> None:
        self.url = beside(store, "ledger")
        self._kind = kind
        self._fs, self._root = fsspec.core.url_to_fs(self.url)
        self._marks: dict[str, str] = {}
        self._latest = 0

    def write(self, entry: R) -> None:
        """Store an entry; readers see the old one or the new one, whole."""
        if entry.status == "failed":
            self.write_object(f"{entry.item}.failed.json", asdict(entry))
            return
        self.write_object(f"{entry.item}.{self._stamp()}.done.json", asdict(entry))
        self.remove(f"{entry.item}.failed.json")
        if entry.item in self._marks:
            self.remove(self._marks.pop(entry.item))

    def forget(self, item: str) -> None:
        """Mark that an item is not done any more, because what it wrote is about to change."""
        try:
            self._mark(item)
        except OSError:  # a full disk; what lies loose makes room for the mark
            for name in self._names():
                if (event := EVENT.fullmatch(name)) and event["item"] == item:
                    self.remove(name)
            self._mark(item)

    def _mark(self, item: str) -> None:
        name = f"{item}.{self._stamp()}.forgotten.json"
        self.write_object(name, {"item": item})
        self._marks[item] = name

    def _stamp(self) -> str:
        """Orders the objects of an item; no two are alike. The clocks of machines need to agree
        no better than the time between two attempts at one item."""
        self._latest = max(time.time_ns(), self._latest + 1)
        return f"{self._latest:019d}-{secrets.token_hex(4)}"

    def holds(self, item: str, run: str) -> bool:
        """Whether an item of a run is done: its entry can be read."""
        entry = self.entry(item)
        return entry is not None and entry.run == run

    def entry(self, item: str) -> R | None:
        """The entry of an item that is done, None where there is none that can be read."""
        return self._steadily(lambda: self._one(item))

    def _one(self, item: str) -> R | None:
        view = self._look(item)
        if item in view.loose:
            return view.loose[item]
        numbers = [number for number, row in view.rows() if row.item == item]
        return self._parsed(self._lines(view.compacted)[numbers[0]]) if numbers else None

    def done(self, run: str) -> dict[str, LightEntry]:
        """What is done of a run by work item, without the rest of the entries: of what is
        compacted, the index alone is read."""
        return self._done(self._steadily(self._look), run)

    def state(self, run: str) -> tuple[dict[str, LightEntry], dict[str, R]]:
        """What is done of a run, and the entries of what failed, by work item."""
        view = self._steadily(self._look)
        return self._done(view, run), self._failed(view.names, run)

    def _done(self, view: _View[R], run: str) -> dict[str, LightEntry]:
        found = {row.item: row for _, row in view.rows() if row.run == run}
        return found | {item: self._light(entry) for item, entry in _of(run, view.loose)}

    def entries(self, run: str, status: Status = "done") -> dict[str, R]:
        """All valid entries of a run by work item."""
        if status == "failed":
            return self._failed(self._names(), run)
        return self._steadily(lambda: self._done_entries(run))

    def _failed(self, names: list[str], run: str) -> dict[str, R]:
        failed = (name for name in names if name.endswith(".failed.json"))
        found = (self._parsed(content) for content in self._read_all(failed, lenient=True))
        return {entry.item: entry for entry in found if entry and entry.run == run}

    def _done_entries(self, run: str) -> dict[str, R]:
        view = self._look()
        lines = self._lines(view.compacted)
        kept = ((row, self._parsed(lines[n])) for n, row in view.rows() if row.run == run)
        found = {row.item: entry for row, entry in kept if entry is not None}
        return found | dict(_of(run, view.loose))

    def tidy(self, many: int = MANY) -> None:
        """Compact the ledger where more than `many` entries lie loose; where nothing can be
        written, on a full disk for example, it stays as it is."""
        if sum(bool(EVENT.fullmatch(name)) for name in self._names()) > many:
            with suppress(OSError):
                self.compact()

    def compact(self) -> None:
        """Fold all loose entries into one object with an index.

        Any number of processes may write, read and compact meanwhile: what they enter stays.
        A process that is killed here leaves what it had not removed yet; the next one does.
        Raises LedgerError where compacted objects are damaged, OSError where nothing can be
        written.
        """
        view, lines = self._steadily(self._look_whole)
        left = [name for name in view.names if name in view.compacted.folded]
        if not view.events:
            self._clean(view.names, view.compacted, left)
            return
        kept = [(row, lines[number]) for number, row in view.rows()]
        kept += [(self._light(e), _line(e)) for e in view.loose.values() if e is not None]
        kept.sort(key=lambda pair: pair[0].item)
        index, content = fold(view.compacted.number + 1, kept, [*view.events, *left])
        if self._create(index, content):
            self._clean(view.names, index, sorted(index.folded))

    def _clean(self, names: list[str], index: Compacted, folded: list[str]) -> None:
        """Remove what an index stands for.

        The old index goes first: so whoever has read it knows that no entry was missing from
        the list that named it.
        """
        for name in outdated(names, index.number + 1):
            if name not in (index.name, index.file):
                self.remove(name)
        self._remove_all(folded)

    def _create(self, index: Compacted, content: bytes) -> bool:
        """Write entries and then their index; False where another process was faster."""
        self.write_bytes(index.file, content)
        try:
            create_object(self._fs, f"{self._root}/{index.name}", index.to_bytes())
        except OSError as error:
            if self._stands(index):  # the answer alone was lost
                return True
            taken = isinstance(error, FileExistsError)
            if taken or is_local(self._fs):
                self.remove(index.file)
            if not taken:
                raise
            return False
        return True

    def _stands(self, index: Compacted) -> bool:
        with suppress(FileNotFoundError):
            return self._read(index.name) == index.to_bytes()
        return False

    def write_object(self, name: str, content: Any) -> None:
        """Store plain values as JSON under a name."""
        self.write_bytes(name, json.dumps(content, indent=1, sort_keys=True).encode())

    def read_object(self, name: str) -> Any:
        """The values stored under a name, None where there are none that can be read."""
        content = self.read_bytes(name)
        try:
            return None if content is None else json.loads(content)
        except (ValueError, RecursionError):
            return None

    def write_bytes(self, name: str, content: bytes) -> None:
        """Store bytes under a name; readers see the old ones or the new ones, whole."""
        write_object(self._fs, f"{self._root}/{name}", content)

    def read_bytes(self, name: str) -> bytes | None:
        """The bytes stored under a name, None where there are none."""
        try:
            content: bytes = self._fs.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return None
        return content

    def clear(self) -> None:
        """Forget all entries."""
        names = self._names()
        for name in outdated(names, newest_index(names) + 1):
            self.remove(name)
        entries = [n for n in names if EVENT.fullmatch(n) or n.endswith(".failed.json")]
        self._remove_all(entries)

    def _look_whole(self) -> tuple[_View[R], list[bytes]]:
        view = self._look()
        return view, self._lines(view.compacted)

    def _look(self, item: str | None = None) -> _View[R]:
        """Read the index and loose entries (of one item alone); FileNotFoundError where a part
        of them was compacted meanwhile."""
        names = self._names()
        compacted = self._index(names)
        events = [n for n in names if EVENT.fullmatch(n) and n not in compacted.folded]
        last = {of: name for of, name in newest(events).items() if item in (None, of)}
        loose: dict[str, R | None] = dict.fromkeys(last)
        done = {of: name for of, name in last.items() if name.endswith(".done.json")}
        for of, content in zip(done, self._read_all(done.values()), strict=True):
            loose[of] = self._parsed(content)
        return _View(names, compacted, events, loose)

    def _index(self, names: list[str]) -> Compacted:
        """The newest index, with entries of the size that it says; FileNotFoundError where it
        was replaced meanwhile."""
        number = newest_index(names)
        if number == 0:
            if newest_index(self._names()):  # the first compaction took place during the listing
                raise FileNotFoundError(f"{self.url}: compacted while it was read")
            return Compacted()
        found = read_index(number, self._read(Compacted(number).name), self.url)
        size = self._fs.size(f"{self._root}/{found.file}")
        if size != found.size:
            raise damaged(f"{self.url}/{found.file}", f"{found.size} bytes", str(size))
        return found

    def _lines(self, compacted: Compacted) -> list[bytes]:
        if not compacted.number:
            return []
        return compacted.lines(self._read(compacted.file), self.url)

    def _steadily(self, read: Callable[[], T]) -> T:
        """What `read` gives, which begins again where an object is gone that was listed."""
        for _ in range(_ATTEMPTS):
            try:
                return read()
            except FileNotFoundError as error:
                gone = error
                time.sleep(0.02)
        raise LedgerError(
            f"{self.url}: expected all objects that are listed, found none at {gone}; put the "
            "file back, or delete all compact-* files and run again: their items are then done "
            "again"
        )

    def _light(self, entry: R) -> LightEntry:
        return LightEntry(entry.item, entry.run, getattr(entry, self.identity, ""))

    def _names(self) -> list[str]:
        self._fs.invalidate_cache()
        try:
            paths = self._fs.ls(self._root, detail=False)
        except FileNotFoundError:
            return []
        return [str(path).rsplit("/", 1)[-1] for path in paths]

    def _read_all(self, names: Iterable[str], lenient: bool = False) -> Iterator[bytes]:
        """Contents of objects in their order; lenient: what is gone has none."""
        read = self._read_there if lenient else self._read
        if is_local(self._fs):  # threads only wait for each other
            yield from map(read, names)
            return
        with ThreadPoolExecutor(16) as pool:
            yield from pool.map(read, names)

    def _read(self, name: str) -> bytes:
        content: bytes = self._fs.cat_file(f"{self._root}/{name}")
        return content

    def _read_there(self, name: str) -> bytes:
        with suppress(FileNotFoundError):
            return self._read(name)
        return b""

    def _parsed(self, content: bytes) -> R | None:
        try:
            values = json.loads(content)
            known = values.keys() <= self._kind.__dataclass_fields__.keys()
            entry: R | None = _schema(self._kind).validate_python(values) if known else None
            return entry
        except BROKEN:
            return None

    def _remove_all(self, names: list[str]) -> None:
        """Remove objects, a thousand with each request; others may remove the same."""
        if is_local(self._fs):
            for name in names:
                self.remove(name)
            return
        for start in range(0, len(names), 1000):
            some = names[start : start + 1000]
            try:
                self._fs.rm([f"{self._root}/{name}" for name in some])
            except FileNotFoundError:
                for name in some:
                    self.remove(name)

    def remove(self, name: str) -> None:
        """Remove what is stored under a name, if anything is."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._root}/{name}")


_schema: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)  # checks the types of values


def _of(run: str, loose: Mapping[str, R | None]) -> Iterator[tuple[str, R]]:
    """The loose entries of a run that are done."""
    found = ((item, entry) for item, entry in loose.items() if entry is not None)
    return ((item, entry) for item, entry in found if entry.run == run)


def _line(entry: LedgerEntry) -> bytes:
    values = {name: getattr(entry, name) for name in entry.__dataclass_fields__}  # no deep copy
    return json.dumps(values, sort_keys=True).encode()
