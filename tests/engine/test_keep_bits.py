"""A store that keeps some bits of its fluxes is the rounded one of a store that keeps all."""

import datetime as dt

import numpy as np
import pytest
import xarray as xr

from upscale.engine.check import check_store
from upscale.jobs.settings import ConfigError
from upscale.product.rounding import ROUNDED, round_bits
from upscale.testing.cubes import grow_cube
from upscale.testing.runs import differences, prepare, run_here

MARCH, MAY, JUNE = "2012-03-01", "2012-05-31", dt.date(2012, 6, 30)


def faults_of(store):
    return [check.name for check in check_store(str(store)).checks if not check.passed]


def test_a_rounded_store_grows_bit_for_bit_and_is_not_continued_with_other_bits(
    whole, finished, ndvi_model, tmp_path
):
    cube, store = grow_cube(tmp_path / "d.zarr", whole, dt.date.fromisoformat(MAY)), tmp_path / "f"

    def prepared(end, place=store, **output):
        keys = {"context": {"until": MAY}, "output": output}
        return prepare(ndvi_model, cube, place, period=(MARCH, str(end)), **keys)

    run_here(prepared(MAY, keep_bits=10))
    rounded, exact = xr.open_zarr(store).load(), xr.open_zarr(finished / "f.zarr")
    for name in ROUNDED:
        np.testing.assert_array_equal(rounded[name].values, round_bits(exact[name].values, 10))
    for name in ("quality", "gpp_member", "nee_member"):
        np.testing.assert_array_equal(rounded[name].values, exact[name].values)
    assert faults_of(store) == faults_of(finished / "f.zarr"), "those of an untrained model"
    grow_cube(cube, whole, JUNE)
    for other, said in ((12, "10 there, 12 here"), (None, '10 there, "not set" here')):
        with pytest.raises(ConfigError, match=rf"output\.keep_bits: {said}"):
            prepared(JUNE, keep_bits=other)
    run_here(prepared(JUNE, keep_bits=10))
    at_once = run_here(prepared(JUNE, tmp_path / "whole.zarr", keep_bits=10))
    assert set(differences(str(store), at_once)) <= {"@revision"}
