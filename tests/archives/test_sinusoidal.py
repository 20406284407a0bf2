"""Sinusoidal pixels to 0.05 degree cells: sums conserved, fields recovered, edges kept off."""

from __future__ import annotations

import math

import numpy as np
import pytest

from upscale.archives.sinusoidal import CellSums, cells_of, merge, pixel_centres, sum_cells
from upscale.archives.structure import NORTH, TILE, WEST, Geometry


def tile(h: int, v: int, pixels: int = 1200) -> Geometry:
    return Geometry("t", True, pixels, pixels, WEST + h * TILE, NORTH - v * TILE, TILE / pixels)


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
