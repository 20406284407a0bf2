"""What a flux cube says of its own uncertainty: steps, indices, bits, and calibrated intervals."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from upscale.calendar import day_number
from upscale.checks.cube import check_cube
from upscale.grid import Grid
from upscale.network.uncertainty.calibration import Calibration, FluxCalibration
from upscale.network.uncertainty.calibration import interval as network_interval
from upscale.product.composite import _applicability_sums, composite
from upscale.product.cube import create_flux_cube
from upscale.product.layout import FluxLayout, item_from_id
from upscale.product.plots import plot_cube
from upscale.product.published.netcdf import export_day, publish_netcdf
from upscale.product.published.plan import APPLICABILITY
from upscale.product.quality import Quality, has
from upscale.product.reader import CellSlices, interval, open_flux_cube
from upscale.product.shards import region_of
from upscale.product.totals import global_totals
from upscale.product.uncertainty import STEP_ARRAYS, StoredUncertainty
from upscale.testing.flux_cubes import MADE_UNCERTAINTY, make_flux_cube, small_layout

BITS = {
    "extrapolation": Quality.OUTSIDE_APPLICABILITY,
    "extrapolation_embedding": Quality.OUTSIDE_EMBEDDING,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cube of a model that knows its uncertainty: 82 days, blocks of 60, steps of 15."""
    url = str(tmp_path_factory.mktemp("limited") / "fluxes.zarr")
    make_flux_cube(url, small_layout(), uncertainty=MADE_UNCERTAINTY)
    return url


@pytest.mark.parametrize("start", [dt.date(2011, 12, 20), dt.date(2000, 1, 1), dt.date(1999, 5, 3)])
@pytest.mark.parametrize("count", [1, 14, 59, 60, 61, 200])
def test_steps_are_fifteen_days_cut_at_blocks(start: dt.date, count: int) -> None:
    layout = FluxLayout(Grid("made", 2, 4, 90.0), day_number(start), count, 2, 1, block=60)
    days = layout.first + np.arange(count)
    wanted = []
    for position, day in enumerate(days):
        key = (position // 60, day // 15)
        if not wanted or wanted[-1][0] != key:
            wanted.append((key, day, day + 1))
        wanted[-1] = (key, wanted[-1][1], day + 1)
    assert layout.step_bounds.tolist() == [[first, last] for _, first, last in wanted]
    index = layout.step_index(slice(0, count))
    inside = layout.step_bounds[index]
    assert ((inside[:, 0] <= days) & (days < inside[:, 1])).all()
    whole = [layout.steps_of(block) for block in range(layout.blocks)]
    assert [n for part in whole for n in range(part.start, part.stop)] == list(range(len(wanted)))
    for block, part in enumerate(whole):
        assert [key[1] for key, *_ in wanted[part]] == list(layout.step_numbers(block))


def test_every_item_owns_whole_chunks_of_the_step_arrays(store: str) -> None:
    layout, group = small_layout(), zarr.open_group(store, mode="r")
    chunk = group["extrapolation"].chunks
    for block in range(layout.blocks):
        steps, rows, cols = region_of(
            layout, item_from_id(f"r001c002-b{block:03d}"), "point_density"
        )
        for part, size in zip((steps, rows, cols), chunk, strict=True):
            assert part.start % size == 0
            assert part.stop - part.start <= size


def test_a_day_finds_its_step_in_one_line(store: str) -> None:
    fluxes = xr.open_zarr(store, consolidated=False)
    daily = fluxes.extrapolation.sel(step=fluxes.time, method="ffill")
    assert daily.sizes["time"] == fluxes.sizes["time"]
    index = small_layout().step_index(slice(0, fluxes.sizes["time"]))
    np.testing.assert_array_equal(daily.values, fluxes.extrapolation.values[index])


@pytest.mark.parametrize("name", BITS)
def test_bits_say_what_lies_above_the_threshold(store: str, name: str) -> None:
    fluxes = xr.open_zarr(store, consolidated=False)
    daily = fluxes[name].sel(step=fluxes.time, method="ffill")
    outside = (daily > fluxes[name].applicability_threshold) & fluxes.gpp.notnull()
    assert 0 < outside.values.sum() < fluxes.gpp.notnull().values.sum()
    np.testing.assert_array_equal(has(fluxes.quality.values, BITS[name]), outside.values)


def test_a_cube_without_uncertainty_has_neither_arrays_nor_flags(
    made_store: str, store: str
) -> None:
    plain, other = (zarr.open_group(url, mode="r") for url in (made_store, store))
    extra = {*STEP_ARRAYS, "step", "step_bnds"}
    assert set(other.array_keys()) - set(plain.array_keys()) == extra
    assert "outside_applicability" not in plain["quality"].attrs["flag_meanings"]
    assert "outside_applicability" in other["quality"].attrs["flag_meanings"]
    assert not any("calibration" in key for key in plain["gpp_sd"].attrs)
    for name in ("gpp", "nee", "sftlf", "time"):
        assert dict(plain[name].attrs) == dict(other[name].attrs)


def test_a_model_without_embedding_has_no_index_in_its_space(tmp_path: Path) -> None:
    made = StoredUncertainty(("ta", "sw_in"), 0.5, None, 10)
    make_flux_cube(str(tmp_path / "f.zarr"), small_layout(), uncertainty=made)
    group = zarr.open_group(str(tmp_path / "f.zarr"), mode="r")
    assert "extrapolation" in group
    assert "extrapolation_embedding" not in group
    assert "outside_embedding" not in group["quality"].attrs["flag_meanings"]
    assert check_cube(str(tmp_path / "f.zarr")).passed


def test_all_checks_pass_and_one_of_them_is_for_the_steps(store: str, made_store: str) -> None:
    report = check_cube(store)
    assert report.passed, report.describe()
    assert {c.name for c in report.checks} - {c.name for c in check_cube(made_store).checks} == {
        "applicability"
    }
    assert report.figures["extrapolation_max"] == pytest.approx(0.9)


MUTANTS = {
    "an index below zero": ("extrapolation", lambda v: np.where(v > 0.3, -v, v)),
    "an index where nothing is predicted": ("extrapolation", lambda v: np.nan_to_num(v)),
    "an infinite index": ("extrapolation_embedding", lambda v: v / (v > 0.5)),
    "other indices than those of the bits": ("extrapolation", lambda v: 0.9 - v),
    "a driver without a name": ("extrapolation_driver", lambda v: v + 3),
    "no driver": ("extrapolation_driver", lambda v: v * 0),
    "a negative count": ("point_density", lambda v: v - 50),
    "no bits": ("quality", lambda v: np.where(v < 1024, v & 255, v)),
}


@pytest.mark.parametrize("name", MUTANTS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_cube_that_contradicts_itself_fails_the_check(
    store: str, tmp_path: Path, name: str
) -> None:
    url = str(shutil.copytree(store, tmp_path / "spoiled.zarr"))
    array, change = MUTANTS[name]
    group = zarr.open_group(url, mode="r+")
    values = group[array][...]
    group[array][...] = change(values).astype(values.dtype)
    assert check_cube(url).failures == ("applicability",)


def test_missing_indices_and_a_moved_axis_are_seen(store: str, tmp_path: Path) -> None:
    url = str(shutil.copytree(store, tmp_path / "spoiled.zarr"))
    shutil.rmtree(Path(url) / "point_density")
    group = zarr.open_group(url, mode="r+")
    group["step"][...] = group["step"][...] + 1
    assert set(check_cube(url).failures) >= {"shapes", "axes"}


def strict_faults(path: Path) -> list[str]:
    command = [str(Path(sys.executable).with_name("compliance-checker")), "-t", "cf:1.11"]
    report = path.with_suffix(".json")
    subprocess.run([*command, "-c", "strict", "-f", "json", "-o", str(report), str(path)],
                   capture_output=True, check=False)  # fmt: skip
    groups = json.loads(report.read_text())["cf:1.11"]
    levels = [groups[f"{level}_priorities"] for level in ("high", "medium", "low")]
    return [text for level in levels for each in level for text in each["msgs"]]


@pytest.fixture(scope="module")
def published(store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish_netcdf(
        store, tmp_path_factory.mktemp("published"), ("gpp", APPLICABILITY)
    ).folder


def test_all_months_open_together_and_give_the_total_of_the_store(
    store: str, published: Path
) -> None:
    files = sorted(published.glob("*_gpp_*.nc"))
    assert len(files) == 4
    with xr.open_mfdataset(files) as opened:
        assert set(opened.sizes) == {"time", "lat", "lon", "bnds"}
        grams = (opened.gpp * opened.areacella * opened.sftlf / 100).sum().values
        low, high = interval(opened, "gpp", 0.9)
        assert (low <= high).sum() == opened.gpp.notnull().sum()
    rows = [row for row in global_totals(store) if row.flux == "gpp"]
    assert grams / 1e15 == pytest.approx(sum(row.total for row in rows), rel=1e-5)


def test_steps_are_published_in_files_of_their_own_by_year(store: str, published: Path) -> None:
    files = sorted(published.glob("*_applicability_*.nc"))
    names = [path.name.split("_", 2)[2] for path in files]
    assert names == ["18deg_15day_2011_v1.nc", "18deg_15day_2012_v1.nc"]
    fluxes = xr.open_zarr(store, consolidated=False)
    with xr.open_mfdataset(files, data_vars="minimal") as opened:
        for name in (*STEP_ARRAYS, "step"):
            np.testing.assert_array_equal(opened[name].values, fluxes[name].values)
    assert strict_faults(files[1]) == []
    with xr.open_dataset(files[0]) as year:
        assert year.attrs["time_coverage_start"] == "2011-12-20T00:00:00Z"
        assert year.attrs["time_coverage_resolution"] == "P15D"
        assert set(year.sizes) == {"step", "lat", "lon", "bnds"}


def test_a_month_and_a_day_pass_the_strict_check(
    store: str, published: Path, tmp_path: Path
) -> None:
    assert strict_faults(sorted(published.glob("*_gpp_*.nc"))[1]) == []
    day = export_day(store, dt.date(2012, 2, 29), tmp_path / "day.nc")
    assert strict_faults(day) == []
    step = xr.open_zarr(store, consolidated=False).sel(step="2012-02-29", method="ffill")
    with xr.open_dataset(day) as one:
        for name in STEP_ARRAYS:
            np.testing.assert_array_equal(one[name].values[0], step[name].values)
        assert one.extrapolation_driver.flag_meanings == "none ta sw_in vpd"


@pytest.mark.parametrize("level", [0.3, 0.5, 0.8, 0.9])
def test_the_interval_of_a_reader_is_that_of_the_model(store: str, level: float) -> None:
    fluxes = xr.open_zarr(store, consolidated=False)
    rows = [
        FluxCalibration(flux, "g m-2 d-1", known["floor"], known["factor"], known["share"],
                        tuple(known["multipliers"]), (), ())
        for flux, known in MADE_UNCERTAINTY.calibration.items()
    ]  # fmt: skip
    made = Calibration((0.5, 0.9), tuple(rows), 9, 9, 3, 3)
    mean, spread = (
        np.stack([fluxes[f"{flux}{end}"].values for flux in ("gpp", "reco", "nee")], axis=-1)
        for end in ("", "_sd")
    )
    wanted = network_interval(mean, spread, made, level)
    for position, flux in enumerate(("gpp", "reco", "nee")):
        found = interval(fluxes, flux, level)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one.values, other[..., position], rtol=1e-5, atol=1e-5)


def test_intervals_that_nobody_knows_are_refused(made_store: str, store: str) -> None:
    with pytest.raises(ValueError, match="not calibrated"):
        interval(xr.open_zarr(made_store, consolidated=False), "gpp")
    with pytest.raises(ValueError, match=r"up to 0\.9"):
        interval(xr.open_zarr(store, consolidated=False), "gpp", 0.99)


def test_maps_hold_the_mean_index_and_the_share_of_days_outside(store: str) -> None:
    made = composite(open_flux_cube(store))
    fluxes = xr.open_zarr(store, consolidated=False)
    outside = xr.zeros_like(fluxes.gpp, bool)
    with_value = fluxes.extrapolation.sel(step=fluxes.time, method="ffill").notnull()
    for name in BITS:
        daily = fluxes[name].sel(step=fluxes.time, method="ffill")
        np.testing.assert_allclose(made.applicability[name], daily.mean("time").values, rtol=1e-5)
        outside = outside | (daily > fluxes[name].applicability_threshold)
    density = fluxes.point_density.sel(step=fluxes.time, method="ffill").mean("time")
    np.testing.assert_allclose(made.applicability["point_density"], density.values, rtol=1e-5)
    share = 100 * outside.sum("time") / with_value.sum("time")
    np.testing.assert_allclose(made.applicability["outside"], share.values, rtol=1e-6)
    assert 0 < np.nanmean(made.applicability["outside"]) < 100


def test_a_coarse_map_of_applicability_weighs_by_area_of_land(store: str) -> None:
    coarse = composite(open_flux_cube(store), columns=10)
    fluxes = xr.open_zarr(store, consolidated=False)
    index = fluxes.extrapolation.sel(step=fluxes.time, method="ffill")
    land = (fluxes.areacella * fluxes.sftlf / 100).where(index.notnull())
    top = (index * land).coarsen(lat=2, lon=2).sum().sum("time")
    expected = (top / land.coarsen(lat=2, lon=2).sum().sum("time")).values
    np.testing.assert_allclose(coarse.applicability["extrapolation"], expected, rtol=1e-5)


def test_a_map_of_applicability_holds_no_more_of_a_long_run_than_of_a_short_one(
    tmp_path: Path,
) -> None:
    peaks = []
    for years in (1, 6):
        layout = FluxLayout(Grid("made", 60, 120, 3.0), 11000, 365 * years, 60, 1)
        url = str(tmp_path / f"{years}.zarr")
        create_flux_cube(url, layout, {}, uncertainty=MADE_UNCERTAINTY)
        cube = open_flux_cube(url)
        tracemalloc.start()
        _applicability_sums(cube, CellSlices(slice(0, 60), slice(0, 120)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_no_steps_are_read_where_there_is_no_land(store: str, tmp_path: Path) -> None:
    url = tmp_path / "sea.zarr"
    shutil.copytree(store, url)
    group = zarr.open_group(str(url), mode="r+")
    share = np.asarray(group["sftlf"][:])
    group["sftlf"][:] = np.where(np.isfinite(share), 0, share)
    for file in (path for path in (url / "extrapolation" / "c").rglob("*") if path.is_file()):
        file.write_bytes(b"unreadable")
    with pytest.raises(Exception):  # noqa: B017 - whatever zarr says of such bytes
        group["extrapolation"][:]
    made = composite(open_flux_cube(str(url)))
    assert np.isnan(made.applicability["extrapolation"]).all()
    assert np.isnan(made.means["gpp"]).all()


def test_applicability_is_drawn_where_there_are_any(
    store: str, made_store: str, tmp_path: Path
) -> None:
    drawn = {path.name for path in plot_cube(store, tmp_path / "limited")}
    plain = {path.name for path in plot_cube(made_store, tmp_path / "plain")}
    assert drawn - plain == {"applicability.png"}
    assert (tmp_path / "limited" / "applicability.png").stat().st_size > 20_000
