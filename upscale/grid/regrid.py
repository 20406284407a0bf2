"""Bilinear interpolation between two regular grids, separable, with a treatment of coasts.

ERA5-Land nodes lie on multiples of 0.1 degree and have values over land only. Interpolation to
cells of the product grid has two steps: (1) sea nodes within `REACH` rings of land take the mean
of their land neighbours, so that every coastal cell has meteorology; (2) the four nodes around a
cell are weighted bilinearly, with weights renormalised over the nodes that have a value. A gap in
time is not treated as coast: where a land node is missing on a day, every cell that depends on it
is missing, too. A cell more than one node spacing outside the source has no value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upscale.grid.grid import Grid

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

#: Rings of sea nodes around land that are filled from land.
REACH = 2


@dataclass(frozen=True)
class Axis:
    """Interpolation along one axis.

    The source indices to read; for each target, the positions in `read` of the two surrounding
    nodes and the weight of the second; and whether the target is covered, that is between nodes
    or at most one spacing beyond the outermost.
    """

    read: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    weight: Floats
    covered: Bools


@dataclass(frozen=True)
class Stencil:
    """Indices and weights that interpolate one source grid to one target grid."""

    rows: Axis
    cols: Axis

    @property
    def covered(self) -> Bools:
        """Target cells `(row, col)` that the source covers."""
        return self.rows.covered[:, None] & self.cols.covered


def bilinear(source: Grid, target: Grid) -> Stencil:
    """The stencil from `source` nodes to `target` centres.

    It wraps at 180 degrees where the source is a full circle. Beyond the other edges of the source,
    cells within one node spacing, such as those at a pole, take the outermost value.
    """
    rows = (source.lat[0] - target.lat) / source.resolution
    cols = (target.lon - source.lon[0]) / source.resolution
    return Stencil(_axis(rows, source.rows, False), _axis(cols, source.cols, source.wraps))


def _axis(position: NDArray[np.float64], count: int, wraps: bool) -> Axis:
    """Neighbours and weights of fractional source positions `(target,)`."""
    position = np.round(position, 6)
    covered = (position >= -1) & (position <= count) | wraps
    if not wraps:
        position = np.clip(position, 0, count - 1)
    low = np.floor(position).astype(np.int64)
    weight = (position - low).astype(np.float32)
    high = np.where(weight > 0, low + 1, low)
    first, last = int(low.min()) - REACH, int(high.max()) + REACH
    if not wraps:
        first, last = max(first, 0), min(last, count - 1)
    return Axis(np.arange(first, last + 1) % count, low - first, high - first, weight, covered)


def fill_coast(field: Floats, land: Bools) -> tuple[Floats, Bools]:
    """Fill sea nodes near land.

    field: `(day, row, col)`; land: `(row, col)` nodes that have values. Returns the filled
    field and the nodes `(row, col)` that now have a value.
    """
    field = np.where(land, field, np.float32(0))
    for _ in range(REACH):
        count = _neighbours(land[None].astype(np.float32))[0]
        ring = ~land & (count > 0)
        if not ring.any():
            break
        total = _neighbours(field)[:, ring]
        field[:, ring] = total / count[ring]
        land = land | ring
    return field, land


def _neighbours(field: Floats) -> Floats:
    """Sum of the eight neighbours of every node `(day, row, col)`."""
    padded = np.pad(field, ((0, 0), (1, 1), (1, 1)))
    rows, cols = field.shape[1:]
    total = np.zeros_like(field)
    for down in range(3):
        for right in range(3):
            if (down, right) != (1, 1):
                total += padded[:, down : down + rows, right : right + cols]
    return total


def interpolate(field: Floats, land: Bools, stencil: Stencil) -> Floats:
    """Interpolate the nodes that `stencil` reads.

    field: `(day, source row, source col)`, as read at `stencil.rows.read` and
    `stencil.cols.read`; land: `(source row, source col)` nodes with values. Returns
    `(day, target row, target col)`, NaN where no node near the cell is land and where the
    source does not cover it.
    """
    filled, known = fill_coast(field, land)
    share = _blend(known[None].astype(np.float32), stencil)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = _blend(filled, stencil) / share
    known_here = (share > 0) & stencil.covered
    return np.where(known_here, value, np.float32(np.nan)).astype(np.float32)


def near_land(land: Bools, stencil: Stencil) -> Bools:
    """Target cells `(row, col)` with at least one real (not filled) land node around them."""
    around: Bools = _blend(land[None].astype(np.float32), stencil)[0] > 0
    return around & stencil.covered


def _blend(field: Floats, stencil: Stencil) -> Floats:
    rows, cols = stencil.rows, stencil.cols
    down = _mix(field[:, rows.low], field[:, rows.high], rows.weight[:, None])
    return _mix(down[:, :, cols.low], down[:, :, cols.high], cols.weight)


def _mix(low: Floats, high: Floats, weight: Floats) -> Floats:
    """`low + (high - low) * weight`, exactly `low` where both are the same node."""
    return low * (1 - weight) + high * weight
