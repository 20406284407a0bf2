"""Vegetation indices are the formulas of their papers."""

from __future__ import annotations

import numpy as np
import pytest

from upscale.archives.satellite.indices import INDICES, index

BANDS = {1: 0.05, 2: 0.40, 3: 0.03, 6: 0.20, 7: 0.10}
#: Worked by hand from the bands above.
EXPECTED = {
    "ndvi": 0.35 / 0.45,
    "evi": 2.5 * 0.35 / (0.40 + 0.30 - 0.225 + 1.0),
    "nirv": 0.35 / 0.45 * 0.40,
    "ndwi": 0.30 / 0.50,
    "lswi": 0.20 / 0.60,
}


@pytest.mark.parametrize("name", INDICES)
def test_a_leaf_has_the_index_of_the_formula(name: str) -> None:
    bands = {number: np.full((2, 3), value, np.float32) for number, value in BANDS.items()}
    found = index(name, bands)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.full((2, 3), EXPECTED[name]), rtol=1e-6)


def test_every_index_is_tested() -> None:
    assert set(INDICES) == set(EXPECTED)


def test_missing_bands_and_zero_sums_are_missing_indices() -> None:
    red = np.array([0.1, np.nan, 0.0], np.float32)
    nir = np.array([np.nan, 0.3, 0.0], np.float32)
    assert np.isnan(index("ndvi", {1: red, 2: nir})).all()


def test_unknown_names_and_bands_are_answered() -> None:
    with pytest.raises(KeyError, match="unknown index 'savi'; known: ndvi, evi"):
        index("savi", {})
    with pytest.raises(KeyError, match=r"evi takes bands \(1, 2, 3\), and \[3\] are missing"):
        index("evi", {1: np.zeros(1, np.float32), 2: np.zeros(1, np.float32)})
