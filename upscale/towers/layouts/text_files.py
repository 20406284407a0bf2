"""The text files of a folder: plain, gzip, or inside a zip.

A zip is read in place and never unpacked to disk, so that no member can overwrite a file.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from upscale.stores.broken import BROKEN, in_short

#: Largest text that is read, bytes: 35 years of half-hours at the 2.5 kB a row of FULLSET files.
_LARGEST = 1_500_000_000

_TEXTS = (".csv", ".csv.gz")


@dataclass(frozen=True)
class TextFile:
    """A text file: `path`, or its member `member` where `path` is a zip archive."""

    path: Path
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path}!{self.member}" if self.member else str(self.path)

    @property
    def name(self) -> str:
        """The name of the file alone, without `.gz`."""
        return PurePosixPath(self.member or self.path.name).name.removesuffix(".gz")

    def read(self) -> bytes:
        """The unpacked content; ValueError where it is damaged, encrypted or far too large."""
        try:
            content = self._packed()
            if (self.member or self.path.name).endswith(".gz"):
                with gzip.open(io.BytesIO(content)) as stream:
                    content = stream.read(_LARGEST + 1)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
            raise ValueError(f"{self}: cannot be unpacked ({error}); fetch it again") from None
        if len(content) > _LARGEST:
            raise ValueError(f"{self}: expected less than {_LARGEST:,} bytes of text, found more")
        return content

    def table(self, **options: object) -> pd.DataFrame:
        """The content read by `pandas.read_csv`; ValueError where it is no table."""
        try:
            return pd.read_csv(io.BytesIO(self.read()), **options)  # type: ignore[call-overload,no-any-return]
        except BROKEN as error:
            raise ValueError(
                f"{self}: expected a CSV table, found none ({in_short(error)}); fetch it again"
            ) from None

    def _packed(self) -> bytes:
        if not self.member:
            return self.path.read_bytes()
        with zipfile.ZipFile(self.path) as archive:
            if archive.getinfo(self.member).file_size > _LARGEST:
                raise ValueError(f"{self}: expected less than {_LARGEST:,} bytes, found more")
            return archive.read(self.member)


def sources(folder: Path) -> tuple[TextFile, ...]:
    """Every text file below `folder`, unpacked ones first, then by path.

    Raises ValueError where a zip is damaged or a member has a path outside the archive.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    plain = [TextFile(path) for path in paths if path.name.endswith(_TEXTS)]
    return (*plain, *(s for path in paths if path.suffix == ".zip" for s in _members(path)))


def _members(path: Path) -> Iterator[TextFile]:
    """The text files inside a zip; ValueError where a member has a path outside the archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{path}: expected a zip archive ({error}); fetch it again") from None
    for name in names:
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or "\\" in name:
            raise ValueError(
                f"{path}: member {name!r} lies outside of the archive; do not trust it"
            )
        if name.endswith(_TEXTS):
            yield TextFile(path, name)
