"""The synthetic planet: repeatable to the bit, and like a planet."""

import datetime as dt
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from upscale.calendar import day_number
from upscale.drivers.cube import open_cube
from upscale.drivers.koppen import classify
from upscale.drivers.packing import packing_of
from upscale.grid import Grid
from upscale.grid.astronomy import potential_radiation
from upscale.planet import Planet, PlanetGrid, write_planet
from upscale.planet.meteo import MORE, NAMES
from upscale.planet.reflectance import NAMES as SEEN
from upscale.planet.weather import weather
from upscale.variables import IGBP, KOPPEN, variable

LAT = np.arange(88.0, -90.0, -4.0)
LON = np.arange(-178.0, 180.0, 4.0)
YEAR = np.arange(day_number(dt.date(2011, 1, 1)), day_number(dt.date(2012, 1, 1)))
JANUARY, JULY = slice(0, 31), slice(181, 212)


@cache
def globe(seed: int = 0) -> PlanetGrid:
    return Planet(seed).region(LAT, LON)


@cache
def meteo() -> dict[str, np.ndarray]:
    return globe().meteo(YEAR)


@cache
def satellite() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return globe().satellite(YEAR)


def of_class(*names: str) -> np.ndarray:
    return np.isin(globe().surface.igbp, [IGBP.index(name) + 1 for name in names])


def land_shares(region: PlanetGrid) -> dict[str, float]:
    surface = region.surface
    weight = np.cos(np.radians(region.lat))[:, None] * surface.sftlf
    main = np.array(["?", *(label[0] for label in KOPPEN)])[surface.koppen]
    return {m: 100 * weight[main == m].sum() / weight.sum() for m in "ABCDE"}


class TestRepeatable:
    def test_a_tile_and_a_slice_of_time_equal_the_whole_to_the_bit(self) -> None:
        rows, cols, days = slice(7, 23), slice(31, 74), slice(140, 203)
        part = Planet().region(LAT[rows], LON[cols])
        for name, values in part.meteo(YEAR[days]).items():
            np.testing.assert_array_equal(values, meteo()[name][days, rows, cols])
        for name, (values, filled) in part.satellite(YEAR[days]).items():
            np.testing.assert_array_equal(values, satellite()[name][0][days, rows, cols])
            np.testing.assert_array_equal(filled, satellite()[name][1][days, rows, cols])
        for name in ("sftlf", "elevation", "igbp", "koppen"):
            whole = getattr(globe().surface, name)
            np.testing.assert_array_equal(getattr(part.surface, name), whole[rows, cols])

    def test_days_may_come_one_by_one_and_in_any_order(self) -> None:
        part = Planet().region(LAT[8:12], LON[40:60])
        some = np.array([YEAR[30], YEAR[3], YEAR[200]])
        mixed = part.meteo(some)
        for k, day in enumerate(some):
            for name, values in part.meteo([day]).items():
                np.testing.assert_array_equal(values[0], mixed[name][k])

    def test_weather_that_was_forgotten_is_made_again_the_same(self) -> None:
        before = weather(0, 5).air
        weather.cache_clear()
        np.testing.assert_array_equal(weather(0, 5).air, before)

    def test_another_seed_is_another_planet(self) -> None:
        assert (globe(0).land != globe(1).land).mean() > 0.2
        assert not np.array_equal(weather(0, 1).air, weather(1, 1).air)

    def test_weather_has_no_seam_between_blocks(self) -> None:
        first, second = weather(0, 3), weather(0, 4)
        across = np.corrcoef(first.air[:, -1], second.air[:, 0])[0, 1]
        within = np.corrcoef(first.air[:, 10], first.air[:, 11])[0, 1]
        assert across == pytest.approx(within, abs=0.1)
        np.testing.assert_array_equal(first.wetness[:, 1], second.wetness[:, 0])


class TestSphere:
    def test_the_date_line_is_one_line(self) -> None:
        west, east = (Planet().region(LAT, [lon]) for lon in (-180.0, 180.0))
        np.testing.assert_allclose(west.surface.elevation, east.surface.elevation, atol=1.0)
        np.testing.assert_allclose(
            west.meteo(YEAR[:5])["ta"], east.meteo(YEAR[:5])["ta"], atol=0.01
        )

    def test_all_meridians_meet_at_the_pole(self) -> None:
        pole = Planet().region([-90.0, -89.0], LON).meteo(YEAR[:60])
        assert np.nanstd(pole["ta"][:, 0], axis=1).max() < 0.01
        assert np.nanstd(pole["ta"][:, 1], axis=1).max() < 3.0

    def test_land_is_three_tenths_with_coasts_in_part_land(self) -> None:
        share = globe().surface.sftlf
        weight = np.cos(np.radians(LAT))[:, None]
        assert (weight * share).sum() / weight.sum() / LON.size == pytest.approx(30, abs=1)
        assert ((share > 0) & (share < 100)).mean() > 0.03
        sampled = np.unique(share)
        assert sampled.size == 26
        assert sampled[0] == 0
        assert sampled[-1] == 100

    def test_a_fine_grid_shows_the_same_planet(self) -> None:
        coarse = Planet().region([42.0, 38.0], [20.0, 24.0])
        fine = Planet().region(42.0 - np.arange(41) * 0.1, 20.0 + np.arange(41) * 0.1)
        for name in NAMES:
            corner = coarse.meteo(YEAR[:3])[name][:, 0, 0]
            np.testing.assert_allclose(fine.meteo(YEAR[:3])[name][:, 0, 0], corner, rtol=1e-5)


class TestClimate:
    def test_values_stay_inside_what_is_possible(self) -> None:
        for name, values in meteo().items():
            row = variable(name)
            assert np.nanmin(values) >= row.valid_min
            assert np.nanmax(values) <= row.valid_max
        assert -90 < np.nanmin(meteo()["ta"]) < -40
        assert 32 < np.nanmax(meteo()["ta"]) < 50

    def test_the_ground_gets_less_sun_than_the_sky_sends(self) -> None:
        above = potential_radiation(LAT, YEAR).T[:, :, None]
        sun = meteo()["sw_in"]
        assert np.nanmax(sun - 0.83 * above) <= 1e-3
        shone = np.where(above > 20, sun / np.maximum(above, 1), np.nan)
        assert 0.45 < np.nanmean(shone) < 0.65

    def test_more_meteorology_is_to_be_had_and_changes_nothing(self) -> None:
        region = Planet().region(LAT[::3], LON[::3])
        some = region.meteo(YEAR[:30], ("p", *MORE))
        np.testing.assert_array_equal(some["p"], region.meteo(YEAR[:30])["p"])
        for name in MORE:
            row = variable(name)
            assert row.valid_min < np.nanmin(some[name]) < np.nanmax(some[name]) < row.valid_max
            np.testing.assert_array_equal(np.isnan(some[name][0]), ~region.land)
        high = region.surface.elevation > 1500
        assert np.nanmax(some["pa"][:, high]) < np.nanmean(some["pa"][:, region.land & ~high])

    def test_air_is_never_drier_than_dry(self) -> None:
        saturation = 6.1094 * np.exp(17.625 * meteo()["ta"] / (meteo()["ta"] + 243.04))
        assert np.nanmax(meteo()["vpd"] / saturation) < 0.95

    def test_meteorology_is_there_on_land_and_nowhere_else(self) -> None:
        for values in meteo().values():
            np.testing.assert_array_equal(np.isnan(values).any(axis=0), ~globe().land)
            np.testing.assert_array_equal(np.isnan(values).all(axis=0), ~globe().land)

    def test_seasons_swap_hemispheres_and_grow_towards_the_poles(self) -> None:
        ta, land = meteo()["ta"], globe().land
        swing = (ta[JULY].mean(axis=0) - ta[JANUARY].mean(axis=0))[land]
        lat = np.repeat(LAT, land.sum(axis=1))
        assert swing[lat > 30].min() > 5
        assert swing[lat < -30].max() < -3
        assert np.abs(swing[np.abs(lat) < 8]).max() < 8
        assert swing[(lat > 50) & (lat < 70)].mean() > 20

    def test_koppen_classes_come_from_the_planets_own_climate(self) -> None:
        place = globe()._place
        expected = classify(*place.months(), place.lat)
        np.testing.assert_array_equal(globe().surface.koppen[globe().land], expected)
        assert (globe().surface.koppen[~globe().land] == 0).all()

    def test_daily_weather_adds_up_to_that_climate(self) -> None:
        years = np.arange(YEAR[0], YEAR[0] + 3 * 365)
        region = Planet().region(LAT[::2], LON[::3])
        daily = region.meteo(years)
        ta, p = region._place.months()
        error = daily["ta"].mean(axis=0)[region.land] - ta.mean(axis=0)
        assert abs(error.mean()) < 0.5
        assert np.abs(error).max() < 3
        total = 365 * daily["p"].mean(axis=0)[region.land]
        assert total.mean() == pytest.approx(p.sum(axis=0).mean(), rel=0.12)
        assert np.corrcoef(total, p.sum(axis=0))[0, 1] > 0.95

    def test_every_main_climate_has_about_its_share_of_the_earths_land(self) -> None:
        share = land_shares(Planet().region(np.arange(89.0, -90, -2), np.arange(-179.0, 180, 2)))
        limits = {"A": (15, 25), "B": (20, 35), "C": (10, 20), "D": (15, 30), "E": (10, 25)}
        for main, (low, high) in limits.items():
            assert low - 1 <= share[main] <= high + 1, (main, share)

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_any_planet_has_every_main_climate(self, seed: int) -> None:
        assert min(land_shares(globe(seed)).values()) > 3


class TestWeather:
    def test_it_is_red_in_time_and_smooth_in_space(self) -> None:
        region = Planet().region(np.arange(56.0, 44, -1.0), np.arange(-30.0, 30, 1.0))
        ta = region.meteo(YEAR[:90])["ta"][:, region.land]
        ta = ta - ta.mean(axis=0)
        tomorrow = (ta[1:] * ta[:-1]).mean() / (ta**2).mean()
        later = (ta[10:] * ta[:-10]).mean() / (ta**2).mean()
        assert 0.5 < tomorrow < 0.97
        assert later < 0.6 * tomorrow
        assert np.corrcoef(ta[:, 0], ta[:, 1])[0, 1] > 0.9

    def test_rain_comes_in_storms_under_clouds(self) -> None:
        rain, sun = meteo()["p"], meteo()["sw_in"]
        tropics = globe().land & (np.abs(LAT) < 25)[:, None]
        wet = rain[:, tropics] > 1
        assert 0.05 < wet.mean() < 0.5
        assert sun[:, tropics][wet].mean() < 0.85 * sun[:, tropics][~wet].mean()
        assert np.nanmax(rain) > 60

    def test_noise_has_unit_variance_everywhere(self) -> None:
        block = weather(0, 7)
        for noise in (block.air, block.storm):
            assert noise.std() == pytest.approx(1, abs=0.1)
            assert np.abs(noise).max() < 7


class TestVegetation:
    def test_rain_forest_is_green_all_year_and_desert_never(self) -> None:
        ndvi = satellite()["ndvi"][0]
        assert np.nanmin(np.nanmean(ndvi[:, of_class("EBF")], axis=1)) > 0.6
        assert np.nanmean(ndvi[:, of_class("BSV")]) < 0.25

    def test_forests_shed_their_leaves_in_their_own_winter(self) -> None:
        ndvi = satellite()["ndvi"][0]
        north = of_class("DBF", "GRA", "CRO") & (LAT > 45)[:, None]
        assert np.nanmean(ndvi[JULY][:, north]) > np.nanmean(ndvi[JANUARY][:, north]) + 0.3
        south = globe().land & ~of_class("SNO") & (LAT < -45)[:, None]
        assert np.nanmean(ndvi[JANUARY][:, south]) > np.nanmean(ndvi[JULY][:, south]) + 0.2

    def test_sea_is_water_and_ice_has_no_greenness(self) -> None:
        np.testing.assert_array_equal(of_class("WAT"), ~globe().land)
        for values, _ in satellite().values():
            np.testing.assert_array_equal(np.isnan(values[0]), of_class("WAT", "SNO"))

    def test_most_classes_occur(self) -> None:
        surface = Planet().surface(np.arange(89.0, -90, -2), np.arange(-179.0, 180, 2))
        found = {IGBP[code - 1] for code in np.unique(surface.igbp)}
        assert found >= {
            "ENF", "EBF", "DBF", "MF", "OSH", "WSA", "SAV", "GRA", "CRO", "SNO", "BSV", "WAT",
        }  # fmt: skip

    def test_indices_follow_from_the_bands(self) -> None:
        red, nir, blue = (satellite()[f"sur_refl_b0{k}"][0] for k in (1, 2, 3))
        ndvi = (nir - red) / (nir + red)
        evi = 2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1)
        np.testing.assert_allclose(satellite()["ndvi"][0], ndvi, atol=1e-5)
        np.testing.assert_allclose(satellite()["evi"][0], evi, atol=1e-4)
        np.testing.assert_allclose(satellite()["nirv"][0], ndvi * nir, atol=1e-5)
        for name in SEEN:
            row, values = variable(name), satellite()[name][0]
            assert np.nanmin(values) >= row.valid_min
            assert np.nanmax(values) <= row.valid_max

    def test_clouds_and_polar_night_leave_gaps_that_were_filled(self) -> None:
        filled = satellite()["ndvi"][1]
        assert 0.1 < filled[:, globe().land & ~of_class("SNO")].mean() < 0.5
        desert = of_class("BSV") & (np.abs(LAT) < 40)[:, None]
        assert filled[:, of_class("EBF")].mean() > 4 * filled[:, desert].mean()
        arctic = of_class("OSH", "GRA", "BSV") & (LAT > 74)[:, None]
        assert filled[JANUARY][:, arctic].all()

    def test_the_morning_sun_stands_in_the_east_and_high_in_summer(self) -> None:
        seen = satellite()
        zenith, azimuth = seen["solar_zenith"][0], seen["solar_azimuth"][0]
        green = globe().land & ~of_class("SNO")
        temperate = green & ((LAT > 35) & (LAT < 60))[:, None]
        assert (
            np.nanmean(zenith[JULY][:, temperate]) < 45 < np.nanmean(zenith[JANUARY][:, temperate])
        )
        assert (azimuth[:, temperate] > 90).all()
        assert (azimuth[:, temperate] < 180).all()

    def test_a_place_is_seen_from_both_sides_and_from_above(self) -> None:
        zenith, azimuth = (satellite()[f"sensor_{name}"][0] for name in ("zenith", "azimuth"))
        place = np.argwhere(globe().land & ~of_class("SNO"))[0]
        series = zenith[:, *place]
        assert series.min() < 10
        assert series.max() > 55
        np.testing.assert_array_equal(series[:-16], series[16:])
        assert set(np.sign(azimuth[:, *place])) == {-1.0, 1.0}

    def test_an_unknown_series_is_refused(self) -> None:
        with pytest.raises(KeyError):
            Planet().region([0.0, 1.0], [110.0, 111.0]).satellite(YEAR[:2], ["lai"])


class TestDriverCube:
    PRODUCT = Grid("test-4", 45, 90, 4.0)
    NODES = Grid("test-6", 30, 60, 6.0)
    PERIOD = (dt.date(2012, 2, 20), dt.date(2012, 3, 10))

    def test_a_cube_opens_and_holds_the_planet(self, tmp_path: Path) -> None:
        path = str(tmp_path / "drivers.zarr")
        digest = write_planet(path, self.PRODUCT, self.NODES, self.PERIOD, tile=20)
        cube = open_cube(path)
        assert cube.digest == digest
        assert cube.synthetic
        assert "synthetic planet" in str(cube.attributes["title"]).lower()
        assert set(cube.variables) == {*NAMES, "ndvi", "evi", "nirv", "fapar"}
        days = np.arange(cube.first, cube.last + 1)
        assert days.size == 20
        meteo = Planet().meteo(self.NODES.lat, self.NODES.lon, days)
        for name, expected in meteo.items():
            read = cube.series["meteo"].read(name, slice(None), np.arange(30), np.arange(60))
            half = packing_of(name).scale / 2
            np.testing.assert_allclose(read, expected, atol=half * 1.01 + 1e-4)
        surface = Planet().surface(self.PRODUCT.lat, self.PRODUCT.lon)
        np.testing.assert_array_equal(cube.static["igbp"][:], surface.igbp)
        np.testing.assert_array_equal(cube.static["koppen"][:], surface.koppen)

    def test_a_cube_does_not_depend_on_how_it_was_cut(self, tmp_path: Path) -> None:
        rows = np.arange(45), np.arange(90)
        read = []
        for tile in (13, 90):
            path = str(tmp_path / f"{tile}.zarr")
            write_planet(
                path, self.PRODUCT, self.NODES, self.PERIOD, satellite=("ndvi",), tile=tile
            )
            read.append(open_cube(path).series["satellite"].read("ndvi", slice(None), *rows))
        np.testing.assert_array_equal(read[0], read[1])

    def test_a_finished_cube_is_replaced_only_on_request(self, tmp_path: Path) -> None:
        path, day = str(tmp_path / "drivers.zarr"), (self.PERIOD[0], self.PERIOD[0])
        made = self.PRODUCT, self.NODES, day
        first = write_planet(path, *made, satellite=())
        with pytest.raises(FileExistsError, match="finished driver cube"):
            write_planet(path, *made, seed=1, satellite=())
        assert open_cube(path).digest == first
        second = write_planet(path, *made, seed=1, satellite=(), overwrite=True)
        assert second != first
        assert open_cube(path).digest == second

    def test_a_period_that_ends_before_it_begins_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="ends after it begins"):
            write_planet(str(tmp_path / "x"), self.PRODUCT, self.NODES, self.PERIOD[::-1])
