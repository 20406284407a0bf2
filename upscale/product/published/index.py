"""What lies in a folder of published files: an index of what each was made from, and SHA256SUMS.

Before a file is replaced it is taken from the sums and marked in the index, and it is entered when
it stands under its name. So whenever a writer is killed, the sums confirm all files that they name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from upscale.stores.files import write_whole

#: Names of the two lists.
MANIFEST = "SHA256SUMS"
INDEX = "PUBLISHED.json"

#: Version of the form of the index.
_FORM = 1


class IndexFileError(ValueError):
    """The index of a folder cannot be read."""


@dataclass(frozen=True)
class IndexedFile:
    """What is known of a published file.

    sha256: empty while the file is replaced; product, version, variable: parts of its name;
    revision: of the store in which it was last found to be what the store says; made_from: see
    `upscale.product.published.origin.StoreView`.
    """

    sha256: str
    bytes: int
    product: str
    version: str
    variable: str
    revision: int
    made_from: dict[str, Any]

    def fault(self, path: Path) -> str:
        """Why a file is not the one that was written; empty where it is.

        Its size is looked at first, then all of it is read.
        """
        if not self.sha256:
            return "a publication was killed while it was replaced"
        if not path.exists():
            return "it was lost"
        if path.stat().st_size != self.bytes:
            return f"it was altered: {path.stat().st_size} bytes, written were {self.bytes}"
        if sha256_of(path) != self.sha256:
            return "it was altered: its sha256 is not that of the file that was written"
        return ""


class PublishedFolder:
    """The index and the sums of a folder, in which one process publishes at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = _read_index(folder / INDEX)
        self._foreign = {
            name: digest for name, digest in _read_sums(folder / MANIFEST) if name not in self.files
        }

    def withdraw(self, name: str) -> None:
        """Take a file from the sums and mark it in the index, before it is replaced."""
        if name in self.files or name in self._foreign:
            self._foreign.pop(name, None)
            if name in self.files:
                self.files[name] = replace(self.files[name], sha256="")
            self.write()

    def enter(self, name: str, file: IndexedFile) -> None:
        """Enter a file that stands under its name."""
        self.files[name] = file
        self._foreign.pop(name, None)
        self.write()

    def write(self) -> None:
        """Write both lists where they are not as they should be, the sums last."""
        rows = {name: asdict(file) for name, file in sorted(self.files.items())}
        _write_new(self.folder / INDEX, json.dumps({"form": _FORM, "files": rows}, indent=1))
        known = {name: file.sha256 for name, file in self.files.items() if file.sha256}
        sums = self._foreign | known
        there = (name for name in sorted(sums) if (self.folder / name).exists())
        _write_new(self.folder / MANIFEST, "".join(f"{sums[name]}  {name}\n" for name in there))


def sha256_of(path: Path) -> str:
    """Digest of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_new(path: Path, content: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != content:
        write_whole(path, content)


def _read_index(path: Path) -> dict[str, IndexedFile]:
    """The rows of an index, none where there is none; IndexFileError where it is no index."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["form"] != _FORM:
            raise IndexFileError(
                f"{path}: expected form {_FORM}, found {content['form']}; publish with the newer "
                "version that wrote it"
            )
        return {name: IndexedFile(**row) for name, row in content["files"].items()}
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise IndexFileError(
            f"{path}: expected the index of published files, found something else ({error}); put "
            "it back, or delete it: all files are then compared with the store"
        ) from error


def _read_sums(path: Path) -> Iterator[tuple[str, str]]:
    if path.exists():
        rows = (line.split("  ", 1) for line in path.read_text().splitlines() if "  " in line)
        yield from ((name, digest) for digest, name in rows)
