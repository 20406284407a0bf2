"""Parts that the networks share: checks of sizes, the mean over windows, and linear layers whose
rounding does not depend on the position in a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


def check_sizes(sizes: Mapping[str, float]) -> None:
    """Refuse impossible sizes of a network (`dropout` is a share, all others are counts).

    ValueError names the impossible sizes.
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

    support: `(task, window, day, channel)` scaled, arbitrary where not present; present:
    `(task, window)` bool; onehot: `(task, class)`. A task without any window gets z = 0.
    """
    task, window = torch.nonzero(present, as_tuple=True)
    each = embed(support[task, window], onehot[task])
    total = each.new_zeros(len(support), latent).index_add(0, task, each)
    return total / present.sum(1, keepdim=True).clamp(min=1).to(total.dtype)


#: With fewer outputs than `_NARROW`, rounding of a matrix product may depend on the position of
#: a row in its batch, unless the number of inputs is a multiple of `_VECTOR`.
_NARROW, _VECTOR = 16, 4


def steady_linear(layer: nn.Linear, rows: Tensor) -> Tensor:
    """The layer applied to `(..., input)`: a row gives the same bits at every position.

    On a CPU a narrow matrix product computes the last rows of a batch in a different way; with
    the weights as the left factor, all rows are computed in the same way.
    """
    if layer.out_features >= _NARROW or layer.in_features % _VECTOR == 0:
        return layer(rows)  # type: ignore[no-any-return]
    flat = layer.weight @ rows.flatten(0, -2).T + layer.bias[:, None]
    return flat.T.reshape(*rows.shape[:-1], layer.out_features)


def remember(lstm: nn.LSTM) -> None:
    """Set the forget gates of a new LSTM to remember: bias 1 (Jozefowicz et al. 2015)."""
    size = lstm.hidden_size
    with torch.no_grad():
        for layer in range(lstm.num_layers):
            getattr(lstm, f"bias_hh_l{layer}")[size : 2 * size] = 1.0
