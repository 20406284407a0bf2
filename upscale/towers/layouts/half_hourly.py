"""Half-hourly (HH) and hourly (HR) ONEFlux files as days, by the rule of the product.

Days are those of `TIMESTAMP_START`, local standard time. Weather and fluxes are means over the
day, precipitation is the sum, carbon goes from umol m-2 s-1 to g m-2 d-1, and the quality of NEE
is the share of half-hours that were measured (0) or filled well (1). A day needs all its values.
Pastorello et al. (2020), doi:10.1038/s41597-020-0534-3, and https://fluxnet.org, FULLSET. For
`VUT_REF`, ONEFlux chooses the reference for each resolution apart, so that the daily file may hold
another version than the half-hourly one.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upscale.calendar import day_numbers
from upscale.towers.layouts.oneflux import (
    Daily,
    DailyFile,
    Weather,
    columns_of,
    negative_as_zero,
    table_of,
    version_of,
)
from upscale.towers.layouts.parse import numbers
from upscale.variables import FLUXES

#: 1 umol m-2 s-1 of carbon over a day, in g m-2 d-1.
GRAMS = 86_400e-6 * 12.011

#: Minutes from one row to the next.
_MINUTES = {"HH": 30, "HR": 60}

#: Highest class of a half-hour that counts as good: measured, or filled with good confidence.
_FILLED_WELL = 1


def read_half_hourly(file: DailyFile, weather: Weather = "tower") -> Daily:
    """The days of a half-hourly or hourly file.

    weather: as for `read_daily`. ValueError names the file and the column or stamp at fault.
    """
    table = table_of(file, "TIMESTAMP_START")
    version = version_of(table, file)
    stamps, step = _stamps(table, file), _MINUTES[file.resolution]
    day = pd.Index(day_numbers(stamps))
    rows = pd.DataFrame(index=day)
    for name, column in columns_of(file, version, weather).items():
        rows[name] = numbers(table[column], str(file.source)) if column in table else np.nan
    rows["nee_qc"] = _filled_well(rows["nee_qc"], file)
    days = rows.groupby(level=0).mean()
    days["p"] *= 24 * 60 / step
    days[list(FLUXES)] *= GRAMS
    there = rows.notna().groupby(level=0).sum()
    whole = there.reindex(columns=days.columns) == 24 * 60 // step
    days = negative_as_zero(days.where(whole))
    return Daily(file, f"{version} of {step}-minute values", days)


def _filled_well(classes: pd.Series, file: DailyFile) -> pd.Series:
    """1 where a half-hour was measured or filled well, 0 elsewhere, missing where NEE has none."""
    if ((classes < 0) | (classes > 3)).any():
        found = f"{classes.min():.4g} to {classes.max():.4g}"
        raise ValueError(f"{file.source}: expected NEE quality 0, 1, 2 or 3, found {found}")
    return (classes <= _FILLED_WELL).astype(float).where(classes.notna())


def _stamps(table: pd.DataFrame, file: DailyFile) -> NDArray[np.datetime64]:
    """The stamps `(row,)`; ValueError where they are not those of a half-hourly file."""
    texts, step = table["TIMESTAMP_START"].astype(str), _MINUTES[file.resolution]
    times = pd.to_datetime(texts, format="%Y%m%d%H%M", errors="coerce")
    where = f"{file.source}: expected TIMESTAMP_START as yyyymmddHHMM every {step} minutes"
    if times.isna().any():
        raise ValueError(f"{where}, found {texts[times.isna()].iloc[0]!r}")
    if (twice := times[times.duplicated()]).size:
        raise ValueError(f"{where}, found {twice.iloc[0]:%Y-%m-%d %H:%M} repeated")
    stamps = times.sort_values().to_numpy("datetime64[m]")
    apart = np.diff(stamps).astype(int)
    if apart.size and np.median(apart) != step:
        raise ValueError(
            f"{where}, found {np.median(apart):g} minutes apart: this is no "
            f"{'half-hourly' if step == 30 else 'hourly'} file; take the daily (DD) file"
        )
    return times.to_numpy("datetime64[m]")
