"""What lies at a path or URL, on any file system that fsspec opens."""

from __future__ import annotations

from typing import Any

import fsspec


def is_local(fs: Any) -> bool:
    """Whether an fsspec file system is the local one."""
    return "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


def is_empty(url: str) -> bool:
    """Whether nothing lies at a URL or path; an empty folder counts as nothing."""
    fs, path = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    try:
        return not fs.ls(path, detail=False)
    except (FileNotFoundError, NotADirectoryError):
        return not fs.exists(path)
