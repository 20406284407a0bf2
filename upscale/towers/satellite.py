"""Satellite series at towers: from the long table of composites to daily series.

`satellite.parquet` beside the tower table has one row per site, product, variable and period:
`site, date` (first day of the period), `product, variable, value, period_days`. A composite holds
for every day of its period. Periods end with the year, because all these products restart on 1
January. Where products overlap, the larger value is taken, as in a composite of both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upscale.calendar import day_numbers, day_of_year, length_of_year
from upscale.towers.layouts.tables import read_parquet
from upscale.variables import variable

FILE = "satellite.parquet"

#: Names in the file for a variable of `upscale.variables`. For fAPAR the screened series is
#: taken: the raw series contains clouds, and the daily series is interpolated.
_NAMES = {
    "NDVI": "ndvi",
    "EVI": "evi",
    "NIRv": "nirv",
    "FPAR": "fapar",
    "FPAR_filtered": "fapar",
}

#: MOD13 gives the reliability of a composite as a separate row: 0 good, 1 fair, 2 snow, 3 cloud.
_WORTH, _BEST_WORTH = "SummaryQA", 1

_COLUMNS = ("site", "date", "product", "variable", "value", "period_days")

#: Daily series by variable: `(day,)` float32, NaN on days outside every period.
Series = dict[str, NDArray[np.float32]]


def read_satellite(folder: str | Path) -> pd.DataFrame:
    """The usable rows of a folder: `site, first` (day number), `days, variable, value`.

    No rows where the folder has no such file. ValueError names missing columns.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return pd.DataFrame(columns=["site", "first", "days", "variable", "value"])
    table = read_parquet(path)
    missing = [name for name in _COLUMNS if name not in table.columns]
    if missing:
        raise ValueError(f"{path}: expected the columns {', '.join(_COLUMNS)}; missing: {missing}")
    rows = table[table["variable"].isin(list(_NAMES))]
    rows = rows[rows["period_days"].gt(0) & ~_cloudy(rows, table)]
    names = rows["variable"].astype(str).map(_NAMES)
    first = day_numbers(rows["date"].to_numpy("datetime64[D]"))
    usable = pd.DataFrame(
        {
            "site": rows["site"].astype(str),
            "first": first,
            "days": np.minimum(rows["period_days"].astype(int), _left_of_year(first)),
            "variable": names,
            "value": rows["value"].astype(np.float32),
        }
    )
    return usable[_possible(usable)]


def _left_of_year(days: NDArray[np.integer]) -> NDArray[np.integer]:
    """Days `(day,)` from each day to the end of its year, both counted."""
    return length_of_year(days) - day_of_year(days) + 1


def _possible(rows: pd.DataFrame) -> pd.Series:
    """True for values inside the physical range of their variable; others are damaged."""
    low, high = (
        rows["variable"].map({name: getattr(variable(name), bound) for name in _NAMES.values()})
        for bound in ("valid_min", "valid_max")
    )
    return rows["value"].between(low.astype(float), high.astype(float))


def daily_series(rows: pd.DataFrame, days: NDArray[np.integer]) -> Series:
    """The series of one tower on consecutive day numbers `days` `(day,)`.

    rows: of that tower, from `read_satellite`. Variables without any value are left out.
    """
    series = {
        str(name): _spread(part, int(days[0]), len(days))
        for name, part in rows.groupby("variable", observed=True)
    }
    return {name: values for name, values in series.items() if np.isfinite(values).any()}


def _spread(rows: pd.DataFrame, first: int, count: int) -> NDArray[np.float32]:
    """Each value on all days of its period; the largest value where periods overlap."""
    length = rows["days"].to_numpy()
    start = np.repeat(rows["first"].to_numpy() - first, length)
    step = np.arange(len(start)) - np.repeat(np.cumsum(length) - length, length)
    day, value = start + step, np.repeat(rows["value"].to_numpy(), length)
    inside = (day >= 0) & (day < count)
    series = np.full(count, np.nan, np.float32)
    np.fmax.at(series, day[inside], value[inside])
    return series


def _cloudy(rows: pd.DataFrame, table: pd.DataFrame) -> pd.Series:
    """True for the rows whose product calls their period snowy or cloudy."""
    worth = table[(table["variable"] == _WORTH) & (table["value"] > _BEST_WORTH)]
    key = ["site", "product", "date"]
    bad = pd.MultiIndex.from_frame(worth[key].astype(str))
    return pd.Series(pd.MultiIndex.from_frame(rows[key].astype(str)).isin(bad), index=rows.index)
