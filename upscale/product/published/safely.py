"""One writer in a folder, and files that are whole or not there."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from upscale.product.published.index import sha256_of
from upscale.product.published.ncfile import first_difference, write_part
from upscale.product.published.part import Part
from upscale.product.shards import ReadBackError
from upscale.stores.files import replacing, unfinished

_LOCK = ".publish.lock"
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


class PublishError(OSError):
    """A file could not be written; nothing was left under its name."""


def write_safely(path: Path, part: Part, confirm: Callable[[], None] = lambda: None) -> str:
    """Write a part under another name, compare it with the store, sync and rename it; returns the
    sha256 of the file.

    confirm: called before the file gets its name, which it does not where this raises.
    """
    try:
        with replacing(path) as partial:
            write_part(partial, part)
            difference = first_difference(partial, part)
            if difference:
                raise ReadBackError(f"{path}: differs from the store after writing ({difference})")
            digest = sha256_of(partial)
            confirm()
            return digest
    except (OSError, RuntimeError) as error:
        raise _explained(error, path) from error


def _explained(error: Exception, path: Path) -> Exception:
    """netCDF-C says no more than "HDF error" when a disk is full; add what is known."""
    if isinstance(error, OSError) and error.errno not in (*_FULL, errno.EPERM):
        return error
    free = shutil.disk_usage(path.parent).free / 1e9
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    bound = "none" if limit == resource.RLIM_INFINITY else f"{limit} bytes"
    return PublishError(
        f"could not write {path} ({error}): {free:.2f} GB are free there, file-size limit {bound};"
        " make room or choose another folder, then publish again. No half file was left."
    )


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder: one publication at a time; what a killed one left is cleared away."""
    with (folder / _LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PublishError(
                f"another process publishes into {folder}; wait for it, or choose another folder"
            ) from error
        for left in unfinished(folder):
            left.unlink()
        yield
