"""How the members of an ensemble train side by side on a CPU: processes, threads, or in turn.

    python benchmarks/training.py [--members 2] [--side 2] [--epochs 2] [--repeats 3]

Trains the same members, of the sizes of `examples/train-tamrl-met-v1.yaml`, on made towers, in
alternating turns (A B C A B C), and prints member-epochs (of 40 steps and a validation) per
minute of wall time, and the CPU seconds of each, medians over the repeats. "in turn" is one
process on one thread; "torch" the same with as many threads for torch as members would train
side by side; "threads" trains members in Python threads of one process; "processes" is what
`upscale train` does, with the start of the processes and without it.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from upscale.testing.towers import write_towers
from upscale.towers.table import read_towers
from upscale.training.config import Draw, Holdout, NetworkSettings, Stage, TrainConfig
from upscale.training.material import Material, datasets, prepare
from upscale.training.networks.loop import train_member
from upscale.training.networks.members import train_members

STARTED = "processes, once started"


def run_config(folder: Path, members: int, side: int, epochs: int) -> TrainConfig:
    """The configuration of the benchmark: `epochs` of the second stage, one of the first."""
    return TrainConfig(
        name="benchmark",
        data=folder,
        out=folder / "release",
        members=members,
        workers=side,
        holdout=Holdout(share=0.1, seed=0, folds=5),
        network=NetworkSettings(hidden=64, latent=8, encoder_hidden=16, generator_hidden=16),
        draw=Draw(towers=16, windows=8, support=6),
        decoder_stage=Stage(epochs=1, patience=99),
        joint_stage=Stage(epochs=epochs, patience=99),
    )


def train_one(config: TrainConfig, material: Material, number: int) -> None:
    """A member, on as many threads as torch has now."""
    data = datasets(config, material, number)
    train_member(config, *data, config.seed + number, lambda _: None)


def in_turn(config: TrainConfig, material: Material, threads: int) -> None:
    """One member after the other."""
    torch.set_num_threads(threads)
    for number in range(config.members):
        train_one(config, material, number)


def in_threads(config: TrainConfig, material: Material) -> None:
    """Members in Python threads. They share one torch generator: no two runs are alike."""
    torch.set_num_threads(1)
    with ThreadPoolExecutor(config.workers) as pool:
        jobs = [pool.submit(train_one, config, material, n) for n in range(config.members)]
        for job in jobs:
            job.result()


class Clock:
    """A watcher that notes when the first epoch ends, and how long it took."""

    def __init__(self) -> None:
        self.started = float("nan")

    def begin(self, number: int, done: object) -> None:
        if self.started != self.started:
            self.started = time.perf_counter()

    def epoch(self, number: int, epoch: object) -> None: ...
    def end(self, number: int) -> None: ...


def in_processes(config: TrainConfig, material: Material) -> float:
    """As `upscale train`; returns the seconds until the first member began."""
    clock, begin = Clock(), time.perf_counter()
    train_members(config, material=material, watcher=clock)
    return clock.started - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--side", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=["in turn", "threads", "processes"])
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = write_towers(Path(name), count=30)
        config = run_config(folder, choice.members, choice.side, choice.epochs)
        compare(config, prepare(config, read_towers(folder)), choice.repeats, choice.ways)


def compare(config: TrainConfig, material: Material, repeats: int, chosen: list[str]) -> None:
    """Time the chosen arrangements in turn and print the medians."""
    ways: dict[str, Callable[[], float | None]] = {
        "in turn": lambda: in_turn(config, material, 1),
        "torch": lambda: in_turn(config, material, config.workers),
        "threads": lambda: in_threads(config, material),
        "processes": lambda: in_processes(config, material),
    }
    ways = {name: ways[name] for name in chosen}
    epochs = config.members * (config.decoder_stage.epochs + config.joint_stage.epochs)
    wall: dict[str, list[float]] = {name: [] for name in (*ways, STARTED)}
    cpu: dict[str, list[float]] = {name: [] for name in (*ways, STARTED)}
    for _ in range(repeats):
        for name, way in ways.items():
            begin, used = time.perf_counter(), cpu_seconds()
            started = way()
            wall[name].append(time.perf_counter() - begin)
            cpu[name].append(cpu_seconds() - used)
            if started is not None:
                wall[STARTED].append(wall[name][-1] - started)
    wall = {name: each for name, each in wall.items() if each}
    print(f"{config.members} members, {config.workers} side by side, load {os.getloadavg()[0]:.1f}")
    for name, each in wall.items():
        rates = sorted(60 * epochs / seconds for seconds in each)
        busy = f"{statistics.median(cpu[name]) / epochs:6.2f} CPU s each" if cpu[name] else ""
        print(
            f"{name:24s} {statistics.median(rates):6.1f} member-epochs per minute "
            f"({rates[0]:.1f} to {rates[-1]:.1f}) {busy}"
        )


def cpu_seconds() -> float:
    """User and system seconds of this process and of those it has waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


if __name__ == "__main__":
    main()
