"""Every network that is registered is saved, loaded and run as any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from upscale.network.ensemble import Ensemble
from upscale.network.networks.architectures import ARCHITECTURES
from upscale.network.predictor import load_predictor
from upscale.network.releases.release import ContextSpec, Release, ReleaseError, load_release
from upscale.testing.releases import CLASSES, fake_release

Floats = NDArray[np.float32]

#: Sizes that no vector register divides: they are the ones that round by place.
NETWORKS = {
    "tamrl": {"hidden": 22, "latent": 6, "encoder_hidden": 7},
    "tamlstm": {"hidden": 21},
    "ct-lstm": {"hidden": 40, "layers": 2},
    "tamrl-carbonfluxbench": {"hidden": 23, "latent": 6, "encoder_hidden": 10, "layers": 2},
}
CHANNELS = 6  # four features, two of which have a mask


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made_release(folder: Path, model: str) -> Release:
    config: Any = ARCHITECTURES[model]
    sizes = config(CHANNELS, CLASSES.width, **NETWORKS[model])
    context = ContextSpec(rule="query")
    return fake_release(folder, members=2, model=model, architecture=sizes, context=context)


@pytest.fixture(params=NETWORKS)
def release(request: pytest.FixtureRequest, tmp_path: Path) -> Release:
    return made_release(tmp_path / "fake", request.param)


def made_drivers(*shape: int) -> Floats:
    rng = np.random.default_rng(0)
    drivers = rng.gamma(2, 1, (*shape, 4)) * [8, 90, 3, 2]
    drivers[..., 2:][rng.random((*shape, 2)) < 0.05] = np.nan
    return drivers.astype(np.float32)


def query(ensemble: Ensemble, drivers: Floats, codes: NDArray[np.int64]) -> Floats:
    """Fluxes of windows that are their own context, as a run asks for them."""
    z = ensemble.encode(drivers[:, None], np.ones((len(drivers), 1), bool), codes)
    return ensemble.decode(drivers, z)


def test_all_networks_are_tested_here() -> None:
    assert set(ARCHITECTURES) == set(NETWORKS)


def test_what_is_saved_is_what_is_loaded(release: Release) -> None:
    again = load_release(release.path)
    assert again.manifest == release.manifest
    for member in range(release.members):
        one, other = (each.networks()[member].state_dict() for each in (release, again))
        assert all(torch.equal(one[name], other[name]) for name in one)
        with torch.random.fork_rng():
            torch.manual_seed(release.manifest.seeds[member])
            made = release.manifest.architecture.build().state_dict()  # type: ignore[union-attr]
        assert all(torch.equal(2 * made[name], tensor) for name, tensor in one.items())


def test_sizes_of_another_network_are_refused(release: Release) -> None:
    path = release.path / "release.yaml"
    content = yaml.safe_load(path.read_text())
    content["model"] = "tamlstm" if content["model"] != "tamlstm" else "tamrl"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ReleaseError):
        load_release(release.path)


def test_an_ensemble_gives_what_its_networks_give(release: Release) -> None:
    ensemble = load_predictor(release, device="cpu", batch=16)
    assert isinstance(ensemble, Ensemble)
    drivers = made_drivers(21, 45)
    codes = np.random.default_rng(3).integers(0, 31, (21, 2))
    found = query(ensemble, drivers, codes)
    x = torch.from_numpy(release.scaler.scale(drivers))
    onehot = torch.from_numpy(release.classes.onehot(codes))
    for member, network in enumerate(release.networks()):
        with torch.inference_mode():
            z = network.encode(x[:, None], torch.ones(21, 1, dtype=torch.bool), onehot)
            expected = release.scaler.unscale(network.decode(x, z).numpy())
        assert found[member] == pytest.approx(expected, abs=1e-4)


def test_a_row_gives_the_same_bits_alone_in_any_company_and_at_any_place(release: Release) -> None:
    ensemble = load_predictor(release, device="cpu")
    assert isinstance(ensemble, Ensemble)
    rows = ensemble.batch + 37
    drivers, rng = made_drivers(rows, 45), np.random.default_rng(4)
    codes = rng.integers(0, 31, (rows, 2))
    whole, order = query(ensemble, drivers, codes), rng.permutation(rows)
    assert np.array_equal(query(ensemble, drivers[order], codes[order]), whole[:, order])
    for first, last in [(0, 1), (255, 257), (13, 13 + 256)]:
        part = query(ensemble, drivers[first:last], codes[first:last])
        assert np.array_equal(part, whole[:, first:last])
    same = query(ensemble, np.repeat(drivers[:1], 256, axis=0), np.repeat(codes[:1], 256, axis=0))
    assert (same == same[:, :1]).all()
