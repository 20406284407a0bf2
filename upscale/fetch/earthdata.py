"""Granules of NASA Earthdata: `earthaccess` searches and logs in, our own `Downloader` copies.

The session of earthaccess sends its token along every redirect; ours sends it to hosts of Earthdata
alone, checks each hop, resumes what broke off, and keeps to the common pace.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import requests

from upscale.archives.source import require
from upscale.fetch.available import GranuleFile, Listing, file_or_reason, months_of, newest
from upscale.fetch.granules import KINDS, GranuleKey, GranulesDue
from upscale.ingest.sources import EarthdataSource
from upscale.remote.catalogue import CatalogueFile
from upscale.remote.checksums import named_checksum
from upscale.remote.errors import ArchiveError
from upscale.remote.http import EarthdataToken
from upscale.remote.locations import check_place, host_of, name_of, scheme_of
from upscale.remote.pace import AskingSession, Pace
from upscale.remote.redaction import redact
from upscale.remote.retries import Patience

#: Hosts of NASA that catalogues may name.
NASA = ("nasa.gov", "earthdata.nasa.gov", "earthdatacloud.nasa.gov")
#: Hosts that Earthdata Cloud redirects to, by signed URLs.
DELIVERY = ("cloudfront.net", "s3.us-west-2.amazonaws.com")
_MOST = 100_000  #: granules of one product, month and region


def log_in() -> EarthdataToken:
    """The token in EARTHDATA_TOKEN, else one for EARTHDATA_USERNAME and EARTHDATA_PASSWORD, else
    one for .netrc; never prompts. ArchiveError where there is none or the account is refused."""
    earthaccess = require("earthaccess", "fetch")
    logging.getLogger("earthaccess").setLevel(logging.CRITICAL)  # it would print answers of servers
    auth = earthaccess.Auth()
    named = os.environ.get("EARTHDATA_TOKEN") or (
        os.environ.get("EARTHDATA_USERNAME") and os.environ.get("EARTHDATA_PASSWORD")
    )
    try:
        auth.login(strategy="environment" if named else "netrc")
        token = str(auth.token["access_token"])
    except Exception as error:  # its text may contain what was sent to a server
        raise ArchiveError(
            "NASA Earthdata: expected an account, found none that is accepted "
            f"({type(error).__name__}); set EARTHDATA_TOKEN, or EARTHDATA_USERNAME and "
            "EARTHDATA_PASSWORD, or put urs.earthdata.nasa.gov into .netrc"
        ) from None
    return EarthdataToken(token)


def list_granules(
    due: GranulesDue, source: EarthdataSource, pace: Pace, patience: Patience
) -> Listing:
    """The missing granules that the Common Metadata Repository has.

    No credentials are sent. ArchiveError where the answer is no listing.
    """
    hosts = (*NASA, *source.hosts)
    best: dict[GranuleKey, tuple[str, Any]] = {}
    with AskingSession(pace, (*hosts, host_of(source.catalogue)), patience) as session:
        for product in due.products:
            wanted = due.missing_of(product)
            for first, last in months_of(wanted):
                found = _search(due, source, product, (first.date, last.date), session)
                best |= newest(found, wanted)
    files = tuple(
        file_or_reason(name, partial(_granule_file, name, entry, hosts))
        for _, (name, entry) in sorted(best.items())
    )
    return Listing(files, tuple(key for key in due.missing if key not in best))


def _search(
    due: GranulesDue,
    source: EarthdataSource,
    product: str,
    days: tuple[dt.date, dt.date],
    session: requests.Session,
) -> list[tuple[str, Mapping[str, Any]]]:
    """Files of a product on some days in the box: the name of each and its entry."""
    query = require("earthaccess", "fetch").DataGranules()
    query.session = session
    query.mode(f"{source.catalogue}/")
    query.short_name(product).version(source.collection)
    query.temporal(f"{days[0]}T00:00:00Z", f"{days[1]}T23:59:59Z")
    query.bounding_box(*due.box.corners)
    try:
        return list(_data_files([granule["umm"] for granule in query.get(_MOST)]))
    except ArchiveError:
        raise
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ArchiveError(
            f"{redact(source.catalogue)}: expected a listing of {product}, found another answer "
            f"({type(error).__name__}); try again later"
        ) from None


def _data_files(granules: list[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The data file of each granule: its name, and its URL, size and checksum."""
    for granule in granules:
        listed = granule.get("DataGranule", {}).get("ArchiveAndDistributionInformation", [])
        by_name = {str(row.get("Name")): row for row in listed}
        for link in granule.get("RelatedUrls", []):
            url = str(link.get("URL", ""))
            name = name_of(url)
            if (
                link.get("Type") == "GET DATA"
                and scheme_of(url) in ("http", "https")
                and name.endswith(tuple(KINDS))
            ):
                yield name, {"url": url, **by_name.get(name, {})}


def _granule_file(name: str, entry: Mapping[str, Any], hosts: tuple[str, ...]) -> GranuleFile:
    """The file of a granule; its URL must name a host of NASA, or one that INGEST.yaml allows."""
    url = str(entry["url"])
    check_place(url, hosts)
    size = entry.get("SizeInBytes")
    listed = CatalogueFile(
        url, (*hosts, *DELIVERY), KINDS[f".{name.rpartition('.')[2]}"],
        int(size) if size else None, named_checksum(entry.get("Checksum")),
    )  # fmt: skip
    return GranuleFile(name, listed)
