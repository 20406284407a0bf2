"""Sinusoidal pixels to 0.05 degree cells: sums conserved, fields recovered, edges kept off."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from upscale.archives.cells.sinusoidal import (
    CellSums,
    cells_of,
    merge,
    pixel_centres,
    sum_cells,
    sum_layers,
)
from upscale.archives.formats.structure import NORTH, TILE, WEST, Geometry


def tile(h: int, v: int, pixels: int = 1200) -> Geometry:
    return Geometry("t", True, pixels, pixels, WEST + h * TILE, NORTH - v * TILE, TILE / pixels)


#: What a slow sum gives: total and good pixels by row and column of the lattice.
Slow = dict[tuple[int, int], tuple[float, int]]


def slowly(
    values: NDArray[np.floating], good: NDArray[np.bool_], geometry: Geometry, size: float
) -> Slow:
    """One pixel after another, in Python's own floats."""
    radius, found = 6371007.181, Slow()
    for row in range(geometry.rows):
        y = geometry.top - (row + 0.5) * geometry.pixel
        lat = math.degrees(y / radius)
        for col in np.flatnonzero(good[row]):
            x = geometry.left + (col + 0.5) * geometry.pixel
            lon = math.degrees(x / (radius * math.cos(y / radius)))
            if abs(lon) <= 180:
                cell = math.floor((90 - lat) / size), math.floor((lon + 180) / size)
                total, count = found.get(cell, (0.0, 0))
                found[cell] = total + float(values[row, col]), count + 1
    return found


def by_cell(sums: CellSums) -> Slow:
    """The cells of sums that hold good pixels, as `slowly` gives them."""
    return {
        (sums.row + int(row), sums.col + int(col)): (
            float(sums.total[row, col]),
            int(sums.count[row, col]),
        )
        for row, col in np.argwhere(sums.count > 0)
    }


def wave(lat: NDArray[np.floating], lon: NDArray[np.floating]) -> NDArray[np.floating]:
    """An analytic field of latitudes (row,) and longitudes (col,) or (row, col)."""
    return np.cos(np.radians(lat))[:, None] * np.sin(2 * np.radians(lon))


def centres(sums: CellSums) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    rows, cols = sums.mean.shape
    lat = 90 - (sums.row + np.arange(rows) + 0.5) * sums.resolution
    return lat, (sums.col + np.arange(cols) + 0.5) * sums.resolution - 180


def wholly_inside(sums: CellSums, geometry: Geometry) -> NDArray[np.bool_]:
    """Cells all of whose four corners lie in the tile and on the Earth."""
    lat, lon = centres(sums)
    half, inside = sums.resolution / 2, np.ones(sums.mean.shape, bool)
    for down, across in ((-half, -half), (-half, half), (half, -half), (half, half)):
        y = np.radians(lat + down)[:, None]
        x = np.radians(lon + across) * np.cos(y) * 6371007.181 - geometry.left
        below = geometry.top - y * 6371007.181
        size = geometry.pixel * geometry.rows
        inside &= (x > -1) & (x < size + 1) & (below > -1) & (below < size + 1)
    return inside


def test_centres_are_those_of_the_formulas() -> None:
    geometry = tile(18, 5)
    lat, lon = pixel_centres(geometry)
    radius, size = 6371007.181, math.pi * 6371007.181 / 18 / 1200
    y = 10007554.677 - 5 * 1200 * size - 700.5 * size
    x = 300.5 * size
    assert lat[700] == pytest.approx(math.degrees(y / radius), abs=1e-8)
    expected = math.degrees(x / (radius * math.cos(y / radius)))
    assert lon[700, 300] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("h", "v"), [(18, 5), (0, 8), (35, 9), (14, 17), (17, 0), (0, 6)])
def test_sums_and_counts_are_conserved(h: int, v: int) -> None:
    geometry = tile(h, v, 200)
    rng = np.random.default_rng(h)
    values = rng.normal(size=(200, 200)).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan
    usable = rng.random(values.shape) < 0.5
    on_earth = np.abs(pixel_centres(geometry)[1]) <= 180
    sums = sum_cells(values, usable, cells_of(geometry))
    good = np.isfinite(values) & usable & on_earth
    assert sums.count.sum() == good.sum()
    assert sums.pixels.sum() == on_earth.sum()
    assert sums.total.sum() == pytest.approx(values[good].sum(dtype=float), abs=1e-6)
    again = np.nansum(sums.mean * sums.count)
    assert again == pytest.approx(values[good].sum(dtype=float), abs=1e-6)


def test_each_pixel_falls_into_the_cell_of_its_centre() -> None:
    geometry = tile(0, 8, 200)
    lat, lon = pixel_centres(geometry)
    cells = cells_of(geometry)
    width = cells.shape[1]
    outside = inside = 0
    for row, col in np.random.default_rng(1).integers(0, 200, (400, 2)):
        place = int(cells.index[row * 200 + col])
        if abs(lon[row, col]) > 180:
            outside += 1
            assert place == cells.shape[0] * width
            continue
        inside += 1
        expected = int((90 - lat[row]) / 0.05), int((lon[row, col] + 180) / 0.05)
        assert (cells.row + place // width, cells.col + place % width) == expected
    assert inside > 20
    assert outside > 20


def test_an_analytic_field_is_recovered() -> None:
    geometry = tile(19, 4)
    lat, lon = pixel_centres(geometry)
    field = np.sin(np.radians(lat))[:, None] + 0.01 * lon
    sums = sum_cells(field, None, cells_of(geometry))
    rows = 90 - (sums.row + np.arange(sums.mean.shape[0]) + 0.5) * 0.05
    cols = (sums.col + np.arange(sums.mean.shape[1]) + 0.5) * 0.05 - 180
    expected = np.sin(np.radians(rows))[:, None] + 0.01 * cols
    whole = sums.pixels >= 0.9 * np.median(sums.pixels[sums.pixels > 0])
    assert whole.sum() > 20_000
    assert np.abs(sums.mean - expected)[whole].max() < 3e-4


def test_tiles_that_share_a_cell_give_one_mean() -> None:
    """The cells on a seam hold pixels of both tiles, as if they had been one."""
    first, second = tile(18, 5, 200), tile(18, 6, 200)
    rng = np.random.default_rng(2)
    data = [rng.random((200, 200)) for _ in range(2)]
    parts = [sum_cells(v, None, cells_of(g)) for g, v in zip((first, second), data, strict=True)]
    both = Geometry("t", True, 400, 200, first.left, first.top, first.pixel)
    whole = sum_cells(np.concatenate(data), None, cells_of(both))
    merged = merge(parts)
    assert (merged.row, merged.col) == (whole.row, whole.col)
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    np.testing.assert_array_equal(merged.pixels, whole.pixels)
    np.testing.assert_allclose(merged.share, whole.share)


def test_a_cell_without_good_pixels_has_no_mean() -> None:
    sums = CellSums(0, 0, np.zeros((1, 2)), np.array([[0, 0]]), np.array([[4, 0]]))
    assert np.isnan(sums.mean).all()
    np.testing.assert_array_equal(sums.share, [[0.0, np.nan]])


@pytest.mark.parametrize(("h", "v"), [(18, 5), (0, 8), (35, 9), (14, 2), (20, 1), (11, 0)])
@pytest.mark.parametrize("size", [0.05, 0.1, 0.25, 1.0])
def test_cells_are_those_of_a_slow_sum(h: int, v: int, size: float) -> None:
    geometry = tile(h, v, 120)  # no centre lies on an edge of these cells
    rng = np.random.default_rng(h)
    numbers = rng.integers(-2000, 16000, (120, 120)).astype(np.int16)
    usable = rng.random(numbers.shape) < 0.35
    found = sum_layers([numbers], usable, cells_of(geometry, size), valid=(-100, 15000))[0]
    good = usable & (numbers >= -100) & (numbers <= 15000)
    assert found.resolution == size
    assert by_cell(found) == slowly(numbers, good, geometry, size)


@pytest.mark.parametrize(("h", "v"), [(0, 8), (35, 9), (18, 5), (14, 2), (20, 1)])
@pytest.mark.parametrize("size", [0.05, 0.25])
def test_a_wave_is_recovered_to_the_edges_of_the_earth(h: int, v: int, size: float) -> None:
    """As closely as the pixels of a cell, which end up to half a pixel off its edges, allow."""
    geometry = tile(h, v, 2400)
    sums = sum_cells(wave(*pixel_centres(geometry)), None, cells_of(geometry, size))
    whole = wholly_inside(sums, geometry)
    error = (sums.mean - wave(*centres(sums)))[whole]
    steepest, half_a_pixel = 2.0, geometry.pixel / 6371007.181 / 2
    bend = 5 * math.radians(size) ** 2 / 24
    assert whole.sum() > 0.5 * (sums.pixels > 0).sum()
    assert np.abs(error).max() < steepest * half_a_pixel + bend
    assert np.sqrt((error**2).mean()) < steepest * half_a_pixel / 3 + bend


@pytest.mark.parametrize(("h", "v"), [(18, 5), (35, 9), (14, 2), (20, 1)])
def test_layers_in_one_go_are_layers_one_by_one(h: int, v: int) -> None:
    geometry = tile(h, v, 400)
    rng = np.random.default_rng(v)
    numbers = [rng.integers(-300, 17000, (400, 400)).astype(np.int16) for _ in range(3)]
    usable = rng.random((400, 400)) < 0.35
    accepted = [None, rng.random((400, 400)) < 0.9, np.zeros((400, 400), bool)]
    cells = cells_of(geometry)
    found = sum_layers(numbers, usable, cells, valid=(-100, 16000), accepted=accepted)
    for stored, mask, fast in zip(numbers, accepted, found, strict=True):
        valid = (stored >= -100) & (stored <= 16000)
        values = np.where(valid, stored * 0.0001 + 0.25, np.nan)
        plain = sum_cells(values, usable if mask is None else usable & mask, cells)
        np.testing.assert_array_equal(fast.count, plain.count)
        np.testing.assert_allclose(fast.scaled(0.0001, 0.25).total, plain.total, rtol=1e-12)
        np.testing.assert_allclose(fast.scaled(0.0001, 0.25).mean, plain.mean, rtol=1e-12)
    assert found[2].count.sum() == 0


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.int32])
def test_stored_numbers_are_summed_exactly(kind: type[np.integer]) -> None:
    """The largest numbers, in a cell of many pixels: nothing overflows or is rounded."""
    geometry = tile(18, 8, 400)
    top = np.iinfo(kind).max
    sums = sum_layers([np.full((400, 400), top, kind)], None, cells_of(geometry, 10.0))[0]
    assert sums.count.sum() == 400 * 400
    assert sums.total.sum() == int(top) * 400 * 400


def test_single_precision_is_summed_in_double() -> None:
    values = np.full((400, 400), 0.1, np.float32)
    sums = sum_cells(values, None, cells_of(tile(18, 8, 400), 10.0))
    assert sums.total.sum() == pytest.approx(float(values[0, 0]) * 160_000, rel=1e-12)


def test_layers_of_another_grid_are_refused() -> None:
    cells = cells_of(tile(18, 5, 200))
    good = np.ones((200, 200), bool)
    with pytest.raises(ValueError, match="expected 40000 pixels"):
        sum_layers([np.ones((100, 200))], good, cells)
    with pytest.raises(ValueError, match="expected 40000 pixels"):
        sum_layers([np.ones((200, 200))], good[:100], cells)
    with pytest.raises(ValueError, match="expected 40000 pixels"):
        sum_layers([np.ones((200, 200))], good, cells, accepted=[good[:100]])


def test_nothing_good_gives_sums_of_nothing() -> None:
    cells = cells_of(tile(18, 5, 200))
    sums = sum_layers([np.ones((200, 200), np.int16)], np.zeros((200, 200), bool), cells)[0]
    assert (sums.count.sum(), sums.total.sum()) == (0, 0)
    assert np.isnan(sums.mean).all()
    assert sums.pixels.sum() == 40000


def test_a_cell_on_a_border_is_the_mean_of_the_pixels_of_both_tiles() -> None:
    """Side by side: the seam runs slantwise through cells, which so have pixels of both."""
    west, east = tile(20, 4, 400), tile(21, 4, 400)
    rng = np.random.default_rng(8)
    data = [rng.integers(0, 10000, (400, 400)).astype(np.int16) for _ in range(2)]
    parts = [sum_layers([x], None, cells_of(g))[0] for g, x in zip((west, east), data, strict=True)]
    slow = [slowly(x, x >= 0, g, 0.05) for g, x in zip((west, east), data, strict=True)]
    merged = merge(parts)
    shared = set(slow[0]) & set(slow[1])
    assert len(shared) > 100
    for row, col in shared:
        total, count = (slow[0][row, col][n] + slow[1][row, col][n] for n in (0, 1))
        assert merged.mean[row - merged.row, col - merged.col] == total / count
        assert merged.count[row - merged.row, col - merged.col] == count


def test_cells_of_two_sizes_are_not_merged() -> None:
    parts = [sum_cells(np.ones((200, 200)), None, cells_of(tile(18, 5, 200), size))
             for size in (0.05, 0.1)]  # fmt: skip
    with pytest.raises(ValueError, match="expected cells of one size"):
        merge(parts)


def test_coarse_cells_are_fine_ones_taken_together() -> None:
    geometry = tile(19, 3, 400)
    values = np.random.default_rng(3).integers(0, 10000, (400, 400)).astype(np.int16)
    fine, coarse = (by_cell(sum_layers([values], values % 3 == 0, cells_of(geometry, size))[0])
                    for size in (0.05, 0.5))  # fmt: skip
    joined: Slow = {}
    for (row, col), (total, count) in fine.items():
        old = joined.get((row // 10, col // 10), (0.0, 0))
        joined[row // 10, col // 10] = old[0] + total, old[1] + count
    assert joined == coarse


@pytest.mark.parametrize("size", [0.07, 0.35, 7.0])
def test_cell_sizes_that_do_not_divide_the_earth_are_refused(size: float) -> None:
    with pytest.raises(ValueError, match="divides 180 degrees"):
        cells_of(tile(18, 5, 200), size)


def cmg(rows: slice, cols: slice) -> Geometry:
    """A part of the climate-modelling grid."""
    shape = rows.stop - rows.start, cols.stop - cols.start
    return Geometry("c", False, *shape, -180 + 0.05 * cols.start, 90 - 0.05 * rows.start, 0.05)


def test_a_cmg_lies_on_its_own_cells() -> None:
    geometry = cmg(slice(700, 1100), slice(6800, 7200))
    values = np.random.default_rng(4).random((400, 400)).astype(np.float32)
    values[values < 0.2] = np.nan
    sums = sum_cells(values, None, cells_of(geometry))
    assert (sums.row, sums.col, sums.mean.shape) == (700, 6800, (400, 400))
    np.testing.assert_array_equal(sums.mean.astype(np.float32), values)
    np.testing.assert_array_equal(sums.pixels, 1)


@pytest.mark.parametrize("size", [0.1, 0.25, 0.5])
def test_a_cmg_is_summed_by_blocks_onto_coarser_cells(size: float) -> None:
    step = round(size / 0.05)
    geometry = cmg(slice(300, 700), slice(0, 600))
    values = np.random.default_rng(5).integers(0, 10000, (400, 600)).astype(np.int16)
    usable = np.random.default_rng(6).random(values.shape) < 0.35
    sums = sum_layers([values], usable, cells_of(geometry, size))[0]
    blocks = np.where(usable, values, 0).reshape(400 // step, step, 600 // step, step)
    good = usable.reshape(blocks.shape)
    assert (sums.row, sums.col) == (300 // step, 0)
    np.testing.assert_array_equal(sums.total, blocks.sum(axis=(1, 3)))
    np.testing.assert_array_equal(sums.count, good.sum(axis=(1, 3)))
    np.testing.assert_array_equal(sums.pixels, step * step)


def test_a_whole_cmg_reaches_round_the_earth() -> None:
    """All 26 million pixels, from whose corners the four corners of the Earth are made."""
    cells = cells_of(cmg(slice(0, 3600), slice(0, 7200)), 0.5)
    values = np.zeros((3600, 7200), np.uint8)
    values[:10, :10], values[-10:, -10:] = 1, 2
    sums = sum_layers([values], values > 0, cells)[0]
    assert (sums.row, sums.col, sums.mean.shape) == (0, 0, (360, 720))
    assert (sums.mean[0, 0], sums.mean[-1, -1]) == (1, 2)
    assert sums.count.sum() == 200
    np.testing.assert_array_equal(sums.pixels, 100)


@pytest.mark.parametrize("size", [0.025, 0.075, 0.0125])
def test_cells_that_cut_the_pixels_of_a_cmg_are_refused(size: float) -> None:
    with pytest.raises(ValueError, match="expected a multiple"):
        cells_of(cmg(slice(0, 100), slice(0, 100)), size)


@pytest.mark.parametrize(("h", "v"), [(18, 5), (0, 8), (20, 1)])
def test_a_window_has_the_sums_of_its_own_cells(h: int, v: int) -> None:
    geometry = tile(h, v, 400)
    values = np.random.default_rng(7).integers(0, 10000, (400, 400)).astype(np.int16)
    usable = values % 3 > 0
    cells = cells_of(geometry)
    whole = sum_layers([values], usable, cells)[0]
    rows = slice(cells.row + 30, cells.row + 90)
    cols = slice(cells.col + 50, cells.col + 20_000)
    cropped = cells.crop(rows, cols)
    part = sum_layers([values], usable, cropped)[0]
    assert (part.row, part.col, part.resolution) == (rows.start, cols.start, 0.05)
    assert part.count.sum() > 500
    for name in ("total", "count", "pixels"):
        expected = getattr(whole, name)[30:90, 50:]
        np.testing.assert_array_equal(getattr(part, name), expected, name)
    again = sum_layers([values], usable, cropped.crop(rows, cols))[0]
    np.testing.assert_array_equal(again.total, part.total)


def test_a_window_elsewhere_has_no_cell_and_merges_into_nothing() -> None:
    cells = cells_of(tile(18, 5, 200))
    values = np.ones((200, 200))
    window = slice(cells.row + 10, cells.row + 20), slice(cells.col, cells.col + 20)
    near = sum_cells(values, None, cells.crop(*window))
    for rows, cols in ((slice(0, 9), window[1]), (window[0], slice(7000, 7200))):
        part = sum_cells(values, None, cells.crop(rows, cols))
        assert part.total.size == part.pixels.size == 0
    beside = cells_of(tile(18, 6, 200)).crop(*window)
    merged = merge([near, sum_cells(values, None, beside)])
    assert merged.total.sum() == near.total.sum() > 0
