"""`upscale.predict` gives what a run writes for the same drivers, and refuses what is not right."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import upscale
from upscale.calendar import day_number, day_numbers
from upscale.drivers.cube import open_cube
from upscale.drivers.tiles import DERIVED, read_features, read_surface
from upscale.grid import load_grid
from upscale.network.releases.release import Release
from upscale.planet import Planet
from upscale.planet.cube import write_planet
from upscale.product.quality import Quality, has
from upscale.product.uncertainty import STEP_ARRAYS
from upscale.testing.releases import fake_release
from upscale.testing.runs import prepare, run_here

MODEL = "tamrl-v2"
DAILY = ("gpp", "reco", "nee", "gpp_sd", "reco_sd", "nee_sd", "quality", "filled_share")


@pytest.fixture(scope="module")
def fluxes(mapped) -> xr.Dataset:
    return upscale.predict(MODEL, mapped.drivers())


@pytest.fixture(scope="module")
def stored(mapped) -> xr.Dataset:
    """What the run wrote, at the cells of the towers."""
    return mapped.at_towers(upscale.open_fluxes(mapped.store))


def assert_same(found: xr.DataArray, wanted: xr.DataArray) -> None:
    """Equality of every bit and of the type, whatever the order of dimensions."""
    ordered = found.transpose(*wanted.dims)
    assert ordered.dtype == wanted.dtype
    np.testing.assert_array_equal(ordered.values, wanted.values)


@pytest.mark.parametrize("name", DAILY)
def test_a_place_has_the_numbers_that_a_run_writes_there(fluxes, stored, name):
    assert_same(fluxes[name], stored[name])
    assert np.isfinite(fluxes[name]).mean() > 0.9


@pytest.mark.parametrize("name", STEP_ARRAYS)
def test_applicability_is_that_of_the_run_on_every_day_with_fluxes(fluxes, stored, name):
    there = np.isfinite(stored.gpp)
    found, wanted = (
        each[name].sel(step=each.time, method="ffill").drop_vars("step").where(there)
        for each in (fluxes, stored)
    )
    np.testing.assert_array_equal(found.transpose(*wanted.dims).values, wanted.values)
    assert np.isfinite(wanted).any()


def test_the_flags_of_these_places_differ(fluxes):
    for flag in (Quality.CLIPPED, Quality.SPINUP_SHORT):
        set_ = has(fluxes.quality.values, flag)
        assert set_.any()
        assert not set_.all()


def test_attributes_are_those_of_the_store(fluxes, stored):
    of_cells = {"grid_mapping", "cell_measures", "cell_methods"}
    for name in (*DAILY, *STEP_ARRAYS):
        wanted = {k: v for k, v in stored[name].attrs.items() if k not in of_cells}
        found = {k: v for k, v in fluxes[name].attrs.items() if k not in of_cells}
        if name == "quality":  # the last bit listed: given drivers are not from beyond the coast
            assert wanted["flag_meanings"].endswith(" weather_beyond_coast weather_preliminary")
            wanted["flag_meanings"] = wanted["flag_meanings"].removesuffix(
                " weather_beyond_coast weather_preliminary"
            )
            wanted["flag_masks"] = wanted["flag_masks"][:-2]
        assert found == wanted, name
    assert fluxes.gpp.cell_methods == "time: mean"
    for name in ("model_name", "model_digest", "learned_sites", "references", "comment", "title"):
        assert fluxes.attrs[name] == stored.attrs[name]


def test_what_is_predicted_can_be_written_as_netcdf(fluxes, tmp_path):
    fluxes.to_netcdf(tmp_path / "fluxes.nc")
    with xr.open_dataset(tmp_path / "fluxes.nc", decode_timedelta=False) as again:
        assert_same(again.gpp, fluxes.gpp)
        low, high = upscale.interval(again, "gpp")
        assert bool((low <= high).any())


def planet_cube(folder: Path) -> Path:
    """Two years of a coast with filled satellite values, water and ice: 12 x 14 cells."""
    grid = load_grid("global-1p0").crop(slice(148, 160), slice(28, 42))
    years = pd.Timestamp("2011-01-01").date(), pd.Timestamp("2012-12-31").date()
    path = folder / "drivers.zarr"
    write_planet(str(path), grid, load_grid("nodes-2p0"), years, satellite=("ndvi",), tile=5)
    return path


@pytest.fixture(scope="module")
def planet(tmp_path_factory) -> tuple[Release, xr.Dataset, xr.Dataset]:
    """A release with composites, the drivers of a map on its own grid, and the map of a run."""
    folder = tmp_path_factory.mktemp("planet")
    cube = planet_cube(folder)
    made = fake_release(folder / "model", features=("ta", "sw_in", "ndvi", "day_length"), hidden=8)
    checked = prepare(made.path, cube, folder / "f.zarr", period=("2011-01-01", "2012-12-31"))
    return made, drivers_of(cube), upscale.open_fluxes(run_here(checked)).load()


def drivers_of(cube: Path) -> xr.Dataset:
    """Drivers as a run reads them: interpolated to the grid of the map, land cells alone."""
    opened = open_cube(str(cube))
    surface = read_surface(opened, slice(None), slice(None))
    read = read_features(opened, surface, ("ta", "sw_in", "ndvi"), opened.first, 731)
    series = {}
    for i, name in enumerate(("ta", "sw_in", "ndvi", "ndvi_filled")):
        canvas = np.full((731, *surface.land.shape), np.nan, np.float32)
        canvas[:, surface.land] = (read.filled if i == 3 else read.values[:, :, i]).T
        series[name] = (("time", "lat", "lon"), np.nan_to_num(canvas) if i == 3 else canvas)
    layers = {
        name: (("lat", "lon"), getattr(surface, name)) for name in ("igbp", "koppen", "sftlf")
    }
    dates = pd.date_range("2011-01-01", periods=731)
    at = {"time": dates, "lat": surface.grid.lat, "lon": surface.grid.lon}
    return xr.Dataset({**series, **layers}, at, {"synthetic": True})


@pytest.mark.parametrize("name", DAILY)
def test_a_map_with_water_ice_and_filled_values_is_that_of_the_run(planet, name):
    release, drivers, stored = planet
    found = upscale.predict(release, drivers.transpose("lon", "time", "lat"))
    assert found[name].dims == ("time", "lon", "lat")
    wanted = stored[name]
    if name == "quality":  # the drivers are given at their place: nobody knows where from
        wanted = wanted & np.uint32(~int(Quality.WEATHER_BEYOND_COAST) & 0xFFFFFFFF)
    assert_same(found[name], wanted)
    assert found.title == stored.title
    for flag in (Quality.WATER, Quality.DRIVERS_FILLED):
        assert has(found.quality.values, flag).any()


def test_units_cells_and_coordinates_of_a_map_are_told(planet):
    release, drivers, stored = planet
    found = upscale.predict(release, drivers.isel(lat=slice(0, 2)))
    assert found.gpp.cell_methods == stored.gpp.cell_methods
    assert found.gpp.attrs["units"] == "g m-2 d-1"
    assert found.lat.attrs["units"] == "degrees_north"


def test_a_place_of_water_alone_has_no_fluxes_but_its_reason(planet):
    release, drivers, _ = planet
    sea = drivers.where(drivers.sftlf == 0, drop=True).isel(lat=0, lon=0).fillna(0)
    found = upscale.predict(release, sea.assign(igbp=17, koppen=0))
    assert np.isnan(found.gpp).all()
    assert (found.quality == int(Quality.WATER)).all()


def table_of(mapped, site: str) -> pd.DataFrame:
    """The drivers of one tower as a table of days."""
    here = mapped.drivers().sel(site=site)
    return here.drop_vars([n for n in here.coords if n != "time"]).to_dataframe()[
        ["ta", "sw_in", "vpd", "p", *[n for n in ("ndvi", "evi", "nirv", "fapar") if n in here]]
    ]


def test_a_table_gives_the_numbers_of_a_dataset(mapped, fluxes):
    here = fluxes.sel(site="XX-T04")
    names = {"lat": float(here.lat), "igbp": "CRO", "koppen": "Csa"}
    found = upscale.predict(MODEL, table_of(mapped, "XX-T04"), **names)
    for name in DAILY:
        assert_same(found[name], here[name])
    assert found.gpp.dims == ("time",)
    assert float(found.lat) == float(here.lat)


def test_members_have_the_mean_and_the_spread_that_are_given(mapped):
    found = upscale.predict(MODEL, mapped.drivers().isel(site=[0, 1]), members=True)
    assert found.gpp_members.dims == ("member", "time", "site")
    assert found.sizes["member"] == upscale.open_release(MODEL).members
    assert float(found.gpp_members.min()) == 0
    for flux in ("gpp", "reco", "nee"):
        each = found[f"{flux}_members"].astype(float)
        np.testing.assert_allclose(each.mean("member"), found[flux], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(each.std("member", ddof=1), found[f"{flux}_sd"], atol=1e-5)


def test_a_history_gives_the_support_set(planet):
    release, drivers, _ = planet
    early, late = drivers.sel(time="2011"), drivers.sel(time="2012")
    alone = upscale.predict(release, late)
    taught = upscale.predict(release, late, history=early)
    same = upscale.predict(release, late, history=late)
    assert_same(same.gpp, alone.gpp)
    assert float(np.abs(taught.gpp - alone.gpp).max()) > 0.01


def test_derived_features_are_computed_and_never_read(planet):
    release, drivers, _ = planet
    wrong = drivers.assign(day_length=drivers.ta * 0 + 12)
    assert_same(upscale.predict(release, wrong).gpp, upscale.predict(release, drivers).gpp)
    days = day_numbers(drivers.time.values[:1])
    assert DERIVED["day_length"]([60.0], days)[0, 0] != 12


def test_twenty_years_at_one_tower_take_seconds():
    lat, lon = 47.0, 8.0
    place = Planet().region([lat], [lon])
    days = pd.date_range("2001-01-01", "2020-12-31")
    made = place.meteo(day_numbers(days.to_numpy()))
    frame = pd.DataFrame({name: values[:, 0, 0] for name, values in made.items()}, index=days)
    frame = frame.fillna(5.0)
    begin = time.process_time()
    found = upscale.predict("tamrl-met-v1", frame, lat=lat, igbp="GRA", koppen="Cfb")
    assert np.isfinite(found.gpp).all()
    assert time.process_time() - begin < 30


Frame = pd.DataFrame
WRONG: dict[str, tuple[Callable[[Frame], object], str]] = {
    "unit": (lambda f: with_units(f, ta="K"), "expected units 'degC', found 'K'"),
    "range": (lambda f: f.assign(ta=f.ta + 273.15), r"ta: 366 values outside .* is the unit wrong"),
    "required": (lambda f: f.drop(columns="sw_in"), "missing features sw_in"),
    "gap": (lambda f: f.drop(f.index[9]), r"a step of 2 days after day number 4391 \(2012-01-09\)"),
    "twice": (lambda f: pd.concat([f[:5], f[4:]]), "a step of 0 days after day number 4387"),
    "order": (lambda f: f[::-1], "a step of -1 days"),
    "hours": (lambda f: f.set_index(f.index + pd.Timedelta("12h")), "at 00:00 of the day"),
    "zone": (lambda f: f.tz_localize("UTC"), "without a time zone, found UTC"),
    "index": (lambda f: f.reset_index(), "expected a table with an index of days"),
    "text": (lambda f: f.assign(ta="warm"), "ta: expected numbers"),
    "column": (lambda f: pd.concat([f, f[["ta"]]], axis=1), "expected each column once"),
    "calendar": (lambda f: no_leap(f), "found the calendar 'noleap'"),
    "dimension": (lambda f: as_dataset(f).expand_dims(x=2), "found x, time"),
    "no time": (lambda f: as_dataset(f).isel(time=0), "expected a dimension time"),
    "kind": (lambda f: as_dataset(f).ta, "expected an xarray.Dataset or a pandas.DataFrame"),
    "latitude": (lambda f: as_dataset(f).assign_coords(lat=47.0), "lat: expected it once"),
    "empty": (lambda f: f[:0], "found no days"),
}  # fmt: skip


def with_units(frame: Frame, **units: str) -> Frame:
    copy = frame.copy()
    copy.attrs["units"] = units
    return copy


def as_dataset(frame: Frame) -> xr.Dataset:
    return xr.Dataset.from_dataframe(frame.rename_axis("time"))


def no_leap(frame: Frame) -> xr.Dataset:
    return as_dataset(frame).convert_calendar("noleap")


@pytest.fixture(scope="module")
def year() -> Frame:
    days = pd.date_range("2012-01-01", "2012-12-31")
    season = np.sin(np.arange(len(days)) / 58)
    return pd.DataFrame({"ta": 10 + 8 * season, "sw_in": 150 + 90 * season}, index=days)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Release:
    folder = tmp_path_factory.mktemp("small") / "model"
    return fake_release(folder, features=("ta", "sw_in", "ws", "sw_pot"), members=2, hidden=8)


@pytest.mark.filterwarnings("ignore:optional drivers")
@pytest.mark.parametrize("what", WRONG)
def test_drivers_that_are_not_right_are_refused(small, year, what):
    spoil, words = WRONG[what]
    with pytest.raises((ValueError, TypeError), match=words):
        upscale.predict(small, spoil(year), lat=47.0)  # type: ignore[arg-type]
    assert np.isfinite(upscale.predict(small, year, lat=47.0).gpp).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "expected the latitude of the place, from which the radiation"),
        ({"lat": 91.0}, "expected degrees from -90 to 90, found 91"),
        ({"lat": [47.0, 48.0]}, r"expected one value, or an array of shape \(\)"),
        ({"lat": 47.0, "igbp": "XYZ"}, "igbp: expected one of ENF, .*found 'XYZ'"),
        ({"lat": 47.0, "koppen": 31}, "koppen: expected one of Af.*found 31"),
        ({"lat": 47.0, "lon": 400.0}, "expected degrees from -180 to 180, found 400"),
    ],
)
def test_places_that_are_not_right_are_refused(small, year, given, words):
    with pytest.raises(ValueError, match=words):
        upscale.predict(small, year, **given)


def test_a_model_that_reads_the_longitude_asks_for_it(year, tmp_path):
    release = fake_release(tmp_path / "model", features=("ta", "sw_in", "lon"), hidden=8)
    with pytest.raises(ValueError, match="expected the longitude"):
        upscale.predict(release, year, lat=47.0)
    assert np.isfinite(upscale.predict(release, year, lat=47.0, lon=8.0).gpp).all()


def test_optional_drivers_that_are_not_there_are_told(small, year):
    with pytest.warns(UserWarning, match="optional drivers ws are not there"):
        found = upscale.predict(small, year, lat=47.0)
    assert has(found.quality.values, Quality.DRIVERS_MISSING).all()


def test_classes_may_be_names_codes_or_unknown(small, year):
    places = {"lat": 47.0, "koppen": "cfb"}
    full = year.assign(ws=2.0)
    named = upscale.predict(small, full, igbp="gra", **places)
    coded = upscale.predict(small, full, igbp=10, **places)
    unknown = upscale.predict(small, full, igbp="unknown", **places)
    assert_same(named.gpp, coded.gpp)
    assert has(unknown.quality.values, Quality.CLASS_UNKNOWN).all()
    assert not has(named.quality.values, Quality.CLASS_UNKNOWN).any()


def test_a_history_of_other_places_is_refused(planet):
    release, drivers, _ = planet
    with pytest.raises(ValueError, match="history: expected the places of the drivers"):
        upscale.predict(release, drivers, history=drivers.isel(lat=slice(1, None)))


def test_a_model_without_support_years_takes_no_history(year, tmp_path):
    release = fake_release(tmp_path / "model", features=("ta", "sw_in"), hidden=8,
                           context={"rule": "query"})  # fmt: skip
    with pytest.raises(ValueError, match="draws no support set"):
        upscale.predict(release, year, lat=47.0, history=year)
    assert np.isfinite(upscale.predict(release, year, lat=47.0).gpp).all()


def test_a_record_shorter_than_a_window_gives_the_reason_instead_of_fluxes(small, year):
    found = upscale.predict(small, year[:30].assign(ws=2.0), lat=47.0)
    assert np.isnan(found.gpp).all()
    assert has(found.quality.values, Quality.TOO_SHORT).all()


def test_missing_days_inside_a_record_are_told(small, year):
    gone = year.assign(ws=2.0)
    gone.loc["2012-06-05", "ta"] = np.nan
    found = upscale.predict(small, gone, lat=47.0)
    day = found.sel(time="2012-06-05")
    assert np.isnan(day.gpp)
    assert int(day.quality) == int(Quality.NO_DRIVERS)
    assert day_number(pd.Timestamp("2012-06-05").date()) == 4539


def test_days_other_than_those_of_the_training_are_told(small, year):
    drivers = as_dataset(year.assign(ws=2.0)).assign_attrs(day_definition="utc")
    with pytest.warns(
        UserWarning, match="trained on local-standard days and the drivers count utc"
    ):
        found = upscale.predict(small, drivers, lat=47.0)
    assert found.day_definition == "utc"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        upscale.predict(small, drivers.assign_attrs(day_definition="local-standard"), lat=47.0)


def test_water_alone_needs_no_embedding(mapped):
    sea = mapped.drivers().isel(site=[0, 1]).assign(igbp=("site", [17, 17]))
    found = upscale.predict(MODEL, sea)
    assert np.isnan(found.gpp).all()
    assert np.isnan(found.extrapolation_embedding).all()
    assert (found.quality == int(Quality.WATER)).all()
