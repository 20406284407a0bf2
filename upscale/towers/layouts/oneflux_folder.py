"""A folder of ONEFlux daily files: its towers, their coordinates and their records."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from upscale.towers.layouts.badm import is_badm
from upscale.towers.layouts.half_hourly import read_half_hourly
from upscale.towers.layouts.oneflux import (
    Daily,
    DailyFile,
    Weather,
    daily_files,
    flux_files,
    merge,
    read_daily,
)
from upscale.towers.layouts.other_products import other_products
from upscale.towers.layouts.releases import newer_first
from upscale.towers.layouts.text_files import sources
from upscale.towers.sites import complete, known_sites, listed
from upscale.towers.tower import Tower, TowerWarning, make_tower


def find(folder: Path) -> tuple[DailyFile, ...]:
    """The files with fluxes below a folder, including those inside zip archives.

    Daily ones, and half-hourly or hourly ones of towers that have no daily file.
    """
    return flux_files(sources(folder))


def others(folder: Path) -> dict[str, str]:
    """By site, what a file of a tower holds that has no days of fluxes in the folder."""
    files = sources(folder)
    known = {file.site for file in flux_files(files)}
    return {site: text for site, text in other_products(files).items() if site not in known}


def paths(folder: Path) -> tuple[Path, ...]:
    """The files with the files of `find`, further series of their towers, and metadata."""
    files = sources(folder)
    used = [*(file.source for file in (*daily_files(files), *flux_files(files)))]
    used += [file for file in files if is_badm(file.name)]
    return tuple(sorted({source.path for source in used}))


def read_sites(folder: Path, table: Path | None = None) -> pd.DataFrame:
    """The table of sites that have a daily file; ValueError where a site has no coordinates."""
    files = sources(folder)
    present = sorted({file.site for file in flux_files(files)})
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
    meta, found = read_sites(folder, table), sources(folder)
    files = flux_files(found)
    if sites is not None:
        meta = listed(meta, sites, f"site with a daily file in {folder}")
    elif strange := others(folder):
        what = f"{folder}: left out, because there are no days: {'; '.join(strange.values())}"
        warnings.warn(what, TowerWarning, stacklevel=3)
    if weather == "era":
        files = (*files, *(file for file in daily_files(found) if not file.has_fluxes))
    towers = tuple(_tower(row, files, folder, weather) for _, row in meta.iterrows())
    if blind := [tower.site for tower in towers if np.isnan(tower.quality).all()]:
        what = f"{folder}: no quality of NEE, hence no good flux day, at {', '.join(blind)}"
        warnings.warn(what, TowerWarning, stacklevel=3)
    return towers


def _tower(site: pd.Series, files: Sequence[DailyFile], folder: Path, weather: Weather) -> Tower:
    mine = [_read(file, weather) for file in files if file.site == site["site"]]
    parts, told = newer_first(mine)
    if told:
        warnings.warn(f"{folder}: {site['site']}: {told}", TowerWarning, stacklevel=4)
    days, origin = merge(parts)
    where = "of the tower" if weather == "tower" else "of the reanalysis"
    return make_tower(site, days, f"{origin}; weather {where}", str(folder))


def _read(file: DailyFile, weather: Weather) -> Daily:
    return read_daily(file, weather) if file.resolution == "DD" else read_half_hourly(file, weather)
