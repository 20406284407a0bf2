"""Seams: a tile is judged by its neighbours where it has enough of them, and not otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from upscale.checks.mosaic import PAIRS, Mosaic
from upscale.checks.tally import empty_tally
from upscale.grid import Grid
from upscale.product.layout import FluxLayout

EDGE = 30
LAYOUT = FluxLayout(Grid("square", 90, 90, 0.5, north=60, west=0), 4380, 60, EDGE, 3)


def is_torn(cells: int) -> bool:
    """Whether a seam is found in a smooth field with a tile in the middle that jumps by two fifths,
    up or down, to the `cells` neighbours that it has on its western and then its northern side."""
    rough = np.where(np.arange(EDGE) % 2, 1.5, 1 / 1.5)
    mosaic = Mosaic(LAYOUT, 0)
    mosaic.mean[:] = 5 + np.add.outer(np.linspace(0, 1, 90), np.linspace(0, 2, 90))
    middle = slice(EDGE, 2 * EDGE)
    mosaic.mean[middle, middle] *= rough[:, None]
    around = np.zeros(LAYOUT.grid.shape, bool)
    around[middle, EDGE - 1] = np.arange(EDGE) < cells
    around[EDGE - 1, middle] = np.arange(EDGE) < cells - EDGE
    beyond = np.zeros(LAYOUT.grid.shape, bool)
    beyond[EDGE - 1 : 2 * EDGE + 1, EDGE - 1 : 2 * EDGE + 1] = True
    beyond[middle, middle] = False
    mosaic.mean[beyond & ~around] = np.nan
    tally = empty_tally(LAYOUT)
    mosaic.look(tally)
    return "seams" in tally.faults


@pytest.mark.parametrize("share", [2.0, 1.1])
def test_a_coast_of_a_few_cells_is_no_seam(share: float) -> None:
    assert is_torn(int(share * EDGE)) == (share >= PAIRS)
