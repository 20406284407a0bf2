"""Synthetic weights in the layout of the released TAM-RL code."""

from __future__ import annotations

import torch
from torch import Tensor, nn

State = dict[str, dict[str, Tensor]]


def released_state(
    seed: int = 0,
    drivers: int = 20,
    hidden: int = 32,
    latent: int = 8,
    layers: int = 1,
    encoder_hidden: int | None = None,
    classes: int = 51,
) -> State:
    """State dicts `encoder` and `decoder` with the names and shapes of the released code
    (arXiv 2603.09868), including the parts that predictions do not use; weights from `seed`.

    encoder_hidden: by default `latent`, as in the released code.
    """
    width, inner = drivers + classes, encoder_hidden or latent
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        norm = _trained_norm(inner)
        encoder = nn.ModuleDict(
            {
                "instance_encoder": nn.Sequential(nn.Linear(width, inner), norm),
                "temporal_encoder": nn.LSTM(inner, inner, bidirectional=True),
                "code_linear": nn.Linear(inner, latent),
                "decode_linear": nn.Linear(latent, inner),
                "temporal_decoder": nn.LSTM(inner, inner),
                "instance_decoder": nn.Linear(inner, width),
                "static_out": nn.Linear(latent, latent),
            }
        )
        decoder = nn.ModuleDict(
            {
                "dynamic_encoder": nn.Linear(drivers, hidden),
                "static_encoder": nn.Linear(latent, hidden),
                "film_layer_head": nn.Linear(latent, 2 * hidden),
                "encoder": nn.LSTM(hidden, hidden, layers),
                "out": nn.Linear(hidden, 3),
            }
        )
    return {"encoder": encoder.state_dict(), "decoder": decoder.state_dict()}


def _trained_norm(width: int) -> nn.BatchNorm1d:
    """A normalisation as after training, with statistics and weights different from 0 and 1."""
    norm = nn.BatchNorm1d(width)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.3, 2)
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_(0, 0.3)
    return norm
