"""How many days the intervals hold, on errors whose law is known."""

from dataclasses import replace

import numpy as np
import pytest

from upscale.evaluation.cases import pairs
from upscale.evaluation.coverage import calibrated, coverage, covered
from upscale.network.calibration import Calibration, FluxCalibration


@pytest.fixture
def pair(cases):
    """Errors of a normal law with standard deviation 2, and a spread of half of that."""
    rng = np.random.default_rng(5)
    first = next(pairs(cases, "good"))
    predicted = first.observed + rng.normal(0, 2, first.observed.shape)
    return replace(first, predicted=predicted, spread=np.ones_like(predicted))


def test_a_spread_that_is_too_small_holds_too_few_days(pair):
    found = coverage([pair]).set_index(["flux", "level"])
    for flux in ("gpp", "reco", "nee"):  # P(|error| < z) of a law twice as wide
        assert found.inside[(flux, 0.5)] == pytest.approx(0.264, abs=0.04)
        assert found.inside[(flux, 0.9)] == pytest.approx(0.589, abs=0.04)
    assert found.width[("gpp", 0.9)] == pytest.approx(2 * 1.6449, abs=1e-3)


def test_a_calibration_that_is_right_holds_what_it_says(pair):
    fluxes = tuple(
        FluxCalibration(name, "g m-2 d-1", 0.0, 2.0, 0.0, (0.6745, 1.6449), (), ())
        for name in ("gpp", "reco", "nee")
    )
    calibration = Calibration((0.5, 0.9), fluxes, 5, 5, 4, 2)
    found = covered(coverage([pair], calibrated(calibration))).set_index(["flux", "level"])
    for flux in ("gpp", "reco", "nee"):
        assert found.inside[(flux, 0.5)] == pytest.approx(0.5, abs=0.04)
        assert found.inside[(flux, 0.9)] == pytest.approx(0.9, abs=0.03)


def test_a_single_member_has_no_interval(pair):
    assert coverage([replace(pair, spread=np.full_like(pair.spread, np.nan))]).empty
