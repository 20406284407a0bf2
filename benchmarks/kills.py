"""Stores whose making is killed at random moments and gone on with: whether all end alike.

A store of the synthetic planet grows by two months, is corrected after drivers have changed, and
is repaired after it was spoilt; each in a process that is killed with SIGKILL before one of its
writes. The same command then finishes, and the store is compared bit for bit with one that nobody
disturbed: values, attributes, the entries of the ledger with digests and totals, the seal, the log
of revisions (without clock times), and `upscale check` passes. The moments are spread over the
whole length: all writes are cut into equal parts, and in each of them one is drawn with `--seed`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from upscale.checks.seal import SEAL
from upscale.engine.check import check_store
from upscale.engine.ledger import RunEntry, RunLedger
from upscale.engine.revisions import read_log
from upscale.engine.run import status
from upscale.grid import load_grid
from upscale.planet.cube import write_planet
from upscale.testing.cubes import grow_cube, mend
from upscale.testing.killed import run_until
from upscale.testing.runs import differences
from upscale.testing.spoilt import rot, spoil_metadata

#: The store begins here, ends with the first of these days, and grows to the other, which lies
#: in its second block.
BEGIN, END, LATER = dt.date(2011, 8, 1), dt.date(2012, 6, 30), dt.date(2012, 8, 31)
MODEL = "tamrl-v2"

#: Fields of an entry that tell of the session in which it was made, not of the item.
OF_A_SESSION = "seconds", "memory", "worker", "finished", "kept"


def write_world(folder: Path) -> None:
    """All drivers of two years: a cold coast with ice of 10 x 10 cells of one degree."""
    grid = load_grid("global-1p0").crop(slice(148, 158), slice(28, 38))
    nodes = load_grid("nodes-2p0").crop(slice(72, 82), slice(12, 22))
    period = dt.date(2011, 1, 1), dt.date(2012, 12, 31)
    write_planet(str(folder / "whole.zarr"), grid, nodes, period, tile=5)


def write_config(folder: Path, end: dt.date) -> Path:
    """RUN.yaml of the store that lies beside it."""
    config = {
        "model": MODEL,
        "drivers": str(folder / "d.zarr"),
        "period": {"start": str(BEGIN), "end": str(end)},
        "output": {"store": str(folder / "f.zarr")},
        "cluster": {"workers": 1, "memory": 4.0},
    }
    path = folder / "RUN.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def grow(work: Path) -> Path:
    """Two months more of drivers, of which the second begins another block."""
    grow_cube(work / "d.zarr", work.parent / "whole.zarr", LATER)
    return write_config(work, LATER)


def correct(work: Path) -> Path:
    """Other temperatures on all days."""
    mend(work / "d.zarr", "meteo/ta", lambda stored: np.add(stored, 100, out=stored))
    return write_config(work, END)


def repair(work: Path) -> Path:
    """Spoilt metadata, layers, axes, and rot in three work items."""
    store = str(work / "f.zarr")
    spoil_metadata(store)
    rot(store, "gpp", (0, 1, 1))
    rot(store, "quality", (0, 0, 0))
    rot(store, "nee_member", (0, 0, 1, 0))
    return work / "f.zarr"


KINDS: dict[str, Callable[[Path], Path]] = {"grow": grow, "correct": correct, "repair": repair}


def compare(one: Path, other: Path) -> list[str]:
    """What differs between two folders with a store and its ledger: names of it."""
    stores = str(one / "f.zarr"), str(other / "f.zarr")
    found = differences(*stores)
    entries = [_entries(store) for store in stores]
    names = sorted(set(entries[0]) | set(entries[1]))
    for item in names:
        fields = entries[0].get(item, {}), entries[1].get(item, {})
        found += [f"{item}.{key}" for key in fields[0] | fields[1] if _unlike(*fields, key)]
    seals = [(folder / "f.ledger" / SEAL).read_bytes() for folder in (one, other)]
    found += ["seal"] * (seals[0] != seals[1])
    logs = [[asdict(made) | {"finished": ""} for made in read_log(store)] for store in stores]
    found += ["log"] * (logs[0] != logs[1])
    return found + [f"check: {name}" for name in check_store(stores[0]).failures]


def _entries(store: str) -> dict[str, dict[str, Any]]:
    entries: dict[str, RunEntry] = RunLedger(store).entries(status(store).run)
    found = {name: json.loads(json.dumps(asdict(entry))) for name, entry in entries.items()}
    for fields in found.values():
        fields["counts"].pop("kept", None)  # as the field `kept`
    return found


def _unlike(one: dict[str, Any], other: dict[str, Any], key: str) -> bool:
    return key not in OF_A_SESSION and one.get(key) != other.get(key)


def moments(writes: int, count: int, draw: random.Random) -> Iterator[int]:
    """A number of a write in each of `count` equal parts of all."""
    for part in range(count):
        low, high = part * writes // count, (part + 1) * writes // count
        yield draw.randrange(low, high) + 1


def replace(work: Path, source: Path) -> None:
    """Put a copy of a folder in the place of another."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work)


def done_in(store: str) -> str:
    """How many work items a store has, of those that its plan asks for."""
    try:
        found = status(store)
    except ValueError:
        return "no plan"
    return f"{found.done} of {found.total}"


def left_over(one: Path, other: Path) -> int:
    """How many files a store and its ledger have that another has not, of what a kill cut off."""
    names = [
        {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        for folder in (one, other)
    ]
    return sum("compact-" not in path.name for path in names[0] - names[1])


def soak(kind: str, folder: Path, count: int, draw: random.Random) -> int:
    """Kill one kind of work `count` times; how often the store ended as the undisturbed one."""
    work, base, end = folder / "work", folder / f"{kind}-base", folder / f"{kind}-end"
    replace(work, folder / "finished")
    place = KINDS[kind](work)
    shutil.copytree(work, base)
    writes, same = run_until(place), 0
    shutil.move(work, end)
    for moment in moments(writes, count, draw):
        replace(work, base)
        assert run_until(place, moment) == 0, "the process ended before it was killed"
        done = done_in(str(work / "f.zarr"))
        found, last = [], ""
        try:
            run_until(place)
            found = compare(work, end)
        except RuntimeError as error:
            last = str(error).strip().splitlines()[-1]
        same += not found and not last
        verdict = last or ", ".join(found[:6]) or "identical"
        more = left_over(work, end)
        print(f"| {kind} | {moment} of {writes} | {done} | {more} | {verdict} |", flush=True)
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=tuple(KINDS), action="append")
    given = parser.parse_args()
    kinds, same, begin = given.kind or list(KINDS), 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_world(folder)
        (folder / "work").mkdir()
        grow_cube(folder / "work" / "d.zarr", folder / "whole.zarr", END)
        run_until(write_config(folder / "work", END))
        shutil.move(folder / "work", folder / "finished")
        print("| killed | before write | work items done then | files left over | the end |")
        print("| --- | --- | --- | --- | --- |", flush=True)
        for kind in kinds:
            same += soak(kind, folder, given.kills, random.Random(f"{given.seed} {kind}"))
    print(f"{time.perf_counter() - begin:.0f} s")
    print(f"{same}/{given.kills * len(kinds)} identical")


if __name__ == "__main__":
    main()
