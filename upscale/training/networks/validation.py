"""The score that stops training: skill on the windows of a run, at towers not learned from."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale.network.networks.architectures import Network
from upscale.training.dataset import Dataset, DatasetTower

#: Windows per tower at most: every n-th window of a long record, so that no tower takes long.
MOST_WINDOWS = 96


def validate(network: Network, data: Dataset, joint: bool, context: str) -> float:
    """Mean over towers and fluxes of the RMSE on good days, in scaled units.

    NaN where no tower has a good day. Windows and support sets are those of the run. joint:
    False for the decoder alone.
    """
    scores = [_tower_error(network, data, i, joint, context) for i in range(len(data.places))]
    seen = [score for score in scores if np.isfinite(score)]
    return float(np.mean(seen)) if seen else np.nan


@torch.no_grad()
def _tower_error(network: Network, data: Dataset, tower: int, joint: bool, context: str) -> float:
    """Root mean square error at one tower, mean over the fluxes; NaN without a good day."""
    place = data.places[tower]
    start, day = _served(data, place)
    if not len(start):
        return np.nan
    x = data.channels[torch.from_numpy(start[:, None] + np.arange(data.window.length))]
    z = _context(network, data, tower, x, context) if joint else None
    predicted = network.decode(x, z)
    row, offset = np.nonzero(day >= 0)
    error = predicted[row, day[row, offset] - start[row]] - data.targets[day[row, offset]]
    squares = error[torch.isfinite(error).all(dim=1)].square()
    return float(squares.mean(dim=0).sqrt().mean())


def _served(data: Dataset, place: DatasetTower) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts `(row,)` and served days `(row, stride)`, -1 for none, of some of the windows."""
    rows = place.rows
    day = rows.first[:, None].astype(np.int64) + np.arange(data.window.stride)
    day = np.where(day <= rows.last[:, None], day + place.first, -1)
    good = torch.isfinite(data.targets).all(dim=1).numpy()
    useful = np.flatnonzero((good[day] & (day >= 0)).any(axis=1))
    picked = useful[:: max(1, -(-len(useful) // MOST_WINDOWS))]
    return rows.start[picked].astype(np.int64) + place.first, day[picked]


def _context(network: Network, data: Dataset, tower: int, x: Tensor, context: str) -> Tensor:
    """z `(row, latent)`, by the tower's support years or by the query window itself."""
    onehot = torch.from_numpy(data.classes.onehot(data.codes[tower : tower + 1]))
    if context == "query":
        return network.encode(x[:, None], torch.ones(len(x), 1).bool(), onehot.expand(len(x), -1))
    starts = data.places[tower].support
    days = torch.from_numpy(starts[:, None] + np.arange(data.window.length))
    present = torch.ones(1, len(starts), dtype=torch.bool)
    return network.encode(data.channels[days][None], present, onehot).expand(len(x), -1)
