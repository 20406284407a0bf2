"""The members of an ensemble, trained side by side in processes of their own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import torch

from upscale.towers.table import read_towers
from upscale.training.config import TrainConfig
from upscale.training.loop import Epoch, Member, train_member
from upscale.training.material import Material, datasets, prepare

Say = Callable[[str], None]


def train_members(
    config: TrainConfig, say: Say = print, material: Material | None = None
) -> list[Member]:
    """Train all members, `config.workers` at a time, in the order of their seeds.

    material: what they learn from (`upscale.training.material.material_of`); read from
    `config.data` if not given. It travels to each process once. The weights depend on neither
    the number of workers nor the order in which members end.
    """
    material = material or prepare(config, read_towers(config.data))
    if config.workers == 1:
        return [train_one(config, number, say, material) for number in range(config.members)]
    context = multiprocessing.get_context("spawn")
    count = min(config.workers, config.members)
    with ProcessPoolExecutor(count, context, _receive, (config, material)) as pool:
        waiting = [pool.submit(_train_here, n, say) for n in range(config.members)]
        return [job.result() for job in waiting]


def train_one(
    config: TrainConfig, number: int, say: Say = print, material: Material | None = None
) -> Member:
    """Train member `number`: its own seed, and its own fold of clusters to validate on."""
    material = material or prepare(config, read_towers(config.data))
    with _one_thread():
        learned, validated = datasets(config, material, number)
        seed = config.seed + number
        return train_member(config, learned, validated, seed, _progress(number, say))


#: What this process was given when it began; empty in all but worker processes.
_GIVEN: list[tuple[TrainConfig, Material]] = []


def _receive(config: TrainConfig, material: Material) -> None:
    _GIVEN[:] = [(config, material)]


def _train_here(number: int, say: Say) -> Member:
    config, material = _GIVEN[0]
    return train_one(config, number, say, material)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums on one thread have one order: the weights are the same in whatever process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _progress(number: int, say: Say) -> Callable[[Epoch], None]:
    def report(epoch: Epoch) -> None:
        say(
            f"member {number} {epoch.stage} {epoch.epoch:3d}  loss {epoch.loss:.4f}  "
            f"balance {epoch.balance:.5f}  validation {epoch.validation:.4f}"
        )

    return report
