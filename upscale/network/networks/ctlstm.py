"""CT-LSTM: an LSTM that reads the drivers and, on every day, the one-hot classes of the place.

The conditional-transformation baseline of Rozanov, Renganathan and Kumar (2026), arXiv
2603.09974: static features are inputs of the decoder, which is not modulated. The "embedding" of
a place is its one-hots, so that this network runs like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from upscale.network.networks.parts import check_sizes, mean_embedding, remember, steady_linear
from upscale.variables import FLUXES


@dataclass(frozen=True)
class CtLstmConfig:
    """Sizes of one network.

    channels: width of the scaled input (features and masks); classes: width of the one-hots;
    hidden, layers: LSTM; dropout: on the hidden states before the heads and between layers,
    only in training.
    """

    channels: int
    classes: int
    hidden: int = 64
    layers: int = 1
    dropout: float = 0.0

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_sizes(vars(self))

    @property
    def latent(self) -> int:
        """Width of the embedding: the one-hots."""
        return self.classes

    def build(self) -> CtLstm:
        """A network of these sizes with random weights from torch's global generator."""
        return CtLstm(self)


class CtLstm(nn.Module):
    """LSTM over drivers and one-hots, linear heads on the hidden state of every day."""

    def __init__(self, config: CtLstmConfig) -> None:
        super().__init__()
        self.config = config
        between = config.dropout if config.layers > 1 else 0.0
        width = config.channels + config.classes
        self.decoder = nn.LSTM(width, config.hidden, config.layers, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.heads = nn.Linear(config.hidden, len(FLUXES))
        remember(self.decoder)

    def encode(self, support: Tensor, present: Tensor, onehot: Tensor) -> Tensor:
        """The one-hots `(task, class)` of the tasks that have a window, zeros elsewhere."""
        return mean_embedding(self.embed, self.config.latent, support, present, onehot)

    def embed(self, windows: Tensor, onehot: Tensor) -> Tensor:
        """The one-hots `(row, class)` themselves, whatever the windows `(row, day, channel)`."""
        return onehot.to(windows.dtype)

    def generate(self, z: Tensor) -> Tensor:
        """The decoder's input besides the drivers: z `(row, class)`, unchanged."""
        return z

    def decode(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """Scaled fluxes `(row, day, 3)`: gpp, reco, nee on every day.

        x: `(row, day, channel)` scaled; z: `(row, class)` one-hots, None = no class known.
        """
        film = None if z is None else self.generate(z)
        return self.decode_days(x.transpose(0, 1), film).transpose(0, 1)

    def decode_days(self, days: Tensor, film: Tensor | None) -> Tensor:
        """As `decode`, time first: `(day, row, channel)` to `(day, row, 3)`."""
        if film is None:
            film = days.new_zeros(days.shape[1], self.config.classes)
        states, _ = self.decoder(torch.cat([days, film.expand(len(days), -1, -1)], dim=2))
        return steady_linear(self.heads, self.dropout(states))

    def forward(self, x: Tensor, support: Tensor, present: Tensor, onehot: Tensor) -> Tensor:
        """Scaled fluxes `(row, day, 3)` of query windows x with the one-hots of each row."""
        return self.decode(x, self.generate(onehot.to(x.dtype)))
