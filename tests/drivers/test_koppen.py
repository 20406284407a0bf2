"""Koeppen-Geiger classes: cities whose climate everybody knows."""

import numpy as np
import pytest

from upscale.drivers.koppen import classify
from upscale.variables import KOPPEN

# Normals of the last decades, rounded: city, latitude, class, degC and mm from January on.
CITIES = (
    ("Singapore", 1.4, "Af",
     (26.8, 27.3, 27.8, 28.2, 28.6, 28.5, 28.2, 28.1, 28.0, 27.9, 27.2, 26.8),
     (222, 105, 151, 164, 164, 135, 147, 149, 128, 167, 252, 332)),
    ("Miami", 25.8, "Am",
     (20.1, 21.2, 22.7, 24.7, 26.7, 28.2, 28.9, 29.0, 28.2, 26.4, 23.6, 21.4),
     (46, 55, 62, 85, 161, 267, 187, 243, 250, 192, 90, 62)),
    ("Darwin", -12.4, "Aw",
     (28.3, 28.2, 28.3, 28.4, 27.2, 25.4, 25.1, 25.8, 27.7, 29.1, 29.3, 28.9),
     (470, 412, 314, 106, 21, 1, 0, 1, 14, 68, 142, 270)),
    ("Cairo", 30.1, "BWh",
     (14.0, 15.1, 17.6, 21.5, 24.9, 27.4, 28.0, 27.9, 26.3, 23.7, 19.1, 15.1),
     (5, 4, 4, 1, 0, 0, 0, 0, 0, 1, 4, 6)),
    ("Turpan", 42.9, "BWk",
     (-7.6, -0.6, 9.3, 18.9, 25.7, 30.9, 32.7, 30.4, 24.2, 14.7, 3.9, -5.3),
     (1, 0, 1, 1, 1, 3, 3, 2, 1, 1, 0, 1)),
    ("Niamey", 13.5, "BSh",
     (24.3, 27.4, 31.2, 34.0, 33.9, 31.4, 28.7, 27.6, 28.9, 30.6, 28.1, 25.2),
     (0, 0, 4, 6, 35, 69, 154, 171, 92, 10, 1, 0)),
    ("Zaragoza", 41.7, "BSk",
     (6.6, 8.2, 11.6, 13.8, 18.0, 22.6, 25.3, 25.0, 21.2, 16.2, 10.6, 7.0),
     (21, 22, 19, 39, 44, 26, 17, 17, 30, 36, 30, 21)),
    ("Rome", 41.9, "Csa",
     (7.5, 8.2, 10.2, 12.6, 17.2, 21.1, 24.1, 24.5, 20.8, 16.4, 11.4, 8.4),
     (67, 73, 58, 81, 53, 34, 19, 37, 73, 113, 115, 81)),
    ("Perth", -31.9, "Csa",
     (24.6, 24.9, 22.9, 19.6, 16.4, 14.1, 13.2, 13.7, 14.9, 17.0, 20.1, 22.5),
     (10, 14, 20, 36, 90, 128, 147, 123, 80, 40, 24, 10)),
    ("San Francisco", 37.8, "Csb",
     (10.8, 12.2, 12.8, 13.3, 14.2, 15.3, 15.8, 16.3, 16.9, 16.3, 13.7, 11.1),
     (114, 113, 83, 37, 18, 4, 0, 2, 5, 28, 80, 116)),
    ("Hong Kong", 22.3, "Cwa",
     (16.5, 17.1, 19.5, 23.0, 26.3, 28.3, 28.9, 28.7, 27.9, 25.7, 22.2, 18.2),
     (33, 39, 75, 153, 291, 491, 386, 453, 321, 120, 39, 29)),
    ("Mexico City", 19.4, "Cwb",
     (14.1, 15.6, 17.9, 19.3, 19.6, 19.1, 17.9, 18.0, 17.6, 16.9, 15.7, 14.3),
     (8, 5, 10, 26, 56, 135, 176, 170, 145, 67, 12, 6)),
    ("Buenos Aires", -34.6, "Cfa",
     (24.9, 23.6, 21.9, 17.9, 14.5, 11.7, 11.0, 12.8, 14.6, 17.8, 20.7, 23.3),
     (139, 127, 140, 119, 92, 59, 61, 74, 62, 128, 119, 108)),
    ("London", 51.5, "Cfb",
     (5.7, 6.0, 7.9, 10.1, 13.3, 16.4, 18.7, 18.4, 15.6, 12.0, 8.4, 6.0),
     (59, 45, 39, 42, 46, 47, 46, 53, 50, 65, 67, 57)),
    ("Punta Arenas", -53.2, "Cfc",
     (11.0, 10.6, 8.9, 6.5, 4.0, 1.9, 1.4, 2.4, 4.3, 6.6, 8.6, 10.2),
     (37, 31, 42, 38, 41, 33, 34, 32, 28, 26, 31, 33)),
    ("Spokane", 47.7, "Dsb",
     (-2.1, -0.3, 3.8, 8.0, 12.8, 16.6, 21.4, 21.0, 15.9, 8.7, 1.7, -2.5),
     (48, 37, 44, 31, 38, 31, 12, 12, 14, 33, 50, 57)),
    ("Seoul", 37.6, "Dwa",
     (-2.0, 0.7, 6.1, 12.6, 18.2, 22.7, 25.3, 26.1, 21.6, 15.0, 7.5, 0.2),
     (17, 28, 37, 73, 104, 130, 414, 348, 142, 52, 51, 22)),
    ("Vladivostok", 43.1, "Dwb",
     (-11.9, -8.1, -1.5, 5.3, 10.3, 13.8, 18.0, 19.9, 16.5, 9.4, -0.3, -8.9),
     (12, 16, 27, 48, 81, 110, 164, 156, 115, 54, 29, 19)),
    ("Chicago", 41.9, "Dfa",
     (-3.2, -1.2, 4.4, 10.5, 16.6, 22.2, 24.8, 23.9, 19.9, 12.9, 5.8, -0.3),
     (50, 48, 62, 94, 113, 103, 94, 108, 81, 87, 62, 53)),
    ("Moscow", 55.8, "Dfb",
     (-6.2, -5.9, -0.7, 6.9, 13.6, 17.3, 19.7, 17.6, 11.9, 5.8, -0.5, -4.4),
     (53, 44, 39, 37, 61, 77, 84, 78, 66, 70, 52, 51)),
    ("Yellowknife", 62.5, "Dfc",
     (-25.6, -22.9, -17.2, -5.3, 4.6, 13.3, 17.0, 14.2, 7.2, -1.7, -13.6, -21.8),
     (14, 14, 13, 11, 18, 29, 40, 39, 36, 30, 25, 17)),
    ("Verkhoyansk", 67.5, "Dfd",
     (-44.7, -40.5, -28.8, -11.8, 4.0, 13.4, 16.3, 11.6, 3.0, -14.0, -34.9, -42.9),
     (7, 7, 5, 5, 12, 24, 34, 32, 14, 13, 11, 8)),
    ("Utqiagvik", 71.3, "ET",
     (-24.4, -24.8, -24.2, -15.9, -5.1, 2.0, 5.2, 4.2, 0.5, -6.6, -15.4, -21.1),
     (4, 5, 4, 5, 7, 11, 25, 27, 20, 13, 7, 5)),
    ("Vostok", -78.5, "EF",
     (-32.0, -44.0, -58.0, -65.0, -65.8, -65.3, -66.7, -67.9, -66.0, -57.0, -43.3, -32.1),
     (1, 1, 2, 2, 3, 2, 2, 2, 2, 2, 1, 1)),
)  # fmt: skip


def label(ta: object, p: object, lat: float) -> str:
    return KOPPEN[int(classify(ta, p, lat)) - 1]


@pytest.mark.parametrize(("city", "lat", "expected", "ta", "p"), CITIES)
def test_a_city_has_the_class_that_every_atlas_gives_it(
    city: str, lat: float, expected: str, ta: tuple[float, ...], p: tuple[float, ...]
) -> None:
    assert label(ta, p, lat) == expected, city


def test_a_map_is_classified_cell_by_cell() -> None:
    ta = np.array([city[3] for city in CITIES]).T.reshape(12, 4, 6)
    p = np.array([city[4] for city in CITIES]).T.reshape(12, 4, 6)
    lat = np.array([city[1] for city in CITIES]).reshape(4, 6)
    codes = classify(ta, p, lat)
    assert codes.dtype == np.uint8
    assert [KOPPEN[code - 1] for code in codes.ravel()] == [city[2] for city in CITIES]


def test_moving_a_place_by_half_a_year_changes_nothing() -> None:
    for _, lat, expected, ta, p in CITIES:
        assert label(np.roll(ta, 6), np.roll(p, 6), -lat) == expected


def test_zero_degrees_parts_temperate_from_cold() -> None:
    ta = np.array([0.0, 3, 6, 9, 12, 15, 18, 15, 12, 9, 6, 3])
    rain = np.full(12, 80.0)
    assert label(ta, rain, 50) == "Dfb"
    assert label(np.maximum(ta, 0.1), rain, 50) == "Cfb"


def test_the_season_of_rain_shifts_the_edge_of_the_desert() -> None:
    ta = np.array([10.0, 10, 10, 20, 20, 20, 20, 20, 20, 10, 10, 10])  # mean 15 degC
    summer = np.where(ta == 20, 1.0, 0.0)
    # The edge of arid is 300 mm with rain in winter, 440 mm when even, 580 mm in summer.
    for share, edge in ((0.1, 300), (0.5, 440), (0.9, 580)):
        month = (share * summer + (1 - share) * (1 - summer)) / 6
        assert label(ta, month * (edge - 5), 40)[0] == "B"
        assert label(ta, month * (edge + 5), 40)[0] == "C"


def test_every_class_can_be_reached() -> None:
    draw = np.random.default_rng(3)
    phase = np.cos(2 * np.pi * (np.arange(12)[:, None] - 6.5) / 12)
    mean, swing = draw.uniform(-30, 30, 200_000), draw.uniform(0, 40, 200_000)
    wet = draw.uniform(0.2, 150, 200_000) * (1 + draw.uniform(-1, 1, 200_000) * phase)
    found = set(classify(mean + swing * phase, wet, 45.0).tolist())
    assert found == set(range(1, 31))


def test_a_missing_month_makes_the_class_unknown() -> None:
    ta, p = np.full((12, 2), 25.0), np.full((12, 2), 200.0)
    p[3, 1] = np.nan
    assert classify(ta, p, 0.0).tolist() == [1, 0]


def test_eleven_months_are_refused() -> None:
    with pytest.raises(ValueError, match="twelve"):
        classify(np.zeros((11, 4)), np.zeros((11, 4)), 0.0)
