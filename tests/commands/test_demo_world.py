"""The planet of the demonstration holds what the model reads."""

import datetime as dt

from rich.console import Console

from upscale.commands.demo import DemoPlanet, _is_made, _make_planet
from upscale.network.released_code.scaling import FEATURES, MINIMAL, MODIS

FIRST = dt.date(2012, 1, 1)
SMALL = DemoPlanet(grid="global-1p0", start=FIRST, first=FIRST, last=FIRST, tile=90)


def test_a_model_of_weather_gets_the_plain_planet():
    assert DemoPlanet().with_drivers_of(("ta", "sw_in", "sw_pot")) == DemoPlanet()


def test_a_model_of_modis_bands_gets_them_and_more_weather():
    world = DemoPlanet().with_drivers_of(FEATURES)
    assert set(world.satellite) == {*DemoPlanet().satellite, *MODIS}
    assert set(world.meteorology) == {*DemoPlanet().meteorology, *MINIMAL}


def test_a_planet_that_lacks_a_driver_is_made_anew(tmp_path):
    path, quiet = tmp_path / "drivers.zarr", Console(quiet=True)
    _make_planet(path, SMALL, quiet)
    more = SMALL.with_drivers_of(("clouds", "pa"))
    assert _is_made(path, SMALL)
    assert not _is_made(path, more)
    _make_planet(path, more, quiet)
    assert _is_made(path, more)
    assert _is_made(path, SMALL)
