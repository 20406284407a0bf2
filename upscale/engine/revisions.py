"""The revisions of a store: each time it is finished anew, what changed, why, and by how much."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from upscale.calendar import date_of
from upscale.engine.ledger import RunEntry, RunLedger
from upscale.jobs.clock import now
from upscale.product.growth import IN_THE_MAKING
from upscale.product.layout import item_from_id
from upscale.stores.broken import refusing
from upscale.variables import FLUXES

#: Name of the object of the ledger that holds the log.
LOG = "revisions.json"

#: What is said where nobody gave a reason.
NO_REASON = "not said"

_PETAGRAM = 1e15


@dataclass(frozen=True)
class Revision:
    """One line of the log.

    first, last: dates of the first and last day that changed; tiles: their names; cube, release:
    digests of what it was made from; total: by flux, what was added to the total over all cells and
    days of the store, Pg of carbon; largest: by flux, the largest change of a value that was there
    before, in one cell and day, g m-2 d-1.
    """

    number: int
    finished: str
    why: str
    first: str
    last: str
    tiles: list[str]
    items: int
    cube: str
    release: str
    total: dict[str, float]
    largest: dict[str, float]

    def describe(self) -> str:
        """A few lines for people."""
        fluxes = ", ".join(
            f"{flux.upper()} {self.total[flux]:+.4g} Pg (largest {self.largest[flux]:.3g})"
            for flux in FLUXES
        )
        return (
            f"revision {self.number}, {self.finished}: {self.why}\n"
            f"  {self.first} to {self.last}, {len(self.tiles)} tiles, {self.items} work items\n"
            f"  {fluxes}\n"
            f"  drivers {self.cube[:12]}, model {self.release[:12]}"
        )


def revision_of(number: int, why: str, entries: Iterable[RunEntry]) -> Revision | None:
    """What the entries of one revision changed; None where they changed nothing."""
    changed = [entry for entry in entries if entry.revision == number and entry.change]
    if not changed:
        return None
    return Revision(
        number=number,
        finished=now(),
        why=why,
        first=str(date_of(min(entry.change["first"] for entry in changed))),
        last=str(date_of(max(entry.change["last"] for entry in changed))),
        tiles=sorted({item_from_id(entry.item).tile.id for entry in changed}),
        items=len(changed),
        cube=changed[-1].cube,
        release=changed[-1].release,
        total={flux: _total(changed, flux) / _PETAGRAM for flux in FLUXES},
        largest={flux: _largest(changed, flux) if number > 1 else 0.0 for flux in FLUXES},
    )


def _largest(entries: Iterable[RunEntry], flux: str) -> float:
    return max(float(entry.change["largest"][flux]) for entry in entries)


def _total(entries: Iterable[RunEntry], flux: str) -> float:
    """The same number in whatever order the entries come."""
    return math.fsum(float(entry.change["total"][flux]) for entry in entries)


def read_log(store: str) -> list[Revision]:
    """All revisions of a store, oldest first; none of a store that was never finished."""
    ledger = RunLedger(store)
    with refusing(f"{ledger.url}/{LOG}", "a list of revisions", ValueError):
        return TypeAdapter(list[Revision]).validate_python(ledger.read_object(LOG) or [])


def enter_revision(store: str, made: Revision) -> None:
    """Write a revision into the log; one of the same number, which was not finished, gives way."""
    kept = [revision for revision in read_log(store) if revision.number < made.number]
    RunLedger(store).write_object(LOG, [asdict(revision) for revision in (*kept, made)])


def making(number: int, why: str, items: Iterable[tuple[str, int, int]]) -> Mapping[str, Any]:
    """Attributes of a store while a revision is made of it.

    items: name of the tile, first and last day number of each work item that is done again.
    """
    listed = list(items)
    first, last = min(row[1] for row in listed), max(row[2] for row in listed)
    days: tuple[dt.date, dt.date] = date_of(first), date_of(last)
    values = number, f"{days[0]}/{days[1]}", " ".join(sorted({row[0] for row in listed})), why
    return dict(zip(IN_THE_MAKING, values, strict=True))
