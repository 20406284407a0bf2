"""A flux tower as arrays, built from a table of its days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from upscale.calendar import date_of
from upscale.towers.satellite import Series
from upscale.variables import FLUXES, IGBP, KOPPEN, class_code

#: Dynamic drivers of a tower, in the order of `Tower.drivers`.
DRIVERS = ("ta", "sw_in", "vpd", "p")

#: A good flux day has at least this NEE_QC (or passed the quality mask of its product).
GOOD_QUALITY = 0.75

#: Quality assigned to days whose product has a mask (NEE_QC > 0.75) instead of a number.
MASKED_QUALITY = 0.9


#: Steps between rows that tell weekly means from days with gaps.
_STEPS = 6


class TowerWarning(UserWarning):
    """Towers were read only in part; the message names what was left out or assumed."""


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
    origin: the product and the variables taken from it, in words.
    masked: `(day,)` days that passed the mask of a product without NEE_QC; their `quality` is
    `MASKED_QUALITY`. None where there are no such days.
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
    origin: str = ""
    masked: NDArray[np.bool_] | None = None

    def driver(self, name: str) -> NDArray[np.float32]:
        """One driver `(day,)`, by its name in `DRIVERS`."""
        return self.drivers[:, DRIVERS.index(name)]


def good_days(
    fluxes: NDArray[np.float32], quality: NDArray[np.float32], masked: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Good flux days `(day,)`: all three fluxes there and (NEE_QC >= 0.75 or masked).

    fluxes: `(day, 3)`; quality: NEE_QC `(day,)`, NaN where the product gives no number; masked:
    `(day,)` True for days of a product that contains only days with NEE_QC > 0.75.
    """
    with np.errstate(invalid="ignore"):
        return np.isfinite(fluxes).all(axis=1) & ((quality >= GOOD_QUALITY) | masked)


def make_tower(site: pd.Series, record: pd.DataFrame, origin: str, where: str) -> Tower:
    """A tower from its row of the table of sites and a table of its days.

    site: site, cluster, lat, lon, igbp and koppen (labels), suspect. record: indexed by day number
    in any order, with columns `DRIVERS`, `FLUXES`, `nee_qc` and `masked`; an absent column is
    missing on all days, and absent days are inserted. where: file or folder for errors. Raises
    ValueError where a day is repeated, there are no days, or rows are weekly or monthly.
    """
    require_days(record.index.to_numpy(), f"{where}: {site['site']}")
    record = unbroken(record, f"{where}: {site['site']}")
    drivers, fluxes = columns(record, DRIVERS), columns(record, FLUXES)
    masked = columns(record, ("masked",))[:, 0] == 1
    quality = columns(record, ("nee_qc",))[:, 0]
    numberless = np.isnan(quality) & masked
    weight = np.where(numberless, np.float32(MASKED_QUALITY), quality)
    weight[np.isnan(fluxes).all(axis=1)] = np.nan
    return Tower(
        site=str(site["site"]),
        cluster=str(site["cluster"]),
        lat=float(site["lat"]),
        lon=float(site["lon"]),
        igbp=class_code(IGBP, site["igbp"]),
        koppen=class_code(KOPPEN, site["koppen"]),
        suspect=bool(site["suspect"]),
        days=record.index.to_numpy(np.int64),
        drivers=drivers,
        fluxes=fluxes,
        quality=weight.astype(np.float32),
        good=good_days(fluxes, quality, masked),
        origin=origin,
        masked=numberless,
    )


def unbroken(record: pd.DataFrame, where: str) -> pd.DataFrame:
    """The record with one row for each day from the first to the last.

    record: indexed by day number. ValueError where a day is repeated or there are no days.
    """
    if record.empty:
        raise ValueError(f"{where}: expected at least one day, found none")
    if record.index.has_duplicates:
        twice = record.index[record.index.duplicated()]
        raise ValueError(
            f"{where}: expected one row for each day, found several on "
            f"{date_of(int(twice[0]))} ({len(twice)} such rows); keep one of them"
        )
    return record.reindex(np.arange(record.index.min(), record.index.max() + 1))


def require_days(days: ArrayLike, where: str) -> None:
    """ValueError where rows stand at least two days apart everywhere, as weekly means do.

    days: `(row,)` day numbers in any order. A few rows are not judged.
    """
    apart = np.diff(np.sort(np.asarray(days, np.int64)))
    if apart.size >= _STEPS and apart.min() > 1:
        raise ValueError(
            f"{where}: expected one row for each day, found rows {apart.min()} days apart or more: "
            "weekly (WW) or monthly (MM) means? take the daily (DD) file"
        )


def columns(record: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float32]:
    """Columns `(day, name)` as float32, NaN where a column is missing."""
    return record.reindex(columns=list(names)).to_numpy(np.float32, na_value=np.nan)
