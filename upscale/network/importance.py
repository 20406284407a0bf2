"""How strongly a model depends on each of its drivers, and on each number of the embedding.

Permutation importance of the predictions: the series of one driver is exchanged between windows
of different places while all others stay, and importance is the root mean square change of the
predicted fluxes, in units of the standard deviation of each flux. No measured flux is needed,
and the model is the one that makes the maps. Correlated drivers share their importance.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from upscale.network.scaler import Scaler

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]

#: Fluxes `(member, row, day, 3)` of windows `(row, day, feature)`.
Predict = Callable[[Floats], Floats]


def driver_importance(predict: Predict, windows: Floats, scaler: Scaler, seed: int = 0) -> Reals:
    """Change `(feature,)` of the ensemble mean when a driver comes from another place.

    windows: `(row, day, feature)` in physical units, NaN = missing, from many places and
    seasons; predict: fluxes in g m-2 d-1, the unit of the scaler.
    """
    order = _shuffled(len(windows), seed)
    base = _scaled(predict(windows), scaler).mean(axis=0)
    found = []
    for feature in range(windows.shape[2]):
        swapped = windows.copy()
        swapped[:, :, feature] = windows[order, :, feature]
        change = _scaled(predict(swapped), scaler).mean(axis=0) - base
        found.append(float(np.sqrt(np.nanmean(change**2))))
    return np.array(found)


def embedding_importance(
    decode: Callable[[Floats, Floats], Floats],
    windows: Floats,
    z: Floats,
    scaler: Scaler,
    seed: int = 0,
) -> Reals:
    """Change `(member, latent)` of each member when one number of z comes from another place.

    decode: fluxes of windows `(row, day, feature)` and z `(member, row, latent)`.
    """
    order = _shuffled(len(windows), seed)
    base = _scaled(decode(windows, z), scaler)
    found = []
    for position in range(z.shape[2]):
        swapped = z.copy()
        swapped[:, :, position] = z[:, order, position]
        change = _scaled(decode(windows, swapped), scaler) - base
        found.append(np.sqrt(np.nanmean(change**2, axis=(1, 2, 3))))
    return np.stack(found, axis=1)


def _shuffled(rows: int, seed: int) -> NDArray[np.int64]:
    """A random order in which no row keeps its place: a cycle through all rows."""
    cycle = np.random.default_rng(seed).permutation(rows)
    order = np.empty(rows, np.int64)
    order[cycle] = np.roll(cycle, 1)
    return order


def _scaled(fluxes: Floats, scaler: Scaler) -> Reals:
    std = np.array([flux.std for flux in scaler.fluxes])
    return np.asarray(fluxes.astype(np.float64) / std)
