"""How long filling the gaps of a tile takes on one thread, and how much memory.

    OMP_NUM_THREADS=1 python benchmarks/gap_filling.py [--side 100] [--years 1 20] [--repeats 3]

A made record with clouds that come in runs and a season in which they stay longer, so that all
rules have work to do. Prints the best CPU seconds of alternating repeats (A B A B), the largest
memory as a multiple of the record (which counts as one), and the share of days by method.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc

import numpy as np
from numpy.typing import NDArray

from upscale.drivers.gaps import FLAG_MEANINGS, NO_VALUE, Filled, GapRule, fill_gaps

RULES = {"two-sided": GapRule(), "causal": GapRule(causal=True)}


def cloudy(side: int, years: int) -> NDArray[np.float32]:
    """A record `(day, row, col)` of a vegetation index; clouds go after 3 days or after 20."""
    rng = np.random.default_rng(0)
    days = np.arange(round(365.25 * years))
    season = np.sin(2 * np.pi * days / 365.25, dtype=np.float32)
    record = rng.normal(0.5, 0.05, (days.size, side, side)).astype(np.float32)
    record += 0.2 * season[:, None, None]
    cloud = np.zeros((side, side), bool)
    for day, values in enumerate(record):
        stays = 0.95 if season[day] > 0.3 else 0.65
        cloud = rng.random(cloud.shape) < np.where(cloud, stays, 0.35)
        values[cloud] = np.nan
    return record


def shares(filled: Filled) -> str:
    known = filled.distance != NO_VALUE
    parts = [
        f"{name} {np.mean(known & (filled.method == code)):.1%}"
        for code, name in enumerate(FLAG_MEANINGS.split())
    ]
    return ", ".join([*parts, f"missing {np.mean(~known):.1%}"])


def traced(record: NDArray[np.float32], rule: GapRule) -> tuple[float, Filled]:
    """Largest memory of the call as a multiple of the record, the record included."""
    tracemalloc.start()
    filled = fill_gaps(record, 0, rule)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return 1 + peak / record.nbytes, filled


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=100)
    parser.add_argument("--years", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    for years in asked.years:
        record = cloudy(asked.side, years)
        seconds: dict[str, list[float]] = {name: [] for name in RULES}
        for _ in range(asked.repeats):
            for name, rule in RULES.items():
                start = time.process_time()
                fill_gaps(record, 0, rule)
                seconds[name].append(time.process_time() - start)
        for name, rule in RULES.items():
            memory, filled = traced(record, rule)
            print(f"{years:3} years, {name:9} {min(seconds[name]):6.2f} s, memory {memory:.1f} x")
            print(f"    {shares(filled)}")


if __name__ == "__main__":
    main()
