"""The maps of an ingest, and how any listed file is opened."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from upscale.archives.cells.map_legends import NamedLegend
from upscale.remote.listing import ListedFile

#: Opens a listed file as a local path.
Local = Callable[[ListedFile], AbstractContextManager[str]]


@dataclass(frozen=True)
class GroundFiles:
    """The maps of an ingest. koppen: None where climate follows from the weather.

    legend, koppen_legend: of land cover and climate, where the user names them.
    """

    igbp: tuple[ListedFile, ...]
    legend: NamedLegend | None
    koppen: ListedFile | None
    sftlf: tuple[ListedFile, ...]
    water: tuple[int, ...]
    elevation: ListedFile | None
    koppen_legend: NamedLegend | None = None

    @property
    def files(self) -> tuple[ListedFile, ...]:
        single = tuple(found for found in (self.koppen, self.elevation) if found)
        return (*self.igbp, *self.sftlf, *single)

    @property
    def identity(self) -> list[Any]:
        """Tells these maps from others."""
        roles = {"igbp": self.igbp, "sftlf": self.sftlf, "koppen": (self.koppen,),
                 "elevation": (self.elevation,)}  # fmt: skip
        named = {
            role: [f"{f.url.rsplit('/', 1)[-1]} {f.size} {f.stamp}" for f in files if f]
            for role, files in roles.items()
        }
        said = [named, self.legend, self.water]
        return said if self.koppen_legend is None else [*said, self.koppen_legend]
