"""Requests to HTTP servers: tried again, checked at every redirect, resumed where they broke off.

Credentials are those of `.netrc`, and the token in `EARTHDATA_TOKEN` for the hosts of NASA
Earthdata alone. Each hop of a redirect gets those of its own host and nothing of the hop before.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from upscale.remote.errors import ArchiveError, RemoteError, WrongFileError
from upscale.remote.locations import (
    Hosts,
    check_addresses,
    check_catalogue_url,
    check_place,
    host_of,
)
from upscale.remote.public import PublicAdapter
from upscale.remote.redaction import redact, redact_log
from upscale.remote.retries import PATIENCE, Patience, TransientError, check_status, retried

#: Redirects that are followed for one request.
_HOPS = 10
#: Bytes that are read at once: what a broken connection loses at most.
_CHUNK = 1 << 16
#: Bytes per second; a body that comes more slowly counts as broken off.
_SLOWEST = 1000
#: Bytes of the largest index page.
_PAGE = 64 * 2**20
_PORTS = {"http": 80, "https": 443}
#: Hosts that a token of NASA Earthdata is sent to, each with all below it.
_EARTHDATA = ("earthdata.nasa.gov", "earthdatacloud.nasa.gov")


@dataclass(frozen=True)
class Head:
    """What a server says of a file. size: bytes; stamp: ETag, else Last-Modified, else ""."""

    url: str
    size: int
    stamp: str


@dataclass(frozen=True)
class Opened:
    """Bytes of a file from `start` on; size and stamp are those of the
    whole file, None and "" where the server does not tell them."""

    start: int
    size: int | None
    stamp: str
    chunks: Iterator[bytes]


@dataclass(frozen=True)
class Client:
    """A session with HTTP servers, for one thread.

    hosts: None where a person named the URLs. Then the server of a URL is trusted, and a redirect
    to another one must lead to a public address. Otherwise every hop must be an allowed one.
    """

    hosts: Hosts = None
    patience: Patience = PATIENCE
    session: requests.Session = field(default_factory=lambda: _session())

    def head(self, url: str) -> Head | None:
        """Size and stamp of a file, None where there is none; RemoteError where it is refused."""
        response = self._ask("HEAD", url)
        if response.status_code in (403, 405, 501):  # of signed URLs, and of servers without HEAD
            response = self._ask("GET", url, {"Range": "bytes=0-0"})
        with response:
            if response.status_code in (404, 410):
                return None
            if response.status_code not in (200, 206):
                raise _refusal(response, url)
            size = _whole_size(response)
            if size is None:
                raise RemoteError(f"{redact(url)}: expected Content-Length, found none; fetch the "
                                  "file first")  # fmt: skip
            return Head(response.url, size, _stamp(response))

    def page(self, url: str) -> tuple[str, str] | None:
        """A page: the URL after all redirects, and its text; None where there is none."""
        return retried(lambda: self._page(url), self.patience, url)

    def open_at(self, url: str, start: int, stamp: str) -> Opened:
        """One try to read a file from byte `start` on, or from 0 where the server knows no ranges.

        stamp: ETag or Last-Modified that the file must have, "" if any will do. Raises
        TransientError for what may be tried again, WrongFileError where the file has changed.
        """
        partly = start > 0 and validates(stamp)
        extra = {"Range": f"bytes={start}-", "If-Range": stamp} if partly else {}
        response = self._hops("GET", url, extra)
        if response.status_code == 416 and partly:
            response.close()
            return self.open_at(url, 0, stamp)
        if response.status_code not in ((200, 206) if partly else (200,)):
            with response:
                raise _refusal(response, url)
        _check_unchanged(response, url, stamp)
        begin = _range_start(response, start) if response.status_code == 206 else 0
        chunks = body(response, self.patience.read)
        return Opened(begin, _whole_size(response), _stamp(response), chunks)

    def _page(self, url: str) -> tuple[str, str] | None:
        """One try to read a page; ArchiveError where it is larger than any index page."""
        with self._hops("GET", url) as response:
            if response.status_code in (404, 410):
                return None
            if response.status_code != 200:
                raise _refusal(response, url)
            text = bytearray()
            for chunk in body(response, self.patience.read, decode=True):
                text += chunk
                if len(text) > _PAGE:
                    raise ArchiveError(f"{redact(url)}: expected an index page, found > {_PAGE} B")
            return response.url, text.decode(response.encoding or "utf-8", "replace")

    def _ask(self, method: str, url: str, extra: Mapping[str, str] | None = None) -> Any:
        return retried(lambda: self._hops(method, url, extra), self.patience, url)

    def _hops(
        self, method: str, url: str, extra: Mapping[str, str] | None = None
    ) -> requests.Response:
        """One try, along its redirects; the body is not read yet."""
        here = url
        for _ in range(_HOPS):
            self._check(here, url)
            response = self._send(method, here, extra or {})
            target = self.session.get_redirect_target(response)
            if target is None:
                check_status(response)
                return response
            response.close()
            here = urljoin(here, target)
        raise RemoteError(f"{redact(url)}: expected a file, found more than {_HOPS} redirects")

    def _check(self, here: str, named: str) -> None:
        """Raise ArchiveError where a hop may not be followed; only trusted hosts may be local."""
        check_place(here, self.hosts)
        parts = urlsplit(here)
        if self.hosts is not None:
            check_catalogue_url(here, self.hosts)
            trusted = parts.hostname in {entry.lower() for entry in self.hosts}
        else:
            trusted = _same_server(here, named)
            if not trusted:
                _check_redirect(here, named)
        prefix = f"{parts.scheme}://{parts.netloc}/".lower()
        if trusted and prefix not in self.session.adapters:
            self.session.mount(prefix, HTTPAdapter())

    def _send(self, method: str, url: str, extra: Mapping[str, str]) -> requests.Response:
        """One request with the credentials of its host; errors become ours, without secrets."""
        timeout = (self.patience.connect, self.patience.read)
        token = token_for(url)
        auth = EarthdataToken(token) if token else None  # without one, requests reads .netrc
        try:
            return self.session.request(
                method, url, headers=extra, auth=auth, timeout=timeout,
                stream=True, allow_redirects=False,
            )  # fmt: skip
        except requests.exceptions.SSLError as error:
            raise RemoteError(f"{redact(url)}: expected a certificate that can be trusted, found "
                              f"{redact(str(error))}") from None  # fmt: skip
        except ArchiveError:
            raise
        except ValueError as error:  # its text may hold a header, and so a token
            raise RemoteError(
                f"{redact(url)}: expected a URL and an account that can be sent, found "
                f"{type(error).__name__}; write them again"
            ) from None
        except requests.exceptions.RequestException as error:
            raise TransientError(f"{type(error).__name__} ({error})") from None


def validates(stamp: str) -> bool:
    """True for a stamp that changes with the file: a strong ETag or a date."""
    return stamp.startswith('"') or stamp.endswith(" GMT")


class OneHop(requests.Session):
    """A session that follows no redirect, nor reads the body of one, which may be endless."""

    def resolve_redirects(self, *_: Any, **__: Any) -> Generator[requests.Response]:
        yield from ()


def _session() -> requests.Session:
    redact_log("urllib3.connectionpool")
    session = OneHop()
    # sizes and ranges are those of the file as it lies on the server
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": "upscale"})
    for prefix in ("https://", "http://"):
        session.mount(prefix, PublicAdapter())
    return session


def _same_server(here: str, named: str) -> bool:
    """True for the same host and port, and for https in place of http."""
    one, other = urlsplit(here), urlsplit(named)
    ports = (one.port or _PORTS.get(one.scheme), other.port or _PORTS.get(other.scheme))
    same = ports[0] == ports[1] and one.scheme == other.scheme
    return one.hostname == other.hostname and (same or (one.scheme, ports[0]) == ("https", 443))


def _check_redirect(here: str, named: str) -> None:
    if urlsplit(here).scheme not in _PORTS:
        raise ArchiveError(f"{redact(named)}: expected a redirect to https, found one to "
                           f"{redact(here)}; do not use this URL")  # fmt: skip
    try:
        check_addresses(here, listed=False)
    except ArchiveError as error:
        raise ArchiveError(f"{redact(named)} redirects elsewhere: {error}") from None


class EarthdataToken(AuthBase):
    """Adds a token to requests by https to the hosts of NASA Earthdata, and to no other."""

    def __init__(self, token: str) -> None:
        self._token = token.strip()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if _is_earthdata(str(request.url)):
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def token_for(url: str) -> str:
    """The token of the environment for https hosts of NASA Earthdata, "" for all others."""
    return os.environ.get("EARTHDATA_TOKEN", "").strip() if _is_earthdata(url) else ""


def _is_earthdata(url: str) -> bool:
    host = host_of(url)
    named = any(host == entry or host.endswith(f".{entry}") for entry in _EARTHDATA)
    return named and urlsplit(url).scheme == "https"


def _refusal(response: requests.Response, url: str) -> RemoteError:
    found = f"{redact(url)}: expected a file, found status {response.status_code}"
    if response.status_code in (401, 403):
        host = urlsplit(response.url).hostname
        return RemoteError(f"{found}; put your account for {host} into .netrc (for NASA Earthdata, "
                           "or a token into EARTHDATA_TOKEN)")  # fmt: skip
    return RemoteError(f"{found}; check the URL")


def _stamp(response: requests.Response) -> str:
    return response.headers.get("ETag") or response.headers.get("Last-Modified") or ""


def _check_unchanged(response: requests.Response, url: str, stamp: str) -> None:
    header = "ETag" if stamp.startswith('"') else "Last-Modified"
    now = response.headers.get(header)
    if validates(stamp) and now is not None and now != stamp:
        response.close()
        raise WrongFileError(f"{redact(url)}: expected the file as it was listed ({stamp}), found "
                             f"another ({now}); list it again")  # fmt: skip


def _whole_size(response: requests.Response) -> int | None:
    """Bytes of the whole file, by Content-Range of a part or Content-Length."""
    part = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", ""))
    if response.status_code == 206:
        return int(part[1]) if part else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _range_start(response: requests.Response, asked: int) -> int:
    """Where a range begins; TransientError where it begins too late and would leave a hole."""
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if found is None or int(found[1]) > asked:
        response.close()
        raise TransientError(f"another part of the file than that from byte {asked}")
    return int(found[1])


def body(response: requests.Response, longest: float, *, decode: bool = False) -> Iterator[bytes]:
    """Pieces of the body as they come; TransientError where it breaks off or is too slow.

    longest: seconds after which the bytes that have come are compared with `_SLOWEST`. decode:
    whether a compressed body is decompressed.
    """
    with response:
        try:
            yield from _steady(lambda: response.raw.read1(_CHUNK, decode_content=decode), longest)
        except (HTTPError, OSError) as error:
            raise TransientError(f"{type(error).__name__} ({error})") from None


def _steady(read: Callable[[], bytes], longest: float) -> Iterator[bytes]:
    """Pieces until the end. A server that sends single bytes exceeds no timeout, but fails here."""
    waited, count = 0.0, 0
    while True:
        since = time.monotonic()
        piece = read()
        waited, count = waited + time.monotonic() - since, count + len(piece)
        if not piece:
            return
        if waited > longest:
            if count < longest * _SLOWEST:
                raise TransientError(f"{count} bytes in {waited:.1f} s")
            waited, count = 0.0, 0
        yield piece
