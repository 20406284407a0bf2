"""The interface that networks and boosted trees share: drivers in, fluxes of each member out."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from upscale.network.boosting.trees import TreeEnsemble
from upscale.network.classes import Classes
from upscale.network.ensemble import load_ensemble
from upscale.network.releases.release import Release, load_release
from upscale.network.scaler import Scaler

Floats = NDArray[np.float32]


class Predictor(Protocol):
    """The members of a release, ready to run; built once per process.

    The result of a row depends neither on the other rows nor on their number. latent: width of
    z; batch: recommended number of rows per call; device: where the model runs.
    """

    @property
    def scaler(self) -> Scaler: ...
    @property
    def classes(self) -> Classes: ...
    @property
    def members(self) -> int: ...
    @property
    def latent(self) -> int: ...
    @property
    def batch(self) -> int: ...
    @property
    def device(self) -> torch.device: ...

    def encode(
        self, support: Floats, present: NDArray[np.bool_], classes: NDArray[np.integer]
    ) -> Floats:
        """Task embeddings z `(member, pixel, latent)`, NaN for a pixel without any window.

        support: `(pixel, window, day, feature)` in physical units, NaN = missing; present:
        `(pixel, window)`; classes: `(pixel, 2)` codes igbp, koppen, 0 = unknown."""
        ...

    def decode(self, drivers: Floats, z: Floats) -> Floats:
        """Fluxes `(member, row, day, 3)` gpp, reco, nee in g m-2 d-1, not clipped.

        drivers: `(row, day, feature)` in physical units, NaN = missing; z: `(member, row,
        latent)`. ValueError if their shapes do not fit."""
        ...


def load_predictor(
    release: Release | str | Path, device: str = "auto", batch: int | None = None
) -> Predictor:
    """The model of a release (or of its name, path or URL), ready to run.

    device: `auto` uses a GPU if there is one, while trees always run on the CPU; batch: rows per
    call, by default a number that suits the model and the device.
    """
    found = release if isinstance(release, Release) else load_release(release)
    if found.manifest.is_trees:
        return TreeEnsemble(found.trees, found.scaler, found.classes, batch)
    return load_ensemble(found, device, batch)
