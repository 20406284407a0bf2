"""TAM-RL: a decoder from drivers to fluxes, modulated by an embedding of the place's history.

Rozanov, Renganathan and Kumar (2026), arXiv 2603.09974, section Task-Aware Modulation using
Representation Learning; "the paper" below. The paper leaves three choices open. Here the final
forward and backward hidden states of the encoder are concatenated, classes enter the encoder on
every day, and the "final hidden state" that is modulated is that of the last layer on every day,
because every day of a window is predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from upscale.network.networks.parts import check_sizes, mean_embedding, remember, steady_linear
from upscale.variables import FLUXES

#: Share of torch's default scale at which the generator's last layer starts.
_GENERATOR_START = 0.1


@dataclass(frozen=True)
class TamRlConfig:
    """Sizes of one network.

    channels: width of the scaled input (features and masks); classes: width of the one-hots;
    hidden, layers: LSTM decoder; latent: task embedding z; encoder_hidden: each direction of
    the encoder; generator_hidden: the generator's only hidden layer; dropout: on the hidden
    states before the heads, only in training; class_skip: classes enter z directly as well as
    through the encoder, whose states have little room for them.
    """

    channels: int
    classes: int
    hidden: int = 64
    latent: int = 32
    encoder_hidden: int = 64
    generator_hidden: int = 64
    layers: int = 1
    dropout: float = 0.0
    class_skip: bool = False

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_sizes({name: size for name, size in vars(self).items() if name != "class_skip"})

    def build(self) -> TamRl:
        """A network of these sizes with random weights from torch's global generator."""
        return TamRl(self)


class Modulation(NamedTuple):
    """FiLM parameters: gamma1, beta1 `(row, channel)`; gamma2, beta2 `(row, hidden)`."""

    gamma1: Tensor
    beta1: Tensor
    gamma2: Tensor
    beta2: Tensor


class TamRl(nn.Module):
    """Task encoder, generator and decoder of one member of an ensemble."""

    def __init__(self, config: TamRlConfig) -> None:
        """Make encoder, embedding, generator, decoder and heads of the sizes in `config`."""
        super().__init__()
        self.config = config
        seen = 2 * config.encoder_hidden + (config.classes if config.class_skip else 0)
        self.encoder = nn.LSTM(
            config.channels + config.classes, config.encoder_hidden, bidirectional=True
        )
        self.embedding = nn.Linear(seen, config.latent)
        self.generator = nn.Sequential(
            nn.Linear(config.latent, config.generator_hidden),
            nn.ReLU(),
            nn.Linear(config.generator_hidden, 2 * (config.channels + config.hidden)),
        )
        self.decoder = nn.LSTM(
            config.channels,
            config.hidden,
            config.layers,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.heads = nn.Linear(config.hidden, len(FLUXES))
        self._start()

    def _start(self) -> None:
        """Start near the identity modulation, with gates that remember."""
        last = self.generator[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight.mul_(_GENERATOR_START)
            last.bias.zero_()
        remember(self.decoder)

    def encode(self, support: Tensor, present: Tensor, onehot: Tensor) -> Tensor:
        """Task embedding z `(task, latent)`: the mean over the windows that are present.

        support: `(task, window, day, channel)` scaled, arbitrary where not present;
        present: `(task, window)` bool; onehot: `(task, class)`. A task without any window
        gets z = 0. With the context rule `query` the support is the predicted window itself.
        Source: the paper, modulation network.
        """
        return mean_embedding(self.embed, self.config.latent, support, present, onehot)

    def embed(self, windows: Tensor, onehot: Tensor) -> Tensor:
        """Embedding `(row, latent)` of each window `(row, day, channel)` with its one-hots."""
        days = windows.transpose(0, 1)
        classes = onehot.to(days.dtype).expand(len(days), -1, -1)
        _, (final, _) = self.encoder(torch.cat([days, classes], dim=2))
        skipped = (classes[0],) if self.config.class_skip else ()
        return steady_linear(self.embedding, torch.cat([final[0], final[1], *skipped], dim=1))

    def generate(self, z: Tensor) -> Modulation:
        """FiLM parameters of each z `(row, latent)`; gamma = 1 + output of the generator.

        Source: the paper, generator G and equations of x' and h'.
        """
        channels, hidden = self.config.channels, self.config.hidden
        gamma1, beta1, gamma2, beta2 = self.generator(z).split(
            [channels, channels, hidden, hidden], dim=1
        )
        return Modulation(1 + gamma1, beta1, 1 + gamma2, beta2)

    def decode(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """Scaled fluxes `(row, day, 3)`: gpp, reco, nee on every day.

        x: `(row, day, channel)` scaled; z: `(row, latent)`, or None for the decoder alone
        (stage 1, TAMLSTM). Source: the paper, forward model F.
        """
        film = None if z is None else self.generate(z)
        return self.decode_days(x.transpose(0, 1), film).transpose(0, 1)

    def decode_days(self, days: Tensor, film: Modulation | None) -> Tensor:
        """As `decode`, time first: `(day, row, channel)` to `(day, row, 3)`."""
        # a product and a sum, not fused: each rounds the same at every position in a batch
        if film is not None:
            days = days * film.gamma1 + film.beta1
        states, _ = self.decoder(days)
        if film is not None:
            states = states * film.gamma2 + film.beta2
        return steady_linear(self.heads, self.dropout(states))

    def forward(self, x: Tensor, support: Tensor, present: Tensor, onehot: Tensor) -> Tensor:
        """Scaled fluxes `(row, day, 3)` of query windows x, one support set for each row."""
        return self.decode(x, self.encode(support, present, onehot))
