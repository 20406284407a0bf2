"""Stores open as xarray objects; intervals and flags are read from what they say."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import xarray as xr

import upscale
from upscale.drivers.cube import open_cube
from upscale.network.releases.release import load_release
from upscale.network.uncertainty.calibration import interval as calibrated
from upscale.product.quality import Quality, has


@pytest.fixture(scope="module")
def store(mapped) -> xr.Dataset:
    return mapped.at_towers(upscale.open_fluxes(mapped.store))


def test_a_driver_cube_opens_as_a_tree_of_its_groups(mapped):
    cube = upscale.open_drivers(str(mapped.cube))
    assert {"static", "meteo", "satellite"} <= set(cube.children)
    here = mapped.placed.kept[0]
    found = cube["meteo"].ta.isel(lat=here.row, lon=here.col).values
    group = open_cube(str(mapped.cube)).series["meteo"]
    read = group.read("ta", slice(None), np.array([here.row]), np.array([here.col]))
    np.testing.assert_array_equal(found, read[:, 0, 0])
    assert cube["meteo"].ta.units == "degC"


def test_a_driver_cube_that_changed_after_its_seal_is_not_read(mapped, tmp_path):
    cube = shutil.copytree(mapped.cube, tmp_path / "drivers.zarr")
    here = mapped.placed.kept[0]

    def read(**how):
        ta = upscale.open_drivers(str(cube), **how)["meteo"].ta
        return ta.isel(lat=here.row, lon=here.col).values

    days, rows, cols = upscale.open_drivers(str(cube))["meteo"].ta.encoding["chunks"]
    chunk = cube / f"meteo/ta/c/0/{here.row // rows}/{here.col // cols}"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(ValueError, match=f"{chunk}: expected the object that was sealed"):
        read()
    chunk.unlink()
    with pytest.raises(ValueError, match=f"{chunk}: expected the object that was sealed"):
        read()
    assert np.isnan(read(verify=False)[:days]).all()


def test_what_is_no_cube_is_refused(mapped, tmp_path):
    with pytest.raises(ValueError, match="no flux cube"):
        upscale.open_fluxes(str(mapped.cube))
    with pytest.raises(ValueError, match="no driver cube"):
        upscale.open_drivers(mapped.store)
    with pytest.raises(ValueError, match="no Zarr group"):
        upscale.open_drivers(str(tmp_path / "nothing.zarr"))


@pytest.mark.parametrize("level", [0.5, 0.77, 0.9])
def test_an_interval_is_that_of_the_calibration(store, level):
    calibration = load_release("tamrl-v2").manifest.calibration
    assert calibration is not None
    mean, spread = (
        np.stack([store[f"{flux}{end}"].values for flux in ("gpp", "reco", "nee")], axis=-1)
        for end in ("", "_sd")
    )
    wanted = calibrated(mean, spread, calibration, level)
    for position, flux in enumerate(("gpp", "reco", "nee")):
        for end, other in zip(upscale.interval(store, flux, level=level), wanted, strict=True):
            assert isinstance(end, xr.DataArray)
            np.testing.assert_allclose(end.values, other[..., position], rtol=1e-5, atol=1e-5)


def test_an_interval_beyond_what_towers_tell_is_refused(store):
    with pytest.raises(ValueError, match=r"up to 0\.95, found 0\.999"):
        upscale.interval(store, "gpp", level=0.999)


def test_values_with_a_flag_are_left_out_and_no_others(store):
    bad = ["clipped", "outside_training_range"]
    kept = upscale.where(store.gpp, store.quality, without=bad)
    flagged = has(store.quality.values, Quality.CLIPPED | Quality.OUTSIDE_TRAINING_RANGE)
    np.testing.assert_array_equal(np.isnan(kept.values), flagged | np.isnan(store.gpp.values))
    assert flagged.any()
    assert kept.attrs == store.gpp.attrs
    once = upscale.where(store.gpp, store.quality, without="clipped")
    assert int(once.notnull().sum()) >= int(kept.notnull().sum())


def test_a_flag_that_the_store_never_sets_is_refused(store):
    with pytest.raises(ValueError, match=r"spinup_short, .*found 'cloudy'"):
        upscale.where(store.gpp, store.quality, without=["cloudy"])
    with pytest.raises(ValueError, match="has no flag_meanings"):
        upscale.where(store.gpp, store.gpp, without=["clipped"])


AVERAGED = {
    "mean": lambda store: store.mean("time", keep_attrs=True),
    "sum": lambda store: store.sum("time", keep_attrs=True),
    "months": lambda store: store.resample(time="MS").mean(keep_attrs=True),
    "years": lambda store: store.resample(time="YS").sum(keep_attrs=True),
    "seasons": lambda store: store.groupby("time.month").mean(keep_attrs=True),
    "hours": lambda store: store.isel(time=slice(3)).assign_coords(
        time=np.datetime64("2003-01-01", "ns") + np.arange(3) * np.timedelta64(1, "h")
    ),
}


@pytest.mark.parametrize("kind", AVERAGED)
def test_an_interval_of_means_and_sums_is_refused(store, kind):
    made = AVERAGED[kind](store[["gpp", "gpp_sd"]])
    assert "calibration_floor" in made.gpp_sd.attrs
    with pytest.raises(ValueError, match=r"gpp: expected .*sums of the members"):
        upscale.interval(made, "gpp")


def test_an_interval_of_one_day_or_some_of_them_is_that_of_all(store):
    low, _ = upscale.interval(store, "gpp")
    for days in (5, [5], slice(0, 9), [3, 4, 900], [4, 3]):
        part, _ = upscale.interval(store.isel(time=days), "gpp")
        np.testing.assert_array_equal(part, low.isel(time=days))


@pytest.mark.parametrize("level", ["0.9", None, True, float("nan"), 90])
def test_a_level_that_is_no_probability_is_refused(store, level):
    with pytest.raises(ValueError, match="level"):
        upscale.interval(store, "gpp", level)


def test_an_interval_asks_for_a_flux_and_its_spread(store):
    for name in ("gpp_sd", "et", "quality"):
        with pytest.raises(ValueError, match="expected one of gpp, reco, nee"):
            upscale.interval(store, name)
    with pytest.raises(ValueError, match="found no gpp_sd"):
        upscale.interval(store[["gpp"]], "gpp")


def test_values_and_quality_of_other_days_or_places_are_refused(store):
    flags = store.quality
    fewer, unnamed = flags.isel(time=slice(0, 10)), flags.drop_vars("site").isel(site=[0, 1])
    for quality in (fewer, flags.isel(site=slice(None, None, -1)), unnamed):
        with pytest.raises(ValueError, match="of the same days and places"):
            upscale.where(store.gpp, quality, without=["clipped"])
    with pytest.raises(ValueError, match="values without time"):
        upscale.where(store.gpp.mean("time"), store.quality, without=["clipped"])


def test_a_quality_that_has_lost_its_bits_is_refused(store):
    with pytest.raises(ValueError, match="expected whole numbers, found float64"):
        upscale.where(store.gpp, store.quality.astype(float), without=["clipped"])
    names = store.quality.drop_attrs().assign_attrs(flag_meanings=store.quality.flag_meanings)
    with pytest.raises(ValueError, match="expected a number in flag_masks for each"):
        upscale.where(store.gpp, names, without=["clipped"])


def test_flags_are_read_from_the_array_itself(store):
    moved = store.quality.astype(np.uint64) << 8
    moved.attrs = store.quality.attrs | {"flag_masks": [m << 8 for m in store.quality.flag_masks]}
    wanted = upscale.where(store.gpp, store.quality, without=["clipped"])
    xr.testing.assert_identical(upscale.where(store.gpp, moved, without=["clipped"]), wanted)
    alone = (store.quality & int(Quality.CLIPPED)).astype(np.uint16)
    alone.attrs = {"flag_meanings": "clipped", "flag_masks": np.uint16(Quality.CLIPPED)}
    xr.testing.assert_identical(upscale.where(store.gpp, alone, without="clipped"), wanted)
