"""TAMLSTM and CT-LSTM against their equations in double precision."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from upscale.network.networks.ctlstm import CtLstmConfig
from upscale.network.networks.tamlstm import TamLstmConfig

Doubles = NDArray[np.float64]

CHANNELS, CLASSES, ROWS, DAYS = 7, 5, 6, 45


def sigmoid(x: Doubles) -> Doubles:
    return 1 / (1 + np.exp(-x))


def reference(weights: Mapping[str, Doubles], x: Doubles, layers: int) -> Doubles:
    """Fluxes `(row, day, 3)` of an LSTM of some layers with linear heads, day by day."""
    hidden = weights["heads.weight"].shape[1]
    h, c = np.zeros((2, layers, len(x), hidden))
    fluxes = []
    for day in range(x.shape[1]):
        given = x[:, day]
        for k in range(layers):
            gates = given @ weights[f"decoder.weight_ih_l{k}"].T
            gates += h[k] @ weights[f"decoder.weight_hh_l{k}"].T
            gates += weights[f"decoder.bias_ih_l{k}"] + weights[f"decoder.bias_hh_l{k}"]
            i, f, g, o = np.split(gates, 4, axis=1)
            c[k] = sigmoid(f) * c[k] + sigmoid(i) * np.tanh(g)
            h[k] = given = sigmoid(o) * np.tanh(c[k])
        fluxes.append(given @ weights["heads.weight"].T + weights["heads.bias"])
    return np.stack(fluxes, axis=1)


@pytest.fixture
def x() -> Doubles:
    return np.random.default_rng(0).normal(size=(ROWS, DAYS, CHANNELS))


@pytest.fixture
def onehot() -> Doubles:
    return np.eye(CLASSES)[[0, 1, 2, 2, 3, 4]] + np.eye(CLASSES)[[1, 4, 3, 1, 0, 0]]


def weights_of(network: torch.nn.Module) -> dict[str, Doubles]:
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("layers", [1, 2])
def test_tamlstm_is_an_lstm_of_the_drivers_alone(x: Doubles, layers: int) -> None:
    torch.manual_seed(0)
    network = TamLstmConfig(CHANNELS, CLASSES, 11, layers).build().double().eval()
    found = network.decode(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, reference(weights_of(network), x, layers), atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
def test_ctlstm_reads_the_one_hots_on_every_day(x: Doubles, onehot: Doubles, layers: int) -> None:
    torch.manual_seed(0)
    network = CtLstmConfig(CHANNELS, CLASSES, 11, layers).build().double().eval()
    every_day = np.repeat(onehot[:, None], DAYS, axis=1)
    expected = reference(weights_of(network), np.concatenate([x, every_day], axis=2), layers)
    windows = torch.from_numpy(x)
    z = network.embed(windows, torch.from_numpy(onehot))
    np.testing.assert_array_equal(z.numpy(), onehot)
    np.testing.assert_allclose(network.decode(windows, z).detach().numpy(), expected, atol=1e-12)
    nothing = np.concatenate([x, 0 * every_day], axis=2)
    np.testing.assert_allclose(
        network.decode(windows).detach().numpy(),
        reference(weights_of(network), nothing, layers),
        atol=1e-12,
    )


@pytest.mark.parametrize("config", [TamLstmConfig, CtLstmConfig])
def test_history_changes_nothing_and_every_tensor_gets_a_gradient(
    config: type[TamLstmConfig] | type[CtLstmConfig], x: Doubles, onehot: Doubles
) -> None:
    network = config(CHANNELS, CLASSES, 8).build().double()
    support, present = torch.randn(ROWS, 3, DAYS, CHANNELS).double(), torch.ones(ROWS, 3).bool()
    windows, classes = torch.from_numpy(x), torch.from_numpy(onehot)
    one = network(windows, support, present, classes)
    other = network(windows, 2 * support, present, classes)
    assert torch.equal(one, other)
    z = network.encode(support, present, classes)
    assert z.shape == (ROWS, network.config.latent)
    np.testing.assert_allclose(
        network.decode(windows, z).detach(), one.detach(), rtol=0, atol=1e-14
    )
    one.square().mean().backward()
    for name, tensor in network.named_parameters():
        assert tensor.grad is not None, name
        assert tensor.grad.abs().max() > 0, name


@pytest.mark.parametrize("config", [TamLstmConfig, CtLstmConfig])
def test_impossible_sizes_are_refused(config: type[TamLstmConfig]) -> None:
    with pytest.raises(ValueError, match="expected sizes of at least 1"):
        config(CHANNELS, CLASSES, hidden=0)
