"""TAM-RL of the released code: layer by layer what its published equations say.

The reference is numpy in double precision and reads the tensors under the names that the
released code gives them; the network gets the same tensors through the import.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from upscale.network.networks.carbonfluxbench import CarbonFluxBench, CarbonFluxBenchConfig, DayNorm
from upscale.network.released_code.state import read_member
from upscale.testing.carbonfluxbench import released_state

Doubles = NDArray[np.float64]
Weights = Mapping[str, Doubles]

DRIVERS, CLASSES, ROWS, DAYS = 6, 51, 5, 30


def sigmoid(x: Doubles) -> Doubles:
    return 1 / (1 + np.exp(-x))


def lstm(x: Doubles, weights: Weights, prefix: str, suffix: str) -> Doubles:
    """Hidden states `(row, day, hidden)`; gates in the order input, forget, cell, output."""
    w_x, w_h = weights[f"{prefix}.weight_ih_{suffix}"], weights[f"{prefix}.weight_hh_{suffix}"]
    b = weights[f"{prefix}.bias_ih_{suffix}"] + weights[f"{prefix}.bias_hh_{suffix}"]
    h = c = np.zeros((len(x), w_h.shape[1]))
    states = []
    for day in range(x.shape[1]):
        i, f, g, o = np.split(x[:, day] @ w_x.T + h @ w_h.T + b, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.stack(states, axis=1)


def linear(x: Doubles, weights: Weights, name: str) -> Doubles:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def reference_encoder(weights: Weights, x: Doubles, onehot: Doubles) -> dict[str, Doubles]:
    """Every layer of the encoder, from drivers `(row, day, driver)` to z."""
    classes = np.repeat(onehot[:, None], x.shape[1], axis=1)
    day = linear(np.concatenate([x, classes], axis=2), weights, "instance_encoder.0")
    norm = {
        part: weights[f"instance_encoder.1.{part}"]
        for part in ("weight", "bias", "running_mean", "running_var")
    }
    centred = (day - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5)
    normal = centred * norm["weight"] + norm["bias"]
    bent = np.where(normal > 0, normal, 0.2 * normal)
    forward = lstm(bent, weights, "temporal_encoder", "l0")[:, -1]
    backward = lstm(bent[:, ::-1], weights, "temporal_encoder", "l0_reverse")[:, -1]
    z = linear(forward + backward, weights, "code_linear")
    return {"day": day, "norm": normal, "forward": forward, "backward": backward, "z": z}


def reference_decoder(weights: Weights, x: Doubles, z: Doubles | None) -> dict[str, Doubles]:
    """Every layer of generator and decoder, to scaled fluxes `(row, day, 3)`."""
    layers = {"drivers": linear(x, weights, "dynamic_encoder")}
    moved = layers["drivers"]
    if z is not None:
        s = np.maximum(linear(z, weights, "static_encoder"), 0) + 1
        moved = s[:, None] * moved + s[:, None]
        film = linear(z, weights, "film_layer_head")
        gamma, beta = film[:, : film.shape[1] // 2], film[:, film.shape[1] // 2 :]
        layers |= {"scale": s, "gamma": gamma + 1, "beta": beta}
    states = moved
    for layer in range(sum(name.startswith("encoder.weight_ih") for name in weights)):
        states = lstm(states, weights, "encoder", f"l{layer}")
    layers["states"] = states
    if z is not None:
        states = layers["gamma"][:, None] * states + layers["beta"][:, None]
    return layers | {"fluxes": linear(states, weights, "out")}


class Case:
    """A file of the released code, the network made of it, and a batch of windows."""

    def __init__(self, folder: Path, **sizes: int) -> None:
        state = released_state(seed=3, drivers=DRIVERS, hidden=16, latent=7, **sizes)
        torch.save(state, folder / "state.pt")
        self.encoder, self.decoder = (
            {name: tensor.double().numpy() for name, tensor in state[part].items()}
            for part in ("encoder", "decoder")
        )
        member = read_member(folder / "state.pt")
        self.network = member.config.build()
        self.network.load_state_dict(member.weights)
        self.network.double().eval()
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=(ROWS, DAYS, DRIVERS))
        self.onehot = np.zeros((ROWS, CLASSES))
        for row, columns in enumerate(([0, 16, 21], [5, 18, 40], [15, 20, 50], [7], [])):
            self.onehot[row, columns] = 1

    def embed(self) -> torch.Tensor:
        return self.network.embed(torch.from_numpy(self.x), torch.from_numpy(self.onehot))


@pytest.fixture(params=[{"layers": 1}, {"layers": 2, "encoder_hidden": 9}], ids=str)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return Case(tmp_path, **request.param)


def close(found: torch.Tensor, expected: Doubles) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10, atol=1e-11)


def test_the_encoder_is_that_of_the_equations_layer_by_layer(case: Case) -> None:
    expected, net = reference_encoder(case.encoder, case.x, case.onehot), case.network
    classes = torch.from_numpy(case.onehot)[:, None].expand(-1, DAYS, -1)
    day = net.day(torch.cat([torch.from_numpy(case.x), classes], dim=2))
    close(day, expected["day"])
    normal = net.norm(day)
    close(normal, expected["norm"])
    _, (final, _) = net.encoder(functional.leaky_relu(normal, 0.2).transpose(0, 1))
    close(final[0], expected["forward"])
    close(final[1], expected["backward"])
    close(case.embed(), expected["z"])


def test_generator_and_decoder_are_those_of_the_equations_layer_by_layer(case: Case) -> None:
    z = reference_encoder(case.encoder, case.x, case.onehot)["z"]
    expected, net = reference_decoder(case.decoder, case.x, z), case.network
    film = net.generate(torch.from_numpy(z))
    for name in ("scale", "gamma", "beta"):
        close(getattr(film, name), expected[name])
    embedded = net.drivers(torch.from_numpy(case.x).transpose(0, 1))
    close(embedded.transpose(0, 1), expected["drivers"])
    states, _ = net.decoder(film.scale * embedded + film.scale)
    close(states.transpose(0, 1), expected["states"])
    close(net.decode(torch.from_numpy(case.x), torch.from_numpy(z)), expected["fluxes"])


def test_the_whole_chain_reads_the_query_window_as_its_own_context(case: Case) -> None:
    x, onehot = torch.from_numpy(case.x), torch.from_numpy(case.onehot)
    z = reference_encoder(case.encoder, case.x, case.onehot)["z"]
    expected = reference_decoder(case.decoder, case.x, z)["fluxes"]
    close(case.network(x, x[:, None], torch.ones(ROWS, 1, dtype=torch.bool), onehot), expected)


def test_single_precision_is_close_to_double(case: Case) -> None:
    network = case.network.float()
    x, onehot = (torch.from_numpy(part).float() for part in (case.x, case.onehot))
    z = reference_encoder(case.encoder, case.x, case.onehot)["z"]
    expected = reference_decoder(case.decoder, case.x, z)["fluxes"]
    found = network.decode(x, network.embed(x, onehot)).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_without_z_the_decoder_stands_alone(case: Case) -> None:
    expected = reference_decoder(case.decoder, case.x, None)["fluxes"]
    close(case.network.decode(torch.from_numpy(case.x)), expected)


def test_batch_normalisation_in_training_is_that_of_its_equations() -> None:
    rng, norm = np.random.default_rng(1), DayNorm(4).double()
    with torch.no_grad():
        norm.weight.copy_(torch.from_numpy(rng.normal(size=4)))
        norm.bias.copy_(torch.from_numpy(rng.normal(size=4)))
    days = rng.normal(2, 3, (DAYS, ROWS, 4))
    flat = days.reshape(-1, 4)
    expected = (days - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
    close(
        norm(torch.from_numpy(days)),
        expected * norm.weight.detach().numpy() + norm.bias.detach().numpy(),
    )
    close(norm.mean, 0.1 * flat.mean(0))
    close(norm.variance, 0.9 + 0.1 * flat.var(0, ddof=1))


def test_it_trains_and_every_tensor_gets_a_gradient() -> None:
    torch.manual_seed(0)
    network = CarbonFluxBenchConfig(DRIVERS, CLASSES, hidden=8, latent=4, layers=2).build()
    x, onehot = torch.randn(ROWS, DAYS, DRIVERS), torch.eye(CLASSES)[:ROWS]
    present = torch.ones(ROWS, 1, dtype=torch.bool)
    before = network.norm.mean.clone()
    network(x, x[:, None], present, onehot).square().mean().backward()
    assert not torch.equal(before, network.norm.mean)
    for name, tensor in network.named_parameters():
        assert tensor.grad is not None, name
        assert tensor.grad.abs().max() > 0, name


def test_the_sizes_of_the_released_code_are_the_default() -> None:
    with torch.device("meta"):
        network: CarbonFluxBench = CarbonFluxBenchConfig(20, CLASSES).build()
    assert network.film.weight.shape == (256, 32)
    assert network.day.weight.shape == (32, 71)
    assert all(tensor.dtype == torch.float32 for tensor in network.state_dict().values())
