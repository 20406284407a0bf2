"""The plan of a fetch: what is due, what is there, and what is missing; asks no server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from upscale.fetch.available import Listing
from upscale.fetch.cds import list_hours
from upscale.fetch.earthdata import list_granules
from upscale.fetch.granules import GranulesDue, granules_due
from upscale.fetch.hours import HoursDue, hours_due
from upscale.fetch.stac import list_tiles
from upscale.ingest.archive import Fault
from upscale.ingest.config import Ingest
from upscale.ingest.sources import EarthdataSource, StacSource
from upscale.remote.errors import ArchiveError
from upscale.remote.pace import Pace
from upscale.remote.retries import Patience


@dataclass(frozen=True)
class FetchRequest:
    """What is missing for one entry of INGEST.yaml.

    title: names the entry for a reader. due: how much there should be, counted in `unit`; missing:
    how much of it is not there. requests: the number of files to ask for. listing: asks the source
    which of them it has. account: True where files are given only to users with an account.
    """

    title: str
    folder: Path
    unit: str
    due: int
    missing: int
    requests: int
    damaged: tuple[Fault, ...]
    listing: Callable[[Pace, Patience], Listing]
    account: bool = False


@dataclass(frozen=True)
class FetchPlan:
    """Everything that a fetch of an INGEST.yaml has to do."""

    requests: tuple[FetchRequest, ...]

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders that files go to, each once."""
        return tuple(dict.fromkeys(request.folder.absolute() for request in self.requests))

    @property
    def missing(self) -> int:
        return sum(request.missing for request in self.requests)


def make_plan(ingest: Ingest, *, deep: bool = False) -> FetchPlan:
    """Compare what an ingest needs with what its folders have.

    deep: fetched files are read and their checksums compared, otherwise only their sizes.
    ArchiveError where no entry says where its files come from.
    """
    requests = []
    source = ingest.meteo.fetch
    if source is not None:
        requests.append(_hours(hours_due(ingest, source, deep=deep)))
    for entry in ingest.satellite:
        if entry.fetch is not None:
            requests.append(_granules(granules_due(ingest, entry, deep=deep), entry.fetch))
    if not requests:
        raise ArchiveError(
            "expected the key fetch in meteo or in an entry of satellite, found none; say where "
            "their files come from"
        )
    return FetchPlan(tuple(requests))


def _hours(due: HoursDue) -> FetchRequest:
    return FetchRequest(
        f"meteo: {due.source.dataset}", due.folder, "hours of variables", due.due, due.missing,
        len(due.requests), due.damaged, lambda pace, patience: list_hours(due, pace, patience),
    )  # fmt: skip


def _granules(due: GranulesDue, source: EarthdataSource | StacSource) -> FetchRequest:
    """The request of an entry of satellite."""

    def listing(pace: Pace, patience: Patience) -> Listing:
        if isinstance(source, EarthdataSource):
            return list_granules(due, source, pace, patience)
        return list_tiles(due, source, pace, patience)

    missing = len(due.missing)
    return FetchRequest(
        f"satellite: {', '.join(due.products)}", due.folder, "granules", due.count, missing,
        missing, due.damaged, listing, isinstance(source, EarthdataSource),
    )  # fmt: skip
