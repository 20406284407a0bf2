"""What a reader makes of a wrong file: it reads it, refuses it in one line, or fails."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, rmtree
from typing import Literal

from upscale.testing.malformed.mutations import Change

Verdict = Literal["read", "refused", "traceback"]

#: Longest message that is still one clear statement, characters.
MOST_TEXT = 4000

_PACKAGE = str(Path(__file__).parents[2])


@dataclass(frozen=True)
class MalformedCase:
    """What came of one file. text: the message, or the end of the traceback."""

    verdict: Verdict
    text: str = ""


@dataclass(frozen=True)
class FuzzedParser:
    """A parser of the package, and how to try it.

    make: writes valid input below a folder; files: patterns of what is changed there, with the
    change of each; read: reads the folder as a user's command would; refuses: the errors that a
    command shows as one line, of this parser; sign: makes digests fit again after a change, so
    that what lies behind them is tried.
    """

    name: str
    make: Callable[[Path], object]
    files: tuple[tuple[str, Change], ...]
    read: Callable[[Path], object]
    refuses: tuple[type[Exception], ...]
    sign: Callable[[Path], object] = lambda folder: None


def verdict_of(read: Callable[[], object], refuses: tuple[type[Exception], ...]) -> MalformedCase:
    """Read something and say what came of it.

    Refused is what raises one of `refuses`, raised in this package (a library does not know what
    is expected, where, and what to do), with a message that can be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
    except Exception as error:
        clear = isinstance(error, refuses) and _is_ours(error) and 0 < len(str(error)) < MOST_TEXT
        if clear:
            return MalformedCase("refused", str(error))
        return MalformedCase("traceback", _tail(error))
    return MalformedCase("read")


def _is_ours(error: Exception) -> bool:
    """Whether the innermost frame of an error lies in this package."""
    frames = traceback.extract_tb(error.__traceback__)
    return frames[-1].filename.startswith(_PACKAGE)


def _tail(error: Exception) -> str:
    """The error and the frames that lead to it, the package's own last ones in full."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(_PACKAGE)][-3:]
    places = [f"{Path(f.filename).relative_to(_PACKAGE)}:{f.lineno} {f.name}" for f in ours]
    last = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    return f"{type(error).__name__}: {str(error)[:300]} | {' < '.join(reversed(places))} | {last}"


def fresh(valid: Path, place: Path) -> Path:
    """A copy of a folder of valid input, in the place of the one before it."""
    with suppress(FileNotFoundError):
        rmtree(place)
    copytree(valid, place, symlinks=True)
    return place
