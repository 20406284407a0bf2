"""A Common Metadata Repository on loopback for tests, which only lists granules."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from upscale.archives.satellite.published import published
from upscale.testing.servers.stac import Answer, Answering, Asked, answering


@contextmanager
def serve_cmr(
    files: Mapping[str, bytes], base: str, *, checksum: str = "MD5"
) -> Iterator[Answering]:
    """Serve records of granules by published name, whose bytes are at `base`/NAME.

    A search selects product, collection and day. checksum: MD5, SHA-256, or "" for none.
    """
    rows = {name: _granule(name, content, base, checksum) for name, content in files.items()}

    def answer(asked: Asked) -> Answer:
        if not asked.path.endswith("/granules.umm_json"):
            return Answer({"errors": ["no such thing"]}, 404)
        found = [rows[name] for name in sorted(rows) if _fits(name, asked)]
        first = int(asked.headers.get("cmr-search-after", "0"))
        page = int(asked.query["page_size"][0])
        part = found[first : first + page]
        after = {"cmr-search-after": str(first + page)} if part else {}
        return Answer({"hits": len(found), "items": part}, 200, after)

    with answering(answer) as server:
        yield server


def _fits(name: str, asked: Asked) -> bool:
    named, query = published(name), asked.query
    spans = query["temporal[]"][0].split(",")
    first, last = (dt.date.fromisoformat(text[:10]) for text in spans)
    return (
        query["short_name"] == [named.product]
        and query["version"] == [named.collection]
        and first <= named.date <= last
    )


def _granule(name: str, content: bytes, base: str, checksum: str) -> dict[str, Any]:
    """The record of one granule in the format of NASA's Common Metadata Repository (UMM-G)."""
    kind = {"MD5": "md5", "SHA-256": "sha256"}.get(checksum, "")
    row: dict[str, Any] = {"Name": name, "SizeInBytes": len(content)}
    if kind:
        value = hashlib.new(kind, content).hexdigest()
        row["Checksum"] = {"Value": value, "Algorithm": checksum}
    return {
        "meta": {"concept-id": "G1-MADE", "collection-concept-id": "C1-MADE"},
        "umm": {
            "GranuleUR": name,
            "DataGranule": {"ArchiveAndDistributionInformation": [row]},
            "RelatedUrls": [
                {"URL": f"{base}/{name}.cmr.xml", "Type": "EXTENDED METADATA"},
                {"URL": f"{base}/{name}", "Type": "GET DATA"},
                {"URL": f"s3://made-protected/{name}", "Type": "GET DATA VIA DIRECT ACCESS"},
            ],
        },
    }
