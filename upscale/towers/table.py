"""Flux towers as arrays: the reader of the harmonised table.

A folder holds `towers.parquet` (one row per site and day, an unbroken calendar per site) and
`sites.parquet` (one row per site). Columns are upper case there (`TA`, `SW_IN`, `NEE_QC`);
here they carry the names of `upscale.variables`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upscale.calendar import day_numbers
from upscale.towers.satellite import Series, daily_series, read_satellite
from upscale.variables import FLUXES, IGBP, KOPPEN, class_code

#: Dynamic drivers that a tower brings, in the order of `Tower.drivers`.
DRIVERS = ("ta", "sw_in", "vpd", "p")

#: A good flux day has at least this NEE_QC (or passed a mask in its product).
GOOD_QUALITY = 0.75

#: Quality given to days whose product keeps a mask (NEE_QC > 0.75) but no number.
MASKED_QUALITY = 0.9

_SITE_COLUMNS = ("site", "lat", "lon", "igbp", "koppen", "cluster", "suspect")
_QUALITY_COLUMNS = ("NEE_QC", "qc_masked")


@dataclass(frozen=True, eq=False)
class Tower:
    """The record of one flux tower.

    site, cluster: identifiers; towers of one cluster are not independent.
    lat, lon: degrees. igbp, koppen: class codes of `upscale.variables`, 0 = unknown.
    suspect: carbon balance or closure implausible (never trained on).
    days: `(day,)` consecutive day numbers.
    drivers: `(day, driver)` float32, columns as `DRIVERS`, their units, NaN = missing.
    fluxes: `(day, 3)` float32 gpp, reco, nee, g m-2 d-1 of carbon, NaN = missing.
    quality: `(day,)` float32 0..1, NaN where there is no flux; good: `(day,)` good flux days.
    satellite: `(day,)` float32 by variable, each composite on the days of its period.
    """

    site: str
    cluster: str
    lat: float
    lon: float
    igbp: int
    koppen: int
    suspect: bool
    days: NDArray[np.int64]
    drivers: NDArray[np.float32]
    fluxes: NDArray[np.float32]
    quality: NDArray[np.float32]
    good: NDArray[np.bool_]
    satellite: Series = field(default_factory=dict)

    def driver(self, name: str) -> NDArray[np.float32]:
        """One driver `(day,)`, by its name in `DRIVERS`."""
        return self.drivers[:, DRIVERS.index(name)]


def read_towers(folder: str | Path, sites: Sequence[str] | None = None) -> tuple[Tower, ...]:
    """Read the towers of a folder, sorted by site.

    folder: holds `towers.parquet` and `sites.parquet`. sites: only these, if given.
    Raises FileNotFoundError or ValueError that name the file, column or site at fault.
    """
    meta = read_sites(folder)
    if sites is not None:
        _require(sites, meta["site"], f"site in {Path(folder) / 'sites.parquet'}")
        meta = meta[meta["site"].isin(list(sites))]
    path = Path(folder) / "towers.parquet"
    columns = [c.upper() for c in (*DRIVERS, *FLUXES)]
    rows = _read(path, ("site", "date", *columns, *_QUALITY_COLUMNS))
    groups = {str(site): part for site, part in rows.groupby("site", observed=True)}
    _require(meta["site"], groups, f"site in {path}")
    seen = {str(site): part for site, part in read_satellite(folder).groupby("site")}
    towers = (_tower(row, groups[row["site"]], path) for _, row in meta.iterrows())
    return tuple(_with_satellite(tower, seen.get(tower.site)) for tower in towers)


def _with_satellite(tower: Tower, rows: pd.DataFrame | None) -> Tower:
    series = {} if rows is None else daily_series(rows, tower.days)
    return replace(tower, satellite=series) if series else tower


def read_sites(folder: str | Path) -> pd.DataFrame:
    """The table of sites, sorted by site, with every column that the file holds."""
    path = Path(folder) / "sites.parquet"
    table = _read(path)
    _require(_SITE_COLUMNS, table.columns, f"column of {path}")
    return table.sort_values("site", ignore_index=True)


def good_days(
    fluxes: NDArray[np.float32], quality: NDArray[np.float32], masked: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Good flux days `(day,)`: all three fluxes there and (NEE_QC >= 0.75 or masked).

    fluxes: `(day, 3)`; quality: NEE_QC `(day,)`, NaN where the product keeps no number;
    masked: `(day,)` the product itself kept only days with NEE_QC > 0.75.
    """
    with np.errstate(invalid="ignore"):
        return np.isfinite(fluxes).all(axis=1) & ((quality >= GOOD_QUALITY) | masked)


def _tower(site: pd.Series, rows: pd.DataFrame, path: Path) -> Tower:
    rows = rows.sort_values("date")
    days = day_numbers(rows["date"].to_numpy())
    if not np.array_equal(np.diff(days), np.ones(len(days) - 1)):
        raise ValueError(
            f"{path}: expected an unbroken daily calendar at {site['site']}, "
            "found gaps or repeated days; keep days without data as rows of nulls"
        )
    fluxes = _columns(rows, FLUXES)
    masked = rows["qc_masked"].fillna(False).to_numpy(bool)
    quality = rows["NEE_QC"].to_numpy(np.float32)
    weight = np.where(np.isnan(quality) & masked, np.float32(MASKED_QUALITY), quality)
    return Tower(
        site=str(site["site"]),
        cluster=str(site["cluster"]),
        lat=float(site["lat"]),
        lon=float(site["lon"]),
        igbp=class_code(IGBP, site["igbp"]),
        koppen=class_code(KOPPEN, site["koppen"]),
        suspect=bool(site["suspect"]),
        days=days,
        drivers=_columns(rows, DRIVERS),
        fluxes=fluxes,
        quality=weight.astype(np.float32),
        good=good_days(fluxes, quality, masked),
    )


def _columns(rows: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float32]:
    return rows[[name.upper() for name in names]].to_numpy(np.float32)


def _read(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(
            f"expected {path}, found nothing there; point to a folder that holds "
            "towers.parquet and sites.parquet"
        )
    table = pd.read_parquet(path)
    if columns is None:
        return table
    _require(columns, table.columns, f"column of {path}")
    return table[list(columns)]


def _require(wanted: Iterable[str], found: Iterable[str], what: str) -> None:
    missing = [name for name in wanted if name not in set(found)]
    if missing:
        raise ValueError(f"missing {what}: {', '.join(missing)}")
