"""One way from drivers to fluxes: a cell gives the same alone, among others, and as a tower."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from upscale.calendar import day_number, years_of
from upscale.network.inference import embed_series, embed_windows, lay_windows, predict_series
from upscale.network.moments import any_negative, clip_in_place, clipped, mean_and_spread, mean_of
from upscale.network.predictor import Predictor, load_predictor
from upscale.network.releases.release import Release
from upscale.network.support import choose
from upscale.testing.releases import fake_release

FIRST = day_number(dt.date(2011, 1, 1))
CELLS, DAYS = 5, 800
CODES = np.array([[1, 9], [4, 26], [10, 15], [12, 15], [0, 0]], np.int64)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder: Path = tmp_path_factory.mktemp("inference") / "model"
    return fake_release(folder, features=("ta", "sw_in", "vpd"), members=3, hidden=16)


@pytest.fixture(scope="module")
def predictor(release: Release) -> Predictor:
    return load_predictor(release, "cpu")


@pytest.fixture(scope="module")
def drivers() -> NDArray[np.float32]:
    """`(cell, day, feature)`: whole records, one with a gap, one with nothing but a gap."""
    rng = np.random.default_rng(0)
    made = rng.uniform((0, 50, 0), (25, 300, 20), (CELLS, DAYS, 3)).astype(np.float32)
    made[1, 400:420, 0] = np.nan
    made[2, :, 1] = np.nan
    made[3, ::7, 2] = np.nan
    return made


def run(release, predictor, drivers, codes, query=False):
    windows = lay_windows(predictor, drivers, FIRST, codes, release.window_rule)
    known = None
    if not query:
        known = embed_series(predictor, drivers, FIRST, codes, release.support_rule)
    return predict_series(predictor, windows, known)


@pytest.mark.parametrize("query", [False, True])
def test_a_cell_gives_the_same_alone_as_among_others(release, predictor, drivers, query):
    together = run(release, predictor, drivers, CODES, query)
    assert together.shape == (3, CELLS, DAYS, 3)
    for cell in range(CELLS):
        here = slice(cell, cell + 1)
        alone = run(release, predictor, drivers[here], CODES[here], query)
        assert alone.tobytes() == np.ascontiguousarray(together[:, here]).tobytes()


def test_a_slice_of_cells_and_a_part_of_the_days_are_parts_of_the_whole(
    release, predictor, drivers
):
    whole = run(release, predictor, drivers, CODES)
    known = embed_series(predictor, drivers, FIRST, CODES, release.support_rule)
    part = slice(200, 500)
    windows = lay_windows(predictor, drivers, FIRST, CODES, release.window_rule, part)
    found = predict_series(predictor, windows, known, slice(1, 4))
    np.testing.assert_array_equal(found, whole[:, 1:4, part])


def test_days_without_drivers_and_cells_without_a_history_are_nan(release, predictor, drivers):
    fluxes = run(release, predictor, drivers, CODES)
    there = np.isfinite(fluxes).all(axis=(0, 3))
    assert there[0].all()
    assert not there[1, 400:420].any()
    assert there[1, :400].all()
    assert not there[2].any()
    assert there[3].all()


def test_a_history_in_memory_gives_the_embedding_of_the_windows_that_are_read(
    release, predictor, drivers
):
    rule, days = release.support_rule, FIRST + np.arange(DAYS)
    choice = choose(~predictor.scaler.missing_required(drivers), days, rule)
    windows = np.full((*choice.start.shape, rule.window, 3), np.nan, np.float32)
    for cell, window in np.argwhere(choice.present):
        begin = choice.start[cell, window]
        windows[cell, window] = drivers[cell, begin : begin + rule.window]
    wanted = embed_windows(predictor, choice, windows, CODES)
    found = embed_series(predictor, drivers, FIRST, CODES, rule)
    np.testing.assert_array_equal(found.z, wanted.z)
    np.testing.assert_array_equal(found.known, [True, True, False, True, True])
    assert set(np.unique(found.years)) <= {0, *years_of(days).tolist()}


def test_a_record_shorter_than_a_window_gives_nothing(release, predictor, drivers):
    fluxes = run(release, predictor, drivers[:, :30], CODES)
    assert np.isnan(fluxes).all()


def test_gross_fluxes_are_clipped_and_nee_is_not():
    members = np.array([[[-1, 2, -3]], [[1, -2, 3]]], np.float32)
    once = clipped(members)
    assert once.tolist() == [[[0, 2, -3]], [[1, 0, 3]]]
    assert members[0, 0, 0] == -1
    assert any_negative(members).tolist() == [True]
    clip_in_place(members)
    assert members.tolist() == once.tolist()
    assert not any_negative(members).any()


def test_mean_and_spread_are_those_of_numpy_and_nan_stays():
    members = np.random.default_rng(0).normal(size=(4, 6, 3)).astype(np.float32)
    members[0, 0] = np.nan
    mean, spread = mean_and_spread(members)
    np.testing.assert_array_equal(mean, members.mean(axis=0, dtype=np.float64))
    np.testing.assert_allclose(spread, members.std(axis=0, ddof=1, dtype=np.float64))
    np.testing.assert_array_equal(mean_of(members, np.float32), members.mean(axis=0))
    assert mean_of(members, np.float32).dtype == np.float32
    assert np.isnan(spread[0]).all()


def test_a_single_member_has_no_spread():
    mean, spread = mean_and_spread(np.array([[1.0, np.nan]]))
    assert mean[0] == 1
    assert spread[0] == 0
    assert np.isnan(spread[1])
