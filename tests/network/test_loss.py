"""The knowledge-guided loss, against its equations written out in numpy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from upscale.network.networks.loss import flux_loss, inverse_frequency_weights, weighted_fit

Doubles = NDArray[np.float64]


class Batch(NamedTuple):
    predicted: Doubles
    target: Doubles
    quality: Doubles
    class_weight: Doubles
    mean: Doubles
    std: Doubles


def a_batch() -> Batch:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(4, 9, 3))
    target[0, 2] = np.nan  # a day without measurement
    target[1, 3, 1] = np.nan  # one flux missing
    quality = rng.uniform(0.3, 1, (4, 9))
    quality[2] = np.nan  # a product that gives only a mask
    return Batch(
        rng.normal(size=(4, 9, 3)), target, quality, rng.uniform(0.5, 3, 4),
        np.array([3.5, 2.8, -0.7]), np.array([3.8, 2.4, 2.2]),
    )  # fmt: skip


def reference(batch: Batch, alpha: float) -> tuple[float, Doubles]:
    """The loss and its gradient by the predicted values, one value after the other."""
    rows, days, _ = batch.predicted.shape
    gradient = np.zeros_like(batch.predicted)
    fit, count, balance = 0.0, 0, 0.0
    for row in range(rows):
        for day in range(days):
            quality = batch.quality[row, day]
            weight = batch.class_weight[row] * (0.9 if np.isnan(quality) else quality)
            for flux in range(3):
                error = batch.predicted[row, day, flux] - batch.target[row, day, flux]
                if not np.isnan(error):
                    fit, count = fit + weight * error**2, count + 1
                    gradient[row, day, flux] = 2 * weight * error
    gradient /= count
    for row in range(rows):
        for day in range(days):
            gpp, reco, nee = batch.predicted[row, day] * batch.std + batch.mean
            off = nee - (reco - gpp)
            balance += off**2 / (rows * days)
            by_flux = np.array([1.0, -1.0, 1.0]) * batch.std
            gradient[row, day] += alpha * 2 * off * by_flux / (rows * days)
    return fit / count + alpha * balance, gradient


@pytest.mark.parametrize("alpha", [0.0, 0.1, 2.0])
def test_value_and_gradient_are_those_of_the_equations(alpha: float) -> None:
    batch = a_batch()
    parts = [torch.from_numpy(part) for part in batch]
    parts[0].requires_grad_()
    loss = flux_loss(*parts, alpha=alpha)
    loss.total.backward()
    value, gradient = reference(batch, alpha)
    assert loss.total.item() == pytest.approx(value, rel=1e-12)
    assert parts[0].grad is not None
    assert parts[0].grad.numpy() == pytest.approx(gradient, abs=1e-13)


def test_alpha_is_a_tenth_unless_told_otherwise() -> None:
    loss = flux_loss(*[torch.from_numpy(part) for part in a_batch()])
    assert loss.total.item() == pytest.approx((loss.fit + 0.1 * loss.balance).item())


def test_a_missing_flux_gives_no_gradient_and_leaves_the_others_theirs() -> None:
    target = torch.tensor([[[1.0, float("nan"), 2.0]]])
    predicted = torch.zeros(1, 1, 3, requires_grad=True)
    weighted_fit(predicted, target, torch.ones(1, 1)).backward()
    assert predicted.grad is not None
    assert predicted.grad[0, 0].tolist() == pytest.approx([-1.0, 0.0, -2.0])


def test_a_batch_without_any_measurement_has_no_fit_and_no_nan() -> None:
    predicted = torch.zeros(2, 5, 3, requires_grad=True)
    fit = weighted_fit(predicted, torch.full((2, 5, 3), float("nan")), torch.ones(2, 5))
    fit.backward()
    assert fit.item() == 0
    assert predicted.grad is not None
    assert (predicted.grad == 0).all()


def test_fluxes_that_balance_in_physical_units_pay_nothing() -> None:
    mean, std = torch.tensor([3.5, 2.8, -0.7]), torch.tensor([3.8, 2.4, 2.2])
    physical = torch.tensor([[[6.0, 4.0, -2.0]]])  # NEE = RECO - GPP
    scaled = (physical - mean) / std
    loss = flux_loss(scaled, scaled, torch.ones(1, 1), torch.ones(1), mean, std)
    assert loss.balance.item() == pytest.approx(0, abs=1e-10)
    off = flux_loss(scaled, scaled, torch.ones(1, 1), torch.ones(1), mean + 1, std)
    assert off.balance.item() == pytest.approx(1, rel=1e-5)


def test_every_class_weighs_the_same_in_total_and_samples_one_on_average() -> None:
    codes = np.array([3, 3, 3, 3, 7, 7, 0, 3])
    weights = inverse_frequency_weights(codes)
    totals = [weights[codes == code].sum() for code in (0, 3, 7)]
    assert totals == pytest.approx([8 / 3] * 3)
    assert weights.mean() == pytest.approx(1)
