"""How far a fetch is, in files and bytes; told from any thread."""

from __future__ import annotations

import threading
import time
from typing import TextIO

from rich.progress import DownloadColumn, TransferSpeedColumn

from upscale.jobs.progress import Display, make_display, per_second, tally


def make_progress(interval: float, stream: TextIO | None = None) -> FetchProgress:
    """A bar where the stream is a terminal, else lines every `interval` seconds."""
    columns = DownloadColumn(), TransferSpeedColumn()
    return FetchProgress(make_display(interval, stream, columns=columns))


class FetchProgress:
    """Counts files, those that failed, and bytes."""

    def __init__(self, display: Display) -> None:
        self.display = display
        self._lock = threading.Lock()
        self._files, self._size, self._done, self._failed, self._bytes = 0, 0, 0, 0, 0
        self._since = time.monotonic()

    def start(self, files: int, size: int | None) -> None:
        """So many files are fetched, of so many bytes in all where all are told."""
        self._files, self._size = files, size or 0
        self._since = time.monotonic()
        self.display.start(size, 0)

    def came(self, count: int) -> None:
        """So many bytes more came."""
        with self._lock:
            self._bytes += count
            self._show()

    def ended(self, name: str, reason: str) -> None:
        """A file is there, or is not for a reason."""
        with self._lock:
            self._done, self._failed = self._done + 1, self._failed + bool(reason)
            self._show(last=self._done == self._files)

    def close(self) -> None:
        """The fetch ends, in whatever way."""
        self.display.close()

    def _show(self, last: bool = False) -> None:
        whole = f" of {self._size / 1e6:,.1f}" if self._size else ""
        speed = per_second(self._bytes, self._since) / 1e6
        rate = f"{self._bytes / 1e6:,.1f}{whole} MB, {speed:,.2f} MB/s"
        counts = tally(self._done, self._files, "files", self._failed)
        self.display.show(self._bytes, counts, rate, last)
