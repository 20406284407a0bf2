"""Radiation at the top of the atmosphere and the length of the day."""

import datetime as dt

import numpy as np
import pytest

from upscale.calendar import day_number
from upscale.grid.astronomy import (
    SOLAR_CONSTANT,
    day_length,
    declination,
    nearness,
    potential_radiation,
    year_angle,
)

YEAR = np.arange(day_number(dt.date(2001, 1, 1)), day_number(dt.date(2002, 1, 1)))


def on(*date: int) -> np.ndarray:
    return np.array([day_number(dt.date(*date))])


def test_the_globe_receives_a_quarter_of_the_solar_constant() -> None:
    lat = np.arange(-89.75, 90, 0.5)
    weight = np.cos(np.radians(lat))
    annual = potential_radiation(lat, YEAR).mean(axis=1)
    mean = (annual * weight).sum() / weight.sum()
    assert mean == pytest.approx(SOLAR_CONSTANT / 4, rel=0.001)


@pytest.mark.parametrize("date", [(2001, 3, 20), (2001, 9, 23), (2004, 3, 20)])
def test_at_the_equinox_every_day_has_twelve_hours(date: tuple[int, int, int]) -> None:
    hours = day_length(np.arange(-65.0, 66.0, 5.0), on(*date))
    assert np.abs(hours - 12).max() < 0.15


def test_day_and_night_change_places_between_the_hemispheres() -> None:
    lat = np.arange(-90.0, 91.0, 2.5)
    hours = day_length(lat, YEAR)
    np.testing.assert_allclose(hours + hours[::-1], 24, atol=1e-4)


def test_polar_night_is_dark_and_polar_day_is_whole() -> None:
    lat = np.array([-90.0, -70.0, 70.0, 90.0])
    june, december = on(2010, 6, 21), on(2010, 12, 21)
    np.testing.assert_array_equal(day_length(lat, june)[:, 0], [0, 0, 24, 24])
    np.testing.assert_array_equal(day_length(lat, december)[:, 0], [24, 24, 0, 0])
    assert (potential_radiation(lat[:2], june) == 0).all()
    assert (potential_radiation(lat[2:], december) == 0).all()


def test_known_values() -> None:
    # FAO-56 (Allen et al. 1998), examples 8 and 9: 20 S on 3 September, 32.2 MJ m-2 d-1 and
    # 11.7 h; its sun is 0.4 % brighter and its declination half a degree off on that day.
    mega = potential_radiation([-20.0], on(2001, 9, 3))[0, 0] * 0.0864
    assert mega == pytest.approx(32.2, rel=0.02)
    assert day_length([-20.0], on(2001, 9, 3))[0, 0] == pytest.approx(11.7, abs=0.1)
    # The pole at its solstice: S0 times the sine of the obliquity, at that distance.
    pole = potential_radiation([90.0], on(2001, 6, 21))[0, 0]
    assert pole == pytest.approx(1361 * np.sin(np.radians(23.44)) / 1.0162**2, rel=0.003)


def test_the_sun_turns_at_the_tropics_and_is_nearest_in_january() -> None:
    angle = year_angle(YEAR)
    assert np.degrees(declination(angle)).max() == pytest.approx(23.45, abs=0.05)
    assert np.degrees(declination(angle)).min() == pytest.approx(-23.45, abs=0.05)
    assert int(np.argmax(nearness(angle))) < 6
    assert nearness(angle).max() == pytest.approx(1 / 0.9833**2, rel=0.001)


def test_a_leap_day_is_a_day_like_others() -> None:
    days = np.arange(day_number(dt.date(2003, 12, 1)), day_number(dt.date(2005, 2, 1)))
    steps = np.abs(np.diff(day_length([60.0], days)[0]))
    assert steps.max() < 0.11


def test_the_year_does_not_drift_over_a_century() -> None:
    first, last = on(1950, 6, 21), on(2050, 6, 21)
    assert potential_radiation([45.0], first) == pytest.approx(potential_radiation([45.0], last))


def test_pixels_of_one_row_agree_and_the_type_is_float32() -> None:
    values = potential_radiation(np.array([10.0, -40.0, 10.0]), YEAR)
    assert values.shape == (3, 365)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values[0], values[2])


def test_a_latitude_beyond_the_pole_is_refused() -> None:
    with pytest.raises(ValueError, match=r"-90\.\.90"):
        potential_radiation([91.0], YEAR)
