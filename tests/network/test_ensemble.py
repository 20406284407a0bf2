"""The ensemble at work: the same as its networks, and the same however rows are batched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from upscale.network.ensemble import Ensemble, load_ensemble
from upscale.network.releases.release import Release
from upscale.testing.releases import fake_release

Floats = NDArray[np.float32]

METEOROLOGY = ("ta", "sw_in", "vpd", "p")
WITH_SATELLITE = ("ta", "sw_in", "vpd", "p", "sw_pot", "ndvi", "fapar")
SHAPES = [(METEOROLOGY, 16), (METEOROLOGY, 40), (WITH_SATELLITE, 64), (WITH_SATELLITE, 128)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return fake_release(tmp_path_factory.mktemp("models") / "fake", members=3, seed=5)


def made_drivers(shape: tuple[int, ...], features: int, seed: int = 0) -> Floats:
    """Drivers `(*shape, feature)` in which the features after the second have gaps."""
    rng = np.random.default_rng(seed)
    drivers = rng.gamma(2, 1, (*shape, features)) * ([8, 90, 3, 2] + [0.2] * (features - 4))
    drivers[..., 2:][rng.random((*shape, features - 2)) < 0.05] = np.nan
    return drivers.astype(np.float32)


def made_z(ensemble: Ensemble, rows: int) -> Floats:
    z = np.random.default_rng(1).normal(size=(ensemble.members, rows, ensemble.latent))
    return z.astype(np.float32)


def test_it_gives_what_its_networks_give(release: Release) -> None:
    ensemble = load_ensemble(release, device="cpu")
    query, support = made_drivers((9, 45), 4), made_drivers((9, 5, 45), 4, seed=1)
    present = np.random.default_rng(2).random((9, 5)) < 0.7
    present[:, 0] = True
    codes = np.random.default_rng(3).integers(0, 17, (9, 2))

    z = ensemble.encode(support, present, codes)
    fluxes = ensemble.decode(query, z)

    scaler, onehot = release.scaler, torch.from_numpy(release.classes.onehot(codes))
    for member, network in enumerate(release.networks()):
        with torch.inference_mode():
            expected_z = network.encode(
                torch.from_numpy(scaler.scale(support)), torch.from_numpy(present), onehot
            )
            scaled = network.decode(torch.from_numpy(scaler.scale(query)), expected_z)
        assert z[member] == pytest.approx(expected_z.numpy(), abs=1e-5)
        assert fluxes[member] == pytest.approx(scaler.unscale(scaled.numpy()), abs=1e-4)


def test_members_differ(release: Release) -> None:
    ensemble = load_ensemble(release, device="cpu")
    fluxes = ensemble.decode(made_drivers((4, 45), 4), made_z(ensemble, 4))
    assert (fluxes.std(axis=0) > 1e-3).all()


@pytest.fixture(params=SHAPES, ids=lambda shape: f"{len(shape[0])} features, hidden {shape[1]}")
def ensemble(request: pytest.FixtureRequest, tmp_path: Path) -> Ensemble:
    features, hidden = request.param
    return load_ensemble(fake_release(tmp_path / "fake", features, 2, hidden), device="cpu")


def test_a_row_gives_the_same_bits_alone_in_any_company_and_at_any_place(
    ensemble: Ensemble,
) -> None:
    rows = 2 * ensemble.batch + 37
    drivers = made_drivers((rows, 45), len(ensemble.scaler.features))
    z = made_z(ensemble, rows)
    whole = ensemble.decode(drivers, z)
    order = np.random.default_rng(4).permutation(rows)
    shuffled = ensemble.decode(drivers[order], z[:, order])
    assert np.array_equal(shuffled, whole[:, order])
    for first, last in [(0, 1), (255, 257), (500, 549), (13, 13 + 256), (1, rows)]:
        part = ensemble.decode(drivers[first:last], z[:, first:last])
        assert np.array_equal(part, whole[:, first:last])


def test_a_row_gives_the_same_bits_at_every_place_of_a_batch(ensemble: Ensemble) -> None:
    features = len(ensemble.scaler.features)
    row, z = made_drivers((1, 45), features), made_z(ensemble, 1)
    same = ensemble.decode(
        np.repeat(row, ensemble.batch, axis=0), np.repeat(z, ensemble.batch, axis=1)
    )
    assert (same == same[:, :1]).all()


def test_an_embedding_has_the_same_bits_in_any_company(ensemble: Ensemble) -> None:
    features = len(ensemble.scaler.features)
    support = made_drivers((60, 8, 45), features)
    rng = np.random.default_rng(6)
    present, codes = rng.random((60, 8)) < 0.8, rng.integers(0, 31, (60, 2))
    present[:, 0] = True
    whole = ensemble.encode(support, present, codes)
    order = rng.permutation(60)
    shuffled = ensemble.encode(support[order], present[order], codes[order])
    assert np.array_equal(shuffled, whole[:, order])
    for first, last in [(0, 1), (31, 33), (7, 60)]:
        part = slice(first, last)
        found = ensemble.encode(support[part], present[part], codes[part])
        assert np.array_equal(found, whole[:, part])


def test_empty_windows_after_the_last_change_no_bit(release: Release) -> None:
    ensemble = load_ensemble(release, device="cpu")
    support, codes = made_drivers((6, 8, 45), 4), np.ones((6, 2), int)
    present = np.ones((6, 8), bool)
    wider = np.concatenate([support, np.full((6, 5, 45, 4), np.nan, np.float32)], axis=1)
    there = np.concatenate([present, np.zeros((6, 5), bool)], axis=1)
    narrow = ensemble.encode(support, present, codes)
    assert np.array_equal(ensemble.encode(wider, there, codes), narrow)


def test_a_pixel_without_support_has_no_embedding_and_no_flux(release: Release) -> None:
    ensemble = load_ensemble(release, device="cpu")
    support, present = made_drivers((3, 2, 45), 4), np.ones((3, 2), bool)
    present[1] = False
    z = ensemble.encode(support, present, np.ones((3, 2), int))
    fluxes = ensemble.decode(made_drivers((3, 45), 4), z)
    assert np.isnan(fluxes[:, 1]).all()
    assert np.isfinite(fluxes[:, [0, 2]]).all()


def test_missing_optional_drivers_still_give_fluxes(release: Release) -> None:
    ensemble = load_ensemble(release, device="cpu")
    drivers, z = made_drivers((2, 45), 4), made_z(ensemble, 2)
    drivers[..., 2:] = np.nan
    assert np.isfinite(ensemble.decode(drivers, z)).all()


def test_classes_and_history_both_tell_on_the_embedding(release: Release) -> None:
    ensemble = load_ensemble(release, device="cpu")
    support, present = made_drivers((1, 2, 45), 4), np.ones((1, 2), bool)
    forest = ensemble.encode(support, present, np.array([[1, 15]]))
    assert not np.array_equal(forest, ensemble.encode(support, present, np.array([[10, 15]])))
    assert not np.array_equal(forest, ensemble.encode(support + 1, present, np.array([[1, 15]])))


def test_nothing_in_gives_nothing_out(release: Release) -> None:
    ensemble = load_ensemble(release, device="cpu")
    assert ensemble.decode(made_drivers((0, 45), 4), made_z(ensemble, 0)).shape == (3, 0, 45, 3)
    empty = ensemble.encode(
        made_drivers((0, 2, 45), 4), np.ones((0, 2), bool), np.ones((0, 2), int)
    )
    assert empty.shape == (3, 0, 8)


def test_embeddings_of_other_rows_are_refused(release: Release) -> None:
    ensemble = load_ensemble(release, device="cpu")
    with pytest.raises(ValueError, match=r"expected z \(member, row, latent\) \(3, 4, 8\)"):
        ensemble.decode(made_drivers((4, 45), 4), made_z(ensemble, 5))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_what_the_cpu_gives(release: Release) -> None:
    def on(device: str) -> Callable[[Floats, Floats], Floats]:
        return load_ensemble(release, device=device).decode

    drivers, z = made_drivers((300, 45), 4), made_z(load_ensemble(release, "cpu"), 300)
    assert on("cuda")(drivers, z) == pytest.approx(on("cpu")(drivers, z), abs=1e-4)
