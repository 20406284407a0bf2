"""Tiles in STAC catalogues: `pystac-client` searches them, our own `Downloader` copies them.

Items are read as plain objects, and of their links only that to the next page is followed. Files
are copied before anything opens them, so that GDAL and odc-stac, which follow the links in
catalogues and headers, never see a URL.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from upscale.archives.satellite.published import published
from upscale.archives.source import require
from upscale.fetch.available import Listing, file_or_reason, months_of, newest
from upscale.fetch.granules import GranuleKey, GranulesDue
from upscale.fetch.tiles import layers_needed, write_granule
from upscale.ingest.sources import StacSource
from upscale.remote.catalogue import CatalogueFile, Downloader
from upscale.remote.checksums import hex_checksum
from upscale.remote.copies import discard
from upscale.remote.errors import ArchiveError
from upscale.remote.locations import host_of
from upscale.remote.pace import AskingSession, Pace
from upscale.remote.redaction import redact
from upscale.remote.retries import Patience

_MARGIN = 300.0  #: seconds for which a token must still be valid
_PAGE = 250
_MOST = 100_000  #: items of one product, month and region

#: HDF4 can write one file at a time, and a granule takes memory until it is written.
_WRITING = threading.Lock()


def list_tiles(due: GranulesDue, source: StacSource, pace: Pace, patience: Patience) -> Listing:
    """The missing granules that a catalogue has; ArchiveError where the answer is no listing."""
    hosts = (*source.hosts, host_of(source.catalogue))
    signer = None if source.sign is None else Signer(source.sign, source.collection, pace, patience)
    best: dict[GranuleKey, tuple[str, Any]] = {}
    with AskingSession(pace, hosts, patience) as session:
        for product in due.products:
            wanted = due.missing_of(product)
            for first, last in months_of(wanted):
                items = _search(due, source, (first.date, last.date), session)
                best |= newest(((f"{item.get('id', '')}.hdf", item) for item in items), wanted)
    files = tuple(
        file_or_reason(name, partial(_granule, name, item, due, hosts, signer))
        for _, (name, item) in sorted(best.items())
    )
    return Listing(files, tuple(key for key in due.missing if key not in best))


def _search(
    due: GranulesDue, source: StacSource, days: tuple[dt.date, dt.date], session: AskingSession
) -> list[dict[str, Any]]:
    """Items of the collection on some days in the box, by POST, or by GET where that is refused."""
    client = require("pystac_client", "fetch")
    io = require("pystac_client.stac_api_io", "fetch").StacApiIO(max_retries=None)
    io.session = session
    for method in ("POST", "GET"):
        search = client.ItemSearch(
            f"{source.catalogue}/search", method=method, stac_io=io, limit=_PAGE,
            collections=[source.collection], bbox=due.box.corners,
            datetime=f"{days[0]}T00:00:00Z/{days[1]}T23:59:59Z",
        )  # fmt: skip
        try:
            return list(_items_of(source, search.pages_as_dicts()))
        except ArchiveError:
            raise
        except client.exceptions.APIError as error:
            if method == "GET" or error.status_code not in (404, 405):
                raise _no_listing(source, redact(str(error))[:300]) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _no_listing(source, type(error).__name__) from None
    return []


def _items_of(source: StacSource, pages: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Items of all pages; ArchiveError where pages repeat or have no end."""
    seen: set[str] = set()
    for page in pages:
        names = {str(item.get("id")) for item in page["features"]}
        if names <= seen or len(seen) > _MOST:
            raise _no_listing(source, f"pages without an end, after {len(seen)} items")
        seen |= names
        yield from page["features"]


def _no_listing(source: StacSource, found: str) -> ArchiveError:
    return ArchiveError(
        f"{redact(source.catalogue)}: expected items of {source.collection}, found another answer "
        f"({found}); check the URL and the collection"
    )


def _granule(
    name: str,
    item: Mapping[str, Any],
    due: GranulesDue,
    hosts: tuple[str, ...],
    signer: Signer | None,
) -> StacGranule:
    """The granule of an item; ArchiveError where a layer that is needed is not in it."""
    product = published(name).product
    layers = {
        layer: _layer_file(name, layer, item.get("assets", {}), hosts, signer)
        for layer in layers_needed(product, due.entry.variables)
    }
    return StacGranule(name, product, layers)


def _layer_file(
    name: str, layer: str, assets: Mapping[str, Any], hosts: tuple[str, ...], signer: Signer | None
) -> CatalogueFile:
    """The file of a layer; catalogues write the spaces of its name as underscores."""
    asset = assets.get(layer) or assets.get(layer.replace(" ", "_"))
    if not isinstance(asset, Mapping) or "href" not in asset:
        raise ArchiveError(
            f"{name}: expected an asset for layer {layer}, found "
            f"{', '.join(sorted(assets)) or 'none'}; take the product from another catalogue"
        )
    size = asset.get("file:size")
    return CatalogueFile(
        str(asset["href"]), hosts, "TIFF", int(size) if size else None,
        hex_checksum(str(asset.get("file:checksum", ""))), None if signer is None else signer.sign,
    )  # fmt: skip


@dataclass(frozen=True)
class StacGranule:
    """A granule made of the tiles of its layers."""

    name: str
    product: str
    layers: Mapping[str, CatalogueFile]

    @property
    def size(self) -> int | None:
        sizes = [listed.size for listed in self.layers.values()]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def source(self) -> str:
        return " ".join(listed.source for listed in self.layers.values())

    def download(self, downloader: Downloader) -> Path:
        """Copies of layers stay until the granule is whole, so that none is fetched twice."""
        tiles = {
            layer: downloader.download(listed, f"{self.name}.{_file_name(layer)}.tif")
            for layer, listed in self.layers.items()
        }
        part = downloader.parts / f"{self.name}.part"
        with _WRITING:
            try:
                write_granule(part, self.product, tiles)
                _check_written(part)
            except ArchiveError:
                for tile in (*tiles.values(), part):
                    discard(tile)
                raise
        for tile in tiles.values():
            discard(tile)
        return part


def _file_name(layer: str) -> str:
    return re.sub(r"\W", "_", layer)


def _check_written(part: Path) -> None:
    """Raise ArchiveError where the grid is not that of the tile in the name."""
    require("upscale.archives.satellite.modis", "archives").MODIS.describe(str(part))


class Signer:
    """Adds the token of a collection to URLs and keeps it in memory. For many threads.

    end_point: a URL that gives {"token": ..., "msft:expiry": ...} for `end_point`/`collection`, as
    that of the Planetary Computer does (https://planetarycomputer.microsoft.com/docs/concepts/sas).
    """

    def __init__(self, end_point: str, collection: str, pace: Pace, patience: Patience) -> None:
        self._url, self._pace, self._patience = f"{end_point}/{collection}", pace, patience
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def sign(self, url: str) -> str:
        """The URL with a token, so that it can be read for a while."""
        with self._lock:
            if time.time() > self._until - _MARGIN:
                self._token, self._until = self._new_token()
        return f"{url}{'&' if urlsplit(url).query else '?'}{self._token}"

    def _new_token(self) -> tuple[str, float]:
        """A token and the time until which it is valid, seconds since 1970."""
        with AskingSession(self._pace, (host_of(self._url),), self._patience) as session:
            response = session.get(self._url)
        try:
            answer = json.loads(response.content)
            token, until = str(answer["token"]).lstrip("?"), str(answer["msft:expiry"])
            expires = dt.datetime.fromisoformat(until)
        except (ValueError, KeyError, TypeError):
            raise ArchiveError(
                f"{redact(self._url)}: expected a token, found status {response.status_code} and "
                "none; check the URL (fetch.sign)"
            ) from None
        if not re.fullmatch(r"[\w.~%=&+/:,;-]+", token):
            raise ArchiveError(f"{redact(self._url)}: expected a token, found another text")
        utc = expires if expires.tzinfo else expires.replace(tzinfo=dt.UTC)
        return token, utc.timestamp()
