"""Malformed files for every parser: how many are read, refused in one line, or go wrong.

Each parser of `upscale.testing.malformed` gets a process of its own. There a valid input is
changed at one place, in one of many ways that get past a first look, and read as a command reads
it. A case is read, or refused by an error of the package in one line; anything else is a
traceback. A case that takes longer than `--seconds` is a hang, and one that takes more than
`--memory` GiB beyond what the process had before fails as a traceback. The same seed gives the
same files.

    python benchmarks/fuzz.py --cases 100 --seed 1
    python benchmarks/fuzz.py --parser "flux cube" --cases 1000 --show
"""

from __future__ import annotations

import argparse
import datetime as dt
import multiprocessing
import os
import platform
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from upscale.testing.malformed.table import PARSERS, make_valid, try_once

#: Seconds in which valid input is made.
MAKING = 120


@dataclass
class Figures:
    """What came of the cases of one parser; faults: case number and what went wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    memory: float = 0.0
    faults: list[str] = field(default_factory=list)


def work(name: str, seed: int, cases: range, memory: float, valid: Path, pipe: Any) -> None:
    """Try cases one after the other, and tell the parent before and after each."""
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, libraries print
    os.dup2(sys.stderr.fileno(), 2)
    parser = PARSERS[name]
    if not valid.exists():
        make_valid(parser, valid)
    limit = int(memory * 2**30)
    _bound_memory(limit)
    for case in cases:
        pipe.send(("begin", case))
        begin = time.monotonic()
        try:
            where, found = try_once(
                parser, valid, valid.with_name("case"), Random(f"{seed} {case}")
            )
        except Exception as error:  # no fault of the parser: the change itself went wrong
            pipe.send(("broken", case, f"{type(error).__name__}: {error}"))
            raise
        spent, peak = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pipe.send(("end", case, where, found, spent, peak / 2**20))
    pipe.send(("done",))


def _bound_memory(more: int) -> None:
    """Let this process take some bytes more than it has, and no more."""
    with open("/proc/self/status") as file:
        kilobytes = next(int(line.split()[1]) for line in file if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (kilobytes * 1024 + more,) * 2)


def fuzz(name: str, seed: int, cases: int, seconds: float, memory: float, folder: Path) -> Figures:
    """All cases of a parser; a process that hangs or dies is replaced, and goes on behind it."""
    figures, first, context = Figures(), 0, multiprocessing.get_context("spawn")
    while first < cases:
        mine, theirs = context.Pipe()
        left = range(first, cases)
        child = context.Process(
            target=work, args=(name, seed, left, memory, folder / "valid", theirs)
        )
        child.start()
        theirs.close()
        first = _listen(mine, figures, seconds, cases)
        child.kill()
        child.join()
    return figures


def _listen(pipe: Any, figures: Figures, seconds: float, cases: int) -> int:
    """Note what a process tells of its cases; the number of the first case that is left."""
    case, patience = -1, float(MAKING)
    while pipe.poll(patience):
        try:
            kind, *rest = pipe.recv()
        except EOFError:
            if case < 0:
                raise RuntimeError("the valid input was not made, or is not read") from None
            figures.counts["traceback"] += 1
            figures.faults.append(f"case {case}: the process died")
            return case + 1
        if kind == "done":
            return cases
        if kind == "broken":
            raise RuntimeError(f"case {rest[0]} could not be made: {rest[1]}")
        case, patience = rest[0], seconds
        if kind == "end":
            _, where, found, spent, peak = rest
            figures.counts[found.verdict] += 1
            figures.slowest = max(figures.slowest, spent)
            figures.memory = max(figures.memory, peak)
            patience = MAKING
            if found.verdict == "traceback":
                figures.faults.append(f"case {case}: {where}: {found.text}")
    figures.counts["hang"] += 1
    figures.faults.append(f"case {case}: no end after {seconds:g} s")
    return case + 1


COLUMNS = ("read", "refused", "traceback", "hang")


def rows(found: dict[str, Figures]) -> Iterator[str]:
    """The table, in Markdown."""
    yield "| parser | cases | read | refused | tracebacks | hangs | slowest, s | memory, GB |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    for name, each in found.items():
        numbers = [sum(each.counts.values()), *(each.counts[column] for column in COLUMNS)]
        text = " | ".join(f"{number:,}" for number in numbers)
        yield f"| {name} | {text} | {each.slowest:.1f} | {each.memory:.1f} |"
    total: Counter[str] = sum((each.counts for each in found.values()), Counter())
    numbers = [sum(total.values()), *(total[column] for column in COLUMNS)]
    slowest = max(each.slowest for each in found.values())
    memory = max(each.memory for each in found.values())
    text = " | ".join(f"{number:,}" for number in numbers)
    yield f"| all | {text} | {slowest:.1f} | {memory:.1f} |"


def main() -> None:
    """Try every parser, print the table, and exit with 1 where something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100, help="of each parser")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20, help="after which a case hangs")
    parser.add_argument("--memory", type=float, default=2.0, help="GiB that a case may take")
    parser.add_argument("--jobs", type=int, default=1, help="parsers that are tried at a time")
    parser.add_argument("--parser", action="append", help="only this one; may be repeated")
    parser.add_argument("--show", action="store_true", help="print every fault")
    args = parser.parse_args()
    found: dict[str, Figures] = {}
    names = args.parser or list(PARSERS)

    def one(name: str) -> Figures:
        with tempfile.TemporaryDirectory() as folder:
            return fuzz(name, args.seed, args.cases, args.seconds, args.memory, Path(folder))

    with ThreadPoolExecutor(args.jobs) as pool:
        made = pool.map(one, names)
    for name, figures in zip(names, made, strict=True):
        found[name] = figures
        print(f"{name}: {dict(found[name].counts)}", file=sys.stderr, flush=True)
        for fault in found[name].faults if args.show else ():
            print(f"  {fault}", file=sys.stderr, flush=True)
    print(f"seed {args.seed}, {dt.date.today()}, {platform.machine()}, {os.cpu_count()} cores, "
          f"Python {platform.python_version()}")  # fmt: skip
    print("\n".join(rows(found)))
    if any(each.faults for each in found.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
