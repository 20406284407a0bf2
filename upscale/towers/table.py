"""Flux towers as arrays: the one door to every layout in which a folder may hold them.

| layout | known by |
| --- | --- |
| harmonised table | `towers.parquet` |
| CarbonFluxBench | `target_fluxes.parquet` |
| ONEFlux, as the archives deliver it | daily files, plain, gzip or zip |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from upscale.towers import harmonised
from upscale.towers.satellite import daily_series, read_satellite
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
    "Tower",
    "TowerWarning",
    "good_days",
    "read_sites",
    "read_towers",
]


def read_towers(folder: str | Path, sites: Sequence[str] | None = None) -> tuple[Tower, ...]:
    """Read the towers of a folder, sorted by site.

    folder: any of the layouts above, and `satellite.parquet` if there are composites. sites:
    only these, if given. What had to be left out or assumed is named in a TowerWarning.
    Raises FileNotFoundError or ValueError that name the file, column or site at fault.
    """
    _require_towers(Path(folder))
    towers = harmonised.read(Path(folder), sites)
    seen = {str(site): part for site, part in read_satellite(folder).groupby("site")}
    return tuple(_with_satellite(tower, seen.get(tower.site)) for tower in towers)


def read_sites(folder: str | Path) -> pd.DataFrame:
    """The table of the sites that `read_towers` reads, sorted by site.

    Columns site, lat, lon, igbp, koppen, cluster, suspect, and every other one that the
    folder has, such as name, elevation, source, licence, citation.
    """
    _require_towers(Path(folder))
    return harmonised.read_sites(Path(folder))


def _require_towers(folder: Path) -> None:
    if not (folder / harmonised.FILE).is_file():
        raise FileNotFoundError(
            f"expected towers in {folder}, found none; point to a folder that holds "
            "towers.parquet and sites.parquet"
        )


def _with_satellite(tower: Tower, rows: pd.DataFrame | None) -> Tower:
    series = {} if rows is None else daily_series(rows, tower.days)
    return replace(tower, satellite={**tower.satellite, **series}) if series else tower
