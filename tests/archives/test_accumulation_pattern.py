"""Accumulated values must behave as they are said to, also where rain is light."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from upscale.archives.reanalysis.accumulate import undo_running
from upscale.archives.reanalysis.era5 import daily, read_era5
from upscale.archives.reanalysis.pattern import (
    NOISE,
    AccumulationError,
    check_pattern,
    day_patterns,
)
from upscale.archives.reanalysis.statistic import Stated, Statistic
from upscale.calendar import first_hour

Floats = NDArray[np.float64]
DAYS = 6
HOURS = first_hour(8000) + 1 + np.arange(24 * DAYS)
OPENS = HOURS % 24 == 1


def sums_since(amounts: Floats, opens: NDArray[np.bool_]) -> Floats:
    """Running totals that begin anew at the hours `opens`."""
    total = amounts.copy()
    for k in range(1, len(total)):
        total[k] += 0 if opens[k] else total[k - 1]
    return total


def field(seed: int, make: Callable[[np.random.Generator], Floats]) -> Floats:
    return make(np.random.default_rng(seed))


SHAPE = (24 * DAYS, 4, 5)
SUN = np.maximum(np.sin(2 * np.pi * (np.arange(24 * DAYS) % 24 - 5) / 24), 0)[:, None, None]
WORLDS: dict[str, tuple[str, Callable[[np.random.Generator], Floats]]] = {
    "showers": ("tp", lambda r: r.gamma(0.1, 2e-3, SHAPE) * (r.uniform(size=SHAPE) < 0.2)),
    "light rain all day": ("tp", lambda r: r.uniform(3e-5, 8e-5, SHAPE)),
    "drizzle without a change": ("tp", lambda r: np.full(SHAPE, 5.25e-5)),
    "rain of 0.1 mm an hour": ("tp", lambda r: np.full(SHAPE, 1e-4)),
    "sun": ("ssrd", lambda r: 3600 * 800 * SUN * r.uniform(0.4, 1, SHAPE)),
    "winter sun": ("ssrd", lambda r: 3600 * 30 * np.maximum(SUN - 0.8, 0) * np.ones(SHAPE)),
    "long waves": ("strd", lambda r: 3600 * r.uniform(250, 350, SHAPE)),
}


def contradicts(name: str, statistic: Statistic, values: Floats) -> str:
    try:
        check_pattern(name, statistic, HOURS, values)
    except AccumulationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("world", WORLDS)
def test_what_is_believed_rightly_passes_and_wrongly_does_not(world: str) -> None:
    name, make = WORLDS[world]
    amounts = field(3, make)
    running = sums_since(amounts, OPENS)
    assert contradicts(name, "hourly-amount", amounts) == ""
    assert contradicts(name, "running-total", running) == ""
    assert "as amounts of hours do" in contradicts(name, "running-total", amounts)
    assert "as totals do" in contradicts(name, "hourly-amount", running)


@pytest.mark.parametrize("world", [name for name in WORLDS if name != "winter sun"])
@pytest.mark.parametrize("starts", [(6, 18), (0, 12)])
def test_totals_since_the_start_of_a_forecast_are_neither(
    world: str, starts: tuple[int, ...]
) -> None:
    # Not of a sun that shines for five hours: they lie within one forecast, as within a day.
    name, make = WORLDS[world]
    totals = sums_since(field(3, make), np.isin((HOURS - 1) % 24, starts))
    assert contradicts(name, "running-total", totals)
    assert contradicts(name, "hourly-amount", totals)


def test_the_noise_of_packing_contradicts_nothing() -> None:
    random = np.random.default_rng(1)
    for name, make in WORLDS.values():
        running = sums_since(field(5, make), OPENS)
        noise = random.uniform(-0.5, 0.5, SHAPE) * NOISE[name]
        assert contradicts(name, "running-total", running + noise) == ""
        assert contradicts(name, "running-total", noise) == ""
        assert contradicts(name, "hourly-amount", noise) == ""


def test_a_month_of_another_rule_among_others_is_seen() -> None:
    """Half of the days are totals."""
    name, make = WORLDS["sun"]
    amounts = field(3, make)
    mixed = np.where(np.arange(SHAPE[0])[:, None, None] < 72, amounts, sums_since(amounts, OPENS))
    assert contradicts(name, "hourly-amount", mixed)
    assert contradicts(name, "running-total", mixed)


def test_sea_and_days_with_a_gap_say_nothing() -> None:
    amounts = field(3, WORLDS["sun"][1])
    amounts[:, 0] = np.nan
    gap = np.arange(SHAPE[0]) != 30
    assert len(day_patterns("ssrd", HOURS[gap], amounts[gap])) == DAYS - 1
    amounts[:] = np.nan
    assert day_patterns("ssrd", HOURS, amounts) == []
    assert day_patterns("ssrd", HOURS[:20], amounts[:20]) == []


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("step", [0.1, 0.25])
@pytest.mark.parametrize("running", [False, True])
def test_a_file_gives_its_days_or_is_refused(
    tmp_path: Path, world: str, step: float, running: bool
) -> None:
    """Whatever the spacing of the nodes makes of it: never another number."""
    name, make = WORLDS[world]
    amounts = field(7, make)
    stored = sums_since(amounts, OPENS) if running else amounts
    stamps = (HOURS * 3600).astype("datetime64[s]").astype("datetime64[ns]")
    axes = {"valid_time": stamps, "latitude": 50 - step * np.arange(4),
            "longitude": 10 + step * np.arange(5)}  # fmt: skip
    attributes = {"units": "m" if name == "tp" else "J m**-2", "GRIB_stepType": "accum"}
    path = tmp_path / "data_0.nc"
    xr.Dataset({name: (tuple(axes), stored.astype("f4"), attributes)}, axes).to_netcdf(path)
    totals = amounts.reshape(DAYS, 24, 4, 5).sum(axis=1)
    right = running == (step == 0.1)
    dataset = read_era5([path])
    if not right:
        with pytest.raises(ValueError, match=r"as amounts of hours do|as totals do|vice versa"):
            daily(dataset, "utc")
        stated: Stated = "running-total" if running else "hourly-amount"
        dataset = read_era5([path], stated={name: stated})
    (found,) = daily(dataset, "utc").data_vars.values()
    factor = 1e3 if name == "tp" else 1 / 86400
    np.testing.assert_allclose(found, factor * totals, rtol=1e-4, atol=1e-4)


def test_undoing_totals_gives_the_amounts() -> None:
    amounts = field(2, WORLDS["showers"][1])
    np.testing.assert_allclose(undo_running(int(HOURS[0]), sums_since(amounts, OPENS)), amounts,
                               atol=1e-12)  # fmt: skip
    assert dt.timedelta(hours=int(HOURS[0])) % dt.timedelta(days=1) == dt.timedelta(hours=1)
