"""A wrong unit is told by where a year of values lies; real towers and short series pass."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from upscale.humidity import saturation_pressure
from upscale.towers.layouts.units import rain_doubt, unit_faults
from upscale.towers.table import DRIVERS, read_towers

DAYS = np.arange(365)


def year() -> dict[str, np.ndarray]:
    """A year of a humid, cool place."""
    season = -np.cos(2 * np.pi * DAYS / 365)
    ta = 8 + 10 * season
    vpd = (0.25 + 0.2 * season) * 6.112 * np.exp(17.62 * ta / (243.12 + ta))
    rain = np.where(DAYS % 4 == 0, 9.0, 0.0)
    return {"ta": ta, "sw_in": 130 + 110 * season, "vpd": vpd, "p": rain, "nee": -2 * season}


@pytest.mark.parametrize(
    ("name", "convert", "message"),
    [
        ("ta", lambda v: v + 273.15, "TA looks like K"),
        ("sw_in", lambda v: v * 0.0864, "SW_IN looks like MJ m-2 d-1"),
        ("sw_in", lambda v: v * 86_400, "SW_IN is no daily mean in W m-2"),
        ("vpd", lambda v: v / 10, "VPD looks like kPa"),
        ("vpd", lambda v: v * 100, "VPD looks like Pa"),
        ("nee", lambda v: v / 1000, "NEE looks like kg m-2 d-1"),
    ],
)  # fmt: skip
def test_another_unit_is_named(name: str, convert: object, message: str) -> None:
    series = year()
    assert unit_faults(series) == []
    series[name] = convert(series[name])  # type: ignore[operator]
    assert message in " ".join(unit_faults(series))


def test_short_and_empty_series_are_not_judged() -> None:
    assert unit_faults({name: values[:90] * 0 for name, values in year().items()}) == []
    assert unit_faults({name: values * np.nan for name, values in year().items()}) == []
    assert unit_faults({}) == []


def test_rain_in_metres_is_doubted_but_not_refused() -> None:
    rain = year()["p"]
    assert rain_doubt(rain) == rain_doubt(rain * 0) == rain_doubt(rain[:90] / 1000) == ""
    assert "never exceeds 0.009 mm d-1" in rain_doubt(rain / 1000)


def test_saturation_pressure_is_that_of_the_tables() -> None:
    """WMO tables over water: 6.11, 12.27, 23.37, 42.43 hPa at 0, 10, 20, 30 degC."""
    found = saturation_pressure(np.array([0.0, 10.0, 20.0, 30.0]))
    np.testing.assert_allclose(found, [6.11, 12.27, 23.37, 42.43], rtol=2e-3)


def test_real_towers_would_all_be_caught_in_kpa_and_kelvin() -> None:
    data = os.environ.get("UPSCALE_TEST_DATA")
    if not data:
        pytest.skip("UPSCALE_TEST_DATA is not set: no real towers here")
    for tower in read_towers(Path(data) / "towers"):
        values = {name: tower.driver(name).astype(float) for name in DRIVERS}
        assert unit_faults(values) == []
        faults = " ".join(unit_faults(values | {"vpd": values["vpd"] / 10}))
        assert "VPD looks like kPa" in faults
        assert "TA looks like K" in " ".join(unit_faults({"ta": values["ta"] + 273.15}))
