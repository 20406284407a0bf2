"""The metadata of a Zarr store as they are stored: one JSON document for each group or array.

What a library makes of them depends on its version, and may come from the copy in the root; what
is stored does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fsspec

from upscale.stores.location import write_object

NAME = "zarr.json"


def read_documents(url: str) -> dict[str, Any]:
    """The documents of all arrays (and groups) in the root group, by name.

    One that is no JSON is None. Raises FileNotFoundError where there is no store.
    """
    fs, root = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    names = sorted(_folders(fs, root))
    with ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda name: _read(fs, f"{root}/{name}/{NAME}"), names)
        return {name: document for name, (there, document) in zip(names, found, strict=True)
                if there}  # fmt: skip


def read_root(url: str) -> dict[str, Any]:
    """The document of the root group; FileNotFoundError where there is none."""
    fs, root = fsspec.core.url_to_fs(url)
    content: dict[str, Any] = json.loads(fs.cat_file(f"{root}/{NAME}"))
    return content


def gathered(root: dict[str, Any]) -> dict[str, Any] | None:
    """The copies of documents that the document of a root group holds; None where it holds none."""
    inline = root.get("consolidated_metadata")
    return None if inline is None else dict(inline["metadata"])


def write_document(url: str, name: str, document: dict[str, Any]) -> None:
    """Store the document of an array; readers see the old one or the new one."""
    fs, root = fsspec.core.url_to_fs(url)
    write_object(fs, f"{root}/{name}/{NAME}", json.dumps(document, indent=2).encode())


def _folders(fs: Any, root: str) -> Iterator[str]:
    for row in fs.ls(root, detail=True):
        if row["type"] == "directory":
            yield str(row["name"]).rstrip("/").rsplit("/", 1)[-1]


def _read(fs: Any, path: str) -> tuple[bool, Any]:
    """Whether there is a document, and what it says."""
    try:
        return True, json.loads(fs.cat_file(path))
    except FileNotFoundError:
        return False, None
    except ValueError:
        return True, None
