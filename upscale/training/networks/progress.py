"""Progress of a training: a live table on a terminal, one plain line per epoch elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean
from typing import Protocol

from rich.console import Console
from rich.table import Table

from upscale.jobs.progress import Say, live_table, say_on
from upscale.training.config import TrainConfig, stages_of
from upscale.training.networks.curves import Epoch

_COLUMNS = (
    "member", "stage", "epoch", "loss", "balance", "validation", "best", "waited", "min left",
)  # fmt: skip


class Watcher(Protocol):
    """Receives the progress of members, in the process that started their training."""

    def begin(self, number: int, done: Sequence[Epoch]) -> None:
        """Member `number` begins, or resumes after these epochs."""

    def epoch(self, number: int, epoch: Epoch) -> None:
        """One more epoch."""

    def end(self, number: int) -> None:
        """Member `number` is trained."""


@contextmanager
def make_watcher(config: TrainConfig, console: Console) -> Iterator[tuple[Watcher, Say]]:
    """A live table where the console is a terminal, else lines; and how to say lines beside it."""
    say = say_on(console)
    with live_table(console) as show:
        yield LineWatcher(say) if show is None else TableWatcher(config, show), say


@dataclass(frozen=True)
class LineWatcher:
    """One line per epoch."""

    say: Say

    def begin(self, number: int, done: Sequence[Epoch]) -> None:
        if done:
            self.say(f"member {number} goes on after {len(done)} epochs")

    def epoch(self, number: int, epoch: Epoch) -> None:
        self.say(
            f"member {number} {epoch.stage} {epoch.epoch:3d}  loss {epoch.loss:.4f}  "
            f"balance {epoch.balance:.5f}  validation {epoch.validation:.4f}"
            f"{'  best so far' if epoch.best else ''}"
        )

    def end(self, number: int) -> None:
        self.say(f"member {number} is trained")


@dataclass
class TableWatcher:
    """A table with one row per member, redrawn after every epoch."""

    config: TrainConfig
    show: Callable[[Table], None]
    curves: dict[int, list[Epoch]] = field(default_factory=dict)
    trained: set[int] = field(default_factory=set)

    def begin(self, number: int, done: Sequence[Epoch]) -> None:
        self.curves[number] = list(done)
        self._show()

    def epoch(self, number: int, epoch: Epoch) -> None:
        self.curves[number].append(epoch)
        self._show()

    def end(self, number: int) -> None:
        self.trained.add(number)
        self._show()

    def _show(self) -> None:
        self.show(progress_table(self.config, self.curves, self.trained))


def progress_table(config: TrainConfig, curves: dict[int, list[Epoch]], trained: set[int]) -> Table:
    """One row per member; curves: of the members that have begun, by number."""
    left = [
        0.0 if number in trained else seconds_left(config, curves.get(number, []), curves)
        for number in range(config.members)
    ]
    ahead = max([sum(left) / config.workers, *left])
    title = f"{config.name}: {len(trained)} of {config.members} members trained"
    caption = _ahead(ahead) if len(trained) < config.members else "judging"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for name in _COLUMNS:
        table.add_column(name, justify="left" if name == "stage" else "right")
    for number in range(config.members):
        cells = _cells(config, curves.get(number), number in trained, left[number])
        table.add_row(str(number), *cells)
    return table


def seconds_left(
    config: TrainConfig, curve: Sequence[Epoch], curves: dict[int, list[Epoch]]
) -> float:
    """Seconds that a member takes if no stage stops early: what is left of each stage at the
    mean time of such epochs of all members so far, of any epochs where none was; NaN at first."""
    every = [epoch for each in curves.values() for epoch in each]
    if not every:
        return float("nan")
    names = [name for name, _ in stages_of(config)]
    reached = names.index(curve[-1].stage) if curve else 0
    total = 0.0
    for name, stage in stages_of(config)[reached:]:
        alike = [epoch.seconds for epoch in every if epoch.stage == name]
        done = sum(epoch.stage == name for epoch in curve)
        total += (stage.epochs - done) * fmean(alike or [epoch.seconds for epoch in every])
    return total


def _cells(
    config: TrainConfig, curve: Sequence[Epoch] | None, trained: bool, left: float
) -> list[str]:
    """One row of the table of members; curve: None for a member that waits; left: seconds."""
    if not curve:
        return ["waits" if curve is None else "begins", *[""] * 6, _minutes(left)]
    last = curve[-1]
    stage = [epoch for epoch in curve if epoch.stage == last.stage]
    settings = dict(stages_of(config))[last.stage]
    best = max(i for i, epoch in enumerate(stage) if epoch.best or i == 0)
    return [
        "trained" if trained else last.stage,
        f"{last.epoch + 1}/{settings.epochs}",
        f"{last.loss:.4f}",
        f"{last.balance:.4f}",
        f"{last.validation:.4f}",
        f"{stage[best].validation:.4f}",
        f"{len(stage) - 1 - best}/{settings.patience}",
        "" if trained else _minutes(left),
    ]


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}" if seconds == seconds else "?"


def _ahead(seconds: float) -> str:
    return f"at most {_minutes(seconds)} minutes left: stages stop early"
