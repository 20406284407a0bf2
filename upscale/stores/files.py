"""Files of this machine: their first bytes, and how a whole one takes its place.

A file that others read is written under a hidden name beside its own, flushed to the disk, and
renamed. So a reader finds the old file or the new one, never half of one, also after the writer
was killed, the disk was full, or the machine went down.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: How the hidden name of a file ends while it is being written.
PART = ".partial"


def first_bytes(path: str, count: int = 16) -> bytes:
    """The first bytes of a local file; none where there is no such file."""
    try:
        with Path(path).open("rb") as file:
            return file.read(count)
    except OSError:
        return b""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside `path`; what is written there becomes `path` when the block ends.

    Every call has a name of its own, so that any number of processes and threads may write the
    same file: the last one wins. Where the block raises, `path` stays as it was and nothing is
    left beside it. Raises OSError where the disk refuses.
    """
    part = path.with_name(f".{secrets.token_hex(4)}.{path.name}{PART}")
    try:
        yield part
        sync(part)
        take_place(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file (text in UTF-8), or let the new one take the place of the old, in one step."""
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def create_whole(path: Path, content: bytes) -> None:
    """Write a file in one step; FileExistsError where there is one of its name."""
    part = path.with_name(f".{secrets.token_hex(4)}.{path.name}{PART}")
    try:
        part.write_bytes(content)
        sync(part)
        try:
            os.link(part, path)  # unlike a renaming, never takes the place of another file
        except PermissionError:  # a disk without links: of two at the same instant, one is lost
            if path.exists():
                raise FileExistsError(path) from None
            os.replace(part, path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def take_place(part: Path, path: Path) -> None:
    """Give a file that is whole and on the disk its name, over any other that has it."""
    os.replace(part, path)
    sync(path.parent)  # the name is an entry of the folder, which the disk learns on its own


def sync(path: Path) -> None:
    """Wait until what was written to a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unfinished(folder: Path) -> list[Path]:
    """What killed writers left in a folder; only for whoever knows that nobody writes there."""
    return sorted(folder.glob(f".*{PART}"))
