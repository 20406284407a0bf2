"""A cube that grows: what is there stays, and a writer may be killed anywhere."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from upscale.drivers.cube import series_of
from upscale.drivers.gaps import GapRule
from upscale.drivers.growing import combined, fill_series, grow_series, is_grown, write_block
from upscale.drivers.packing import MISSING
from upscale.drivers.writer import SeriesSpec, create_cube
from upscale.grid import load_grid

GRID = load_grid("global-0p05").crop(slice(800, 812), slice(3700, 3710))
SPEC = SeriesSpec("satellite", GRID, 7000, 25, ("ndvi", "evi"), chunk=(10, 8, 8), growing=True)
WHOLE = slice(0, 25), slice(0, 12), slice(0, 10)


@pytest.fixture
def url(tmp_path: Path) -> str:
    place = str(tmp_path / "c.zarr")
    create_cube(place, title="made", source="test", day_definition="utc")
    grow_series(place, SPEC)
    return place


def observations(days: int = 25) -> np.ndarray:
    random = np.random.default_rng(5)
    stored = random.integers(-9000, 9000, (days, 12, 10)).astype(np.int16)
    stored[random.random(stored.shape) < 0.4] = MISSING
    return stored


def arrays_of(url: str) -> dict[str, np.ndarray]:
    group: Any = zarr.open_group(url, mode="r", path="satellite")
    return {name: array[...] for name, array in group.arrays()}


def test_more_days_leave_what_is_there_and_add_chunks(url: str) -> None:
    stored = observations()
    write_block(url, "satellite", "ndvi", WHOLE, stored)
    longer = replace(SPEC, count=41)
    assert not is_grown(url, longer)
    grow_series(url, longer)
    assert is_grown(url, longer)
    group = series_of(url, "satellite")
    assert (group.first, group.last) == (7000, 7040)
    arrays = arrays_of(url)
    np.testing.assert_array_equal(arrays["ndvi"][:25], stored)
    assert (arrays["ndvi"][25:] == MISSING).all()
    assert (arrays["ndvi_distance"][25:] == 255).all()
    with pytest.raises(ValueError, match="never shrinks"):
        grow_series(url, SPEC)


@pytest.mark.parametrize(
    "lost", ["time", "time/c", "lat", "lon/c", "evi", "evi_filled", "evi_distance"]
)
def test_a_group_that_was_half_made_is_completed(url: str, lost: str) -> None:
    before = arrays_of(url)
    shutil.rmtree(Path(url) / "satellite" / lost)
    grow_series(url, SPEC)
    after = arrays_of(url)
    assert before.keys() == after.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)


def test_what_is_not_named_any_more_goes(url: str) -> None:
    fewer = replace(SPEC, variables=("evi",))
    grow_series(url, fewer)
    assert set(arrays_of(url)) == {"lat", "lon", "time", "evi", "evi_filled", "evi_distance"}


def test_another_grid_is_refused(url: str) -> None:
    other = replace(SPEC, grid=load_grid("global-0p05").crop(slice(0, 12), slice(0, 10)))
    with pytest.raises(ValueError, match="expected the grid"):
        grow_series(url, other)


def fill(url: str) -> str:
    return fill_series(url, "ndvi", (slice(0, 8), slice(0, 8)), 7000, GapRule(4, 9))[0]


def test_filling_begins_again_from_observations_wherever_it_was_killed(url: str) -> None:
    stored = observations()
    write_block(url, "satellite", "ndvi", WHOLE, stored)
    digest = fill(url)
    done = arrays_of(url)
    assert done["ndvi_filled"].any()
    group: Any = zarr.open_group(url, mode="r+", path="satellite")
    for name in ("ndvi", "ndvi_distance"):  # flags were written, what follows them was not
        group[name][...] = stored if name == "ndvi" else np.uint8(255)
        assert fill(url) == digest
        for key, values in arrays_of(url).items():
            np.testing.assert_array_equal(values, done[key], err_msg=f"{name} lost, {key}")


def test_filling_again_writes_nothing(url: str) -> None:
    write_block(url, "satellite", "ndvi", WHOLE, observations())
    fill(url)
    files = {p: p.stat().st_mtime_ns for p in Path(url).rglob("*") if p.is_file()}
    fill(url)
    assert {p: p.stat().st_mtime_ns for p in Path(url).rglob("*") if p.is_file()} == files


def test_new_observations_forget_what_was_filled(url: str) -> None:
    stored = observations()
    write_block(url, "satellite", "ndvi", WHOLE, stored)
    digest = fill(url)
    write_block(url, "satellite", "ndvi", WHOLE, stored)
    arrays = arrays_of(url)
    np.testing.assert_array_equal(arrays["ndvi"], stored)
    assert not arrays["ndvi_filled"].any()
    assert (arrays["ndvi_distance"] == 255).all()
    assert fill(url) == digest


def test_the_digest_of_chunks_does_not_show_how_they_were_cut(url: str) -> None:
    stored = observations()
    whole = write_block(url, "satellite", "ndvi", WHOLE, stored)
    parts = [
        write_block(url, "satellite", "ndvi", (days, rows, slice(0, 10)), stored[days, rows])
        for days in (slice(0, 10), slice(10, 25))
        for rows in (slice(0, 8), slice(8, 12))
    ]
    assert combined(parts) == whole
    stored[3, 3, 3] = 1
    other = write_block(url, "satellite", "ndvi", WHOLE, stored)
    assert other != whole
