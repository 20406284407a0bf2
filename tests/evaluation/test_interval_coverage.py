"""How many days the intervals hold, on errors whose law is known."""

from dataclasses import replace

import numpy as np
import pytest

from upscale.evaluation.cases import pairs
from upscale.evaluation.coverage import calibrated, coverage, covered
from upscale.evaluation.report.words import calibration_words
from upscale.evaluation.report.write import write_report
from upscale.evaluation.results import Evaluation, results
from upscale.network.uncertainty.calibration import Calibration, Coverage, FluxCalibration
from upscale.variables import FLUXES


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


@pytest.mark.parametrize("left_out", [True, False])
def test_a_calibration_is_not_scored_at_the_towers_it_was_fitted_on(cases, tmp_path, left_out):
    """The release stores 0.777, far from what its (far too wide) intervals hold in sample."""
    stored = (Coverage(0.5, 0.1, 0.333), Coverage(0.9, 0.2, 0.777))
    fluxes = tuple(
        FluxCalibration(name, "g m-2 d-1", 90.0, 0.0, 0.0, (0.6745, 1.6449), stored, ())
        for name in ("gpp", "reco", "nee")
    )
    made = Evaluation(
        release="mine", source="Made for a test.", main="ours", models=("ours", "baseline"),
        reference="baseline", cases=tuple(cases), skipped=(), left_out=left_out,
        calibration=Calibration((0.5, 0.9), fluxes, 5, 5, 4, 2),
    )  # fmt: skip
    assert results(made, "good").calibrated.empty == left_out
    write_report(made, "good", tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert ("after calibration, cross-validated | 90 % | 78 %" in text) == left_out
    assert ("after calibration | 90 % | 100 %" in text) != left_out
    assert ("the one that the release stores" in text) == left_out


def test_at_towers_learned_from_coverage_says_so(cases):
    calibration = Calibration(
        (0.5,), tuple(FluxCalibration(n, "g m-2 d-1", 1.0, 0, 0, (1.0,), (), ()) for n in FLUXES),
        5, 5, 4, 2,
    )  # fmt: skip
    made = Evaluation("mine", "", "ours", ("ours",), None, tuple(cases), (), calibration)
    assert "nothing of places without a tower" in calibration_words(made, ("train",))
    assert "nothing of places without a tower" not in calibration_words(made, ("test",))


def test_a_single_member_has_no_interval(pair):
    assert coverage([replace(pair, spread=np.full_like(pair.spread, np.nan))]).empty
