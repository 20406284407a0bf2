"""A folder of ONEFlux daily files: its towers, their coordinates and their records."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from upscale.towers.layouts.badm import is_badm
from upscale.towers.layouts.oneflux import DailyFile, Weather, daily_files, merge, read_daily
from upscale.towers.layouts.text_files import sources
from upscale.towers.sites import complete, known_sites, listed
from upscale.towers.tower import Tower, TowerWarning, make_tower


def find(folder: Path) -> tuple[DailyFile, ...]:
    """The daily files with fluxes below a folder, including those inside zip archives."""
    return tuple(file for file in daily_files(sources(folder)) if file.has_fluxes)


def paths(folder: Path) -> tuple[Path, ...]:
    """The files with the daily files of `find`, further series of their towers, and metadata."""
    files = sources(folder)
    used = [*(file.source for file in daily_files(files)), *(f for f in files if is_badm(f.name))]
    return tuple(sorted({source.path for source in used}))


def read_sites(folder: Path, table: Path | None = None) -> pd.DataFrame:
    """The table of sites that have a daily file; ValueError where a site has no coordinates."""
    files = sources(folder)
    present = sorted({file.site for file in daily_files(files) if file.has_fluxes})
    return complete(known_sites(folder, table, files), present, folder)


def read(
    folder: Path,
    sites: Sequence[str] | None = None,
    table: Path | None = None,
    weather: Weather = "tower",
) -> tuple[Tower, ...]:
    """The towers of a folder, sorted by site.

    sites: only these, if given. table: a table of sites that replaces the one of the folder.
    weather: of the tower itself, or the reanalysis downscaled to the tower (`era`), for which
    ERAI and ERA5 files with more years are also read. A tower without quality has no good flux
    days and is named in a TowerWarning. ValueError names the file, column or site at fault.
    """
    meta, files = read_sites(folder, table), daily_files(sources(folder))
    if sites is not None:
        meta = listed(meta, sites, f"site with a daily file in {folder}")
    if weather == "tower":
        files = tuple(file for file in files if file.has_fluxes)
    towers = tuple(_tower(row, files, folder, weather) for _, row in meta.iterrows())
    if blind := [tower.site for tower in towers if np.isnan(tower.quality).all()]:
        what = f"{folder}: no quality of NEE, hence no good flux day, at {', '.join(blind)}"
        warnings.warn(what, TowerWarning, stacklevel=3)
    return towers


def _tower(site: pd.Series, files: Sequence[DailyFile], folder: Path, weather: Weather) -> Tower:
    mine = [read_daily(file, weather) for file in files if file.site == site["site"]]
    days, origin = merge(mine)
    where = "of the tower" if weather == "tower" else "of the reanalysis"
    return make_tower(site, days, f"{origin}; weather {where}", str(folder))
