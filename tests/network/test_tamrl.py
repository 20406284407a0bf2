"""TAM-RL against its equations written out in numpy, in double precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from upscale.network.networks.tamrl import TamRl, TamRlConfig

Doubles = NDArray[np.float64]
Weights = Mapping[str, Doubles]

CONFIG = TamRlConfig(
    channels=7, classes=5, hidden=13, latent=6, encoder_hidden=9, generator_hidden=11
)


def sigmoid(x: Doubles) -> Doubles:
    return 1 / (1 + np.exp(-x))


def lstm(x: Doubles, weights: Weights, prefix: str, suffix: str = "l0") -> Doubles:
    """Hidden states `(row, day, hidden)` of an LSTM over `(row, day, channel)`."""
    w_in, w_state = weights[f"{prefix}.weight_ih_{suffix}"], weights[f"{prefix}.weight_hh_{suffix}"]
    bias = weights[f"{prefix}.bias_ih_{suffix}"] + weights[f"{prefix}.bias_hh_{suffix}"]
    hidden = w_state.shape[1]
    h = c = np.zeros((len(x), hidden))
    states = []
    for day in range(x.shape[1]):
        gates = x[:, day] @ w_in.T + h @ w_state.T + bias
        keep, forget, new, out = np.split(gates, 4, axis=1)
        c = sigmoid(forget) * c + sigmoid(keep) * np.tanh(new)
        h = sigmoid(out) * np.tanh(c)
        states.append(h)
    return np.stack(states, axis=1)


def reference_encode(
    weights: Weights, support: Doubles, present: NDArray[np.bool_], onehot: Doubles
) -> Doubles:
    """z `(task, latent)`."""
    z = np.zeros((len(support), CONFIG.latent))
    for task in range(len(support)):
        embeddings = []
        for window in support[task][present[task]]:
            each_day = np.broadcast_to(onehot[task], (len(window), len(onehot[task])))
            x = np.concatenate([window, each_day], axis=1)[None]
            forward = lstm(x, weights, "encoder")[0, -1]
            backward = lstm(x[:, ::-1], weights, "encoder", "l0_reverse")[0, -1]
            seen = [forward, backward]
            if weights["embedding.weight"].shape[1] > 2 * CONFIG.encoder_hidden:
                seen.append(onehot[task])
            both = np.concatenate(seen)
            embeddings.append(weights["embedding.weight"] @ both + weights["embedding.bias"])
        z[task] = np.mean(embeddings, axis=0)
    return z


def reference_generate(weights: Weights, z: Doubles) -> tuple[Doubles, ...]:
    """gamma1, beta1, gamma2, beta2."""
    inner = np.maximum(z @ weights["generator.0.weight"].T + weights["generator.0.bias"], 0)
    outer = inner @ weights["generator.2.weight"].T + weights["generator.2.bias"]
    c, h = CONFIG.channels, CONFIG.hidden
    return (
        1 + outer[:, :c],
        outer[:, c : 2 * c],
        1 + outer[:, 2 * c :][:, :h],
        outer[:, 2 * c + h :],
    )


def reference_decode(weights: Weights, x: Doubles, z: Doubles | None) -> Doubles:
    """Scaled fluxes `(row, day, 3)`."""
    if z is None:
        states = lstm(x, weights, "decoder")
    else:
        gamma1, beta1, gamma2, beta2 = (part[:, None] for part in reference_generate(weights, z))
        states = gamma2 * lstm(gamma1 * x + beta1, weights, "decoder") + beta2
    return states @ weights["heads.weight"].T + weights["heads.bias"]


class Case:
    """A network with weights far from zero, a query, and support sets with windows absent."""

    def __init__(self, config: TamRlConfig = CONFIG) -> None:
        torch.manual_seed(0)
        self.network = config.build().eval()
        with torch.no_grad():
            for tensor in self.network.parameters():
                tensor.normal_(0, 0.4)
        self.weights = {k: v.double().numpy() for k, v in self.network.state_dict().items()}
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(4, 45, CONFIG.channels))
        self.support = rng.normal(size=(4, 3, 45, CONFIG.channels))
        self.present = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1], [1, 1, 0]], bool)
        self.onehot = np.eye(CONFIG.classes)[[0, 2, 2, 4]]

    def tensors(self, dtype: torch.dtype) -> list[torch.Tensor]:
        arrays = (self.x, self.support, self.present, self.onehot)
        tensors = [torch.from_numpy(array) for array in arrays]
        return [each if each.dtype == torch.bool else each.to(dtype) for each in tensors]


@pytest.fixture
def case() -> Case:
    return Case()


@pytest.mark.parametrize("class_skip", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_the_whole_chain_is_that_of_the_equations(
    dtype: torch.dtype, tolerance: float, class_skip: bool
) -> None:
    case = Case(replace(CONFIG, class_skip=class_skip))
    network = case.network.to(dtype)
    z = reference_encode(case.weights, case.support, case.present, case.onehot)
    fluxes = reference_decode(case.weights, case.x, z)
    x, support, present, onehot = case.tensors(dtype)
    with torch.inference_mode():
        assert network.encode(support, present, onehot).numpy() == pytest.approx(z, abs=tolerance)
        found = network(x, support, present, onehot).numpy()
    assert found == pytest.approx(fluxes, abs=tolerance * np.abs(fluxes).max())


def test_the_generator_gives_the_film_parameters_in_order(case: Case) -> None:
    z = np.random.default_rng(1).normal(size=(5, CONFIG.latent))
    found = case.network.double().generate(torch.from_numpy(z))
    for tensor, expected in zip(found, reference_generate(case.weights, z), strict=True):
        assert tensor.detach().numpy() == pytest.approx(expected, abs=1e-12)


def test_without_z_the_decoder_stands_alone(case: Case) -> None:
    found = case.network.double().decode(torch.from_numpy(case.x)).detach().numpy()
    assert found == pytest.approx(reference_decode(case.weights, case.x, None), abs=1e-10)


def test_an_untrained_network_starts_near_the_unmodulated_decoder() -> None:
    torch.manual_seed(3)
    network = TamRl(CONFIG).eval()
    x, z = torch.randn(6, 45, CONFIG.channels), torch.randn(6, CONFIG.latent)
    with torch.inference_mode():
        plain, modulated = network.decode(x), network.decode(x, z)
    assert (plain - modulated).abs().max() < 0.1
    assert not torch.equal(plain, modulated)


def test_what_stands_in_absent_windows_changes_nothing_not_even_gradients(case: Case) -> None:
    x, support, present, onehot = case.tensors(torch.float32)
    clean = case.network(x, support, present, onehot)
    support[~present] = float("nan")
    spoilt = case.network(x, support, present, onehot)
    assert torch.equal(clean, spoilt)
    spoilt.sum().backward()
    for tensor in case.network.parameters():
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()


def test_a_task_without_support_gets_a_zero_embedding(case: Case) -> None:
    _, support, present, onehot = case.tensors(torch.float32)
    present[1] = False
    z = case.network.encode(support, present, onehot)
    assert (z[1] == 0).all()
    assert (z[0] != 0).all()


def test_gradients_reach_encoder_generator_and_decoder(case: Case) -> None:
    case.network(*case.tensors(torch.float32)).square().mean().backward()
    for name, tensor in case.network.named_parameters():
        assert tensor.grad is not None, name
        assert tensor.grad.abs().max() > 0, name


def test_two_layers_and_dropout_are_to_be_had() -> None:
    network = TamRlConfig(7, 5, hidden=8, layers=2, dropout=0.3).build()
    x = torch.randn(2, 45, 7)
    assert not torch.equal(network.decode(x), network.decode(x))
    network.eval()
    assert torch.equal(network.decode(x), network.decode(x))


@pytest.mark.parametrize("sizes", [{"hidden": 0}, {"layers": -1}, {"dropout": 1.0}])
def test_impossible_sizes_are_refused(sizes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected sizes of at least 1"):
        TamRlConfig(7, 5, **sizes)
