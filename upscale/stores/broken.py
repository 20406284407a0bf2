"""What a library raises for a document that is not what it should be, as one error that says where.

Zarr, pandas, netCDF4 and the parsers of JSON and YAML raise whatever their code meets in a wrong
document: a KeyError, a TypeError, a RecursionError. None of them knows the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: What libraries raise for wrong documents. OSError is not among them: it names what is not there.
BROKEN = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError,
    AssertionError,
)  # fmt: skip


@contextmanager
def refusing(
    where: str,
    expected: str,
    fault: Callable[[str], Exception],
    remedy: str = "restore it from a copy, or make it again",
    passing: tuple[type[Exception], ...] = (),
    also: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Turn what a library raises in the block into what `fault` makes of one line.

    where: the document; expected: what it should be, in words; passing: errors that say so already,
    and `fault` where it is a class of its own; also: more than `BROKEN`.
    """
    caught: tuple[type[Exception], ...] = (*BROKEN, *also)
    try:
        yield
    except passing:
        raise
    except caught as error:
        if isinstance(fault, type) and fault is not ValueError and isinstance(error, fault):
            raise
        raise fault(
            f"{where}: expected {expected}, found something else ({in_short(error)}); {remedy}"
        ) from error


def in_short(error: Exception) -> str:
    """An error in a part of a line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}"
