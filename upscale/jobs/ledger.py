"""The ledger beside a store: one small JSON entry for each work item, of any kind of work.

Done means a valid entry, never that a shard exists: an entry is written after its shards were
written and read back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar

import fsspec

from upscale.stores.location import write_object

Status = Literal["done", "failed"]


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


def beside(store: str, suffix: str) -> str:
    """URL of what lies beside a store: `fluxes.zarr` and `ledger` give `fluxes.ledger`."""
    return f"{store.rstrip('/').removesuffix('.zarr')}.{suffix}"


def store_name(store: str) -> str:
    """Last part of a store's path."""
    return store.rstrip("/").rsplit("/", 1)[-1]


class Ledger(Generic[R]):
    """The entries of one store, on any file system that fsspec opens."""

    def __init__(self, store: str, kind: type[R]) -> None:
        self.url = beside(store, "ledger")
        self._kind = kind
        self._fs, self._root = fsspec.core.url_to_fs(self.url)

    def write(self, entry: R) -> None:
        """Store an entry; readers see the old one or the new one, whole."""
        self.write_object(f"{entry.item}.{entry.status}.json", asdict(entry))
        if entry.status == "done":
            self._remove(f"{entry.item}.failed.json")

    def forget(self, item: str) -> None:
        """Remove the entry of an item that is done, because what it wrote is about to change."""
        self._remove(f"{item}.done.json")

    def holds(self, item: str, run: str) -> bool:
        """Whether an item of a run is done: its entry can be read."""
        entry = self._read(f"{item}.done.json")
        return entry is not None and entry.run == run

    def entries(self, run: str, status: Status = "done") -> dict[str, R]:
        """All valid entries of a run by work item."""
        names = [name for name in self._names() if name.endswith(f".{status}.json")]
        found = (entry for entry in self._read_all(names) if entry and entry.run == run)
        return {entry.item: entry for entry in found}

    def write_object(self, name: str, content: Any) -> None:
        """Store plain values as JSON under a name."""
        payload = json.dumps(content, indent=1, sort_keys=True).encode()
        write_object(self._fs, f"{self._root}/{name}", payload)

    def read_object(self, name: str) -> Any:
        """The values stored under a name, None where there are none that can be read."""
        try:
            return json.loads(self._fs.cat_file(f"{self._root}/{name}"))
        except (FileNotFoundError, ValueError):
            return None

    def clear(self) -> None:
        """Forget all entries."""
        for name in self._names():
            if name.endswith((".done.json", ".failed.json")):
                self._remove(name)

    def _names(self) -> list[str]:
        self._fs.invalidate_cache()
        try:
            paths = self._fs.ls(self._root, detail=False)
        except FileNotFoundError:
            return []
        return [str(path).rsplit("/", 1)[-1] for path in paths]

    def _read_all(self, names: Iterable[str]) -> Iterator[R | None]:
        with ThreadPoolExecutor(16) as pool:
            yield from pool.map(self._read, names)

    def _read(self, name: str) -> R | None:
        content = self.read_object(name)
        try:
            return self._kind(**content)
        except TypeError:
            return None

    def _remove(self, name: str) -> None:
        try:
            self._fs.rm_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return
