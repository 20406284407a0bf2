"""Columns in a wrong unit, told by their range.

Files of towers carry no units. A series of most of a year, however, cannot lie where another
unit would put it: the bounds below are far from every one of 79 real towers (in brackets).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from upscale.humidity import saturation_pressure

#: Fewer days than this may lie anywhere: a winter, a drought, a night of the pole.
_DAYS = 300

Floats = NDArray[np.floating]


def unit_faults(series: Mapping[str, Floats]) -> list[str]:
    """What looks like another unit, as sentences; empty where all is well.

    series: `(day,)` by name: ta degC, sw_in W m-2, vpd hPa, nee g m-2 d-1; NaN is
    missing, and names may be missing or more.
    """
    values = {name: column[np.isfinite(column)] for name, column in series.items()}
    long = {name: column for name, column in values.items() if column.size >= _DAYS}
    found = [_temperature(long), _radiation(long), _carbon(long), _humidity(series)]
    return [fault for fault in found if fault]


def rain_doubt(rain: Floats) -> str:
    """What makes the unit of precipitation `(day,)`, mm d-1, doubtful; empty where nothing does.

    A gauge that hardly tips gives such a series, too, so this is no reason to refuse it.
    """
    rain = rain[np.isfinite(rain)]
    most = float(rain.max()) if rain.size >= _DAYS else 0.0
    if 0 < most < 0.5:  # [least: 9]
        return f"P never exceeds {most:.3g} mm d-1; if it is in m d-1, multiply it by 1000"
    return ""


def _temperature(values: Mapping[str, Floats]) -> str:
    middle = float(np.median(values["ta"])) if "ta" in values else 0.0
    if middle > 100:  # [highest median: 29]
        return f"TA looks like K (median {middle:.0f}), expected degC: subtract 273.15"
    return ""


def _radiation(values: Mapping[str, Floats]) -> str:
    high = _high(values, "sw_in", 300.0)
    if high < 60:  # [240 to 425]
        return f"SW_IN looks like MJ m-2 d-1 (most {high:.3g}), expected W m-2: divide by 0.0864"
    if high > 560:
        return f"SW_IN is no daily mean in W m-2 (most {high:.3g}): convert it"
    return ""


def _carbon(values: Mapping[str, Floats]) -> str:
    high = _high({"nee": np.abs(values["nee"])}, "nee", 1.0) if "nee" in values else 1.0
    if 0 < high < 0.05:  # [1.1 to 13]
        return f"NEE looks like kg m-2 d-1 (most {high:.2g}), expected g m-2 d-1"
    return ""


def _humidity(series: Mapping[str, Floats]) -> str:
    """VPD is a share of the saturation pressure, which the temperature tells."""
    if "vpd" not in series or "ta" not in series:
        return ""
    share = series["vpd"] / saturation_pressure(series["ta"])
    share = share[np.isfinite(share) & (series["ta"] < 60)]
    if share.size < _DAYS:
        return ""
    if 0 < np.quantile(share, 0.99) < 0.2:  # [0.42 to 1.13]
        return "VPD looks like kPa, expected hPa: multiply by 10"
    return "VPD looks like Pa, expected hPa: divide by 100" if np.median(share) > 3 else ""


def _high(values: Mapping[str, Floats], name: str, default: float) -> float:
    return float(np.quantile(values[name], 0.99)) if name in values else default
