"""Files of catalogues, copied at a common pace and verified by size, first bytes and checksum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from requests.auth import AuthBase

from upscale.remote.checksums import Checksum
from upscale.remote.copies import PartialCopy, without_query
from upscale.remote.errors import WrongFileError
from upscale.remote.http import Client, Opened
from upscale.remote.pace import Pace, PacedSession
from upscale.remote.retries import PATIENCE, Patience
from upscale.stores.files import first_bytes

#: Kinds of files that are fetched, and the first bytes that a file of each may have.
STARTS = {
    "HDF4": (b"\x0e\x03\x13\x01",),
    "HDF5": (b"\x89HDF\r\n\x1a\n",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "NetCDF, GRIB or ZIP": (b"CDF", b"\x89HDF", b"PK\x03\x04", b"GRIB"),
}

#: Bytes of the largest file of each kind: a tile, a granule, a month of hours of the whole Earth.
LARGEST = {"HDF4": 2**32, "HDF5": 2**34, "TIFF": 2**32, "NetCDF, GRIB or ZIP": 2**38}


@dataclass(frozen=True)
class CatalogueFile:
    """A file as a catalogue lists it.

    hosts: that it may be at, and that it may redirect to. kind: of `STARTS`, which its first bytes
    must show. size (bytes) and checksum: None where the catalogue has none. sign: adds to the URL
    what is needed to read it, which is a secret.
    """

    url: str
    hosts: tuple[str, ...]
    kind: str
    size: int | None = None
    checksum: Checksum | None = None
    sign: Callable[[str], str] | None = None

    @property
    def source(self) -> str:
        """Its URL, without what could be a secret."""
        return without_query(self.url)

    def fault_of(self, path: Path) -> str:
        """What is wrong with the content of a whole copy, "" for a good one."""
        start = first_bytes(str(path))
        if not start.startswith(STARTS[self.kind]):
            page = start.lstrip()[:1] in (b"<", b"{")
            return f"expected {self.kind}, found " + (
                "a page of text; check your account" if page else f"{start[:8]!r}"
            )
        if self.checksum is not None and (found := self.checksum.of(path)) != self.checksum:
            return f"expected {self.checksum} as listed, found {found.digits}"
        return ""


def _unwatched(count: int) -> None:
    """For copies of which nobody wants to see the progress."""


@dataclass(frozen=True)
class Downloader:
    """Copies files of catalogues into a folder of parts, at the common pace. For many threads.

    on_bytes: is called with the number of bytes that have come. auth: credentials that are added
    to requests for files.
    """

    parts: Path
    pace: Pace
    patience: Patience = PATIENCE
    on_bytes: Callable[[int], None] = _unwatched
    auth: AuthBase | None = None

    def download(self, file: CatalogueFile, name: str) -> Path:
        """A whole and verified copy, `parts`/`name`.part; a wrong one is fetched once more.

        Raises ArchiveError where it may not be fetched or is wrong twice, RemoteError where the
        server does not give it, StoppedError when the fetch is stopped.
        """
        try:
            return self._copied(file, self.parts / f"{name}.part")
        except WrongFileError:
            return self._copied(file, self.parts / f"{name}.part")

    def _copied(self, file: CatalogueFile, part: Path) -> Path:
        """The copy at `part`, resumed where there is one; errors as those of `PartialCopy`."""
        client = Client(file.hosts, self.patience, PacedSession(self.pace))
        if self.auth is not None:
            client.session.auth = self.auth

        def open_at(start: int, stamp: str) -> Opened:
            url = file.url if file.sign is None else file.sign(file.url)
            return client.open_at(url, start, stamp)

        copy = PartialCopy(
            part, file.url, file.size, kind=file.kind, largest=LARGEST[file.kind],
            fault_of=file.fault_of, on_bytes=self._came,
        )  # fmt: skip
        with client.session:
            copy.complete(open_at, self.patience, self.pace.sleep)
        return part

    def _came(self, count: int) -> None:
        self.pace.check()
        self.on_bytes(count)
