"""What commands print: JSON on standard output, notes on standard error."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

T = TypeVar("T")

#: Text that is shown as it is: names of files are no markup.
PLAIN: Any = {"highlight": False, "soft_wrap": True, "markup": False, "emoji": False}


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output; NaN and infinity become null."""
    print(json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False))


def plain(value: Any) -> Any:
    """Plain values for JSON: dataclasses are objects, dates and paths text, NaN null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, dt.date | Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def note_old(old: str, new: str) -> None:
    """Report on standard error that an option was renamed."""
    Console(stderr=True).print(f"note: {old} is {new} now; the old name still works", **PLAIN)


def read_each(paths: Iterable[Path], read: Callable[[Path], T]) -> tuple[list[T], int]:
    """What can be read, and the number of others, which standard error names."""
    found, broken = [], 0
    for path in paths:
        try:
            found.append(read(path))
        except (ValueError, OSError) as error:
            broken += 1
            Console(stderr=True).print(f"error: {error}", **PLAIN)
    return found, broken
