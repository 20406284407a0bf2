"""What the networks share: the check of their sizes, and the mean over the windows of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


def check_sizes(sizes: Mapping[str, float]) -> None:
    """Refuse impossible sizes of a network (`dropout` is a share, all others are counts).

    ValueError names them.
    """
    dropout = sizes.get("dropout", 0.0)
    wrong = [f"{name}={size}" for name, size in sizes.items() if name != "dropout" and size < 1]
    if wrong or not 0 <= dropout < 1:
        raise ValueError(
            "expected sizes of at least 1 and 0 <= dropout < 1, "
            f"found {', '.join(wrong) or f'dropout={dropout}'}"
        )


def mean_embedding(
    embed: Callable[[Tensor, Tensor], Tensor],
    latent: int,
    support: Tensor,
    present: Tensor,
    onehot: Tensor,
) -> Tensor:
    """z `(task, latent)`: the mean of `embed` over the windows that are present.

    support: `(task, window, day, channel)` scaled, anything where not present; present:
    `(task, window)` bool; onehot: `(task, class)`. A task without any window gets z = 0.
    """
    task, window = torch.nonzero(present, as_tuple=True)
    each = embed(support[task, window], onehot[task])
    total = each.new_zeros(len(support), latent).index_add(0, task, each)
    return total / present.sum(1, keepdim=True).clamp(min=1).to(total.dtype)


def remember(lstm: nn.LSTM) -> None:
    """Set the forget gates of a new LSTM to remember: bias 1 (Jozefowicz et al. 2015)."""
    size = lstm.hidden_size
    with torch.no_grad():
        for layer in range(lstm.num_layers):
            getattr(lstm, f"bias_hh_l{layer}")[size : 2 * size] = 1.0
