"""Calibrated intervals hold as many measurements as they say, where the noise is known."""

from __future__ import annotations

from dataclasses import asdict, replace
from statistics import NormalDist

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from upscale.network.uncertainty.calibration import (
    LEVELS,
    Calibration,
    PredictedTower,
    ensemble_mean,
    fit_calibration,
    interval,
    predictive_sd,
)

FLOOR, FACTOR, SHARE = 0.5, 3.0, 0.4


def made_tower(number: int, days: int, noise: str = "normal") -> PredictedTower:
    """A tower whose error has the standard deviation that the module's formula names."""
    rng = np.random.default_rng([7, number])
    season = 4 + 3 * np.sin(np.arange(days) / 58)[:, None] * [1, 0.7, 0.8]
    wide = rng.uniform(0.05, 0.8, (days, 1))
    each = season + wide * rng.normal(size=(5, days, 3))
    mean, spread = each.mean(axis=0), each.std(axis=0, ddof=1)
    sd = np.sqrt(FLOOR**2 + (FACTOR * spread) ** 2 + (SHARE * mean) ** 2)
    unit = rng.normal(size=sd.shape) if noise == "normal" else rng.laplace(size=sd.shape) / 2**0.5
    observed = (mean + sd * unit).astype(np.float32)
    observed[rng.random(days) < 0.3] = np.nan
    return PredictedTower(f"T{number}", f"C{number // 2}", each.astype(np.float32), observed)


@pytest.fixture(scope="module")
def towers() -> list[PredictedTower]:
    return [made_tower(number, 300 + 150 * number) for number in range(16)]


@pytest.fixture(scope="module")
def made(towers: list[PredictedTower]) -> Calibration:
    return fit_calibration(towers)


def test_the_noise_that_was_put_in_is_found(made: Calibration) -> None:
    for flux in made.fluxes:
        assert flux.floor == pytest.approx(FLOOR, abs=0.2)
        assert flux.factor == pytest.approx(FACTOR, rel=0.1)
        assert flux.share == pytest.approx(SHARE, rel=0.1)
        normal = [NormalDist().inv_cdf(0.5 + level / 2) for level in LEVELS]
        assert flux.multipliers == pytest.approx(normal, rel=0.05)


def test_coverage_is_poor_before_and_right_after(made: Calibration) -> None:
    for flux in made.fluxes:
        for found in flux.coverage:
            assert found.spread < found.level - 0.15
            assert found.calibrated == pytest.approx(found.level, abs=0.02)


@pytest.mark.parametrize("noise", ["normal", "laplace"])
def test_intervals_hold_their_share_of_new_towers(noise: str) -> None:
    made = fit_calibration([made_tower(n, 900, noise=noise) for n in range(20)])
    inside: dict[float, list[float]] = {level: [] for level in (*LEVELS, 0.6)}
    for number in range(100, 120):
        new = made_tower(number, 900, noise=noise)
        mean, spread = ensemble_mean(new.members)
        there = np.isfinite(new.observed)
        for level, shares in inside.items():
            low, high = interval(mean, spread, made, level)
            within = (new.observed >= low) & (new.observed <= high)
            shares.append(float(within[there].mean()))
    for level, shares in inside.items():
        assert np.mean(shares) == pytest.approx(level, abs=0.025), level


def test_long_records_do_not_rule() -> None:
    quiet = [made_tower(n, 200) for n in range(9)]
    loud = made_tower(50, 9000)
    loud = replace(loud, observed=loud.members.mean(axis=0) + 20.0)
    alone, both = fit_calibration(quiet), fit_calibration([*quiet, loud])
    # nine towers of ten are as before: the quantile of half of all days hardly moves
    sizes = [
        flux.multipliers[0] * np.hypot(flux.floor, flux.share * 4)
        for flux in (alone.fluxes[0], both.fluxes[0])
    ]
    assert sizes[1] < 2 * sizes[0]


def test_the_coverage_is_that_of_towers_that_the_fit_has_not_seen() -> None:
    # one cluster of three is off by far: fitted on itself it would be covered
    towers = [made_tower(n, 400) for n in (0, 2, 4)]
    towers[2] = replace(towers[2], observed=towers[2].members.mean(axis=0) + 60.0)
    coverage = fit_calibration(towers).fluxes[0].coverage[1]
    assert coverage.calibrated < 0.7


def test_an_interval_is_written_out_in_the_module(made: Calibration) -> None:
    rng = np.random.default_rng(0)
    mean, spread = rng.normal(2, 3, (7, 3)), rng.uniform(0, 1, (7, 3))
    mean[2] = np.nan
    low, high = interval(mean, spread, made, 0.9)
    for i, flux in enumerate(made.fluxes):
        for day in range(7):
            sd = (
                flux.floor**2
                + (flux.factor * spread[day, i]) ** 2
                + (flux.share * mean[day, i]) ** 2
            ) ** 0.5
            k = flux.multipliers[LEVELS.index(0.9)]
            assert predictive_sd(mean, spread, made)[day, i] == pytest.approx(sd, nan_ok=True)
            assert low[day, i] == pytest.approx(mean[day, i] - k * sd, nan_ok=True)
            assert high[day, i] == pytest.approx(mean[day, i] + k * sd, nan_ok=True)


def test_errors_of_means_fall_as_they_do_when_days_are_independent(made: Calibration) -> None:
    day, month, _ = made.fluxes[0].errors
    assert (day.days, month.days) == (1, 30)
    # seven days of ten are there: a mean of about 21 of them
    assert month.rmse == pytest.approx(day.rmse / 21**0.5, rel=0.15)


def test_a_bias_stays_in_every_mean() -> None:
    towers = [made_tower(n, 800) for n in range(6)]
    biased = [
        replace(t, observed=t.members.mean(axis=0) + (2.0 if i % 2 else -2.0))
        for i, t in enumerate(towers)
    ]
    for error in fit_calibration(biased).fluxes[0].errors:
        assert error.rmse == pytest.approx(2.0, rel=1e-3)


def test_gpp_and_reco_of_members_are_clipped_as_in_a_run() -> None:
    members = np.array([[[-1.0, 2, -3]], [[2.0, -2, -1]]], np.float32)
    mean, spread = ensemble_mean(members)
    np.testing.assert_allclose(mean, [[1, 1, -2]])
    np.testing.assert_allclose(spread, [[2**0.5] * 3])


def test_one_member_is_calibrated_by_its_error_alone() -> None:
    towers = [made_tower(n, 400) for n in range(8)]
    made = fit_calibration([replace(t, members=t.members[:1]) for t in towers])
    assert all(flux.factor == 0 for flux in made.fluxes)
    assert made.fluxes[0].coverage[1].spread == 0


def test_it_is_the_same_after_it_was_written(made: Calibration) -> None:
    adapter = TypeAdapter(Calibration)
    assert adapter.validate_python(adapter.dump_python(made, mode="json")) == made
    strange = asdict(made) | {"other": 1}
    with pytest.raises(ValidationError, match="other"):
        adapter.validate_python(strange)


def test_what_cannot_be_a_calibration_is_refused(made: Calibration) -> None:
    with pytest.raises(ValueError, match="floor"):
        replace(made.fluxes[0], floor=-1.0)
    with pytest.raises(ValueError, match="rising levels"):
        replace(made, levels=(0.9, 0.5, 0.6, 0.7, 0.8))
    with pytest.raises(ValueError, match="3 clusters"):
        fit_calibration([made_tower(0, 100), made_tower(1, 100)])
    for level in (0.0, 0.99):
        with pytest.raises(ValueError, match="expected a level"):
            made.multiplier(level)
