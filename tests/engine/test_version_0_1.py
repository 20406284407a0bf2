"""What version 0.1 wrote: a store with its ledger, a driver cube and a release, opened by this one.

`version-0.1.zip` was written by version 0.1 itself: three months on 5 x 7 cells of a synthetic
planet, in two tiles, by a made release of three members.
"""

from __future__ import annotations

import datetime as dt
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import upscale
from upscale.drivers.cube import open_cube
from upscale.engine.check import check_store
from upscale.network.releases.release import load_release
from upscale.product.published.netcdf import export_day, publish_netcdf
from upscale.product.reader import open_flux_cube
from upscale.product.totals import global_totals


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with zipfile.ZipFile(Path(__file__).with_name("version-0.1.zip")) as packed:
        packed.extractall(folder)
    return folder


def test_a_store_opens_and_is_cut_as_it_was(old: Path) -> None:
    cube = open_flux_cube(str(old / "fluxes.zarr"))
    assert (cube.layout.format, cube.layout.segment_chunk) == (1, 1)
    assert cube.array("quality").dtype == np.uint16
    assert cube.attributes["complete"]
    assert len(cube.layout.segments) == cube.array("gpp_member").shape[1] == 1


def test_a_store_passes_its_checks(old: Path) -> None:
    report = check_store(str(old / "fluxes.zarr"))
    assert [check for check in report.checks if not check.passed] == []


def test_totals_and_flags_of_a_store_are_read(old: Path) -> None:
    store = upscale.open_fluxes(old / "fluxes.zarr")
    kept = upscale.where(store.gpp, store.quality, without=["drivers_filled", "clipped"])
    assert 0 < kept.count() < store.gpp.count()
    land = store.areacella * store.sftlf / 100
    rows = {row.flux: row for row in global_totals(str(old / "fluxes.zarr"))}
    wanted = float((store.nee * land).sum()) / 1e15
    assert rows["nee"].total == pytest.approx(wanted, rel=1e-4)


def test_a_store_is_published(old: Path, tmp_path: Path) -> None:
    found = publish_netcdf(str(old / "fluxes.zarr"), tmp_path / "nc", ("nee",))
    assert len(found.written) == 3
    day = export_day(str(old / "fluxes.zarr"), dt.date(2012, 5, 1), tmp_path / "day.nc")
    with xr.open_dataset(day, mask_and_scale=False) as opened:
        assert opened.quality.dtype == opened.quality.attrs["flag_masks"].dtype == np.uint16


def test_a_store_is_written_as_netcdf_once_its_marks_are_numbers(old: Path, tmp_path: Path) -> None:
    store = xr.open_zarr(old / "fluxes.zarr").load()
    store.attrs |= {"complete": 1, "initialised": 1}
    store.to_netcdf(tmp_path / "whole.nc")


def test_a_driver_cube_and_a_release_open(old: Path) -> None:
    assert open_cube(str(old / "drivers.zarr")).synthetic
    assert load_release(old / "model").members == 3
