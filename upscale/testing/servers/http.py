"""A file server on loopback that records requests and fails on demand, for tests of downloads.

```python
with serve({"/a.hdf": b"..."}) as server:
    server.script("/a.hdf", Refuse(503), Drop(1000))   # the first two requests fail
    ...
    assert server.count("/a.hdf") == 3
```
"""

from __future__ import annotations

import email.utils
import hashlib
import html
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote, urlsplit

#: Time of last change, the same for all files.
CHANGED = email.utils.formatdate(1_700_000_000, usegmt=True)


@dataclass(frozen=True)
class Refuse:
    """Answer with an error status instead of the file."""

    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Drop:
    """Cut the connection after a number of bytes of the body; if negative, before any answer."""

    after: int = -1


@dataclass(frozen=True)
class Redirect:
    """Redirect the client; `to` is a path or a URL."""

    to: str
    status: int = 302


@dataclass(frozen=True)
class Slow:
    """Send pieces of `piece` bytes with pauses in seconds; a long pause acts as a stall."""

    pause: float
    piece: int = 1 << 14


Fault = Refuse | Drop | Redirect | Slow


@dataclass
class ReceivedRequest:
    """A request and its answer; sent: number of bytes of the body passed to the network."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0


@dataclass
class Server:
    """A running server. files: content by path, may be changed at any time.

    ranges, etags, heads, lengths: whether it supports ranges and If-Range, sends ETags, answers
    HEAD, and sends Content-Length. index: style of the listing of a path that ends in "/", that
    of `apache` or `nginx`.
    """

    files: dict[str, bytes]
    url: str = ""
    ranges: bool = True
    etags: bool = True
    heads: bool = True
    lengths: bool = True
    index: str = "apache"
    requests: list[ReceivedRequest] = field(default_factory=list)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    always: dict[str, Fault] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def script(self, path: str, *faults: Fault) -> None:
        """Apply these faults to the next requests for a path, one each; later requests succeed."""
        with self.lock:
            self.faults.setdefault(path, []).extend(faults)

    def count(self, path: str, method: str = "GET") -> int:
        """Number of requests for a path."""
        return len(self.asked(path, method))

    def asked(self, path: str, method: str = "GET") -> list[ReceivedRequest]:
        """The requests for a path, in order of arrival."""
        return [row for row in self.requests if (row.path, row.method) == (path, method)]

    def sent(self, path: str) -> int:
        """Total number of bytes of a file that were sent."""
        return sum(row.sent for row in self.asked(path))

    def etag(self, path: str) -> str:
        """The ETag of the present content of a file."""
        return f'"{hashlib.sha256(self.files[path]).hexdigest()[:16]}"'

    def next_fault(self, path: str) -> Fault | None:
        """The fault for the present request, or None."""
        with self.lock:
            waiting = self.faults.get(path)
            return waiting.pop(0) if waiting else self.always.get(path)


@contextmanager
def serve(files: Mapping[str, bytes] | None = None, **how: Any) -> Iterator[Server]:
    """Serve files by paths such as "/folder/a.hdf" on a free loopback port.

    how: fields of `Server`.
    """
    server = Server(dict(files or {}), **how)
    handler = type("Handler", (_Handler,), {"served": server})
    with running(handler) as url:
        server.url = url
        yield server


class _Loopback(ThreadingHTTPServer):
    """A server that does not report disconnected clients, which tests cause on purpose."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def running(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run a server with `handler` on a free loopback port; gives its URL."""
    with _Loopback(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Stay silent: `Server.requests` is the record."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.record = ReceivedRequest(
            self.command, path, {k.lower(): v for k, v in self.headers.items()}
        )
        self.served.requests.append(self.record)
        self.fault = self.served.next_fault(path)
        with suppress(ConnectionError):
            self._give(path)

    def _give(self, path: str) -> None:
        """Answer a request with its fault, or else with a file or the index of a folder."""
        fault, known = self.fault, path in self.served.files
        if isinstance(fault, Drop) and fault.after < 0:
            self.close_connection = True
        elif isinstance(fault, Refuse):
            self._head(fault.status, {"Content-Length": "0", **fault.headers})
        elif isinstance(fault, Redirect):
            self._head(fault.status, {"Location": fault.to, "Content-Length": "0"})
        elif self.command == "HEAD" and not self.served.heads:
            self._head(405, {"Content-Length": "0"})
        elif (
            path.endswith("/")
            and not known
            and any(name.startswith(path) for name in self._names())
        ):
            self._send(200, {"Content-Type": "text/html; charset=utf-8"}, self._index(path))
        elif known:
            self._file(path)
        else:
            self._head(404, {"Content-Length": "0"})

    def _names(self) -> list[str]:
        return sorted(self.served.files)

    def _file(self, path: str) -> None:
        """Send a file, or the requested range of it."""
        content = self.served.files[path]
        headers = {"Last-Modified": CHANGED, "Content-Type": "application/octet-stream"}
        if self.served.etags:
            headers["ETag"] = self.served.etag(path)
        start, stop = self._range(path, len(content))
        if start >= len(content) > 0:
            self._head(416, {"Content-Length": "0", "Content-Range": f"bytes */{len(content)}"})
        elif (start, stop) != (0, len(content)):
            told = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
            self._send(206, headers | told, content[start:stop])
        else:
            self._send(200, headers, content)

    def _range(self, path: str, size: int) -> tuple[int, int]:
        """The requested bytes; all bytes if If-Range does not match the file."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        guard = self.headers.get("If-Range")
        now = self.served.etag(path) if self.served.etags else CHANGED
        if not (self.served.ranges and asked) or guard not in (None, now):
            return 0, size
        return int(asked[1]), min(size, int(asked[2] or size) + 1)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send a body, slowly or only in part if the fault of this request demands it."""
        told = (
            {"Content-Length": str(len(body))} if self.served.lengths else {"Connection": "close"}
        )
        self._head(status, {**headers, **told})
        self.close_connection |= not self.served.lengths
        if self.command == "HEAD":
            return
        cut = self.fault.after if isinstance(self.fault, Drop) else len(body)
        piece = self.fault.piece if isinstance(self.fault, Slow) else 1 << 16
        for at in range(0, min(cut, len(body)), piece):
            self._piece(body[at : min(at + piece, cut)])
        self.close_connection |= cut < len(body)

    def _piece(self, content: bytes) -> None:
        self.wfile.write(content)
        self.record.sent += len(content)
        if isinstance(self.fault, Slow):
            time.sleep(self.fault.pause)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.record.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _index(self, path: str) -> bytes:
        """The direct content of a folder, in the style of Apache or nginx."""
        below = {name.removeprefix(path) for name in self._names() if name.startswith(path)}
        rows = sorted({name.split("/")[0] + ("/" if "/" in name else "") for name in below})
        sorts = '<a href="?C=N;O=D">Name</a> <a href="?C=M;O=A">Last modified</a>\n'
        up = (
            '<a href="../">../</a>'
            if self.served.index == "nginx"
            else f'<a href="{_up(path)}">Parent Directory</a>'
        )
        links = "\n".join(
            f'<a href="{quote(row)}">{html.escape(row)}</a>  2020-01-01 00:00  1K' for row in rows
        )
        top = sorts if self.served.index == "apache" else ""
        page = f"<h1>Index of {path}</h1><pre>{top}{up}\n{links}</pre>"
        return f"<html><body>{page}</body></html>".encode()


def _up(path: str) -> str:
    return path.rstrip("/").rpartition("/")[0] + "/"
