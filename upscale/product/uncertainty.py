"""The uncertainty that a flux cube keeps beside its fluxes, and how it is described.

A model may bring two things with it. A calibration turns the spread of the
ensemble into intervals for measured days; it is kept as attributes of the `*_sd` arrays. The
area of applicability tells where the drivers are unlike all training data; its arrays have one
value for each cell and step of 15 days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from upscale.product.quality import NO_FLAGS, Quality

#: Arrays on the step axis: type and what an unwritten chunk reads as.
STEP_ARRAYS: dict[str, tuple[Any, float]] = {
    "extrapolation": (np.float32, np.nan),
    "point_density": (np.float32, np.nan),
    "extrapolation_driver": (np.uint8, 0),
    "extrapolation_embedding": (np.float32, np.nan),
}

#: Indices, and the quality bit that is set where one is above its threshold.
INDEX_BITS = {
    "extrapolation": Quality.OUTSIDE_APPLICABILITY,
    "extrapolation_embedding": Quality.OUTSIDE_EMBEDDING,
}

#: Attributes of a `*_sd` array that hold the calibration of its flux.
CALIBRATION_KEYS = ("floor", "factor", "share", "levels", "multipliers")

_INDEX = (
    "Distance to the nearest training point over the mean distance between training points, in "
    "the space of the {space}; above `applicability_threshold` lies outside the area of "
    "applicability (Meyer and Pebesma 2021, doi:10.1111/2041-210X.13650)."
)
_CALIBRATION = (
    "The spread between members is no error. A measured tower-day lies with probability p in "
    "mean -+ k(p) sqrt(floor^2 + (factor spread)^2 + (share mean)^2), k(p) being the "
    "calibration_multipliers at the calibration_levels p; from towers left out. Not for means."
)


@dataclass(frozen=True)
class StoredUncertainty:
    """What a model says of its own uncertainty.

    drivers: its features, those of `extrapolation_driver` from code 1, empty where it has no
    area of applicability; threshold, embedding: thresholds of the dissimilarity index in the
    space of drivers and of embeddings (None: it has none); points: training points in all.
    calibration: {flux: {key of `CALIBRATION_KEYS`: value}}, empty where there is none.
    """

    drivers: tuple[str, ...] = ()
    threshold: float = np.nan
    embedding: float | None = None
    points: int = 0
    calibration: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays on the step axis."""
        if not self.drivers:
            return ()
        without = () if self.embedding is not None else ("extrapolation_embedding",)
        return tuple(name for name in STEP_ARRAYS if name not in without)

    @property
    def unused_flags(self) -> Quality:
        """Quality bits that are never set, because nothing could set them."""
        unused = NO_FLAGS
        if not self.drivers:
            unused |= Quality.OUTSIDE_APPLICABILITY
        if not self.drivers or self.embedding is None:
            unused |= Quality.OUTSIDE_EMBEDDING
        return unused

    def spread_attributes(self, flux: str) -> dict[str, Any]:
        """Attributes that the calibration adds to the `*_sd` array of a flux."""
        known = self.calibration.get(flux)
        if known is None:
            return {}
        values = {f"calibration_{key}": known[key] for key in CALIBRATION_KEYS}
        return values | {"calibration_comment": _CALIBRATION}

    def step_attributes(self, name: str) -> dict[str, Any]:
        """Attributes of an array on the step axis."""
        kind = {"coverage_content_type": "qualityInformation", "units": "1"}
        if name == "extrapolation_driver":
            return kind | {
                "long_name": "driver that contributes most to the dissimilarity index",
                "flag_values": list(range(len(self.drivers) + 1)),
                "flag_meanings": " ".join(("none", *self.drivers)),
            }
        if name == "point_density":
            return kind | {
                "long_name": "training points no farther away than the applicability threshold",
                "comment": "Local point density (Schumacher et al. 2025, "
                "doi:10.5194/gmd-18-10185-2025).",
                "training_points": self.points,
            }
        return kind | self._index_attributes(name)

    def _index_attributes(self, name: str) -> dict[str, Any]:
        embedding = name == "extrapolation_embedding"
        space = "embeddings of places" if embedding else "drivers, means of 45 days"
        return {
            "long_name": f"dissimilarity index of the {space.split(',')[0]}",
            "comment": _INDEX.format(space=space),
            "applicability_threshold": self.embedding if embedding else self.threshold,
        }


#: Of a model that has neither calibration nor area of applicability.
NO_UNCERTAINTY = StoredUncertainty()
