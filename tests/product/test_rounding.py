"""Fluxes of which some bits are kept: how far they are off, what they say, and that it is once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import zarr

from upscale.checks.cube import check_cube
from upscale.product.published.netcdf import publish_netcdf
from upscale.product.reader import open_flux_cube
from upscale.product.rounding import ROUNDED, ROUNDING, round_bits
from upscale.testing.flux_cubes import make_flux_cube, small_layout


@pytest.mark.parametrize("keep", [7, 12, 22, 23])
def test_a_value_is_off_by_half_of_its_last_bit_at_most_and_rounding_again_changes_nothing(
    keep: int,
) -> None:
    random = np.random.default_rng(4)
    values = np.exp(random.uniform(-30, 30, 20_000)).astype(np.float32)
    values *= random.choice(np.array([-1, 1], np.float32), values.size)
    found = round_bits(values, keep)
    assert np.abs(found / values.astype(np.float64) - 1).max() <= 2.0 ** -(keep + 1)
    assert found.tobytes() == round_bits(found, keep).tobytes()
    assert not (found.view(np.uint32) & ((1 << (23 - keep)) - 1)).any()


def test_a_tie_goes_to_the_even_value_so_that_a_mean_is_not_moved() -> None:
    step = np.float32(2.0**-7)
    ties = np.float32(1) + step * np.arange(0.5, 64, dtype=np.float32)
    found = (round_bits(ties, 7) - 1) / step
    assert (found % 2 == 0).all()
    assert (found - np.arange(0.5, 64)).mean() == 0


def test_what_is_missing_infinite_or_zero_stays_so() -> None:
    """A NaN whose bits are all set, as a GPU gives it, would become a zero with a sign."""
    bits = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000, 0x7F800001], np.uint32)
    assert np.isnan(round_bits(bits.view(np.float32), 12)).all()
    huge = np.finfo(np.float32).max
    kept = np.array([0, -0.0, np.inf, -np.inf, huge, -huge], np.float32)
    assert round_bits(kept, 12).tobytes() == kept.tobytes()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = str(tmp_path_factory.mktemp("rounded") / "fluxes.zarr")
    make_flux_cube(url, replace(small_layout(), keep_bits=8))
    return url


def test_a_rounded_store_says_so_and_is_checked(store: str) -> None:
    group = zarr.open_group(store, mode="r")
    assert group[ROUNDING].attrs["algorithm"] == "bitround"
    for name in ROUNDED:
        assert group[name].attrs["quantization"] == ROUNDING
        assert group[name].attrs["quantization_nsb"] == 8
        values = np.asarray(group[name][:])
        assert not (values[np.isfinite(values)].view(np.uint32) & 0x7FFF).any()
    assert "quantization" not in group["gpp_member"].attrs
    assert open_flux_cube(store).layout.keep_bits == 8
    faults = [check.name for check in check_cube(store).checks if not check.passed]
    assert faults == []


def test_a_store_that_hides_its_rounding_is_found(store: str, tmp_path: Path) -> None:
    group = zarr.open_group(store, mode="r+")
    group["nee"].attrs["quantization_nsb"] = 12
    try:
        (fault,) = [check for check in check_cube(store).checks if not check.passed]
    finally:
        group["nee"].attrs["quantization_nsb"] = 8
    assert "nee says quantization_nsb = 12, expected 8" in fault.found


def test_published_files_say_how_they_were_rounded(store: str, tmp_path: Path) -> None:
    done = publish_netcdf(store, tmp_path, ("nee",))
    with netCDF4.Dataset(sorted(done.written)[0]) as file:
        assert file["nee"].quantization_nsb == file["nee_sd"].quantization_nsb == 8
        assert file[file["nee"].getncattr("quantization")].algorithm == "bitround"
        assert "quantization" not in file["areacella"].ncattrs()
