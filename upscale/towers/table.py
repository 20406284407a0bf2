"""Reading flux towers from a folder, whatever its layout.

| layout | recognised by |
| --- | --- |
| harmonised table | `towers.parquet` |
| CarbonFluxBench | `target_fluxes.parquet` |
| ONEFlux, as archives deliver it | daily files, plain, gzip or zip, in any subfolder |

Where a folder holds more than one layout, the first in this order is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

import pandas as pd

from upscale.towers import satellite
from upscale.towers.layouts import carbonfluxbench, harmonised, oneflux_folder
from upscale.towers.layouts.oneflux import Weather
from upscale.towers.screening.refusal import accepted_findings, screened
from upscale.towers.sites import FILES as SITE_FILES
from upscale.towers.sites import known_sites
from upscale.towers.tower import (
    DRIVERS,
    GOOD_QUALITY,
    MASKED_QUALITY,
    Tower,
    TowerWarning,
    good_days,
)

__all__ = [
    "DRIVERS",
    "GOOD_QUALITY",
    "MASKED_QUALITY",
    "Layout",
    "Tower",
    "TowerWarning",
    "good_days",
    "layout_of",
    "read_sites",
    "read_towers",
    "read_unscreened",
    "tower_files",
]

Layout = Literal["harmonised", "carbonfluxbench", "oneflux"]


class _Reader(Protocol):
    """A module that reads one layout."""

    def read_sites(self, folder: Path, table: Path | None = None) -> pd.DataFrame: ...

    def read(
        self, folder: Path, sites: Sequence[str] | None = None, table: Path | None = None
    ) -> tuple[Tower, ...]: ...


_READERS: dict[Layout, _Reader] = {
    "harmonised": harmonised,
    "carbonfluxbench": carbonfluxbench,
    "oneflux": oneflux_folder,
}


def read_towers(
    folder: str | Path,
    sites: Sequence[str] | None = None,
    *,
    table: str | Path | None = None,
    weather: Weather = "tower",
) -> tuple[Tower, ...]:
    """Read the towers of a folder, sorted by site.

    folder: any of the layouts above, with `satellite.parquet` if there are composites. sites:
    only these, if given. table: a table of sites (Parquet or CSV) instead of `sites.parquet` or
    `sites.csv` of the folder. weather: of the towers themselves or, only from ONEFlux files, of
    the reanalysis downscaled to the towers (`era`). A TowerWarning names whatever was left out or
    assumed, and `Tower.origin` says what was read. FileNotFoundError or ValueError name the file,
    column or site at fault.

    Every tower is screened (`upscale.towers.screening`): ValueError names what is certain to be
    wrong, a TowerWarning what is suspect. The column `accepted` of the table of sites accepts it.
    """
    place, meta = Path(folder), Path(table) if table else None
    towers = read_unscreened(place, sites, table=meta, weather=weather)
    return screened(towers, accepted_findings(known_sites(place, meta), place), place)


def read_unscreened(
    folder: str | Path,
    sites: Sequence[str] | None = None,
    *,
    table: str | Path | None = None,
    weather: Weather = "tower",
) -> tuple[Tower, ...]:
    """The towers as `read_towers` reads them, also where they are certain to be wrong."""
    folder, layout = Path(folder), layout_of(folder)
    if weather != "tower" and layout != "oneflux":
        raise ValueError(f"{folder}: expected ONEFlux files for weather of {weather}, found none")
    meta = Path(table) if table else None
    if layout == "oneflux":
        towers = oneflux_folder.read(folder, sites, meta, weather)
    else:
        towers = _READERS[layout].read(folder, sites, meta)
    seen = {str(site): part for site, part in satellite.read_satellite(folder).groupby("site")}
    return tuple(_with_satellite(tower, seen.get(tower.site)) for tower in towers)


def read_sites(folder: str | Path, *, table: str | Path | None = None) -> pd.DataFrame:
    """The table of the sites that `read_towers` reads, sorted by site.

    Columns are site, lat, lon, igbp, koppen, cluster, suspect, and all others of the folder, such
    as name, elevation, source, licence, citation.
    """
    read = _READERS[layout_of(folder)].read_sites
    return read(Path(folder), Path(table) if table else None)


def layout_of(folder: str | Path) -> Layout:
    """The layout of a folder; FileNotFoundError says what it should hold."""
    folder = Path(folder)
    if (folder / harmonised.FILE).is_file():
        return "harmonised"
    if (folder / carbonfluxbench.FILE).is_file():
        return "carbonfluxbench"
    if folder.is_dir() and oneflux_folder.find(folder):
        return "oneflux"
    strange = oneflux_folder.others(folder) if folder.is_dir() else {}
    found = "; ".join(strange.values()) or "none"
    raise FileNotFoundError(
        f"expected towers in {folder}, found {found}; point to a folder that holds towers.parquet "
        f"and sites.parquet, or {carbonfluxbench.FILE} and {carbonfluxbench.ERA}, or daily "
        "ONEFlux files such as FLX_AT-Neu_FLUXNET2015_SUBSET_DD_2002-2012_1-4.csv"
    )


def tower_files(folder: str | Path) -> tuple[Path, ...]:
    """Every file that `read_towers` reads from a folder, in a fixed order: for digests."""
    folder, layout = Path(folder), layout_of(folder)
    names: dict[Layout, tuple[str, ...]] = {
        "harmonised": (harmonised.FILE,),
        "carbonfluxbench": carbonfluxbench.FILES,
        "oneflux": (),
    }
    meta = next(((name,) for name in SITE_FILES if (folder / name).is_file()), ())
    paths = [folder / name for name in (*meta, *names[layout], satellite.FILE)]
    more = oneflux_folder.paths(folder) if layout == "oneflux" else ()
    return (*(path for path in paths if path.is_file()), *more)


def _with_satellite(tower: Tower, rows: pd.DataFrame | None) -> Tower:
    series = {} if rows is None else satellite.daily_series(rows, tower.days)
    return replace(tower, satellite={**tower.satellite, **series}) if series else tower
