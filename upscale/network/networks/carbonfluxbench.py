"""The variant of TAM-RL in its released code, so that weights trained with that code run here.

Rozanov, Renganathan, Zhang and Kumar (2026), arXiv 2603.09868, and the code published with it
(MIT). It differs from the paper (arXiv 2603.09974, `upscale.network.networks.tamrl`) as follows:

- the drivers are embedded, e = V x, before they are modulated, with one tensor for scale and
  shift: s = relu(W z) + 1, x' = s e + s;
- the hidden state of every day is modulated: h' = (gamma + 1) h + beta;
- the generator is two single linear layers;
- each day of the encoder passes a linear layer, batch normalisation and a leaky rectifier
  before a BiLSTM, whose two final hidden states are added, not concatenated.

No prediction depends on the reconstruction branch of its autoencoder or on its static head, so
they are not built here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from upscale.network.networks.parts import check_sizes, mean_embedding, steady_linear
from upscale.variables import FLUXES

#: Slope of the encoder's rectifier below zero.
SLOPE = 0.2

#: Added to the variance in batch normalisation, and the weight of a new batch in its averages.
EPSILON, MOMENTUM = 1e-5, 0.1


@dataclass(frozen=True)
class CarbonFluxBenchConfig:
    """Sizes of one network. The weights stored with the released code have the default sizes or
    latent = encoder_hidden = 64, layers = 2, dropout = 0.2.

    channels: width of the scaled input; classes: width of the one-hots; hidden, layers: LSTM
    decoder and the embedding of the drivers; latent: task embedding z; encoder_hidden: each
    direction of the encoder, and the embedding of its days; dropout: on the hidden states
    before the heads, only in training.
    """

    channels: int
    classes: int
    hidden: int = 128
    latent: int = 32
    encoder_hidden: int = 32
    layers: int = 1
    dropout: float = 0.3

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_sizes(vars(self))

    def build(self) -> CarbonFluxBench:
        """A network of these sizes with random weights from torch's global generator."""
        return CarbonFluxBench(self)


class Film(NamedTuple):
    """scale: s, of the embedded drivers; gamma, beta: of the states; all `(row, hidden)`."""

    scale: Tensor
    gamma: Tensor
    beta: Tensor


class DayNorm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy 2015) of `(..., channel)` over all other axes.

    It keeps only its running averages, without a counter, because releases hold float tensors.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, days: Tensor) -> Tensor:
        """Normalised days, with statistics of the batch in training, running averages otherwise."""
        if not self.training:
            # a product and a sum: each rounds the same at every position in a batch
            factor = self.weight / torch.sqrt(self.variance + EPSILON)
            return (days - self.mean) * factor + self.bias
        flat = days.flatten(0, -2)
        normal = functional.batch_norm(
            flat, self.mean, self.variance, self.weight, self.bias, True, MOMENTUM, EPSILON
        )
        return normal.view_as(days)


class CarbonFluxBench(nn.Module):
    """Task encoder, generator and decoder of one member of an ensemble."""

    def __init__(self, config: CarbonFluxBenchConfig) -> None:
        """Make the layers, in the sizes of `config`."""
        super().__init__()
        self.config = config
        width = config.encoder_hidden
        self.day = nn.Linear(config.channels + config.classes, width)
        self.norm = DayNorm(width)
        self.encoder = nn.LSTM(width, width, bidirectional=True)
        self.embedding = nn.Linear(width, config.latent)
        self.scale = nn.Linear(config.latent, config.hidden)
        self.film = nn.Linear(config.latent, 2 * config.hidden)
        self.drivers = nn.Linear(config.channels, config.hidden)
        self.decoder = nn.LSTM(config.hidden, config.hidden, config.layers)
        self.dropout = nn.Dropout(config.dropout)
        self.heads = nn.Linear(config.hidden, len(FLUXES))
        self._start()

    def _start(self) -> None:
        """Start every linear layer as the released code does (Glorot & Bengio 2010)."""
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)

    def encode(self, support: Tensor, present: Tensor, onehot: Tensor) -> Tensor:
        """Task embedding z `(task, latent)`: the mean over the windows that are present.

        The released code uses one window, the query window. See
        `upscale.network.networks.parts.mean_embedding`.
        """
        return mean_embedding(self.embed, self.config.latent, support, present, onehot)

    def embed(self, windows: Tensor, onehot: Tensor) -> Tensor:
        """Embedding `(row, latent)` of each window `(row, day, channel)` with its one-hots."""
        days = windows.transpose(0, 1)
        classes = onehot.to(days.dtype).expand(len(days), -1, -1)
        each = self.norm(steady_linear(self.day, torch.cat([days, classes], dim=2)))
        _, (final, _) = self.encoder(functional.leaky_relu(each, SLOPE))
        return steady_linear(self.embedding, final[0] + final[1])

    def generate(self, z: Tensor) -> Film:
        """FiLM parameters of each z `(row, latent)`; gamma = 1 + output of the layer."""
        gamma, beta = self.film(z).chunk(2, dim=1)
        return Film(functional.relu(self.scale(z)) + 1, gamma + 1, beta)

    def decode(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """Scaled fluxes `(row, day, 3)`: gpp, reco, nee on every day.

        x: `(row, day, channel)` scaled; z: `(row, latent)`, or None for the decoder alone
        (stage 1), which is not modulated.
        """
        film = None if z is None else self.generate(z)
        return self.decode_days(x.transpose(0, 1), film).transpose(0, 1)

    def decode_days(self, days: Tensor, film: Film | None) -> Tensor:
        """As `decode`, time first: `(day, row, channel)` to `(day, row, 3)`."""
        embedded = self.drivers(days)
        if film is not None:
            embedded = embedded * film.scale + film.scale
        states, _ = self.decoder(embedded)
        if film is not None:
            states = states * film.gamma + film.beta
        return steady_linear(self.heads, self.dropout(states))

    def forward(self, x: Tensor, support: Tensor, present: Tensor, onehot: Tensor) -> Tensor:
        """Scaled fluxes `(row, day, 3)` of query windows x, one support set for each row."""
        return self.decode(x, self.encode(support, present, onehot))
