"""The members of an ensemble, trained side by side in processes of their own.

A member trains on one thread, so that its sums have one order and its weights are the same in
whatever process; `benchmarks/training.py` compares this with threads.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from upscale.jobs.progress import Say
from upscale.towers.table import read_towers
from upscale.training.config import TrainConfig
from upscale.training.material import Material, datasets, prepare
from upscale.training.networks.checkpoint import (
    checkpoint_path,
    read_checkpoint,
    training_key,
    write_checkpoint,
)
from upscale.training.networks.loop import Member, train_member
from upscale.training.networks.progress import LineWatcher, Watcher

__all__ = ["Say", "train_members", "train_one"]

#: What a worker process tells: the name of a watcher's method and its arguments after the
#: member's number; `member` and `failed` on top.
Message = tuple[str, Any]


def train_members(
    config: TrainConfig,
    say: Say = print,
    material: Material | None = None,
    watcher: Watcher | None = None,
    work: Path | None = None,
) -> list[Member]:
    """Train all members, `config.workers` at a time, in the order of their seeds.

    material: what they learn from (`upscale.training.material.material_of`); read from
    `config.data` if not given. It travels to each process once. watcher: told of every epoch,
    by default in lines through `say`. work: folder where members are kept after every epoch;
    the same call goes on from there. The weights depend on neither the number of workers nor
    on how often the training was killed. RuntimeError where a process dies.
    """
    material = material or prepare(config, read_towers(config.data))
    watcher = watcher or LineWatcher(say)
    if config.workers == 1:
        return [
            train_one(config, number, say, material, watcher, work)
            for number in range(config.members)
        ]
    return _side_by_side(config, material, watcher, work)


def train_one(
    config: TrainConfig,
    number: int,
    say: Say = print,
    material: Material | None = None,
    watcher: Watcher | None = None,
    work: Path | None = None,
) -> Member:
    """Train member `number`: its own seed, and its own fold of clusters to validate on."""
    material = material or prepare(config, read_towers(config.data))
    watcher = watcher or LineWatcher(say)
    seed, data = config.seed + number, datasets(config, material, number)
    key = training_key(config, seed, data)
    path = checkpoint_path(work, number, key) if work else None
    saved = read_checkpoint(path, key) if path else None
    keep = partial(write_checkpoint, path, key) if path else None
    watcher.begin(number, saved.curve if saved else ())
    with _one_thread():
        member = train_member(config, *data, seed, partial(watcher.epoch, number), saved, keep)
    watcher.end(number)
    return member


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums on one thread have one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _PipeWatcher:
    """The watcher of a worker process: it reports to its parent."""

    line: Connection

    def begin(self, *told: Any) -> None:
        self.line.send(("begin", told))

    def epoch(self, *told: Any) -> None:
        self.line.send(("epoch", told))

    def end(self, *told: Any) -> None:
        self.line.send(("end", told))


def _side_by_side(
    config: TrainConfig, material: Material, watcher: Watcher, work: Path | None
) -> list[Member]:
    """Hand members to processes until all are trained; no process outlives this call."""
    context = multiprocessing.get_context("spawn")
    waiting, members = deque(range(config.members)), dict[int, Member]()
    lines: list[Connection] = []
    processes = []
    try:
        for _ in range(min(config.workers, config.members)):
            line, theirs = context.Pipe()
            process = context.Process(
                target=_work, args=(theirs, config, material, work), daemon=True
            )
            process.start()
            theirs.close()
            lines.append(line)
            processes.append(process)
            line.send(waiting.popleft())
        while len(members) < config.members:
            ready = wait(lines)
            for line in [line for line in lines if line in ready]:
                _hear(line, watcher, members, waiting)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
    return [members[number] for number in range(config.members)]


def _hear(
    line: Connection, watcher: Watcher, members: dict[int, Member], waiting: deque[int]
) -> None:
    """Take one message of a worker process; a free worker gets the next member."""
    try:
        what, told = line.recv()
    except EOFError:
        raise RuntimeError(
            "a training process died (out of memory?): run the same command again, it goes on "
            "from the last epoch, with a lower `workers` if memory was short"
        ) from None
    if what == "failed":
        raise told
    if what != "member":
        getattr(watcher, what)(*told)
        return
    number, members[number] = told
    if waiting:
        line.send(waiting.popleft())


def _work(line: Connection, config: TrainConfig, material: Material, work: Path | None) -> None:
    """Train the members that the parent asks for; ends with the parent, whose line breaks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while True:
            number = line.recv()
            line.send(_train_for(line, config, number, material, work))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _train_for(
    line: Connection, config: TrainConfig, number: int, material: Material, work: Path | None
) -> Message:
    """The member, or what went wrong with it, as a message."""
    try:
        member = train_one(config, number, print, material, _PipeWatcher(line), work)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:
        error.add_note(f"in the process of member {number}:\n{traceback.format_exc()}")
        return "failed", error
    return "member", (number, member)
