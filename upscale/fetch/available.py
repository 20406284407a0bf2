"""The missing files that a source has, behind one protocol for all sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from upscale.archives.satellite.published import published
from upscale.fetch.granules import GranuleKey
from upscale.remote.catalogue import CatalogueFile, Downloader
from upscale.remote.errors import ArchiveError


class AvailableFile(Protocol):
    """A file that a source has."""

    @property
    def name(self) -> str:
        """Its name in the folder."""
        ...

    @property
    def size(self) -> int | None:
        """Bytes that will come over the network, None where the source does not say."""
        ...

    @property
    def source(self) -> str:
        """Where it comes from, without secrets."""
        ...

    def download(self, downloader: Downloader) -> Path:
        """A whole and verified copy among the parts; errors as those of `Downloader.download`."""
        ...


@dataclass(frozen=True)
class GranuleFile:
    """A granule that is published as one file."""

    name: str
    listed: CatalogueFile

    @property
    def size(self) -> int | None:
        return self.listed.size

    @property
    def source(self) -> str:
        return self.listed.source

    def download(self, downloader: Downloader) -> Path:
        return downloader.download(self.listed, self.name)


@dataclass(frozen=True)
class UnusableFile:
    """A file that a catalogue lists in a way that cannot be used."""

    name: str
    reason: str
    size: int | None = 0
    source: str = ""

    def download(self, downloader: Downloader) -> Path:
        raise ArchiveError(self.reason)


def file_or_reason(name: str, make: Callable[[], AvailableFile]) -> AvailableFile:
    """A file, or the reason why it cannot be used, so that one bad entry stops no other one."""
    try:
        return make()
    except ArchiveError as error:
        return UnusableFile(name, str(error))
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        return UnusableFile(name, f"expected the entry of a file, found another ({error})")


@dataclass(frozen=True)
class Listing:
    """The missing files that a source has, and the keys of granules that it does not have."""

    files: tuple[AvailableFile, ...]
    absent: tuple[GranuleKey, ...] = ()


def newest(
    found: Iterable[tuple[str, Any]], wanted: set[GranuleKey]
) -> dict[GranuleKey, tuple[str, Any]]:
    """The granule of each wanted key that was produced last; found: names, each with its entry."""
    best: dict[GranuleKey, tuple[str, Any]] = {}
    for name, entry in found:
        try:
            key = GranuleKey.of(name)
        except ArchiveError:
            continue
        if key in wanted and name == Path(name).name and name.isprintable():
            held = best.get(key)
            if held is None or _version(name) > _version(held[0]):
                best[key] = (name, entry)
    return best


def _version(name: str) -> tuple[str, str]:
    named = published(name)
    return named.collection, named.produced


def months_of(keys: Iterable[GranuleKey]) -> list[tuple[GranuleKey, GranuleKey]]:
    """The first and last key, by date, of each calendar month: catalogues are searched by month."""
    by_month: dict[tuple[int, int], list[GranuleKey]] = {}
    for key in sorted(keys, key=lambda key: key.date):
        by_month.setdefault((key.date.year, key.date.month), []).append(key)
    return [(several[0], several[-1]) for several in by_month.values()]
