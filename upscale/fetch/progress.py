"""How far a fetch is: a bar on a terminal, one plain line per interval elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar


class FetchProgress(Protocol):
    """What a fetch tells, from any thread."""

    def start(self, files: int, size: int | None) -> None:
        """So many files are fetched, of so many bytes in all where all are told."""

    def came(self, count: int) -> None:
        """So many bytes more came."""

    def ended(self, name: str, reason: str) -> None:
        """A file is there, or is not for a reason."""

    def close(self) -> None:
        """The fetch ends, in whatever way."""


def make_progress(interval: float, stream: TextIO | None = None) -> FetchProgress:
    """A bar where the stream is a terminal, else lines every `interval` seconds."""
    stream = stream or sys.stderr
    return FetchTerminalProgress(stream) if stream.isatty() else FetchLogProgress(stream, interval)


class FetchTerminalProgress:
    """A live bar with files, bytes and their rate."""

    def __init__(self, stream: TextIO) -> None:
        columns = (
            TextColumn("{task.fields[files]}"), BarColumn(), DownloadColumn(),
            TransferSpeedColumn(), TimeElapsedColumn(),
        )  # fmt: skip
        self._bar = Bar(*columns, console=Console(file=stream))
        self._bar.start()
        self._task = self._bar.add_task("", total=None, files="listing")
        self._lock, self._files, self._done, self._failed = threading.Lock(), 0, 0, 0

    def start(self, files: int, size: int | None) -> None:
        self._files = files
        self._bar.update(self._task, total=size, files=self._state())

    def came(self, count: int) -> None:
        self._bar.advance(self._task, count)

    def ended(self, name: str, reason: str) -> None:
        with self._lock:
            self._done, self._failed = self._done + 1, self._failed + bool(reason)
            self._bar.update(self._task, files=self._state())

    def close(self) -> None:
        self._bar.stop()

    def _state(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{self._done}/{self._files} files{failed}"


class FetchLogProgress:
    """Plain lines, for logs."""

    def __init__(self, stream: TextIO, interval: float) -> None:
        self._stream, self._interval = stream, interval
        self._lock = threading.Lock()
        self._files, self._size, self._done, self._failed, self._bytes = 0, 0, 0, 0, 0
        self._since = self._last = time.monotonic()

    def start(self, files: int, size: int | None) -> None:
        self._files, self._size = files, size or 0
        self._since = self._last = time.monotonic()

    def came(self, count: int) -> None:
        with self._lock:
            self._bytes += count
            self._tell()

    def ended(self, name: str, reason: str) -> None:
        with self._lock:
            self._done, self._failed = self._done + 1, self._failed + bool(reason)
            self._tell(last=self._done == self._files)

    def close(self) -> None:
        self._stream.flush()

    def _tell(self, last: bool = False) -> None:
        now = time.monotonic()
        if now - self._last < self._interval and not last:
            return
        self._last = now
        whole = f" of {self._size / 1e6:,.1f}" if self._size else ""
        failed = f", {self._failed} failed" if self._failed else ""
        rate = self._bytes / max(now - self._since, 1e-6) / 1e6
        text = f"{self._done}/{self._files} files{failed}, {self._bytes / 1e6:,.1f}{whole} MB"
        print(
            f"{time.strftime('%H:%M:%S')} {text}, {rate:,.2f} MB/s", file=self._stream, flush=True
        )
