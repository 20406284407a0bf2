"""What a published file was made from, so that it is made again when that has changed, and only
then.

The ledger of a store knows the digest of every array of every work item. A file is made from the
items of the blocks in which its days lie, from static layers, and from attributes; the digests of
these are kept beside the file, and as long as they are the same the file is not even opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

from upscale.jobs.settings import digest_of
from upscale.product.layout import WorkItem, item_from_id
from upscale.product.published.part import LAYERS, OF_A_REVISION, Part
from upscale.product.reader import open_flux_cube
from upscale.stores.arrays import values_digest

#: Version of what is written into a file: another one makes all files anew.
FORM = 1

#: Work items that a message names.
_NAMED = 3


class LoggedRevision(Protocol):
    """A line of the log of a store; first and last are dates of days that changed."""

    @property
    def number(self) -> int: ...
    @property
    def why(self) -> str: ...
    @property
    def first(self) -> str: ...
    @property
    def last(self) -> str: ...
    @property
    def tiles(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class Origin:
    """What a ledger says of a flux cube at one moment.

    digests: of each array, by work item that is done as the store asks; waiting: the other items,
    never made or to be made again; log: revisions, oldest first.
    """

    digests: Mapping[str, Mapping[str, str]]
    waiting: frozenset[str]
    log: Sequence[LoggedRevision] = ()


#: Reads the ledger of a store; gives None where it has none.
ReadOrigin: TypeAlias = Callable[[], Origin | None]


def no_ledger() -> Origin | None:
    """The origin of a store that has no ledger."""
    return None


def untold(origin: Origin | None, attributes: Mapping[str, Any]) -> str:
    """That a store is not complete, and that no ledger tells what of it is missing; empty where
    this is not so."""
    if origin is None and not attributes.get("complete", 1):
        return "the store is not complete, and there is no ledger that tells more"
    return ""


class StoreView:
    """A flux cube and what its ledger said, at one moment."""

    def __init__(self, store: str, origin: Origin | None, before: StoreView | None = None) -> None:
        self.origin, self.cube = origin, open_flux_cube(store)
        if before is not None and before.cube.attributes == self.cube.attributes:
            self.layers = before.layers  # nothing begins to change before an attribute says so

    @cached_property
    def layers(self) -> dict[str, str]:
        """Digest of each static layer of a file."""
        return {name: values_digest(self.cube.array(name)) for name in LAYERS}

    @property
    def revision(self) -> int:
        """The last revision that was finished; 0 where there is none."""
        return int(self.cube.attributes.get("revision", 0))

    def waiting(self, part: Part) -> tuple[WorkItem, ...]:
        """The work items of a part that are not done."""
        return tuple(map(item_from_id, _items(part, self.origin.waiting))) if self.origin else ()

    def unfinished(self, part: Part) -> str:
        """What of a part is not computed yet, as far as ledger and attributes tell; empty where it
        is all of a finished revision, or of a first one that has come so far."""
        waiting, said = self.waiting(part), self.cube.attributes
        if waiting:
            some = ", ".join(item.id for item in waiting[:_NAMED])
            more = f" and {len(waiting) - _NAMED} more" if len(waiting) > _NAMED else ""
            return f"work items {some}{more} are not computed yet"
        number = said.get("revision_in_the_making")
        if number is not None and _meet(part, *said["revision_days"].split("/")):
            return f"revision {number} of {said['revision_days']} is in the making"
        return untold(self.origin, said)

    def made_from(self, part: Part) -> dict[str, Any]:
        """All that decides what is in a file, as plain values.

        What stands under `items` is empty where the store has no ledger: nobody knows then whether
        its values are still the same.
        """
        kept = {k: v for k, v in part.global_attributes.items() if k not in OF_A_REVISION}
        arrays = {name: _metadata(part, name) for name in part.names}
        return {
            "form": FORM,
            "level": part.level,
            "days": list(part.bounds),
            "attributes": digest_of([kept, arrays, part.cube.grid.to_dict()]),
            "layers": digest_of(self.layers),
            "items": self._items(part),
            "unfinished": bool(self.unfinished(part)),
        }

    def shows_as(self, other: StoreView, part: Part) -> bool:
        """Whether two views show the same of a part, so that it was not revised between them."""
        same = self.cube.attributes == other.cube.attributes
        return same and self._items(part) == other._items(part)

    def _items(self, part: Part) -> str:
        """Digest of what the ledger says of the arrays of a part; empty without a ledger."""
        if self.origin is None:
            return ""
        digests = self.origin.digests
        done = {
            item: {name: digests[item].get(name) for name in part.arrays}
            for item in _items(part, digests)
        }
        return digest_of([done, [item.id for item in self.waiting(part)]])

    def revisions_of(self, part: Part, since: int) -> Iterator[str]:
        """The revisions after one that changed days of a part, in words."""
        begin, end = part.dates
        for made in self.origin.log if self.origin else ():
            if made.number > since and _meet(part, made.first, made.last):
                days = f"{max(begin, made.first)} to {min(end, made.last)}"
                tiles = ", ".join(made.tiles[:_NAMED])
                more = len(made.tiles) - _NAMED
                tiles += f" and {more} more" if more > 0 else ""
                yield f"revision {made.number} ({made.why}): {days}, tiles {tiles}"


def _meet(part: Part, first: str, last: str) -> bool:
    """Whether days of a part lie between two dates."""
    begin, end = part.dates
    return first <= end and begin <= last


def _items(part: Part, items: Iterable[str]) -> list[str]:
    """The work items, out of some, of the blocks in which the days of a part lie."""
    return sorted(item for item in items if item_from_id(item).block in part.blocks)


def _metadata(part: Part, name: str) -> list[Any]:
    array = part.cube.array(name)
    return [str(array.dtype), dict(array.attrs)]
