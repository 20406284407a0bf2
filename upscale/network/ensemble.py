"""Prediction with an ensemble of networks: unscaled drivers in, fluxes of each member out.

Rows run in batches of one fixed, padded shape, so that the result of a row depends neither on
the other rows of the batch nor on its position (`tests/network/test_ensemble.py` checks every
bit). On a CPU the members run one after the other on a batch that stays in cache: stacking
them into one matrix product was several times slower (`benchmarks/ensemble_loop.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale.network.classes import Classes
from upscale.network.networks.architectures import Network
from upscale.network.releases.release import Release, load_release
from upscale.network.scaler import Scaler
from upscale.variables import FLUXES

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

#: Rows of a batch: few enough to stay in the cache of a CPU, enough to fill a GPU.
CPU_BATCH = 256
GPU_BATCH = 8192


class Ensemble:
    """The members of a release, ready to run; built once per process.

    networks: one for each member; device: `auto` uses a GPU if there is one; batch: rows of
    the fixed batch, by default `CPU_BATCH` or `GPU_BATCH`. The caller sets the number of
    threads (`torch.set_num_threads`).
    """

    def __init__(
        self,
        networks: Sequence[Network],
        scaler: Scaler,
        classes: Classes,
        device: str = "auto",
        batch: int | None = None,
    ) -> None:
        self.device = _device(device)
        self.batch = batch or (CPU_BATCH if self.device.type == "cpu" else GPU_BATCH)
        self.scaler = scaler
        self.classes = classes
        self._networks = [network.to(self.device).eval() for network in networks]

    @property
    def members(self) -> int:
        return len(self._networks)

    @property
    def latent(self) -> int:
        """Width of the task embedding z."""
        return self._networks[0].config.latent

    def encode(self, support: Floats, present: Bools, classes: NDArray[np.integer]) -> Floats:
        """Task embeddings z `(member, pixel, latent)`, NaN for a pixel without any window.

        support: `(pixel, window, day, feature)` physical units, NaN = missing; present:
        `(pixel, window)`; classes: `(pixel, 2)` codes igbp, koppen, 0 = unknown.
        """
        pixel, window = np.nonzero(present)
        onehot = self.classes.onehot(classes)
        each = np.zeros((self.members, *present.shape, self.latent), np.float32)
        for part in self._parts(len(pixel)):
            where = pixel[part], window[part]
            each[:, *where] = self._embed(support[where], onehot[where[0]])
        return _mean_over_windows(each, present)

    def decode(self, drivers: Floats, z: Floats) -> Floats:
        """Fluxes `(member, row, day, 3)`: gpp, reco, nee in g m-2 d-1, not clipped.

        drivers: `(row, day, feature)` physical units, NaN = missing; z: `(member, row, latent)`
        of each row's pixel.
        """
        self._check_rows(drivers, z)
        shape = (self.members, len(drivers), drivers.shape[1], len(FLUXES))
        fluxes = np.empty(shape, np.float32)
        for part in self._parts(len(drivers)):
            fluxes[:, part] = self._decode(drivers[part], z[:, part])
        return fluxes

    def _check_rows(self, drivers: Floats, z: Floats) -> None:
        expected = (self.members, len(drivers), self.latent)
        if z.shape != expected:
            raise ValueError(f"expected z (member, row, latent) {expected}, found {z.shape}")

    def _parts(self, rows: int) -> Iterator[slice]:
        for first in range(0, rows, self.batch):
            yield slice(first, min(first + self.batch, rows))

    def _embed(self, windows: Floats, onehot: Floats) -> Floats:
        """Embeddings `(member, row, latent)` of at most one batch of windows."""
        with torch.inference_mode(), _full_precision(self.device):
            days = self._channels(windows)
            classes = self._padded(onehot)
            each = [network.embed(days, classes)[: len(windows)] for network in self._networks]
            return _numpy(torch.stack(each))

    def _decode(self, drivers: Floats, z: Floats) -> Floats:
        """Fluxes `(member, row, day, 3)` of at most one batch of rows."""
        with torch.inference_mode(), _full_precision(self.device):
            days = self._channels(drivers).transpose(0, 1).contiguous()
            each = [
                self._member(network, days, z[member])[:, : len(drivers)]
                for member, network in enumerate(self._networks)
            ]
            return _numpy(torch.stack(each).transpose(1, 2))

    def _member(self, network: Network, days: Tensor, z: Floats) -> Tensor:
        film = network.generate(self._padded(z))
        return self.scaler.unscale_tensor(network.decode_days(days, film))

    def _channels(self, drivers: Floats) -> Tensor:
        """Scaled channels `(batch, day, channel)` on the device."""
        return self.scaler.scale_tensor(self._padded(drivers))

    def _padded(self, rows: Floats) -> Tensor:
        """A batch of the fixed size on the device, filled up with rows of zeros."""
        full = np.zeros((self.batch, *rows.shape[1:]), np.float32)
        full[: len(rows)] = rows
        return torch.from_numpy(full).to(self.device)


def load_ensemble(
    release: Release | str | Path, device: str = "auto", batch: int | None = None
) -> Ensemble:
    """The ensemble of a release (or of its name, path or URL); see `Ensemble`."""
    found = release if isinstance(release, Release) else load_release(release)
    return Ensemble(found.networks(), found.scaler, found.classes, device, batch)


def _mean_over_windows(each: Floats, present: Bools) -> Floats:
    """Mean `(member, pixel, latent)` of `(member, pixel, window, latent)` over present windows.

    Summed window by window, because the order of numpy's sum depends on the shape of the array.
    """
    total = np.zeros((*each.shape[:2], each.shape[3]), np.float32)
    for window in range(each.shape[2]):
        total += each[:, :, window]
    count = present.sum(axis=1).astype(np.float32)[:, None]
    mean = np.full_like(total, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def _device(name: str) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device: expected auto, cpu or cuda, found {name!r}")
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ValueError("device: expected a GPU for cuda, found none; give cpu or auto")
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def _full_precision(device: torch.device) -> AbstractContextManager[None]:
    """A context without TF32: by default cuDNN rounds the products of an LSTM to it."""
    if device.type != "cuda":
        return nullcontext()
    context: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, deterministic=True, allow_tf32=False
    )
    return context


def _numpy(tensor: Tensor) -> Floats:
    array: Floats = tensor.cpu().numpy()
    return array
