"""The table of ERA5 variables that drivers are made of, and the checks of their values.

Names, units: ECMWF parameter database. Bounds are of what an hour can hold anywhere on Earth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import hour_numbers
from upscale.humidity import saturation_pressure
from upscale.remote.errors import ArchiveError

#: `instant` at the stamp, `amount` accumulated, `rate` mean of the hour that ends at the stamp.
Kind = Literal["instant", "amount", "rate"]


@dataclass(frozen=True)
class Field:
    """One variable: its unit and the values that an hour may have.

    slack: how far below `low` an amount of an hour may fall by packing and rounding.
    """

    name: str
    units: str
    kind: Kind
    low: float
    high: float
    slack: float = 0.0


_TABLE = (
    Field("t2m", "K", "instant", 170, 340),
    Field("d2m", "K", "instant", 120, 320),
    Field("sp", "Pa", "instant", 3e4, 1.12e5),
    Field("u10", "m s-1", "instant", -120, 120),
    Field("v10", "m s-1", "instant", -120, 120),
    Field("ssrd", "J m-2", "amount", 0, 1500 * 3600, 3600),
    Field("strd", "J m-2", "amount", 0, 900 * 3600, 3600),
    Field("tp", "m", "amount", 0, 0.5, 1e-4),
    Field("avg_sdswrf", "W m-2", "rate", -1, 1500),
    Field("avg_sdlwrf", "W m-2", "rate", -1, 900),
    Field("avg_tprate", "kg m-2 s-1", "rate", -3e-5, 0.5 / 3.6),
)

FIELDS = {row.name: row for row in _TABLE}

#: Other names of ERA5-Land by which a file is known to be of this family.
RELATED = frozenset(
    {"skt", "ssr", "str", "e", "pev", "sd", "z", "lsm", "lai_hv", "lai_lv"}
    | {f"{name}{level}" for name in ("swvl", "stl") for level in range(1, 5)}
)

#: How far a dew point may stand above the temperature (K): interpolation and packing do that.
_SUPERSATURATED = 3.0


def check_unit(row: Field, found: str | None) -> None:
    """ArchiveError where a file states another unit than the table, or none."""
    spelled = " ".join(
        (found or "").replace("**", "").replace("^", "").replace("kelvin", "K").split()
    )
    if spelled != row.units:
        raise ArchiveError(
            f"{row.name}: expected units {row.units!r}, found {found!r}; convert the file, or "
            "fetch it from the archive"
        )


def check_range(row: Field, values: NDArray[np.floating]) -> None:
    """ArchiveError where a value is outside the bounds of the table."""
    if values.size == 0 or np.isnan(values).all():
        return
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low < row.low - row.slack or high > row.high:
        raise ArchiveError(
            f"{row.name}: expected {row.low:g} to {row.high:g} {row.units} an hour, found "
            f"{low:.6g} to {high:.6g}; check the unit, and whether ERA5 (hourly amounts) was taken "
            "for ERA5-Land (running totals) or the other way round"
        )


def check_amounts(row: Field, amounts: NDArray[np.floating]) -> int:
    """How many hours are below zero by rounding; ArchiveError where one is by more."""
    check_range(row, amounts)
    return int((amounts < 0).sum())


def not_below_zero(row: Field, totals: NDArray[np.floating]) -> NDArray[np.floating]:
    """Totals of days with small negatives set to zero; ArchiveError where one is large."""
    if totals.size and not np.isnan(totals).all() and np.nanmin(totals) < -24 * row.slack:
        raise ArchiveError(
            f"{row.name}: expected daily totals of 0 {row.units} or more, found "
            f"{np.nanmin(totals):.6g}; the file is damaged, or no accumulation"
        )
    return np.where(totals < 0, 0.0, totals)


def deficit(
    t2m: NDArray[np.floating], d2m: NDArray[np.floating]
) -> tuple[NDArray[np.floating], int]:
    """Vapour pressure deficit in hPa, not below zero, and how many values were.

    t2m, d2m: K, same shape. ArchiveError where the dew point is far above the temperature.
    """
    excess = d2m - t2m
    if excess.size and not np.isnan(excess).all() and np.nanmax(excess) > _SUPERSATURATED:
        raise ArchiveError(
            f"expected dew points below the temperature, found one {np.nanmax(excess):.3g} K above "
            "it; check whether t2m and d2m are of the same times and nodes"
        )
    raw = saturation_pressure(t2m - 273.15) - saturation_pressure(d2m - 273.15)
    return np.where(raw < 0, 0.0, raw), int((raw < 0).sum())


def whole_hours(stamps: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Hours since 1970-01-01 00 UTC `(stamp,)`; ArchiveError where a stamp is between hours."""
    between = stamps.astype("datetime64[h]") != stamps
    if bool(between.any()):
        raise ArchiveError(
            f"expected stamps on whole hours, found {stamps[between][0]}; this is no hourly file "
            "of ERA5"
        )
    return hour_numbers(stamps)
