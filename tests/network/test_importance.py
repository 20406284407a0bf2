"""What a model leans on is found by swapping it between places."""

from __future__ import annotations

import numpy as np

from upscale.network.importance import driver_importance, embedding_importance
from upscale.network.scaler import Feature, FluxScale, Scaler


def scaler() -> Scaler:
    features = tuple(
        Feature(name, unit, True, 0.0, 1.0, -9, 9)
        for name, unit in (("ta", "degC"), ("sw_in", "W m-2"), ("vpd", "hPa"))
    )
    fluxes = tuple(FluxScale(name, "g m-2 d-1", 0.0, 2.0) for name in ("gpp", "reco", "nee"))
    return Scaler(features, fluxes)


def windows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(400, 5, 3)).astype(np.float32)


def test_it_is_the_change_of_a_linear_model() -> None:
    slopes = np.array([3.0, 1.0, 0.0])

    def predict(rows: np.ndarray) -> np.ndarray:
        flux = (rows @ slopes)[None, :, :, None] * np.ones((2, 1, 1, 3))
        return flux.astype(np.float32)

    found = driver_importance(predict, windows(), scaler())
    # two independent values of unit variance differ by sqrt(2); fluxes are scaled by 2
    np.testing.assert_allclose(found, slopes * 2**0.5 / 2, rtol=0.1)
    assert found[2] == 0


def test_numbers_of_the_embedding_are_told_apart_by_member() -> None:
    gains = np.array([[2.0, 0.0], [0.0, 0.5]])
    z = np.random.default_rng(1).normal(size=(2, 400, 2)).astype(np.float32)

    def decode(rows: np.ndarray, z: np.ndarray) -> np.ndarray:
        level = np.einsum("mrk,mk->mr", z, gains)
        shape = (2, len(rows), rows.shape[1], 3)
        return np.broadcast_to(level[:, :, None, None], shape).astype(np.float32)

    found = embedding_importance(decode, windows(), z, scaler())
    np.testing.assert_allclose(found, gains * 2**0.5 / 2, rtol=0.1)
