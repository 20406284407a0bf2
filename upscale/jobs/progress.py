"""How far work is: a bar or a table on a terminal, plain lines elsewhere.

What is common to run, ingest, fetch and train stands here; each of them says only what it counts.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar


class Display(Protocol):
    """Where progress is shown: on a terminal or in a log."""

    def stage(self, name: str) -> None:
        """A new stage begins."""

    def start(self, total: float | None, done: float) -> None:
        """`total` is to be done, if that is known, of which `done` was done earlier."""

    def show(self, done: float, counts: str, rate: str, last: bool = False) -> None:
        """So much is done. counts, rate: the same in words; last: nothing follows."""

    def close(self) -> None:
        """The work ends, in whatever way."""


#: The column of a bar that says how fast the work is, in the words of whoever counts.
RATE: ProgressColumn = TextColumn("{task.fields[rate]}")


def make_display(
    interval: float,
    stream: TextIO | None = None,
    stage: str = "",
    columns: Sequence[ProgressColumn] = (RATE,),
) -> Display:
    """A bar where the stream is a terminal, else lines every `interval` seconds.

    stream: standard error by default; stage: the first one; columns: of the bar, between what was
    counted and the time.
    """
    stream = stream or sys.stderr
    if stream.isatty():
        return TerminalDisplay(stream, stage, columns)
    return LogDisplay(stream, interval, stage)


class TerminalDisplay:
    """A live bar with the present stage, what is done, how fast, and the time left."""

    def __init__(self, stream: TextIO, stage: str, columns: Sequence[ProgressColumn]) -> None:
        around = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[counts]}")
        time_columns = TimeElapsedColumn(), TimeRemainingColumn()
        self._bar = Bar(*around, *columns, *time_columns, console=Console(file=stream))
        self._bar.start()
        self._task = self._bar.add_task(stage, total=None, counts="", rate="")

    def stage(self, name: str) -> None:
        self._bar.update(self._task, description=name)

    def start(self, total: float | None, done: float) -> None:
        self._bar.reset(self._task, total=total, completed=int(done))

    def show(self, done: float, counts: str, rate: str, last: bool = False) -> None:
        self._bar.update(self._task, completed=done, counts=counts, rate=rate)

    def close(self) -> None:
        self._bar.stop()


class LogDisplay:
    """Plain lines, for logs."""

    def __init__(self, stream: TextIO, interval: float, stage: str) -> None:
        self._stream, self._interval, self._stage = stream, interval, stage
        self._total: float | None = None
        self._before = 0.0
        self._since = self._last = time.monotonic()

    def stage(self, name: str) -> None:
        self._stage = name
        self._line(name)

    def start(self, total: float | None, done: float) -> None:
        self._total, self._before = total, done
        self._since = self._last = time.monotonic()

    def show(self, done: float, counts: str, rate: str, last: bool = False) -> None:
        if time.monotonic() - self._last < self._interval and not last:
            return
        self._last = time.monotonic()
        stage = f"{self._stage}: " if self._stage else ""
        self._line(f"{stage}{counts}, {rate}{self._left(done)}")

    def close(self) -> None:
        self._stream.flush()

    def _left(self, done: float) -> str:
        """The time left in words; none where nothing is left or nobody can tell."""
        if self._total is None or not self._before < done < self._total:
            return ""
        spent = time.monotonic() - self._since
        return f", {spent / (done - self._before) * (self._total - done):,.0f} s left"

    def _line(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", file=self._stream, flush=True)


class Counted(Protocol):
    """What is told of a finished work item: how many values it has, and how it ended."""

    @property
    def counts(self) -> dict[str, int]: ...

    @property
    def status(self) -> str: ...


def made_values(entry: Counted) -> int:
    """How many values were made for a work item: those that an earlier session left are not among
    them."""
    return entry.counts.get("values", 0) - entry.counts.get("kept", 0)


class Progress(Protocol):
    """What work on a cluster tells."""

    def stage(self, name: str) -> None:
        """A new stage begins."""

    def start(self, total: int, done: int) -> None:
        """`total` work items, of which `done` were finished earlier."""

    def advance(self, entry: Counted) -> None:
        """One more work item is finished or given up."""

    def close(self) -> None:
        """The work ends, in whatever way."""


def make_progress(interval: float, stream: TextIO | None = None, of: str = "tiles") -> Progress:
    """Shows work items and their values. of: what a work item is called, in the plural."""
    return ItemProgress(make_display(interval, stream, "starting"), of)


class ItemProgress:
    """Counts work items, those that failed, and cell-days."""

    def __init__(self, display: Display, of: str) -> None:
        self._display, self._of = display, of
        self._total, self._done, self._failed, self._values = 0, 0, 0, 0
        self._since = time.monotonic()

    def stage(self, name: str) -> None:
        self._display.stage(name)

    def start(self, total: int, done: int) -> None:
        self._total, self._done, self._failed, self._values = total, done, 0, 0
        self._since = time.monotonic()
        self._display.start(total, done)

    def advance(self, entry: Counted) -> None:
        self._done += 1
        self._failed += entry.status == "failed"
        self._values += made_values(entry)
        rate = per_second(self._values, self._since)
        counts = tally(self._done, self._total, self._of, self._failed)
        last = self._done == self._total
        self._display.show(self._done, counts, f"{rate:,.0f} cell-days/s", last)

    def close(self) -> None:
        self._display.close()


def tally(done: int, total: int, of: str, failed: int) -> str:
    """`3/10 tiles, 1 failed`."""
    return f"{done}/{total} {of}" + (f", {failed} failed" if failed else "")


def per_second(count: float, since: float) -> float:
    """What came per second. since: when counting began, as `time.monotonic` gives it."""
    return count / max(time.monotonic() - since, 1e-6)


#: Says a line.
Say = Callable[[str], None]


def say_on(console: Console) -> Say:
    """Prints lines as they are, also above a live table."""
    return lambda line: console.print(line, highlight=False, soft_wrap=True, markup=False)


@contextmanager
def live_table(console: Console) -> Iterator[Callable[[RenderableType], None] | None]:
    """Draws what it is given in one place of a terminal; None elsewhere, where lines must do."""
    if not console.is_terminal:
        yield None
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda table: live.update(table, refresh=True)
