"""Uncertainty for synthetic releases: a calibration and an area of applicability that are not
fitted to data, for tests and benchmarks."""

from __future__ import annotations

import numpy as np

from upscale.network.releases.release import Release, save_release
from upscale.network.releases.resolve import CARD, SKILL
from upscale.network.uncertainty.applicability import Applicability
from upscale.network.uncertainty.calibration import LEVELS, Calibration, FluxCalibration
from upscale.network.uncertainty.training_points import fit_space
from upscale.variables import FLUXES, variable


def with_made_uncertainty(
    release: Release, points: int = 300, towers: int = 20, seed: int = 0
) -> Release:
    """Add a synthetic calibration and area of applicability to a release, write and load it.

    points: number of training points, clustered in the middle of the scaler's range; towers:
    number of points in embedding space, for a model with support years.
    """
    rng = np.random.default_rng(seed)
    features = len(release.scaler.names)
    middle = rng.normal(0, 0.6, (towers, features))[np.arange(points) % towers]
    cloud = middle + rng.normal(0, 0.4, (points, features))
    drivers = fit_space(cloud, np.arange(points) % towers % 5, rng.uniform(0.2, 1, features))
    embedding = None
    if release.manifest.context.rule == "support-years":
        width = release.members * release.manifest.architecture.latent
        z = rng.normal(0, 0.5, (towers, width))
        embedding = fit_space(z, np.arange(towers) % 5, rng.uniform(0.2, 1, width))
    spec = release.spec.model_copy(update={"calibration": made_calibration()})
    card, skill = ((release.path / name).read_text(encoding="utf-8") for name in (CARD, SKILL))
    tensors = Applicability(drivers, embedding).tensors()
    return save_release(release.path, spec, release.states, card, skill, tensors)


def made_calibration() -> Calibration:
    """A calibration of round numbers."""
    multipliers = tuple(round(1.7 * level, 2) for level in LEVELS)
    fluxes = (
        FluxCalibration(flux, variable(flux).units, 0.5, 2.0, 0.25, multipliers, (), ())
        for flux in FLUXES
    )
    return Calibration(LEVELS, tuple(fluxes), towers=20, clusters=20, members=3, folds=5)
