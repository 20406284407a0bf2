"""A store that grows month by month and is corrected ends as one that was made at once."""

import datetime as dt

import pytest

from upscale.engine.run import finalise
from upscale.testing.cubes import grow_cube
from upscale.testing.releases import fake_release
from upscale.testing.runs import differences, prepare, process_here, run_here

YEAR = [dt.date(2012, month, 1) - dt.timedelta(days=1) for month in range(2, 13)] + [
    dt.date(2012, 12, 31)
]

#: What a store that grew says otherwise than one made at once: how often it was finished.
GREW = {"@revision"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    fake_release(folder, features=("ta", "sw_in", "ndvi", "day_length"), members=3, hidden=16)
    return folder


def test_twelve_monthly_extensions_equal_one_run_of_the_year(world, model, tmp_path):
    cube, store = tmp_path / "d.zarr", tmp_path / "f.zarr"
    for end in YEAR:
        grow_cube(cube, world.drivers, end)
        checked = prepare(model, cube, store, period=("2012-01-01", str(end)))
        entries = process_here(checked)
        finalise(str(store))
        if end != YEAR[0]:
            days = [entry.days - entry.kept for entry in entries if entry.counts["land"]]
            assert days
            assert max(days) <= 4 * 15, "at most four strides of a year's 24"
            assert not any("encode" in entry.seconds for entry in entries)
    whole = prepare(model, cube, tmp_path / "whole.zarr", period=("2012-01-01", "2012-12-31"),
                    context={"until": "2012-01-31"})  # fmt: skip
    assert set(differences(str(store), run_here(whole))) <= GREW
