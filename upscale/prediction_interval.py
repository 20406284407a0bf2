"""The interval in which a measured day lies, from mean and spread of an ensemble: the formula.

    sd = sqrt(floor^2 + (factor * spread)^2 + (share * mean)^2)
    interval = mean -+ k(p) * sd

floor, factor, share and k are the calibration of a model, fitted on towers that it never saw
(`upscale.network.uncertainty.calibration`). Arrays may be of numpy, dask or xarray.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def predictive_sd(mean: Any, spread: Any, floor: Any, factor: Any, share: Any) -> Any:
    """Standard deviation of the error of a measured day, in the unit of the flux.

    mean, spread: of the ensemble; floor: in their unit; factor, share: dimensionless. All of one
    shape or broadcast against each other; NaN stays NaN.
    """
    return np.sqrt(floor**2 + (factor * spread) ** 2 + (share * mean) ** 2)


def multiplier(level: float, levels: Sequence[float], multipliers: Sequence[float]) -> float:
    """k at a probability, interpolated linearly between those that were fitted.

    ValueError beyond the largest of `levels`.
    """
    if not 0 < level <= max(levels):
        raise ValueError(
            f"expected a level above 0 and up to {max(levels)}, found {level}: too few "
            "independent towers tell more"
        )
    return float(np.interp(level, (0, *levels), (0, *multipliers)))


def ends_of(mean: Any, sd: Any, k: Any) -> tuple[Any, Any]:
    """Lower and upper end; not clipped, because measured GPP and RECO may lie below zero, too."""
    half = k * sd
    return mean - half, mean + half
