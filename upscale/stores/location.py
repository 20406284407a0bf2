"""What lies at a path or URL, on any file system that fsspec opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec

from upscale.stores.files import create_whole, write_whole

#: Schemes of places where stores and releases lie. Others of fsspec make one place of several,
#: keep copies, or run what a file says.
SCHEMES = ("file", "s3", "gs", "gcs", "az", "abfs", "abfss", "http", "https", "memory")


def check_store_place(location: str | Path) -> str:
    """A path, or a URL of `SCHEMES`, as text; ValueError for anything else, such as chained URLs
    (`simplecache::file://...`)."""
    place = str(location)
    scheme, found, _ = place.partition("://")
    if "::" in place or (found and scheme not in SCHEMES):
        raise ValueError(
            f"{place[:200]!r}: expected a path or a URL of {', '.join(SCHEMES)}, found another "
            "scheme, or one in front of another; give the place itself"
        )
    if "\0" in place:
        raise ValueError(f"{place[:200]!r}: expected a path or a URL, found a null character in it")
    return place


def is_url(location: str) -> bool:
    """Whether a location names its file system (`s3://...`, `file://...`), as no path does."""
    return "://" in location


def is_local(fs: Any) -> bool:
    """Whether an fsspec file system is the local one."""
    return "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


def is_empty(url: str) -> bool:
    """Whether nothing lies at or below a URL or path; an empty folder counts as nothing."""
    fs, path = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    try:
        found = fs.ls(path, detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return not fs.exists(path)
    # A bucket may hold an empty object that stands for the folder itself.
    inside = [name for name in found if name.rstrip("/") != path.rstrip("/")]
    return not inside and not fs.isfile(path)


def write_object(fs: Any, path: str, content: bytes) -> None:
    """Write a small object of an fsspec file system so that readers see the old or the new one.

    A local file is written beside its place and renamed, in a folder that is made where it is
    lacking; an object store shows an upload when it is whole.
    """
    if is_local(fs):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(path), content)
    else:
        fs.pipe_file(path, content)


def create_object(fs: Any, path: str, content: bytes) -> None:
    """Write a small object of an fsspec file system unless one has its name: FileExistsError.

    Of several that create one at once, one succeeds; readers see it whole or not at all.
    """
    if is_local(fs):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        create_whole(Path(path), content)
    else:
        fs.pipe_file(path, content, mode="create")
