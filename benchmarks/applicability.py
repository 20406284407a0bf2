"""What the area of applicability costs: the same run without it and with it, taking turns.

    OMP_NUM_THREADS=1 python benchmarks/applicability.py [--turns 5] [--points 2000] [--only made]

One year of one tile of a synthetic planet, all land, cells of 0.05 degrees, in this process,
from reading drivers to the ledger, embeddings made anew in each turn. The area of applicability is
made up (the shipped releases need none to be timed): its number of reference points decides the
cost.
Prints medians of wall and CPU seconds of both, what the second takes more, and the CPU seconds of
the computation itself, which are firmer than a difference where others use the machine, too.
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from upscale.engine.ledger import RunLedger
from upscale.engine.work import worker
from upscale.engine.work.uncertainty import with_applicability
from upscale.grid import load_grid
from upscale.network.releases.release import find_release, load_release
from upscale.planet.cube import write_planet
from upscale.testing.releases import fake_release
from upscale.testing.runs import prepare, run_here
from upscale.testing.uncertainty import with_made_uncertainty

MET = ("ta", "sw_in", "vpd", "p", "sw_pot", "day_length")
WIDE = (*MET, "ndvi", "evi", "nirv", "fapar")
#: CPU seconds of the stage in the run at hand.
SPENT: list[float] = []

#: First row and column of 60 x 60 cells of the planet without any water.
INLAND = 830, 3870
PERIOD = dt.date(2011, 1, 1), dt.date(2012, 12, 31)


@dataclass(frozen=True)
class Turn:
    """Seconds of one run; stage: CPU seconds of the applicability alone."""

    wall: float
    cpu: float
    stage: float
    cell_days: int


def make_models(folder: Path, points: int, only: str) -> dict[str, tuple[Path, Path]]:
    """Releases without and with an area of applicability, by a line that describes each pair."""
    shipped = folder / "shipped"
    shutil.copytree(find_release("tamrl-met-v1"), shipped)
    fake_release(folder / "wide", WIDE, members=10, hidden=64)
    pairs = {}
    for text, plain in {
        "tamrl-met-v1: 5 members, hidden 64, 6 drivers": shipped,
        "made: 10 members, hidden 64, 10 drivers": folder / "wide",
    }.items():
        if only not in text:
            continue
        other = plain.with_name(f"{plain.name}-with-area")
        shutil.copytree(plain, other)
        with_made_uncertainty(load_release(other), points=points)
        pairs[text] = plain, other
    return pairs


def timed(*arguments: Any) -> Any:
    """The stage of a run, with its CPU seconds kept."""
    start = time.process_time()
    fluxes = with_applicability(*arguments)
    SPENT.append(time.process_time() - start)
    return fluxes


def run_once(model: Path, drivers: str, folder: Path) -> Turn:
    """One run from an empty folder."""
    store = folder / "fluxes.zarr"
    checked = prepare(model, drivers, store, period=("2012-01-01", "2012-12-31"))
    wall, cpu = time.perf_counter(), time.process_time()
    run_here(checked)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    entries = RunLedger(str(store)).entries(checked.plan.job.digest).values()
    stage = sum(SPENT)
    SPENT.clear()
    days = sum(int(entry.counts.get("values", 0)) for entry in entries)
    for left in folder.iterdir():
        shutil.rmtree(left)
    return Turn(wall, cpu, stage, days)


def show(text: str, plain: list[Turn], other_turns: list[Turn]) -> None:
    """Medians of both, and what the second takes more."""
    print(f"{text}; {plain[0].cell_days:,} cell-days, {len(plain)} turns each")
    for name in ("wall", "cpu"):
        one, other = ([getattr(turn, name) for turn in turns] for turns in (plain, other_turns))
        a, b = statistics.median(one), statistics.median(other)
        noise = max((max(each) - min(each)) / statistics.median(each) for each in (one, other))
        more = f"{100 * (b / a - 1):+.1f} % (spread of the turns {100 * noise:.0f} %)"
        print(f"  {name:4s} seconds: {a:.2f} without, {b:.2f} with: {more}")
    stage = statistics.median(turn.stage for turn in other_turns)
    share = statistics.median(turn.stage / turn.cpu for turn in other_turns)
    print(f"  the stage alone: {stage:.2f} CPU s, {100 * share:.1f} % of its run", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--only", default="", help="words in the line of a model")
    parser.add_argument("--cells", type=int, default=50, help="edge of the tile")
    choice = parser.parse_args()
    torch.set_num_threads(1)
    worker.with_applicability = timed
    with tempfile.TemporaryDirectory() as name:
        drivers, runs = str(Path(name) / "drivers.zarr"), Path(name) / "runs"
        runs.mkdir()
        rows, cols = (slice(first, first + choice.cells) for first in INLAND)
        grids = load_grid("global-0p05").crop(rows, cols), load_grid("nodes-2p0")
        write_planet(drivers, *grids, PERIOD, satellite=WIDE[6:], tile=choice.cells)
        for text, models in make_models(Path(name), choice.points, choice.only).items():
            turns: list[list[Turn]] = [[], []]
            for _ in range(choice.turns):
                for kept, model in zip(turns, models, strict=True):
                    kept.append(run_once(model, drivers, runs))
            show(text, *turns)


if __name__ == "__main__":
    main()
