"""Detection of wrong units from the range of a column.

Tower files state no units. A series that covers most of a year, however, has a range that differs
clearly between units. The values of 79 real towers, given in brackets, are far from each bound.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from upscale.humidity import saturation_pressure

#: Shorter series are not judged: they may be all winter, drought or polar night.
_DAYS = 300

Floats = NDArray[np.floating]


def unit_faults(series: Mapping[str, Floats]) -> list[str]:
    """Sentences that describe columns in a wrong unit; empty where none is found.

    series: `(day,)` by name, expected in ta degC, sw_in W m-2, vpd hPa, nee g m-2 d-1; NaN is
    missing. Names may be missing, and other names are ignored.
    """
    values = {name: column[np.isfinite(column)] for name, column in series.items()}
    long = {name: column for name, column in values.items() if column.size >= _DAYS}
    found = [_temperature(long), _radiation(long), _carbon(long), _humidity(series)]
    return [fault for fault in found if fault]


def rain_doubt(rain: Floats) -> str:
    """Why the unit of precipitation `(day,)`, mm d-1, is doubtful; empty where it is not.

    A faulty gauge that rarely tips gives a similar series, so this is no reason to refuse it.
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
    """VPD is judged as a share of the saturation pressure at the air temperature."""
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
