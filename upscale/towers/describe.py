"""A summary table of towers: what was read for each, and how many days are good."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from upscale.calendar import years_of
from upscale.towers.splits import climate_group, land_cover
from upscale.towers.tower import Tower
from upscale.variables import KOPPEN

#: Columns of the table, in order.
COLUMNS = (
    "tower", "cluster", "igbp", "koppen", "suspect", "first", "last", "good_days", "years",
    "drivers", "satellite", "origin",
)  # fmt: skip


def describe(towers: Sequence[Tower]) -> pd.DataFrame:
    """One row per tower, columns `COLUMNS`; print it with `.to_string(index=False)`.

    first, last: years of the first and last good flux day, missing without good days. good_days:
    number of good flux days; years: number of calendar years with good days. drivers: share of
    the good flux days that have TA and SW_IN. satellite: names of the satellite series. origin:
    the product, and the variables taken from it, such as `VUT_USTAR50` or `VUT_REF`.
    """
    rows = [_row(tower) for tower in towers]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"first": "Int64", "last": "Int64"})


def _row(tower: Tower) -> tuple[object, ...]:
    """The row of one tower, in the order of `COLUMNS`."""
    years = years_of(tower.days[tower.good])
    weather = np.isfinite(tower.drivers[tower.good][:, :2]).all(axis=1)
    return (
        tower.site,
        tower.cluster,
        land_cover(tower),
        KOPPEN[tower.koppen - 1] if tower.koppen else climate_group(tower),
        tower.suspect,
        years.min() if years.size else pd.NA,
        years.max() if years.size else pd.NA,
        int(tower.good.sum()),
        len(np.unique(years)),
        round(float(weather.mean()), 3) if weather.size else np.nan,
        " ".join(sorted(tower.satellite)),
        tower.origin,
    )
