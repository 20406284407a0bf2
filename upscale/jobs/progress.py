"""How far a run is: a bar on a terminal, one plain line per interval elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar


class Counted(Protocol):
    """What is told of a finished work item: how many values it has, and how it ended."""

    @property
    def counts(self) -> dict[str, int]: ...

    @property
    def status(self) -> str: ...


class Progress(Protocol):
    """What the loop tells."""

    def stage(self, name: str) -> None:
        """A new stage begins."""

    def start(self, total: int, done: int) -> None:
        """`total` work items, of which `done` were finished earlier."""

    def advance(self, entry: Counted) -> None:
        """One more work item is finished or given up."""

    def close(self) -> None:
        """The run ends, in whatever way."""


def make_progress(interval: float, stream: TextIO | None = None, of: str = "tiles") -> Progress:
    """A bar where the stream is a terminal, else lines every `interval` seconds.

    of: what is counted, in the plural.
    """
    stream = stream or sys.stderr
    return TerminalProgress(stream, of) if stream.isatty() else LogProgress(stream, interval, of)


class TerminalProgress:
    """A live bar with items done, rate, time left and the present stage."""

    def __init__(self, stream: TextIO, of: str = "tiles") -> None:
        columns = (
            TextColumn("{task.description:<18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(of),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Bar(*columns, console=Console(file=stream), transient=False)
        self._bar.start()
        self._task: TaskID = self._bar.add_task("starting", total=None, rate="")
        self._values, self._since = 0, time.monotonic()

    def stage(self, name: str) -> None:
        self._bar.update(self._task, description=name)

    def start(self, total: int, done: int) -> None:
        self._since = time.monotonic()
        self._bar.reset(self._task, total=total, completed=done)

    def advance(self, entry: Counted) -> None:
        self._values += entry.counts.get("values", 0)
        rate = self._values / max(time.monotonic() - self._since, 1e-6)
        self._bar.update(self._task, advance=1, rate=f"{rate:,.0f} cell-days/s")

    def close(self) -> None:
        self._bar.stop()


class LogProgress:
    """Plain lines, for logs."""

    def __init__(self, stream: TextIO, interval: float, of: str = "tiles") -> None:
        self._stream, self._interval, self._of = stream, interval, of
        self._stage, self._total, self._done, self._failed = "starting", 0, 0, 0
        self._values, self._since, self._last = 0, time.monotonic(), 0.0
        self._before = 0

    def stage(self, name: str) -> None:
        self._stage = name
        self._line(name)

    def start(self, total: int, done: int) -> None:
        self._total, self._done, self._before = total, done, done
        self._since = self._last = time.monotonic()

    def advance(self, entry: Counted) -> None:
        self._done += 1
        self._failed += entry.status == "failed"
        self._values += entry.counts.get("values", 0)
        if time.monotonic() - self._last >= self._interval or self._done == self._total:
            self._last = time.monotonic()
            self._line(self._state())

    def close(self) -> None:
        self._stream.flush()

    def _state(self) -> str:
        spent = max(time.monotonic() - self._since, 1e-6)
        left = spent / max(self._done - self._before, 1) * (self._total - self._done)
        failed = f", {self._failed} failed" if self._failed else ""
        return (
            f"{self._stage}: {self._done}/{self._total} {self._of}{failed}, "
            f"{self._values / spent:,.0f} cell-days/s, {left:,.0f} s left"
        )

    def _line(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", file=self._stream, flush=True)
