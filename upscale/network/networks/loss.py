"""The knowledge-guided loss.

Rozanov et al. (2026), section Loss Function:
L = MSE * w_qc * w_igbp * w_koppen + alpha * L_flux with alpha = 0.1, where L_flux penalises
departures from NEE = RECO - GPP (the sign of that section; the introduction has it wrong).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ALPHA = 0.1

#: w_qc of a day whose data product gives only a pass/fail mask, no quality number.
MASK_ONLY_QUALITY = 0.9


class Loss(NamedTuple):
    """total = fit + alpha * balance; fit: weighted MSE, scaled; balance: (g m-2 d-1)^2."""

    total: Tensor
    fit: Tensor
    balance: Tensor


def flux_loss(
    predicted: Tensor,
    target: Tensor,
    quality: Tensor,
    class_weight: Tensor,
    flux_mean: Tensor,
    flux_std: Tensor,
    alpha: float = ALPHA,
) -> Loss:
    """The whole loss of a batch.

    predicted, target: `(row, day, 3)` scaled (gpp, reco, nee), target NaN where not measured;
    quality: `(row, day)` 0..1, NaN where only a mask is known; class_weight: `(row,)`,
    w_igbp * w_koppen; flux_mean, flux_std: `(3,)` g m-2 d-1. The balance term covers every
    day of the batch, measured or not. Source: section Loss Function, its only equation.
    """
    weight = quality_weight(quality) * class_weight[:, None]
    fit = weighted_fit(predicted, target, weight)
    balance = balance_penalty(predicted * flux_std + flux_mean)
    return Loss(fit + alpha * balance, fit, balance)


def weighted_fit(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean of weight * squared error over all measured values of the three fluxes; scalar.

    predicted, target: `(row, day, 3)`; weight: `(row, day)`. 0 where nothing was measured.
    """
    measured = torch.isfinite(target)
    # the target is replaced before the difference: a NaN times 0 would still be a NaN gradient
    error = predicted - torch.where(measured, target, predicted.detach())
    return (error.square() * weight[..., None]).sum() / measured.sum().clamp(min=1)


def balance_penalty(fluxes: Tensor) -> Tensor:
    """L_flux: mean of (NEE - (RECO - GPP))^2, (g m-2 d-1)^2; scalar.

    fluxes: `(row, day, 3)` gpp, reco, nee in g m-2 d-1: scaled fluxes have no balance.
    """
    gpp, reco, nee = fluxes.unbind(-1)
    return (nee - (reco - gpp)).square().mean()


def quality_weight(quality: Tensor) -> Tensor:
    """w_qc of each day, any shape: the quality 0..1 itself, 0.9 where it is NaN."""
    return torch.where(torch.isnan(quality), MASK_ONLY_QUALITY, quality)


def inverse_frequency_weights(codes: NDArray[np.integer]) -> NDArray[np.float32]:
    """w_igbp or w_koppen of each sample `(sample,)`, from its class code `(sample,)`.

    n / (k * n_class) for n samples in k classes: every class weighs the same in total, and
    the mean over the samples is 1.
    """
    _, which, counts = np.unique(codes, return_inverse=True, return_counts=True)
    weights = codes.size / (counts.size * counts)
    return np.asarray(weights[which.ravel()], np.float32)
