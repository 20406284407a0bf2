"""Files of this machine: their first bytes, and how a whole one takes its place."""

from __future__ import annotations

from pathlib import Path


def first_bytes(path: str, count: int = 16) -> bytes:
    """The first bytes of a local file; none where there is no such file."""
    try:
        with Path(path).open("rb") as file:
            return file.read(count)
    except OSError:
        return b""
