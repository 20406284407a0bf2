"""How boosted trees are predicted on one thread: all trees at once, or slice by slice.

    python benchmarks/tree_slices.py [--rows 20000] [--rounds 1000] [--repeats 3]

Prints thousands of rows per second of CPU time (one flux of one member) of each arrangement,
the best of alternating repeats (A B A B). "product" is what a run does. Slices of XGBoost start
from the sum of those before, which gives the bits of a prediction in one go.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.network.boosting.trees import Trees
from upscale.training.baselines import ROUNDS, fit_regressor

COLUMNS = 33  # six features and the one-hots of `tamrl-met-v1`
SLICES = (25, 50, 100)


def fitted(library: str, rounds: int) -> tuple[Trees, NDArray[np.float32]]:
    """A regressor of as many leaves as real days give, and the table it was fitted to."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(50_000, COLUMNS)).astype(np.float32)
    table[:, 6:] = table[:, 6:] > 1.5
    flux = np.sin(3 * table[:, 0]) * table[:, 1] + table[:, 2:8].sum(axis=1)
    flux += rng.normal(size=len(flux))
    return fit_regressor(
        library, table, flux.astype(np.float32), np.ones(len(flux)), 0, rounds
    ), table


def xgboost_slices(booster: Any, size: int, rounds: int, table: NDArray[np.float32]) -> Any:
    total = None
    for first in range(0, rounds, size):
        total = booster.inplace_predict(
            table,
            iteration_range=(first, min(first + size, rounds)),
            predict_type="margin",
            base_margin=total,
        )
    return total


def lightgbm_slices(booster: Any, size: int, rounds: int, table: NDArray[np.float32]) -> Any:
    total = np.zeros(len(table))
    for first in range(0, rounds, size):
        total += booster.predict(
            table, start_iteration=first, num_iteration=size, raw_score=True, num_threads=1
        )
    return total


def candidates(library: str, trees: Any, rounds: int) -> dict[str, Callable[..., Any]]:
    slices = {"xgboost": xgboost_slices, "lightgbm": lightgbm_slices}[library]
    sizes = {f"slices of {n}": partial(slices, trees.booster, n, rounds) for n in SLICES}
    whole = {"all at once": partial(slices, trees.booster, rounds, rounds)}
    return whole | sizes | {"product": partial(trees.predict, threads=1)}


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("rows", 20_000), ("rounds", ROUNDS), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    for library in ("xgboost", "lightgbm"):
        trees, table = fitted(library, asked.rounds)
        rows = np.ascontiguousarray(table[: asked.rows])
        trees.predict(rows[:1], threads=1)
        seconds: dict[str, list[float]] = {}
        for _ in range(asked.repeats):
            for name, predict in candidates(library, trees, asked.rounds).items():
                start = time.process_time()
                predict(table=rows)
                seconds.setdefault(name, []).append(time.process_time() - start)
        for name, spent in seconds.items():
            print(f"{library:9} {name:14} {len(rows) / min(spent) / 1e3:7.0f} thousand rows/s")


if __name__ == "__main__":
    main()
