"""From drivers in physical units to fluxes, loss and gradients, beside numpy in double precision.

Nothing here uses the package to say what is right: scaling, both context rules, FiLM, both
variants of TAM-RL and the loss are written out from their equations, and gradients are central
differences of what is written out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from upscale.network.networks.carbonfluxbench import CarbonFluxBenchConfig
from upscale.network.networks.loss import flux_loss
from upscale.network.networks.tamrl import TamRlConfig
from upscale.network.predictor import load_predictor
from upscale.network.releases.release import Release
from upscale.network.support import SupportRule, choose
from upscale.testing.releases import CLASSES, fake_release
from upscale.variables import IGBP, KOPPEN

Doubles = NDArray[np.float64]
Weights = dict[str, Doubles]

WIDTH = CLASSES.width
SIZES = {
    "tamrl": TamRlConfig(6, WIDTH, 7, 4, 5, 6),
    "tamrl-carbonfluxbench": CarbonFluxBenchConfig(6, WIDTH, 7, 4, 5, 2, dropout=0.0),
}


def sigmoid(x: Doubles) -> Doubles:
    return 1 / (1 + np.exp(-x))


def lstm(w: Weights, name: str, x: Doubles, suffix: str = "l0") -> Doubles:
    """Hidden states `(row, day, hidden)`."""
    bias = w[f"{name}.bias_ih_{suffix}"] + w[f"{name}.bias_hh_{suffix}"]
    w_x, w_h = w[f"{name}.weight_ih_{suffix}"], w[f"{name}.weight_hh_{suffix}"]
    h = c = np.zeros((len(x), w_h.shape[1]))
    states = []
    for day in range(x.shape[1]):
        i, f, g, o = np.split(x[:, day] @ w_x.T + h @ w_h.T + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.stack(states, axis=1)


def linear(w: Weights, name: str, x: Doubles) -> Doubles:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def with_classes(x: Doubles, onehot: Doubles) -> Doubles:
    return np.concatenate([x, np.repeat(onehot[:, None], x.shape[1], axis=1)], axis=2)


def both_ways(w: Weights, x: Doubles) -> tuple[Doubles, Doubles]:
    """Final hidden states of a BiLSTM."""
    backward = lstm(w, "encoder", x[:, ::-1], "l0_reverse")
    return lstm(w, "encoder", x)[:, -1], backward[:, -1]


def paper_embed(w: Weights, x: Doubles, onehot: Doubles, training: bool) -> Doubles:
    """z = W [forward; backward] of the BiLSTM over drivers and classes."""
    return linear(w, "embedding", np.concatenate(both_ways(w, with_classes(x, onehot)), axis=1))


def paper_film(w: Weights, z: Doubles) -> tuple[Doubles, ...]:
    """gamma1, beta1, gamma2, beta2 of the generator."""
    made = linear(w, "generator.2", np.maximum(linear(w, "generator.0", z), 0))
    channels = (made.shape[1] - 2 * w["heads.weight"].shape[1]) // 2
    edges = np.cumsum([channels, channels, w["heads.weight"].shape[1]])
    gamma1, beta1, gamma2, beta2 = np.split(made, edges, axis=1)
    return 1 + gamma1, beta1, 1 + gamma2, beta2


def paper_decode(w: Weights, x: Doubles, film: tuple[Doubles, ...]) -> Doubles:
    """x' = gamma1 x + beta1, h' = gamma2 h + beta2."""
    gamma1, beta1, gamma2, beta2 = (part[:, None] for part in film)
    return linear(w, "heads", gamma2 * lstm(w, "decoder", gamma1 * x + beta1) + beta2)


def released_embed(w: Weights, x: Doubles, onehot: Doubles, training: bool) -> Doubles:
    """Linear, batch normalisation, leaky rectifier; BiLSTM; sum of final states; linear."""
    day = linear(w, "day", with_classes(x, onehot))
    mean = day.mean((0, 1)) if training else w["norm.mean"]
    variance = day.var((0, 1)) if training else w["norm.variance"]
    normal = (day - mean) / np.sqrt(variance + 1e-5) * w["norm.weight"] + w["norm.bias"]
    return linear(w, "embedding", sum(both_ways(w, np.where(normal > 0, normal, 0.2 * normal))))


def released_film(w: Weights, z: Doubles) -> tuple[Doubles, ...]:
    """s = relu(W z) + 1, gamma + 1, beta."""
    gamma, beta = np.split(linear(w, "film", z), 2, axis=1)
    return np.maximum(linear(w, "scale", z), 0) + 1, gamma + 1, beta


def released_decode(w: Weights, x: Doubles, film: tuple[Doubles, ...]) -> Doubles:
    """x' = s e + s with e = V x, h' = gamma h + beta."""
    s, gamma, beta = (part[:, None] for part in film)
    states = s * linear(w, "drivers", x) + s
    for layer in ("l0", "l1"):
        states = lstm(w, "decoder", states, layer)
    return linear(w, "heads", gamma * states + beta)


EMBED = {"tamrl": paper_embed, "tamrl-carbonfluxbench": released_embed}
FILM = {"tamrl": paper_film, "tamrl-carbonfluxbench": released_film}
DECODE = {"tamrl": paper_decode, "tamrl-carbonfluxbench": released_decode}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=SIZES)
def model(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


# ---------------------------------------------------------------- contexts, physical units

DAY_ONE = dt.date(2001, 1, 1)
RECORD = (dt.date(2004, 1, 1) - DAY_ONE).days


@pytest.fixture
def release(model: str, tmp_path: Path) -> Release:
    return fake_release(tmp_path / "fake", members=2, model=model, architecture=SIZES[model])


@pytest.fixture
def record() -> NDArray[np.float32]:
    """Three years of ta, sw_in, vpd, p at three places `(place, day, 4)`, with gaps."""
    rng = np.random.default_rng(5)
    drivers = rng.gamma(2, 1, (3, RECORD, 4)) * [8, 90, 3, 2]
    drivers[..., 2:][rng.random((3, RECORD, 2)) < 0.1] = np.nan
    return drivers.astype(np.float32)


CODES = np.array([[1 + IGBP.index("GRA"), 1 + KOPPEN.index("Dfc")], [0, 3], [12, 40]])


def channels(release: Release, drivers: NDArray[np.float32]) -> Doubles:
    """Scaled features, 0 where missing, then a mask for each of vpd and p."""
    columns = []
    for position, feature in enumerate(release.scaler.features):
        value = drivers[..., position].astype(np.float64)
        if feature.transform == "log1p":
            value = np.log1p(value)
        columns.append((value - feature.mean) / feature.std)
    masks = [np.where(np.isnan(columns[i]), 0.0, 1.0) for i in (2, 3)]
    return np.nan_to_num(np.stack([*columns, *masks], axis=-1))


def onehots() -> Doubles:
    """Of `CODES`: ENF DBF GRA CRO other, Aw BSk Csa Cfb Dfb Dfc other."""
    made = np.zeros((3, WIDTH))
    made[[0, 0, 1, 1, 2, 2], [2, 10, 4, 5, 3, 11]] = 1
    return made


def reference_fluxes(
    release: Release, member: int, query: NDArray[np.float32], support: NDArray[np.float32]
) -> Doubles:
    """Physical fluxes `(place, day, 3)` of query windows, context `(place, window, day, 4)`."""
    name = release.manifest.model
    w = {key: stack[member].double().numpy() for key, stack in release.weights.items()}
    places, windows = support.shape[:2]
    flat = channels(release, support).reshape(places * windows, *support.shape[2:3], -1)
    each = EMBED[name](w, flat, np.repeat(onehots(), windows, axis=0), training=False)
    z = each.reshape(places, windows, -1).mean(axis=1)
    scaled = DECODE[name](w, channels(release, query), FILM[name](w, z))
    scale = np.array([[flux.mean, flux.std] for flux in release.scaler.fluxes])
    return scaled * scale[:, 1] + scale[:, 0]


def test_support_years_are_the_context_that_the_equations_say(
    release: Release, record: NDArray[np.float32]
) -> None:
    predictor = load_predictor(release, device="cpu", batch=32)
    rule = SupportRule((2001, 2003), window=45, windows_per_year=8)
    days = (DAY_ONE - dt.date(2000, 1, 1)).days + np.arange(RECORD)
    chosen = choose(np.isfinite(record[..., 0]), days, rule)
    starts = np.maximum(chosen.start, 0)  # what stands in absent windows is not read
    cut = np.stack([record[place, starts[place][:, None] + np.arange(45)] for place in range(3)])
    z = predictor.encode(cut, chosen.present, CODES)
    query = record[:, 500:545]
    found = predictor.decode(query, z)
    begins = [(dt.date(year, 1, 1) - DAY_ONE).days for year in (2001, 2003)]
    windows = [record[:, b + 45 * k : b + 45 * (k + 1)] for b in begins for k in range(8)]
    support = np.stack(windows, axis=1)
    for member in range(2):
        expected = reference_fluxes(release, member, query, support)
        np.testing.assert_allclose(found[member], expected, atol=2e-4)


def test_under_the_rule_query_a_window_is_its_own_context(
    release: Release, record: NDArray[np.float32]
) -> None:
    predictor = load_predictor(release, device="cpu", batch=32)
    query = record[:, 500:530]
    z = predictor.encode(query[:, None], np.ones((3, 1), bool), CODES)
    found = predictor.decode(query, z)
    for member in range(2):
        expected = reference_fluxes(release, member, query, query[:, None])
        np.testing.assert_allclose(found[member], expected, atol=2e-4)


# ---------------------------------------------------------------------------- gradients

MEAN, STD = np.array([3.5, 2.8, -0.7]), np.array([3.8, 2.4, 2.2])
ROWS, DAYS, ALPHA = 4, 9, 0.3


class Batch:
    """A network in double precision and a batch with gaps, qualities and class weights."""

    def __init__(self, model: str, windows: int, training: bool) -> None:
        torch.manual_seed(1)
        rng = np.random.default_rng(2)
        self.model, self.training = model, training
        self.network = SIZES[model].build().double().train(training)
        with torch.no_grad():
            for tensor in self.network.parameters():
                tensor.normal_(0, 0.5)
        self.w = {k: v.numpy().copy() for k, v in self.network.state_dict().items()}
        self.x = rng.normal(size=(ROWS, DAYS, 6))
        self.support = rng.normal(size=(ROWS, windows, DAYS, 6))
        self.onehot = np.eye(WIDTH)[[0, 3, 3, 5]]
        self.target = rng.normal(size=(ROWS, DAYS, 3))
        self.target[rng.random(self.target.shape) < 0.3] = np.nan
        self.quality = rng.random((ROWS, DAYS))
        self.quality[0] = np.nan
        self.class_weight = rng.uniform(0.5, 2, ROWS)

    def loss(self) -> torch.Tensor:
        """What the package says, ready for `backward`."""
        given = (self.x, self.support, np.ones(self.support.shape[:2], bool), self.onehot)
        predicted = self.network(*map(torch.from_numpy, given))
        rest = (self.target, self.quality, self.class_weight, MEAN, STD)
        return flux_loss(predicted, *map(torch.from_numpy, rest), alpha=ALPHA).total

    def z(self, w: Weights) -> Doubles:
        windows = self.support.shape[1]
        flat = self.support.reshape(-1, DAYS, 6)
        onehot = np.repeat(self.onehot, windows, axis=0)
        each = EMBED[self.model](w, flat, onehot, self.training)
        return each.reshape(ROWS, windows, -1).mean(axis=1)

    def reference(self, w: Weights, film: tuple[Doubles, ...] | None = None) -> float:
        """The loss, written out: section Loss Function of the paper."""
        made = FILM[self.model](w, self.z(w)) if film is None else film
        predicted = DECODE[self.model](w, self.x, made)
        quality = np.where(np.isnan(self.quality), 0.9, self.quality)
        weight = (quality * self.class_weight[:, None])[..., None]
        measured = np.isfinite(self.target)
        squares = np.where(measured, weight * (predicted - self.target) ** 2, 0)
        gpp, reco, nee = np.moveaxis(predicted * STD + MEAN, -1, 0)
        balance = ((nee - (reco - gpp)) ** 2).mean()
        return float(squares.sum() / measured.sum() + ALPHA * balance)


def slope(function: Callable[[float], float], step: float = 1e-6) -> float:
    """Central difference at 0, fourth order."""
    near, far = (function(k * step) - function(-k * step) for k in (1, 2))
    return (8 * near - far) / (12 * step)


@pytest.mark.parametrize("windows", [1, 3], ids=["query", "support"])
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
def test_loss_and_gradient_of_every_tensor_are_those_of_the_equations(
    model: str, windows: int, training: bool
) -> None:
    batch = Batch(model, windows, training)
    loss = batch.loss()
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(batch.reference(batch.w), rel=1e-12)
    rng = np.random.default_rng(3)
    for name, tensor in batch.network.named_parameters():
        assert tensor.grad is not None, name
        for _ in range(3):
            way = rng.normal(size=tensor.shape)

            def along(step: float, name: str = name, way: Doubles = way) -> float:
                return batch.reference(batch.w | {name: batch.w[name] + step * way})

            expected, found = slope(along), float((tensor.grad.numpy() * way).sum())
            assert found == pytest.approx(expected, rel=1e-6, abs=1e-8), name


def test_gradients_reach_every_film_parameter_as_the_equations_say(model: str) -> None:
    batch = Batch(model, 1, training=False)
    made = FILM[model](batch.w, batch.z(batch.w))
    given = [torch.from_numpy(part).requires_grad_() for part in made]
    kind = type(batch.network.generate(torch.zeros(1, 4).double()))
    days = torch.from_numpy(batch.x).transpose(0, 1)
    predicted = batch.network.decode_days(days, kind(*given)).transpose(0, 1)
    rest = (batch.target, batch.quality, batch.class_weight, MEAN, STD)
    flux_loss(predicted, *map(torch.from_numpy, rest), alpha=ALPHA).total.backward()  # type: ignore[no-untyped-call]
    for position, tensor in enumerate(given):
        assert tensor.grad is not None
        for index in [(0, 0), (1, 3), (3, tensor.shape[1] - 1)]:

            def along(step: float, p: int = position, i: tuple[int, int] = index) -> float:
                film = [part.copy() for part in made]
                film[p][i] += step
                return batch.reference(batch.w, tuple(film))

            found = tensor.grad[index].item()
            assert found == pytest.approx(slope(along), rel=1e-6, abs=1e-8), (position, index)


def test_a_class_weight_of_zero_takes_what_a_row_measured_out_of_the_fit() -> None:
    batch = Batch("tamrl", 1, training=False)
    batch.class_weight[1] = 0
    before = batch.loss().item()
    batch.target[1] += 10
    assert batch.loss().item() == before
    batch.target[2] += 10
    assert batch.loss().item() > before
