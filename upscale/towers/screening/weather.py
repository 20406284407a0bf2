"""Units of weather, by the range of a series.

Tower files state no units. A series that covers most of a year, however, has a range that differs
clearly between units. In brackets: what the real towers have (docs/reference/tower-screening.md);
each bound of a certain finding lies outside of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from upscale.grid.astronomy import potential_radiation
from upscale.humidity import saturation_pressure
from upscale.towers.screening.finding import LONG, Finding, Floats, correlation, possible, series
from upscale.towers.tower import Tower

#: Below this potential radiation, W m-2, a share of it says nothing.
_DARK = 50.0


def temperature(tower: Tower) -> Iterator[Finding]:
    """K or degF where degC is meant."""
    values = _long(series(tower, "ta").values)
    if not values.size:
        return
    middle, high = float(np.median(values)), float(np.quantile(values, 0.99))
    numbers = {"median": middle, "q99": high}
    if middle > 100:  # [-11 to 29]
        text = f"TA looks like K (median {middle:.0f}), expected degC: subtract 273.15"
        yield Finding(tower.site, "ta", "temperature", "certain", text, numbers)
    elif high > 45:  # [7.6 to 34.5]
        text = f"TA is no daily mean in degC (99 % of days below {high:.0f}); degF? convert it"
        yield Finding(tower.site, "ta", "temperature", "certain", text, numbers)


def radiation(tower: Tower) -> Iterator[Finding]:
    """MJ, J or umol of photons where W m-2 are meant; more light than there is above the air."""
    values = series(tower, "sw_in").values
    long = _long(values)
    high = float(np.quantile(long, 0.99)) if long.size else 300.0
    share, follows = _share_of_the_sun(tower, values)
    numbers = {"q99": high, "q95_share_of_potential": share}
    verdict, text = "certain", ""
    if high < 60:  # [240 to 425]
        text = f"SW_IN looks like MJ m-2 d-1 (most {high:.3g}), expected W m-2: divide by 0.0864"
    elif high > 560:
        text = f"SW_IN is no daily mean in W m-2 (most {high:.3g}): convert it"
    elif share > 1.1 and follows:  # [0.51 to 0.90]
        text = (
            f"SW_IN follows the sun, but exceeds {share:.2f} times the radiation at the top of the "
            "atmosphere on 5 % of days: photons in umol m-2 s-1? means of daylight hours? convert"
        )
    elif share > 0.95 or share < 0.45:
        verdict, text = "suspect", (
            f"SW_IN stays below {share:.2f} times the radiation at the top of the atmosphere on "
            "95 % of days, expected 0.5 to 0.9: unit, calibration, or coordinates?"
        )  # fmt: skip
    if text:
        yield Finding(
            tower.site, "sw_in", "radiation", "certain" if verdict == "certain" else "suspect",
            text, numbers,
        )  # fmt: skip


def _share_of_the_sun(tower: Tower, values: Floats) -> tuple[float, bool]:
    """Share of potential radiation that 95 % of days stay below, and whether a year of it varies
    and does not run against the sun; (0.7, False) where there are too few days."""
    sun = potential_radiation([np.clip(tower.lat, -90, 90)], tower.days)[0].astype(np.float64)
    days = np.isfinite(values) & (sun > _DARK)
    if days.sum() < 60:
        return 0.7, False
    varies = np.std(values[days]) > 0.1 * abs(np.mean(values[days]))
    against = correlation(values, sun) < -0.2
    share = float(np.quantile(values[days] / sun[days], 0.95))
    return share, bool(days.sum() >= LONG and varies and not against)


def humidity(tower: Tower) -> Iterator[Finding]:
    """kPa or Pa where hPa are meant: VPD as a share of the saturation pressure at TA."""
    ta, vpd = possible(tower, "ta"), series(tower, "vpd").values
    share = _long(vpd / saturation_pressure(ta))
    if not share.size:
        return
    middle, high = float(np.median(share)), float(np.quantile(share, 0.99))
    numbers = {"median_share_of_saturation": middle, "q99_share_of_saturation": high}
    shares = f"median {middle:.2g}, 99 % of days below {high:.2g} times saturation"
    if 0 < high < 0.17:  # [0.21 to 1.4; a tenth of it: 0.14 at most]
        text = f"VPD looks like kPa, expected hPa: multiply by 10 ({shares})"
        yield Finding(tower.site, "vpd", "humidity", "certain", text, numbers)
    elif middle > 3:  # [0.08 to 0.79]
        text = f"VPD looks like Pa, expected hPa: divide by 100 ({shares})"
        yield Finding(tower.site, "vpd", "humidity", "certain", text, numbers)
    elif high < 0.25 or high > 1.5:
        text = f"VPD is unusually {'low' if high < 1 else 'high'} for TA ({shares}): unit, sensor?"
        yield Finding(tower.site, "vpd", "humidity", "suspect", text, numbers)


def rain(tower: Tower) -> Iterator[Finding]:
    """m, or a rate, where mm d-1 are meant."""
    values = _long(possible(tower, "p"))
    if not values.size or values.max() <= 0:
        return
    most, year, wet = float(values.max()), float(values.mean() * 365), float(np.mean(values > 0))
    numbers = {"most": most, "mm_a_year": year, "share_of_wet_days": wet}
    seen = f"{year:.3g} mm a year although {wet:.0%} of days are wet, most {most:.3g} mm d-1"
    if year < 5 and wet > 0.05:  # [53 mm or more, wet days 0.10 or more]
        text = f"P never exceeds {most:.3g} mm d-1 ({seen}): m d-1, or mm s-1? convert it to mm d-1"
        yield Finding(tower.site, "p", "rain", "certain", text, numbers)
    elif most < 0.5:  # [9]; a faulty gauge that rarely tips gives a similar series
        text = f"P never exceeds {most:.3g} mm d-1; if it is in m d-1, multiply it by 1000"
        yield Finding(tower.site, "p", "rain", "suspect", text, numbers)
    elif year < 30 or year > 7000 or wet > 0.99:  # [53 to 2000; 0.10 to 0.94]
        yield Finding(tower.site, "p", "rain", "suspect", f"P: {seen}: unit, gauge?", numbers)


def _long(values: Floats) -> Floats:
    """The values that are there, if they cover most of a year; otherwise none."""
    there = values[np.isfinite(values)]
    return there if there.size >= LONG else there[:0]
