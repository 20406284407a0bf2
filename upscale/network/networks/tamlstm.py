"""TAMLSTM: the decoder of TAM-RL alone, without history, classes or modulation.

The first baseline of Rozanov, Renganathan and Kumar (2026), arXiv 2603.09974, and the network of
stage 1 of their training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from upscale.network.networks.parts import check_sizes, mean_embedding, remember, steady_linear
from upscale.variables import FLUXES


@dataclass(frozen=True)
class TamLstmConfig:
    """Sizes of one network.

    channels: width of the scaled input (features and masks); classes: width of the one-hots,
    which are not read; hidden, layers: LSTM; dropout: on the hidden states before the heads
    and between layers, only in training.
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
        """Width of the embedding: a single zero, so that this network runs like any other."""
        return 1

    def build(self) -> TamLstm:
        """A network of these sizes with random weights from torch's global generator."""
        return TamLstm(self)


class TamLstm(nn.Module):
    """LSTM over the drivers, linear heads on the hidden state of every day."""

    def __init__(self, config: TamLstmConfig) -> None:
        super().__init__()
        self.config = config
        between = config.dropout if config.layers > 1 else 0.0
        self.decoder = nn.LSTM(config.channels, config.hidden, config.layers, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.heads = nn.Linear(config.hidden, len(FLUXES))
        remember(self.decoder)

    def encode(self, support: Tensor, present: Tensor, onehot: Tensor) -> Tensor:
        """Zeros `(task, 1)`: the decoder gets no information on the place."""
        return mean_embedding(self.embed, self.config.latent, support, present, onehot)

    def embed(self, windows: Tensor, onehot: Tensor) -> Tensor:
        """Zeros `(row, 1)`, one for each window `(row, day, channel)`."""
        return windows.new_zeros(len(windows), self.config.latent)

    def generate(self, z: Tensor) -> None:
        """No modulation."""
        return

    def decode(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """Scaled fluxes `(row, day, 3)` of `(row, day, channel)` scaled; z is not read."""
        return self.decode_days(x.transpose(0, 1), None).transpose(0, 1)

    def decode_days(self, days: Tensor, film: None) -> Tensor:
        """As `decode`, time first: `(day, row, channel)` to `(day, row, 3)`."""
        states, _ = self.decoder(days)
        return steady_linear(self.heads, self.dropout(states))

    def forward(self, x: Tensor, support: Tensor, present: Tensor, onehot: Tensor) -> Tensor:
        """Scaled fluxes `(row, day, 3)` of query windows x alone."""
        return self.decode(x)
