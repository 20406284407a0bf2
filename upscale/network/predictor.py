"""What a run asks of a model, whether networks or trees: drivers in, fluxes out, by member."""

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

    What a row gives depends neither on the rows beside it nor on how many there are. latent:
    width of z; batch: rows that are best given in one call; device: where it computes.
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
        """z `(member, pixel, latent)` of support windows `(pixel, window, day, feature)` in
        physical units, NaN = missing, where present `(pixel, window)`; NaN for a pixel
        without any; classes: `(pixel, 2)` codes igbp, koppen, 0 = unknown."""
        ...

    def decode(self, drivers: Floats, z: Floats) -> Floats:
        """Fluxes `(member, row, day, 3)` gpp, reco, nee in g m-2 d-1, not clipped, of drivers
        `(row, day, feature)` in physical units, NaN = missing, and z `(member, row, latent)`.
        ValueError where their shapes do not fit."""
        ...


def load_predictor(
    release: Release | str | Path, device: str = "auto", batch: int | None = None
) -> Predictor:
    """The model of a release (or of its name, path or URL), ready to run.

    device: `auto` takes a GPU where there is one, trees stay on the CPU; batch: rows of a call,
    by default what suits the model and the device.
    """
    found = release if isinstance(release, Release) else load_release(release)
    if found.manifest.is_trees:
        return TreeEnsemble(found.trees, found.scaler, found.classes, batch)
    return load_ensemble(found, device, batch)
