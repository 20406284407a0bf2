"""The harmonised layout: `towers.parquet`, one row per site and day, and a table of sites.

Columns are upper case there (`TA`, `SW_IN`, `NEE_QC`); a `Tower` carries the names of
`upscale.variables`. TA, SW_IN, GPP, RECO and NEE must be there, the others may be missing.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from upscale.calendar import day_numbers
from upscale.towers.sites import complete, known_sites, listed, require, truth
from upscale.towers.tower import DRIVERS, Tower, TowerWarning, make_tower
from upscale.variables import FLUXES

FILE = "towers.parquet"

_NUMBERS = (*(name.upper() for name in (*DRIVERS, *FLUXES)), "NEE_QC")
_NEEDED = ("site", "date", *(name for name in _NUMBERS if name not in ("VPD", "P", "NEE_QC")))
_READ = (*_NUMBERS, "site", "date", "qc_masked", "source", "drivers_origin")

#: Archives write -9999 for a missing value; a table may have kept it.
_MISSING = -9990.0


def read_sites(folder: Path) -> pd.DataFrame:
    """The table of the sites that have days; ValueError where one has no coordinates."""
    present = pq.read_table(folder / FILE, columns=["site"])["site"].unique().to_pylist()
    return _sites(known_sites(folder), [str(site) for site in present], folder)


def read(folder: Path, sites: Sequence[str] | None = None) -> tuple[Tower, ...]:
    """The towers of a folder, sorted by site; sites: only these, if given.

    Sites that have days but no row in the table of sites, or the reverse, are left out and
    named in a TowerWarning. ValueError names the file, column or site at fault.
    """
    path = folder / FILE
    rows, known = _rows(path), known_sites(folder)
    groups = {str(site): part for site, part in rows.groupby("site")}
    table = _sites(known, list(groups), folder)
    if sites is None:
        _warn_of_halves(known, list(groups), folder)
    else:
        table = listed(table, sites, f"site in {path} and in the table of sites beside it")
    parts = [(row, groups[str(row["site"])]) for _, row in table.iterrows()]
    return tuple(make_tower(row, part, _origin(part), str(path)) for row, part in parts)


def _sites(known: pd.DataFrame, present: Sequence[str], folder: Path) -> pd.DataFrame:
    both = [site for site in present if site in set(known["site"])]
    return complete(known, both or present, folder)


def _warn_of_halves(known: pd.DataFrame, present: Sequence[str], folder: Path) -> None:
    unplaced = sorted(set(present) - set(known["site"]))
    silent = sorted(set(known["site"]) - set(present))
    for place, sites in (("the table of sites", unplaced), (FILE, silent)):
        if sites:
            what = f"{folder}: left out, for they are not in {place}: {', '.join(sites)}"
            warnings.warn(what, TowerWarning, stacklevel=4)


def _rows(path: Path) -> pd.DataFrame:
    """The days of all sites, indexed by day number, columns as `make_tower` takes them."""
    there = pq.read_schema(path).names
    require(_NEEDED, there, f"column of {path}")
    table = pd.read_parquet(path, columns=[name for name in _READ if name in there])
    table = table.reset_index(drop=table.index.names == [None])
    numbers = {name.lower(): _numbers(table[name], path) for name in _NUMBERS if name in table}
    rows = pd.DataFrame(numbers | {"site": table["site"].astype(str).to_numpy()})
    for name in ("source", "drivers_origin"):
        rows[name] = table[name].astype("category") if name in table else None
    rows["masked"] = _masked(table, path)
    return rows.set_index(_days(table["date"], path))


def _numbers(values: pd.Series, path: Path) -> NDArray[np.float64]:
    try:
        plain = pd.to_numeric(values.astype(object) if values.dtype == "category" else values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected numbers in {values.name}, found {error}") from None
    numbers = plain.to_numpy(np.float64, na_value=np.nan)
    return np.where(numbers > _MISSING, numbers, np.nan)


def _masked(table: pd.DataFrame, path: Path) -> NDArray[np.float64]:
    """1 where the product kept only days of good quality, 0 elsewhere."""
    if "qc_masked" in table:
        return truth(table["qc_masked"]).to_numpy(np.float64, na_value=0.0)
    if "NEE_QC" in table:
        return np.zeros(len(table))
    what = f"{path}: no NEE_QC and no qc_masked: every day with fluxes is taken as a good one"
    warnings.warn(what, TowerWarning, stacklevel=5)
    return np.ones(len(table))


def _days(dates: pd.Series, path: Path) -> NDArray[np.int64]:
    """Day numbers of dates, whether they are dates, times, text or numbers like 20100131."""
    if not pd.api.types.is_datetime64_any_dtype(dates):
        dates = dates.astype(str if pd.api.types.is_integer_dtype(dates) else object)
    try:
        times = pd.to_datetime(dates)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected days in the column date, found {error}") from None
    if times.isna().any():
        raise ValueError(
            f"{path}: expected a date in every row, found {times.isna().sum()} without"
        )
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        times = times.dt.tz_localize(None)
    return day_numbers(times.to_numpy())


def _origin(rows: pd.DataFrame) -> str:
    source, weather = (
        ", ".join(sorted(map(str, rows[name].dropna().unique())))
        for name in ("source", "drivers_origin")
    )
    source = source or "harmonised table"
    return f"{source}; weather {weather}" if weather else source
