"""Catalogues on loopback for tests: a server that answers JSON requests, and a STAC API on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import from_origin

from upscale.archives.formats.structure import Geometry
from upscale.testing.servers.http import running


@dataclass(frozen=True)
class Asked:
    """A request: keys of the query as lists, and a JSON body."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any = None
    raw_query: str = ""


@dataclass(frozen=True)
class Answer:
    """The answer to a request: JSON, a status and headers."""

    content: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Answering:
    """A running server and all its requests, in order of arrival."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)

    def count(self, path: str, method: str = "GET") -> int:
        """Number of requests whose path ends with `path`."""
        return sum(row.path.endswith(path) and row.method == method for row in self.asked)


@contextmanager
def answering(answer: Callable[[Asked], Answer]) -> Iterator[Answering]:
    """Run a server on a free loopback port that answers requests with a function."""
    server = Answering()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Note the request, then answer it."""
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            parts = urlsplit(self.path)
            asked = Asked(
                self.command, parts.path, parse_qs(parts.query),
                {key.lower(): value for key, value in self.headers.items()},
                json.loads(body) if body else None, parts.query,
            )  # fmt: skip
            server.asked.append(asked)
            with suppress(ConnectionError):
                self._say(answer(asked))

        do_POST = do_GET  # noqa: N815, the name is http.server's

        def _say(self, said: Answer) -> None:
            content = json.dumps(said.content).encode()
            self.send_response(said.status)
            told = {"Content-Type": "application/json", "Content-Length": str(len(content))}
            for name, value in {**told, **said.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Stay silent: `Answering.asked` is the record."""

    with running(Handler) as url:
        server.url = url
        yield server


@contextmanager
def serve_stac(
    items: Sequence[Mapping[str, Any]],
    *,
    page: int = 2,
    token: str = "",
    posts: bool = True,
    blobs: str = "",
) -> Iterator[Answering]:
    """Serve items through a paged STAC API with search by collection, day and box.

    token: answer of `/sas/COLLECTION`; with this token, `/blob/NAME` redirects to `blobs`/NAME.
    posts: whether a search may be posted.
    """

    def answer(asked: Asked) -> Answer:
        """The answer of the catalogue, its signing service or its file store to a request."""
        if asked.path.startswith("/sas/"):
            return Answer({"token": token, "msft:expiry": "2999-01-01T00:00:00Z"})
        if asked.path.startswith("/blob/"):
            signed = all(part in asked.raw_query.split("&") for part in token.split("&"))
            there = {"Location": f"{blobs}/{asked.path.removeprefix('/blob/')}"}
            return Answer({}, 302, there) if signed else Answer({"code": "Forbidden"}, 403)
        if asked.path != "/search":
            return Answer({"code": "NotFound"}, 404)
        if asked.method == "POST" and not posts:
            return Answer({"code": "NotAllowed"}, 405)
        return Answer(_page(asked, items, page, server.url))

    with answering(answer) as server:
        yield server


def _page(asked: Asked, items: Sequence[Mapping[str, Any]], size: int, url: str) -> dict[str, Any]:
    """One page of the matching items, with a link to the next page."""
    keys = asked.body or {name: values[0] for name, values in asked.query.items()}
    found = [item for item in items if _fits(item, keys)]
    first = int(keys.get("token", 0))
    links: list[dict[str, Any]] = []
    if first + size < len(found):
        more: dict[str, Any] = {"rel": "next", "href": f"{url}/search", "method": asked.method}
        if asked.method == "POST":
            links.append(more | {"body": {**keys, "token": str(first + size)}})
        else:
            query = "&".join(f"{k}={v}" for k, v in {**keys, "token": first + size}.items())
            links.append(more | {"href": f"{url}/search?{query}"})
    return {"type": "FeatureCollection", "features": found[first : first + size], "links": links}


def _fits(item: Mapping[str, Any], keys: Mapping[str, Any]) -> bool:
    collections = keys["collections"]
    listed = collections.split(",") if isinstance(collections, str) else collections
    first, last = str(keys["datetime"]).split("/")
    start, end = (item["properties"][name] for name in ("start_datetime", "end_datetime"))
    bbox = keys["bbox"]
    box = [float(x) for x in (bbox.split(",") if isinstance(bbox, str) else bbox)]
    west, south, east, north = item["bbox"]
    apart = west > box[2] or east < box[0] or south > box[3] or north < box[1]
    return item["collection"] in listed and start <= last and end >= first and not apart


def make_item(
    name: str, collection: str, days: tuple[str, str], bbox: Sequence[float],
    assets: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """A STAC item of a composite; days: first and last."""
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection,
        "geometry": None, "bbox": list(bbox), "links": [], "assets": dict(assets),
        "properties": {
            "datetime": None, "start_datetime": f"{days[0]}T00:00:00Z",
            "end_datetime": f"{days[1]}T23:59:59Z",
        },
    }  # fmt: skip


def write_cog(
    path: Path, geometry: Geometry, stored: NDArray[Any], nodata: float | None = None,
    tags: Mapping[str, Any] | None = None, radius: float = 6371007.181,
) -> Path:  # fmt: skip
    """Write stored numbers on a sinusoidal grid as a cloud-optimised GeoTIFF."""
    crs = CRS.from_string(f"+proj=sinu +lon_0=0 +x_0=0 +y_0=0 +R={radius} +units=m +no_defs")
    transform = from_origin(geometry.left, geometry.top, geometry.pixel, geometry.pixel)
    with rasterio.open(
        path, "w", driver="COG", height=geometry.rows, width=geometry.cols, count=1,
        dtype=np.dtype(stored.dtype).name, crs=crs, transform=transform, nodata=nodata,
        compress="deflate",
    ) as image:  # fmt: skip
        image.write(stored, 1)
        image.update_tags(**(tags or {}))
    return path
