"""The networks that a release may hold, by their names in `release.yaml`.

A network is described by its sizes: a frozen dataclass with a method that builds it. To add a
network, write both classes and add a line to `ARCHITECTURES`.
"""

from __future__ import annotations

from typing import Any, Protocol, Self

import torch
from torch import Tensor

from upscale.network.networks.carbonfluxbench import CarbonFluxBenchConfig
from upscale.network.networks.ctlstm import CtLstmConfig
from upscale.network.networks.tamlstm import TamLstmConfig
from upscale.network.networks.tamrl import TamRlConfig


class Architecture(Protocol):
    """Sizes of a network.

    channels: width of the scaled input; classes: width of the one-hots; latent: of z.
    """

    @property
    def channels(self) -> int: ...
    @property
    def classes(self) -> int: ...
    @property
    def latent(self) -> int: ...
    def build(self) -> Network:
        """A network of these sizes with random weights from torch's global generator."""
        ...


class Network(Protocol):
    """One member of an ensemble: a `torch.nn.Module` with the methods that a run calls.

    `generate` returns the FiLM parameters in the form that `decode_days` of the network takes.
    """

    @property
    def config(self) -> Architecture: ...
    def embed(self, windows: Tensor, onehot: Tensor) -> Tensor:
        """z `(row, latent)` of windows `(row, day, channel)`, one-hots `(row, class)`."""
        ...

    def generate(self, z: Tensor) -> Any:
        """The FiLM parameters that modulate the decoder, from z `(row, latent)`."""
        ...

    def decode_days(self, days: Tensor, film: Any) -> Tensor:
        """Scaled fluxes `(day, row, 3)` of `(day, row, channel)`; film None = not modulated."""
        ...

    def decode(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """Scaled fluxes `(row, day, 3)` of `(row, day, channel)`, z `(row, latent)`."""
        ...

    def encode(self, support: Tensor, present: Tensor, onehot: Tensor) -> Tensor:
        """z `(task, latent)`: the mean over the windows `(task, window, day, channel)` that
        are present `(task, window)`."""
        ...

    def eval(self) -> Self: ...
    def to(self, device: torch.device) -> Self: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


#: Sizes by name of the network. Networks that use no history of the place run under the
#: context rule `query`.
ARCHITECTURES: dict[str, type[Architecture]] = {
    "tamrl": TamRlConfig,
    "tamlstm": TamLstmConfig,
    "ct-lstm": CtLstmConfig,
    "tamrl-carbonfluxbench": CarbonFluxBenchConfig,
}
