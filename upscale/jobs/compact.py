"""The compacted part of a ledger: two objects that hold what many small ones held.

`compact-000002-1f0c22aa.entries.jsonl` has a line of JSON for each entry, whole. Its name, size and
digest stand in `compact-000002.index.jsonl`, with what planning needs of each entry and the names
of the objects that were folded into it. The index with the highest number counts; it is created
last and never written over, so that of two processes that compact at once one gives up.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from upscale.stores.broken import BROKEN, refusing

_INDEX = re.compile(r"compact-(\d+)\.index\.jsonl")
_ENTRIES = re.compile(r"compact-(\d+)-[0-9a-f]+\.entries\.jsonl")

#: `r000c001-b002.1764000000000000000-1f0c22aa.done.json`; entries of old ledgers have no stamp.
EVENT = re.compile(r"(?P<item>.+?)(\.(?P<stamp>\d{19}-[0-9a-f]{8}))?\.(done|forgotten)\.json")


class LedgerError(ValueError):
    """An object of a ledger that cannot be trusted; the message names it and the remedy."""


@dataclass(frozen=True)
class LightEntry:
    """What planning needs of an entry that is done: the digest of its run, and of what the item
    was made from (empty where entries of its kind do not tell)."""

    item: str
    run: str
    identity: str = ""


@dataclass(frozen=True)
class Compacted:
    """An index. rows: in the order of the lines of `file`, whose bytes and sha256 are given;
    folded: names of the loose objects whose content it took over."""

    number: int = 0
    file: str = ""
    size: int = 0
    sha256: str = hashlib.sha256(b"").hexdigest()
    rows: tuple[LightEntry, ...] = ()
    folded: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Name of the index."""
        return f"compact-{self.number:06d}.index.jsonl"

    def to_bytes(self) -> bytes:
        """The index as it is stored: its sha256 on the first line, its content on the second."""
        runs = sorted({row.run for row in self.rows})
        place = {run: number for number, run in enumerate(runs)}
        content = {
            "entries": {"name": self.file, "bytes": self.size, "sha256": self.sha256},
            "runs": runs,
            "rows": [[row.item, place[row.run], row.identity] for row in self.rows],
            "folded": sorted(self.folded),
        }
        line = json.dumps(content, separators=(",", ":")).encode()
        return json.dumps({"sha256": _digest(line)}).encode() + b"\n" + line + b"\n"

    def lines(self, content: bytes, place: str) -> list[bytes]:
        """The lines of the entries; LedgerError where they are not the ones of this index."""
        if _digest(content) != self.sha256:
            raise damaged(f"{place}/{self.file}", f"sha256 {self.sha256[:12]}", "another")
        return content.splitlines()


def read_index(number: int, content: bytes, place: str) -> Compacted:
    """An index from its bytes; LedgerError where they are not as they were written."""
    head, _, line = content.partition(b"\n")
    line = line.removesuffix(b"\n")
    name = f"{place}/{Compacted(number).name}"
    try:
        said = json.loads(head)["sha256"]
    except BROKEN:
        raise damaged(name, "a sha256 on its first line", "none") from None
    if said != _digest(line):
        raise damaged(name, "the sha256 of its first line", "another")
    with refusing(name, "the index of a ledger", LedgerError):
        return _parsed_index(number, json.loads(line))


def _parsed_index(number: int, fields: dict[str, Any]) -> Compacted:
    entries, runs = fields["entries"], fields["runs"]
    return Compacted(
        number,
        entries["name"],
        entries["bytes"],
        entries["sha256"],
        tuple(LightEntry(item, runs[run], identity) for item, run, identity in fields["rows"]),
        frozenset(fields["folded"]),
    )


def fold(
    number: int, kept: Iterable[tuple[LightEntry, bytes]], folded: Iterable[str]
) -> tuple[Compacted, bytes]:
    """An index of this number with the content of its entries, one line of JSON each."""
    pairs = list(kept)
    content = b"".join(line + b"\n" for _, line in pairs)
    file = f"compact-{number:06d}-{secrets.token_hex(4)}.entries.jsonl"
    rows = tuple(row for row, _ in pairs)
    return Compacted(number, file, len(content), _digest(content), rows, frozenset(folded)), content


def newest_index(names: Iterable[str]) -> int:
    """The highest number of an index among the names of a ledger; 0 where there is none."""
    return max((int(found[1]) for name in names if (found := _INDEX.fullmatch(name))), default=0)


def outdated(names: Iterable[str], number: int) -> list[str]:
    """What is left of compactions below this number, finished or not: each index before its
    entries."""
    names = list(names)
    found = [
        match for form in (_INDEX, _ENTRIES) for name in names if (match := form.fullmatch(name))
    ]
    return [match[0] for match in found if int(match[1]) < number]


def damaged(place: str, expected: str, found: str) -> LedgerError:
    """The error of a compacted object that is not as it was written."""
    return LedgerError(
        f"{place}: expected {expected}, found {found}; put back a copy of this file, or delete "
        "all compact-* files beside it and run again: their work items are then done again"
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def newest(events: Iterable[str]) -> dict[str, str]:
    """The name of the newest object of each work item."""
    found: dict[str, tuple[str, str]] = {}
    for name in events:
        if event := EVENT.fullmatch(name):
            mine = event["stamp"] or "", name
            found[event["item"]] = max(mine, found.get(event["item"], mine))
    return {item: name for item, (_, name) in found.items()}
