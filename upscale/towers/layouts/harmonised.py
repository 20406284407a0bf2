"""The harmonised layout: `towers.parquet`, one row per site and day, and a table of sites.

Its column names are upper case (`TA`, `SW_IN`, `NEE_QC`); a `Tower` uses the names of
`upscale.variables`. TA, SW_IN, GPP, RECO and NEE are required, the others optional.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from upscale.towers.layouts.parse import days, numbers, truth
from upscale.towers.layouts.tables import columns_of, read_parquet
from upscale.towers.sites import complete, known_sites, listed, require
from upscale.towers.tower import DRIVERS, Tower, TowerWarning, make_tower
from upscale.variables import FLUXES

FILE = "towers.parquet"

_NUMBERS = (*(name.upper() for name in (*DRIVERS, *FLUXES)), "NEE_QC")
_NEEDED = ("site", "date", *(name for name in _NUMBERS if name not in ("VPD", "P", "NEE_QC")))
_READ = (*_NUMBERS, "site", "date", "qc_masked", "source", "drivers_origin")


def read_sites(folder: Path, table: Path | None = None) -> pd.DataFrame:
    """The table of sites that have days; ValueError where a site has no coordinates."""
    present = pq.read_table(folder / FILE, columns=["site"])["site"].unique().to_pylist()
    return _sites(known_sites(folder, table), [str(site) for site in present], folder)


def read(
    folder: Path, sites: Sequence[str] | None = None, table: Path | None = None
) -> tuple[Tower, ...]:
    """The towers of a folder, sorted by site.

    sites: only these, if given. table: a table of sites that replaces the one of the folder. Sites
    with days but without a row in the table of sites, or vice versa, are left out and named in a
    TowerWarning. ValueError names the file, column or site at fault.
    """
    path = folder / FILE
    rows, known = _rows(path), known_sites(folder, table)
    groups = {str(site): part for site, part in rows.groupby("site")}
    meta = _sites(known, list(groups), folder)
    if sites is None:
        _warn_of_halves(known, list(groups), folder)
    else:
        meta = listed(meta, sites, f"site in {path} and in the table of sites beside it")
    parts = [(row, groups[str(row["site"])]) for _, row in meta.iterrows()]
    return tuple(make_tower(row, part, _origin(part), str(path)) for row, part in parts)


def _sites(known: pd.DataFrame, present: Sequence[str], folder: Path) -> pd.DataFrame:
    both = [site for site in present if site in set(known["site"])]
    return complete(known, both or present, folder)


def _warn_of_halves(known: pd.DataFrame, present: Sequence[str], folder: Path) -> None:
    unplaced = sorted(set(present) - set(known["site"]))
    silent = sorted(set(known["site"]) - set(present))
    for place, sites in (("the table of sites", unplaced), (FILE, silent)):
        if sites:
            what = f"{folder}: left out, because they are not in {place}: {', '.join(sites)}"
            warnings.warn(what, TowerWarning, stacklevel=4)


def _rows(path: Path) -> pd.DataFrame:
    """The days of all sites, indexed by day number, columns as `make_tower` takes them."""
    there = columns_of(path)
    require(_NEEDED, there, f"column of {path}")
    table = read_parquet(path, [name for name in _READ if name in there])
    table = table.reset_index(drop=table.index.names == [None])
    columns = {name.lower(): numbers(table[name], str(path)) for name in _NUMBERS if name in table}
    rows = pd.DataFrame(columns | {"site": table["site"].astype(str).to_numpy()})
    for name in ("source", "drivers_origin"):
        rows[name] = table[name].astype("category") if name in table else None
    rows["masked"] = _masked(table, path)
    _check_quality(rows, path)
    return rows.set_index(days(table["date"], str(path)))


def _check_quality(rows: pd.DataFrame, path: Path) -> None:
    """ValueError names the sites whose quality is not between 0 and 1."""
    if "nee_qc" not in rows:
        return
    wrong = rows[(rows["nee_qc"] < 0) | (rows["nee_qc"] > 1 + 1e-6)]
    if len(wrong):
        sites = ", ".join(sorted(set(wrong["site"])))
        found = f"{wrong['nee_qc'].min():.4g} to {wrong['nee_qc'].max():.4g} at {sites}"
        raise ValueError(
            f"{path}: expected NEE_QC from 0 to 1 (share of half-hours measured or filled well), "
            f"found {found}: convert it"
        )


def _masked(table: pd.DataFrame, path: Path) -> NDArray[np.float64]:
    """1 on days that passed the quality mask of their product, 0 elsewhere."""
    if "qc_masked" in table:
        return truth(table["qc_masked"]).to_numpy(np.float64, na_value=0.0)
    if "NEE_QC" in table:
        return np.zeros(len(table))
    what = f"{path}: no NEE_QC and no qc_masked: every day with fluxes counts as a good flux day"
    warnings.warn(what, TowerWarning, stacklevel=5)
    return np.ones(len(table))


def _origin(rows: pd.DataFrame) -> str:
    source, weather = (
        ", ".join(sorted(map(str, rows[name].dropna().unique())))
        for name in ("source", "drivers_origin")
    )
    source = source or "harmonised table"
    return f"{source}; weather {weather}" if weather else source
