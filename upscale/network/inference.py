"""From the driver records of cells to fluxes: the only code path for maps, towers and Python.

A tower is one cell; a tile of a map is many. Every day is assigned to a window, each cell gets its
embeddings, the windows are decoded, and each predicted day is written to its cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from upscale.network.predictor import Predictor
from upscale.network.support import Support, SupportRule, choose
from upscale.network.windows import Assignment, Rows, WindowRule, assign, rows_of
from upscale.variables import FLUXES

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

#: Cells whose support windows are encoded in one call.
_CELLS = 512


@dataclass(frozen=True)
class Embeddings:
    """The embeddings of some cells.

    z: `(member, cell, latent)`, NaN without any support window; years: support years
    `(cell, year)`, 0 = unused; short: `(cell,)` True where the record has no full year.
    """

    z: Floats
    years: NDArray[np.int16]
    short: Bools

    @property
    def known(self) -> Bools:
        """`(cell,)` True where there is an embedding."""
        return np.asarray(np.isfinite(self.z).all(axis=(0, 2)))


@dataclass(frozen=True, eq=False)
class CellWindows:
    """The records of some cells and the windows that predict their days.

    drivers: `(cell, day, feature)` in the units of `upscale.variables`, NaN = missing; codes:
    `(cell, 2)` igbp, koppen, 0 = unknown; days: columns of `drivers` that are predicted, while
    the others serve to place the windows; assignment: for all columns; length: days of a window.
    """

    drivers: Floats
    codes: NDArray[np.int64]
    days: slice
    length: int
    assignment: Assignment

    @property
    def count(self) -> int:
        """Number of predicted days."""
        return int(self.days.stop - self.days.start)

    def rows(self, cells: slice, usable: Bools) -> Rows:
        """The windows that predict the days of some cells, without cells not `usable` `(cell,)`."""
        start = np.where(usable[cells, None], self.assignment.start[cells], np.int32(-1))
        return rows_of(start, self.days)


def lay_windows(
    predictor: Predictor,
    drivers: Floats,
    first: int,
    codes: NDArray[np.int64],
    rule: WindowRule,
    days: slice | None = None,
) -> CellWindows:
    """Assign windows to the days of some cells.

    drivers: `(cell, day, feature)` from day number `first`, in the units of `upscale.variables`,
    NaN = missing; codes: `(cell, 2)`; days: columns to predict, by default all. `drivers` must
    extend `rule.margin` days beyond them, as far as the record does.
    """
    valid = ~predictor.scaler.missing_required(drivers)
    begin, end, _ = (days or slice(None)).indices(drivers.shape[1])
    return CellWindows(drivers, codes, slice(begin, end), rule.length, assign(valid, first, rule))


def predict_series(
    predictor: Predictor,
    windows: CellWindows,
    embeddings: Embeddings | None,
    cells: slice = slice(None),
) -> Floats:
    """Fluxes `(member, cell, day, 3)` gpp, reco, nee in g m-2 d-1 of the selected cells.

    Not clipped; NaN on days without a window and in cells without an embedding. embeddings: of
    all cells, or None if the context of each window is that window itself.
    """
    drivers, codes = windows.drivers[cells], windows.codes[cells]
    usable = np.ones(len(windows.codes), bool) if embeddings is None else embeddings.known
    rows = windows.rows(cells, usable)
    shape = (predictor.members, len(drivers), windows.count, len(FLUXES))
    fluxes = np.full(shape, np.nan, np.float32)
    if not len(rows):
        return fluxes
    cut = sliding_window_view(drivers, windows.length, axis=1)
    for first in range(0, len(rows), predictor.batch):
        batch = slice(first, first + predictor.batch)
        cell = rows.pixel[batch]
        window = np.ascontiguousarray(cut[cell, rows.start[batch]].transpose(0, 2, 1))
        if embeddings is None:
            z = predictor.encode(window[:, None], np.ones((len(window), 1), bool), codes[cell])
        else:
            z = embeddings.z[:, cells][:, cell]
        _scatter(predictor.decode(window, z), rows, batch, windows.days.start, fluxes)
    return fluxes


def _scatter(decoded: Floats, rows: Rows, batch: slice, offset: int, fluxes: Floats) -> None:
    """Copy the days that each row predicts from `(member, row, day, 3)` into `fluxes`."""
    first, last = rows.first[batch], rows.last[batch]
    count = last - first + 1
    row = np.repeat(np.arange(len(first)), count)
    step = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    day = first[row] + step
    place = day - rows.start[batch][row]
    fluxes[:, rows.pixel[batch][row], day - offset] = decoded[:, row, place]


def embed_series(
    predictor: Predictor,
    drivers: Floats,
    first: int,
    codes: NDArray[np.int64],
    rule: SupportRule,
) -> Embeddings:
    """Embeddings of cells from their whole history, held in memory.

    drivers: `(cell, day, feature)` from day number `first`; codes: `(cell, 2)`.
    """
    valid = ~predictor.scaler.missing_required(drivers)
    choice = choose(valid, first + np.arange(drivers.shape[1]), rule)

    def support_of(cells: slice) -> Floats:
        return _cut(drivers[cells], choice.start[cells], rule.window)

    return _embed(predictor, choice, support_of, codes)


def embed_windows(
    predictor: Predictor, choice: Support, support: Floats, codes: NDArray[np.int64]
) -> Embeddings:
    """Embeddings of cells from their support windows.

    support: `(cell, window, day, feature)` in the units of `upscale.variables`, NaN where there
    is no window; codes: `(cell, 2)`.
    """
    return _embed(predictor, choice, lambda cells: support[cells], codes)


def _embed(
    predictor: Predictor,
    choice: Support,
    support_of: Callable[[slice], Floats],
    codes: NDArray[np.int64],
) -> Embeddings:
    """As `embed_windows`; `support_of` gives the support windows of a slice of cells."""
    z = np.full((predictor.members, len(codes), predictor.latent), np.nan, np.float32)
    for first in range(0, len(codes), _CELLS):
        cells = slice(first, first + _CELLS)
        z[:, cells] = predictor.encode(support_of(cells), choice.present[cells], codes[cells])
    return Embeddings(z, choice.years.astype(np.int16), choice.short)


def _cut(drivers: Floats, start: NDArray[np.int32], length: int) -> Floats:
    """Windows `(cell, window, day, feature)` of `length` days from `start` `(cell, window)`, NaN
    where `start` is -1; drivers: `(cell, day, feature)`."""
    windows = np.full((*start.shape, length, drivers.shape[2]), np.nan, np.float32)
    cell, window = np.nonzero(start >= 0)
    day = start[cell, window][:, None] + np.arange(length)
    windows[cell, window] = drivers[cell[:, None], day]
    return windows
