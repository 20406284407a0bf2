"""Flux cubes for the tests of what is published."""

from __future__ import annotations

import pytest

from upscale.product.layout import FluxLayout
from upscale.testing.flux_cubes import small_layout


@pytest.fixture
def layout() -> FluxLayout:
    return small_layout()
