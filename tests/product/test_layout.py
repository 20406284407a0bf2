"""How a flux cube is cut: blocks, segments and what stays when its last block grows."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from upscale.calendar import date_of, day_number
from upscale.grid import Grid
from upscale.product.cube import create_flux_cube, layout_of
from upscale.product.layout import FluxLayout, Sums
from upscale.product.size import MOST_OBJECTS, Domain, flux_cube_size, tile_factor
from upscale.product.uncertainty import NO_UNCERTAINTY, StoredUncertainty
from upscale.testing.flux_cubes import (
    ATTRIBUTES,
    MADE_UNCERTAINTY,
    make_flux_cube,
    small_layout,
)

#: Beginnings all over four years with a leap year.
STARTS = range(day_number(dt.date(2011, 1, 1)), day_number(dt.date(2015, 1, 1)), 29)


def long_layout(first: int, count: int, sums: str, **more: int) -> FluxLayout:
    return replace(small_layout(), first=first, count=count, block=360, sums=sums, **more)


@pytest.mark.parametrize(("sums", "slots"), [("annual", 2), ("monthly", 13), ("none", 0)])
def test_every_whole_block_has_the_same_number_of_segments(sums: str, slots: int) -> None:
    for first in STARTS:
        layout = long_layout(first, 5 * 360, sums)
        assert layout.slots == slots
        found = [layout.segments_of(block) for block in range(5)]
        assert found == [slice(b * slots, (b + 1) * slots) if slots else slice(0, 0)
                         for b in range(5)]  # fmt: skip


@pytest.mark.parametrize("sums", ["annual", "monthly"])
def test_segments_cover_all_days_once_and_none_spans_two_periods(sums: str) -> None:
    for first in STARTS:
        layout = long_layout(first, 1000, sums)
        assert all(segment.count > 0 for segment in layout.segments)
        days = [d for s in layout.segments for d in range(s.first, s.first + s.count)]
        assert days == list(range(first, first + 1000))
        for segment in layout.segments:
            begin, end = date_of(segment.first), date_of(segment.first + segment.count - 1)
            assert begin.year == end.year
            assert sums == "annual" or begin.month == end.month
            assert (segment.first - first) // 360 == segment.block


@pytest.mark.parametrize("sums", ["annual", "monthly"])
def test_no_cut_moves_when_the_last_block_grows(sums: str) -> None:
    whole = long_layout(STARTS[3], 3 * 360, sums).segments
    for count in range(360, 3 * 360, 11):
        segments = long_layout(STARTS[3], count, sums).segments
        assert segments[:-1] == whole[: len(segments) - 1]
        assert segments[-1].first == whole[len(segments) - 1].first
        assert segments[-1].count <= whole[len(segments) - 1].count


def test_a_block_without_a_new_year_is_halved() -> None:
    layout = long_layout(day_number(dt.date(2011, 1, 1)), 360, "annual")
    assert [segment.count for segment in layout.segments] == [180, 180]


def test_a_store_that_names_no_format_is_cut_as_version_0_1_cut_it() -> None:
    layout = long_layout(day_number(dt.date(2011, 1, 1)), 731, "annual", format=1)
    assert [segment.count for segment in layout.segments] == [360, 5, 355, 11]
    assert layout.segment_chunk == 1


def test_a_layout_is_read_back_from_its_attributes(tmp_path: Path) -> None:
    url = str(tmp_path / "f.zarr")
    for number in (1, 2):
        layout = small_layout()
        create_flux_cube(url, replace(layout, format=number), ATTRIBUTES, overwrite=True)
        root = zarr.open_group(url, mode="r")
        assert layout_of(root.attrs) == replace(layout, format=number)
        chunks = root["gpp_member"].chunks
        assert chunks == (3, 1 if number == 1 else layout.slots, 4, 4)
    text = str(root.attrs["layout"])
    assert layout_of({"layout": text.replace('"format": 2, ', "")}).format == 1
    with pytest.raises(ValueError, match="expected format 2 or an older one, found 3"):
        layout_of({"layout": text.replace('"format": 2', '"format": 3')})


def test_each_item_has_one_object_in_each_array(made_store: str) -> None:
    layout = small_layout()
    for name in ("gpp", "quality", "gpp_member", "segment_days"):
        objects = [p for p in Path(made_store, name, "c").rglob("*") if p.is_file()]
        rows, cols = (-(-n // layout.tile) for n in layout.grid.shape)
        assert len(objects) == layout.blocks * rows * cols, name


@pytest.mark.parametrize("sums", ["annual", "none"])
@pytest.mark.parametrize("uncertainty", [NO_UNCERTAINTY, MADE_UNCERTAINTY])
def test_the_number_of_objects_is_that_of_the_files(
    tmp_path: Path, sums: Sums, uncertainty: StoredUncertainty
) -> None:
    layout = small_layout(rows=4, sums=sums, tile=2)
    make_flux_cube(str(tmp_path / "f.zarr"), layout, uncertainty=uncertainty)
    files = [path for path in (tmp_path / "f.zarr").rglob("*") if path.is_file()]
    domain = Domain(layout.grid, layout.tile, tiles=8, land_tiles=8, land=8 * 4)
    assert flux_cube_size(layout, uncertainty, domain).objects == len(files)


@pytest.mark.parametrize("sums", ["annual", "monthly"])
@pytest.mark.parametrize("count", [366, 3653])
def test_a_global_decade_stays_under_the_most_objects(sums: Sums, count: int) -> None:
    """Whatever the land, and also where a store begins with a year and grows."""
    grid, everywhere = Grid("global-0p05", 3600, 7200, 0.05), np.ones((36, 72), bool)
    layout = FluxLayout(grid, 1096, count, 100, 10, sums)
    factor = tile_factor(layout, MADE_UNCERTAINTY, everywhere, everywhere)
    assert factor == 2

    def objects(edge: int) -> int:
        decade, tiles = replace(layout, tile=edge, count=3653), 3600 * 7200 // edge**2
        domain = Domain(grid, edge, tiles, tiles, 3600 * 7200)
        return flux_cube_size(decade, MADE_UNCERTAINTY, domain).objects

    assert objects(200) < MOST_OBJECTS < objects(100)


def test_small_domains_keep_the_tile_of_their_cube() -> None:
    def factor(shape: tuple[int, int], count: int = 365) -> int:
        grid, tiles = Grid("g", *(100 * n for n in shape), 0.005), np.ones(shape, bool)
        return tile_factor(FluxLayout(grid, 1096, count, 100, 3), NO_UNCERTAINTY, tiles, tiles)

    assert factor((2, 3)) == 1
    assert factor((30, 40)) == 2
    assert factor((200, 300)) == 4


PARTS = {
    "whole": {},
    "day": {"time": slice(3, 4)},
    "cell": {"lat": slice(4, 5), "lon": slice(6, 7)},
}


@pytest.mark.parametrize("part", PARTS)
def test_any_part_of_a_store_can_be_written_as_netcdf(
    made_store: str, tmp_path: Path, part: str
) -> None:
    """With the attributes that a run adds: none is a truth value."""
    cube = xr.open_zarr(made_store, consolidated=False).isel(PARTS[part]).load()
    cube.to_netcdf(tmp_path / "part.nc")
    cube["gpp_member"].to_netcdf(tmp_path / "one.nc")
    with xr.open_dataset(tmp_path / "part.nc") as again:
        np.testing.assert_array_equal(again.quality.values, cube.quality.values)
        assert again.quality.dtype == np.uint32
