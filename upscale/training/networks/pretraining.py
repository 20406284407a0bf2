"""Pretraining of the encoder on drivers, before it sees any flux.

Drivers are known on many more days than fluxes. Two support sets are drawn from different
windows of each place, and the encoder learns to give them embeddings that are nearer to each
other than to those of other places: the contrast of Chen T. et al. (2020), A Simple Framework
for Contrastive Learning of Visual Representations, equation 1, without a projection head.
Classes are hidden, since they alone would nearly tell the place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from upscale.network.networks.architectures import Network
from upscale.training.config import Augmentation, Draw
from upscale.training.dataset import Dataset, draw_faults, window_days

_CLEAN = Augmentation(hide_optional=0, unknown_class=1)

#: Seed of the support sets that validation compares, so that epochs are compared fairly.
_SCORE_SEED = 20


@dataclass(frozen=True, eq=False)
class Views:
    """Two support sets of each place.

    support: `(2, place, window, day, channel)`; present: `(2, place, window)`; onehot:
    `(place, class)`, all unknown; cluster: `(place,)` numbers.
    """

    support: Tensor
    present: Tensor
    onehot: Tensor
    cluster: Tensor


def draw_views(data: Dataset, plan: Draw, spoil: Augmentation, rng: np.random.Generator) -> Views:
    """Two support sets of up to `plan.support` windows each, of up to `plan.towers` places.

    A place takes part if its support years hold two windows, with fluxes or without. The two
    sets share no window, and each is degraded independently.
    """
    pools = [np.concatenate(place.years) for place in data.places]
    usable = [i for i, pool in enumerate(pools) if len(pool) > 1]
    chosen = rng.permutation(usable)[: plan.towers]
    starts = np.stack([_two_sets(pools[i], plan.support, rng) for i in chosen], axis=1)
    support = data.channels[window_days(starts.clip(0), data.window)]
    faults = [draw_faults(len(chosen), data.scaler, spoil, rng) for _ in range(2)]
    shift, keep = (torch.stack(part)[:, :, None, None] for part in zip(*faults, strict=True))
    clusters = np.array([data.towers[i].cluster for i in chosen])
    unknown = np.zeros((len(chosen), 2), np.int64)
    return Views(
        support=(support + shift) * keep,
        present=torch.from_numpy(starts >= 0),
        onehot=torch.from_numpy(data.classes.onehot(unknown)),
        cluster=torch.from_numpy(np.unique(clusters, return_inverse=True)[1]),
    )


def view_loss(network: Network, views: Views, temperature: float) -> Tensor:
    """The contrast between the embeddings of two views; scalar."""
    first, second = (
        network.encode(views.support[i], views.present[i], views.onehot) for i in range(2)
    )
    return contrast(first, second, views.cluster, temperature)


@torch.no_grad()
def score_views(network: Network, data: Dataset, plan: Draw, temperature: float) -> float:
    """The same at all places of `data`, on support sets that are the same at every call."""
    everywhere = plan.model_copy(update={"towers": len(data.places)})
    views = draw_views(data, everywhere, _CLEAN, np.random.default_rng(_SCORE_SEED))
    return float(view_loss(network, views, temperature))


def contrast(first: Tensor, second: Tensor, cluster: Tensor, temperature: float) -> Tensor:
    """Mean cross entropy of finding each embedding's other view among all others; scalar.

    first, second: `(place, latent)`, compared by cosine over `temperature`; cluster:
    `(place,)`: places of one cluster have one weather and are not told apart.
    """
    count = len(first)
    z = functional.normalize(torch.cat([first, second]), dim=1)
    likeness = z @ z.T / temperature
    partner = torch.arange(2 * count).roll(count)
    group = torch.cat([cluster, cluster])
    apart = group[:, None] != group[None]
    apart[torch.arange(2 * count), partner] = True
    return functional.cross_entropy(likeness.masked_fill(~apart, -torch.inf), partner)


def _two_sets(pool: NDArray[np.int64], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Starts `(2, most)` of two sets of different windows from a pool, -1 for none."""
    mixed, half = rng.permutation(pool), min(most, len(pool) // 2)
    sets = np.full((2, most), -1, np.int64)
    sets[:, :half] = mixed[: 2 * half].reshape(2, half)
    return sets
