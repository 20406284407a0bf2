"""How often servers are asked: one rate for all threads, and sessions that keep to it."""

from __future__ import annotations

import threading
import time
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from upscale.remote.errors import ArchiveError, RemoteError
from upscale.remote.http import Client, OneHop, body
from upscale.remote.locations import Hosts, check_catalogue_url
from upscale.remote.redaction import redact
from upscale.remote.retries import Patience, TransientError, check_status, retried

#: Redirects that are followed for one request, and bytes of the largest answer.
_HOPS, _LARGEST = 10, 256 * 2**20


class StoppedError(Exception):
    """Somebody stopped the fetch; what has come stays, and a later fetch resumes it."""


class Pace:
    """A common clock that spaces the requests of all threads evenly.

    per_second: requests that may begin in a second. Setting `stop` ends all waits with
    StoppedError.
    """

    def __init__(self, per_second: float) -> None:
        self.stop = threading.Event()
        self._interval = 1 / per_second
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next request may begin."""
        with self._lock:
            at = max(time.monotonic(), self._next)
            self._next = at + self._interval
        self.sleep(at - time.monotonic())

    def sleep(self, seconds: float) -> None:
        """Wait; StoppedError as soon as the fetch is stopped."""
        if self.stop.wait(max(0.0, seconds)):
            raise StoppedError("stopped")

    def check(self) -> None:
        """Raise StoppedError if the fetch was stopped."""
        if self.stop.is_set():
            raise StoppedError("stopped")


class PacedSession(OneHop):
    """A session of one thread that waits for its turn before every request and every hop.

    It connects as `Client` does: to public addresses, and to others where `Client` trusts the host.
    """

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self.pace = pace
        model = Client().session
        self.headers.update(model.headers)
        for prefix, adapter in model.adapters.items():
            self.mount(prefix, adapter)

    def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:
        self.pace.wait()
        return super().send(request, **how)


class AskingSession(PacedSession):
    """Requests to a catalogue: every hop must lead to an allowed host, and failures are retried.

    hosts: allowed hosts; one that is named in full may have a local address. A host that is not
    allowed gets no request, and so nothing of the hop before. Libraries of catalogues take it for
    a session of their own.
    """

    def __init__(self, pace: Pace, hosts: Hosts, patience: Patience) -> None:
        super().__init__(pace)
        self.hosts, self.patience = tuple(hosts or ()), patience
        self.max_redirects = _HOPS
        for host in self.hosts:
            name = f"[{host}]" if ":" in host else host
            for scheme in ("http", "https"):
                self.mount(f"{scheme}://{name.lower()}", HTTPAdapter())

    def send(self, request: requests.PreparedRequest, **how: Any) -> requests.Response:
        """The whole answer; each redirect becomes a request that goes through this method again."""
        url, follow = str(request.url), how.pop("allow_redirects", True)
        check_catalogue_url(url, self.hosts)
        how["stream"] = True  # the body is read by `_whole`
        if how.get("timeout") is None:
            how["timeout"] = (self.patience.connect, self.patience.read)
        response: requests.Response = retried(
            lambda: self._once(request, how), self.patience, url, self.pace.sleep
        )
        hops = requests.Session.resolve_redirects(self, response, request, **how)
        try:
            for hop in hops if follow else ():
                response = hop
        except requests.exceptions.TooManyRedirects:
            raise RemoteError(
                f"{redact(url)}: expected an answer, found over {_HOPS} redirects; check the URL"
            ) from None
        return response

    def _once(self, request: requests.PreparedRequest, how: dict[str, Any]) -> requests.Response:
        """One try, without redirects; TransientError for what may be tried again."""
        try:
            response = super().send(request, allow_redirects=False, **how)
        except requests.exceptions.RequestException as error:
            if isinstance(error, ValueError):  # such as a scheme that requests does not know
                raise RemoteError(
                    f"{redact(str(request.url))}: expected a URL that can be asked, found "
                    f"{type(error).__name__}"
                ) from None
            raise TransientError(type(error).__name__) from None
        check_status(response)
        response._content = self._whole(response)  # what `response.content` gives
        return response

    def _whole(self, response: requests.Response) -> bytes:
        """The body; ArchiveError where it is larger than any answer of a catalogue may be."""
        content = bytearray()
        for piece in body(response, self.patience.read, decode=True):
            self.pace.check()
            content += piece
            if len(content) > _LARGEST:
                response.close()
                raise ArchiveError(
                    f"{redact(response.url)}: expected an answer of at most {_LARGEST} bytes, "
                    "found a larger one; check the URL"
                )
        return bytes(content)
