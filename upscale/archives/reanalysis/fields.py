"""The table of ERA5 variables from which drivers are computed, and the checks of their values.

Names and units are those of the ECMWF parameter database. Bounds include every hourly value that
is possible anywhere on Earth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import hour_numbers
from upscale.humidity import saturation_pressure
from upscale.remote.errors import ArchiveError

#: `instant`: at the stamp; `amount`: accumulated; `rate`: mean of the hour ending at the stamp.
Kind = Literal["instant", "amount", "rate"]


@dataclass(frozen=True)
class Field:
    """One variable: its unit and the range of its hourly values.

    slack: how far packing and rounding may push an hourly amount below `low`.
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
    Field("tp", "m", "amount", 0, 0.5, 3e-5),
    Field("avg_sdswrf", "W m-2", "rate", -1, 1500),
    Field("avg_sdlwrf", "W m-2", "rate", -1, 900),
    Field("avg_tprate", "kg m-2 s-1", "rate", -3e-5, 0.5 / 3.6),
)

FIELDS = {row.name: row for row in _TABLE}

#: Further variables of ERA5-Land that identify a file as ERA5.
RELATED = frozenset(
    {"skt", "ssr", "str", "e", "pev", "sd", "z", "lsm", "lai_hv", "lai_lv"}
    | {f"{name}{level}" for name in ("swvl", "stl") for level in range(1, 5)}
)

#: How far a dew point may exceed the temperature through interpolation and packing (K).
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
            f"{row.name}: expected hourly values of {row.low:g} to {row.high:g} {row.units}, found "
            f"{low:.6g} to {high:.6g}; check the unit, and whether ERA5 (hourly amounts) was taken "
            "for ERA5-Land (running totals) or vice versa"
        )


def check_amounts(row: Field, amounts: NDArray[np.floating]) -> int:
    """Number of hours slightly below zero by rounding; ArchiveError where an hour is far below."""
    check_range(row, amounts)
    return int((amounts < 0).sum())


def not_below_zero(row: Field, totals: NDArray[np.floating]) -> NDArray[np.floating]:
    """Daily totals with small negatives set to zero; ArchiveError where a negative is large."""
    if totals.size and not np.isnan(totals).all() and np.nanmin(totals) < -4 * row.slack:
        raise ArchiveError(
            f"{row.name}: expected daily totals of 0 {row.units} or more, found "
            f"{np.nanmin(totals):.6g}; the file is damaged, or no accumulation"
        )
    return np.where(totals < 0, 0.0, totals)


def deficit(
    t2m: NDArray[np.floating], d2m: NDArray[np.floating]
) -> tuple[NDArray[np.floating], int]:
    """Vapour pressure deficit in hPa and the number of negative values that were set to zero.

    t2m, d2m: K, same shape. ArchiveError where the dew point is far above the temperature.
    """
    excess = d2m - t2m
    if excess.size and not np.isnan(excess).all() and np.nanmax(excess) > _SUPERSATURATED:
        raise ArchiveError(
            f"expected dew points below the temperature, found one {np.nanmax(excess):.3g} K above "
            "it; check whether t2m and d2m have the same times and nodes"
        )
    raw = saturation_pressure(t2m - 273.15) - saturation_pressure(d2m - 273.15)
    return np.where(raw < 0, 0.0, raw), int((raw < 0).sum())


def whole_hours(stamps: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Hours since 1970-01-01 00 UTC `(stamp,)`; ArchiveError where a stamp is not a whole hour."""
    between = stamps.astype("datetime64[h]") != stamps
    if bool(between.any()):
        raise ArchiveError(
            f"expected stamps on whole hours, found {stamps[between][0]}; this is not an hourly "
            "file of ERA5"
        )
    return hour_numbers(stamps)
