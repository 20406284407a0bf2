"""Statistics of an ensemble: clipping, mean and spread, the same for maps and towers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Reals = NDArray[np.float64]


def clipped(fluxes: NDArray[np.floating]) -> NDArray[Any]:
    """A copy of fluxes `(..., 3)` gpp, reco, nee with gpp and reco at least 0; NaN stays NaN.

    Each member is clipped before mean and spread are computed. NEE has a separate head and is
    not clipped (Rozanov et al. 2026, section Loss Function).
    """
    copy = np.array(fluxes)
    clip_in_place(copy)
    return copy


def clip_in_place(fluxes: NDArray[np.floating]) -> None:
    """As `clipped`, without the copy."""
    gross = fluxes[..., :2]
    np.maximum(gross, 0, out=gross)


def any_negative(members: NDArray[np.floating]) -> NDArray[np.bool_]:
    """True `(...)` where gpp or reco of any member `(member, ..., 3)` is negative."""
    return np.asarray(np.any(members[..., :2] < 0, axis=(0, -1)))


def mean_of(members: NDArray[np.floating], dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Mean `(...)` of members `(member, ...)`, NaN where any member is NaN.

    dtype: precision of the sum: double for maps, single for scores at towers, because the
    published scores of the shipped releases were computed in single precision.
    """
    mean: NDArray[Any] = members.sum(axis=0, dtype=dtype) / len(members)
    return mean


def mean_and_spread(members: NDArray[np.floating]) -> tuple[Reals, Reals]:
    """Mean and sample standard deviation `(...)` of members `(member, ...)`.

    The spread of a single member is 0; NaN stays NaN.
    """
    mean = mean_of(members)
    squares = ((members - mean) ** 2).sum(axis=0)
    return mean, np.asarray(np.sqrt(squares / max(len(members) - 1, 1)))
