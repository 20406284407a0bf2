"""Equal Earth: there and back, areas, and the edge of the world."""

from __future__ import annotations

import numpy as np
import pytest

from upscale.figures import projection


def test_equal_earth_goes_there_and_back() -> None:
    x, y = np.linspace(-2.5, 2.5, 41), np.linspace(-1.2, 1.2, 31)
    lon, lat = projection.inverse(x, y)
    back = projection.forward(lon, lat)
    inside = np.isfinite(lon)
    assert inside.mean() > 0.8
    np.testing.assert_allclose(back[0][inside], np.broadcast_to(x, lon.shape)[inside], atol=1e-9)
    np.testing.assert_allclose(back[1][inside], np.repeat(y, 41).reshape(lon.shape)[inside], 1e-9)


def test_equal_earth_keeps_areas() -> None:
    step = 1e-4
    lon, lat = np.meshgrid(np.linspace(-170, 170, 15), np.linspace(-85, 85, 15))
    x0, y0 = projection.forward(lon, lat)
    x1, _ = projection.forward(lon + step, lat)
    _, y1 = projection.forward(lon, lat + step)
    area = (x1 - x0) * (y1 - y0) / np.radians(step) ** 2 / np.cos(np.radians(lat))
    np.testing.assert_allclose(area, 1, rtol=1e-3)


def test_the_corners_of_the_world_are_where_the_page_expects_them() -> None:
    x, y = projection.forward(np.array([180.0, 0.0]), np.array([0.0, 90.0]))
    assert x[0] == pytest.approx(projection.HALF_WIDTH)
    assert y[1] == pytest.approx(projection.HALF_HEIGHT)


def test_there_is_nothing_beyond_the_edge_of_the_world() -> None:
    high, wide = projection.HALF_HEIGHT, projection.HALF_WIDTH
    lon, _ = projection.inverse(np.array([0.0, 0.7 * wide]), np.array([0.0, 0.99, 1.01]) * high)
    assert np.isfinite(lon).tolist() == [[True, True], [True, False], [False, False]]
