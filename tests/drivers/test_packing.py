"""Packing into 16 bits: small steps, missing stays missing, wrong units stay visible."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from upscale.drivers.packing import MISSING, packing_of
from upscale.drivers.writer import SeriesSpec, create_cube, create_series, write_series
from upscale.grid import Grid
from upscale.variables import of_kind, variable

DYNAMIC = of_kind("meteo", "satellite")


@pytest.mark.parametrize("name", DYNAMIC)
def test_a_value_comes_back_within_half_a_step(name: str) -> None:
    row, packing = variable(name), packing_of(name)
    values = np.linspace(row.valid_min, row.valid_max, 100_001)
    error = np.abs(packing.unpack(packing.pack(values)) - values)
    rounding = np.spacing(np.float32(max(abs(row.valid_min), abs(row.valid_max))))
    assert error.max() <= packing.scale / 2 + 2 * rounding


@pytest.mark.parametrize("name", DYNAMIC)
def test_missing_stays_missing_and_nothing_else_does(name: str) -> None:
    row, packing = variable(name), packing_of(name)
    stored = packing.pack(np.array([np.nan, row.valid_min, row.valid_max]))
    assert stored[0] == MISSING
    assert np.isnan(packing.unpack(stored)).tolist() == [True, False, False]


@pytest.mark.parametrize("name", [n for n in DYNAMIC if variable(n).valid_min == 0])
def test_zero_stays_zero(name: str) -> None:
    packing = packing_of(name)
    assert packing.unpack(packing.pack(np.zeros(1)))[0] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", DYNAMIC)
def test_a_value_far_outside_the_range_still_reads_as_outside(name: str) -> None:
    """Kelvin in a field of degC must not come back as a plausible temperature."""
    row, packing = variable(name), packing_of(name)
    width = row.valid_max - row.valid_min
    wrong = np.array([row.valid_max + 2 * width, row.valid_min - 2 * width])
    high, low = packing.unpack(packing.pack(wrong))
    assert high > row.valid_max + 1e-3
    assert low < row.valid_min - 1e-3


def test_steps_are_round_and_fine_enough() -> None:
    assert packing_of("ta").scale == 0.005
    assert packing_of("sw_in").scale == 0.02
    assert packing_of("vpd").scale == 0.005
    assert packing_of("p").scale == 0.05
    assert packing_of("ndvi").scale == 5e-5


@pytest.mark.parametrize(("kind", "least"), [("int16", 2.0), ("float32", 1.3)])
def test_a_smooth_field_is_compressed(tmp_path: Path, kind: str, least: float) -> None:
    """Blosc shuffles whole numbers only if it knows how wide they are."""
    grid = Grid("square", 60, 60, 0.05, north=50, west=10)
    url = str(tmp_path / "smooth.zarr")
    create_cube(url, title="smooth", source="test", day_definition="utc")
    create_series(url, SeriesSpec("meteo", grid, 0, 365, ("ta",), kind))  # type: ignore[arg-type]
    day = np.arange(365)[:, None, None]
    noise = np.random.default_rng(0).normal(0, 0.05, (365, *grid.shape))
    season = 10 + 12 * np.sin(2 * np.pi * day / 365) + grid.lat[:, None] / 10 + noise
    write_series(url, "meteo", "ta", (0, 0, 0), season.astype(np.float32))
    array = zarr.open_group(url, mode="r")["meteo/ta"]
    assert array.nbytes / array.nbytes_stored() > least
    width = {"int16": 2, "float32": 4}[kind]
    assert array.compressors[0].typesize == width
