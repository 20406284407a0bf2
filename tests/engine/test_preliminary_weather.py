"""A store says of each day whether its meteorology is preliminary, as far as its drivers know."""

import datetime as dt

import numpy as np
import xarray as xr

from upscale.calendar import day_number
from upscale.drivers.cube import open_cube
from upscale.drivers.preliminary import FINAL, PRELIMINARY, UNKNOWN, put_preliminary
from upscale.drivers.writer import seal, unseal
from upscale.product.quality import Quality, has
from upscale.testing.runs import prepare, process_here, run_here

SPRING = "2012-03-01", "2012-05-31"
MAY = day_number(dt.date(2012, 5, 1)), day_number(dt.date(2012, 5, 31))


def told(cube, *spans):
    """Write what a cube says of its days: `FINAL` but for (first, last, what) in `spans`."""
    opened = open_cube(str(cube))
    days = np.full(opened.series["meteo"].count, FINAL, np.uint8)
    for first, last, what in spans:
        days[first - opened.first : last - opened.first + 1] = what
    unseal(str(cube))
    put_preliminary(str(cube), days)
    seal(str(cube))


def flagged(store):
    """Days `(day,)` whose every value has the bit; no value of the others has it."""
    fluxes = xr.open_zarr(store).load()
    there = np.isfinite(fluxes.gpp.values)
    bit = has(fluxes.quality.values, Quality.WEATHER_PRELIMINARY)
    assert not bit[~there].any()
    days = bit.any(axis=(1, 2))
    assert bit[days][there[days]].all()
    return fluxes, days


def test_a_cube_that_does_not_say_leaves_no_bit_and_the_store_says_so(living):
    fluxes, days = flagged(living[1])
    assert not days.any()
    assert fluxes.attrs["weather_preliminary"] == "not known"


def test_the_bit_follows_the_days_of_the_drivers_and_goes_when_they_are_final(ndvi_model, living):
    cube, store = living
    before = xr.open_zarr(store).load()
    told(cube, (*MAY, PRELIMINARY), (MAY[0] - 20, MAY[0] - 11, UNKNOWN))
    checked = prepare(ndvi_model, cube, store, period=SPRING)
    entries = process_here(checked)
    assert {entry.item for entry in entries} == set(checked.standing.identities)
    assert all(entry.kept for entry in entries if entry.counts["land"]), "no value is made anew"
    run_here(prepare(ndvi_model, cube, store, period=SPRING))
    fluxes, days = flagged(store)
    np.testing.assert_array_equal(days, fluxes.time >= np.datetime64("2012-05-01"))
    np.testing.assert_array_equal(fluxes.gpp, before.gpp)
    said = fluxes.attrs["weather_preliminary"]
    assert said == "31 days preliminary, 51 final, 10 not known"
    assert int(Quality.WEATHER_PRELIMINARY) in fluxes.quality.flag_masks

    told(cube)
    run_here(prepare(ndvi_model, cube, store, period=SPRING))
    fluxes, days = flagged(store)
    assert not days.any()
    assert fluxes.attrs["weather_preliminary"] == "0 days preliminary, 92 final, 0 not known"
    np.testing.assert_array_equal(fluxes.quality, before.quality)
    assert not prepare(ndvi_model, cube, store, period=SPRING).standing.stale
