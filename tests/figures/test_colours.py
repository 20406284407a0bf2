"""Colour maps whose lightness suggests no step in the data."""

from __future__ import annotations

import numpy as np
import pytest

from upscale.figures import colours


@pytest.mark.parametrize("name", ["gpp", "reco", "spread"])
def test_lightness_of_a_sequential_map_is_linear(name: str) -> None:
    steps = np.diff(colours.lightness(np.array(colours.colour_map(name).colors)[:, :3]))
    assert (steps < 0).all()
    assert steps.std() < 0.15 * abs(steps.mean())


def test_the_map_of_nee_is_lightest_at_zero_and_even_on_both_sides() -> None:
    light = colours.lightness(np.array(colours.colour_map("nee").colors)[:, :3])
    assert 127 <= int(light.argmax()) <= 128
    np.testing.assert_allclose(light, light[::-1], atol=0.05)
