"""Columns of external tables as numbers, days and truth values, whatever their type."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upscale.calendar import day_numbers

#: Archives write -9999 (some -9999.9) for a missing value; no measured value is that low.
_MISSING = -9990.0


def numbers(values: pd.Series, where: str) -> NDArray[np.float64]:
    """A column `(row,)` as float64; -9999 and nulls are NaN. ValueError where it is not numeric."""
    try:
        plain = pd.to_numeric(values.astype(object) if values.dtype == "category" else values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: expected numbers in {values.name}, found {error}") from None
    column = plain.to_numpy(np.float64, na_value=np.nan)
    return np.where(column > _MISSING, column, np.nan)


def days(dates: pd.Series, where: str) -> NDArray[np.int64]:
    """Day numbers `(row,)` of dates, times, text or numbers such as 20100131.

    ValueError names a value that is not a day.
    """
    if not pd.api.types.is_datetime64_any_dtype(dates):
        dates = dates.astype(str if pd.api.types.is_numeric_dtype(dates) else object)
    try:
        times = pd.to_datetime(dates)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: expected days in {dates.name}, found {error}") from None
    if times.isna().any():
        what = f"expected a day in every row of {dates.name}, found {times.isna().sum()} without"
        raise ValueError(f"{where}: {what}")
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        times = times.dt.tz_localize(None)
    return day_numbers(times.to_numpy())


def truth(values: pd.Series) -> pd.Series:
    """1 for true, 0 for false, missing for unknown, of booleans, numbers or words."""
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return values.astype("Float64")
    words = values.astype(object).map(lambda value: str(value).strip().lower())
    known = words.replace({"true": "1", "yes": "1", "false": "0", "no": "0"})
    return pd.to_numeric(known, errors="coerce").astype("Float64")
