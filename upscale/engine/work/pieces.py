"""A tile in pieces: what is read and computed at once stays small, however large the tile is.

A value depends on its own cell alone, so that pieces do not show in what is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.drivers.tiles import Surface
from upscale.engine.work.predict import PredictedTile, ground_reasons
from upscale.network.inference import Embeddings
from upscale.product.shards import TileFluxes
from upscale.product.uncertainty import STEP_ARRAYS

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class TilePiece:
    """A rectangle of a tile with land. rows, cols: of the tile; surface: its static layers;
    cells: `(cell,)` where its land cells stand among those of the tile."""

    rows: slice
    cols: slice
    surface: Surface
    cells: NDArray[np.int64]

    def of(self, embeddings: Embeddings) -> Embeddings:
        """The embeddings of its cells among those of the tile."""
        return Embeddings(
            embeddings.z[:, self.cells], embeddings.years[self.cells], embeddings.short[self.cells]
        )


@dataclass(frozen=True, eq=False)
class MadeEmbeddings:
    """The embeddings of a tile. parts: identity of those of each piece; spans: days of the
    support windows of all pieces, see `upscale.engine.work.context`."""

    embeddings: Embeddings
    parts: list[str]
    spans: list[list[int]]


@dataclass(frozen=True, eq=False)
class MadePiece:
    """What is made of a piece. strides: digests of the windows of each of its strides; kept: days
    that stand as an earlier session left them."""

    tile: PredictedTile
    strides: tuple[str, ...]
    kept: int


def pieces_of(surface: Surface, edge: int) -> list[TilePiece]:
    """The pieces of a tile of at most `edge` x `edge` cells, those without land left out."""
    numbers = np.cumsum(surface.land).reshape(surface.land.shape) - 1
    pieces = []
    for top in range(0, surface.grid.rows, edge):
        for left in range(0, surface.grid.cols, edge):
            rows = slice(top, min(top + edge, surface.grid.rows))
            cols = slice(left, min(left + edge, surface.grid.cols))
            part = surface.crop(rows, cols)
            if part.land.any():
                cells = numbers[rows, cols][part.land].astype(np.int64)
                pieces.append(TilePiece(rows, cols, part, cells))
    return pieces


def joined_embeddings(pieces: Sequence[TilePiece], parts: Sequence[Embeddings]) -> Embeddings:
    """The embeddings of the land cells of a tile from those of its pieces."""
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate([piece.cells for piece in pieces]))
    return Embeddings(
        np.concatenate([part.z for part in parts], axis=1)[:, order],
        np.concatenate([part.years for part in parts])[order],
        np.concatenate([part.short for part in parts])[order],
    )


def with_piece(
    whole: PredictedTile | None, surface: Surface, piece: TilePiece, made: PredictedTile
) -> PredictedTile:
    """What a tile writes, with that of one more of its pieces; whole: None before the first.

    The arrays of `whole` are written into.
    """
    if piece.surface.sftlf.shape == surface.sftlf.shape:
        return made
    whole = whole or _nothing_yet(surface, made)
    for there, here in zip(_groups(whole.fluxes), _groups(made.fluxes), strict=True):
        for name, values in here.items():
            there[name][..., piece.rows, piece.cols] = values
    whole.running[:, piece.cells] = made.running
    return whole


def _nothing_yet(surface: Surface, like: PredictedTile) -> PredictedTile:
    """What a tile writes before anything of it is predicted; like: of one of its pieces."""
    fluxes = [
        {name: _blank(name, values, surface) for name, values in arrays.items()}
        for arrays in _groups(like.fluxes)
    ]
    members, _, count = like.running.shape
    return PredictedTile(TileFluxes(*fluxes), np.zeros((members, int(surface.land.sum()), count)))


def _groups(fluxes: TileFluxes) -> tuple[Arrays, Arrays, Arrays, Arrays]:
    return fluxes.daily, fluxes.sums, fluxes.days, fluxes.steps


def _blank(name: str, like: NDArray[Any], surface: Surface) -> NDArray[Any]:
    """An array `(..., row, col)` of a tile without any prediction."""
    fills = {"quality": ground_reasons(surface), "filled_share": 255, "segment_days": 0}
    fills |= {step: fill for step, (_, fill) in STEP_ARRAYS.items()}
    canvas = np.empty((*like.shape[:-2], *surface.sftlf.shape), like.dtype)
    canvas[...] = fills.get(name, np.nan)
    return canvas
