"""The counts behind the checks of values, mergeable piece by piece."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from upscale.product.layout import FluxLayout


@dataclass
class Tally:
    """Counts of faults, the first place of each, and moments; `merge` adds two of them.

    per_day: values of GPP on each day `(day,)` of the cube; faults: number by check; places:
    where the first fault of a check lies; items: ids of the work items with a fault, by check;
    moments: sums over values by name; extremes: smallest and largest value of each array.
    """

    per_day: NDArray[np.int64]
    faults: dict[str, int] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    items: dict[str, set[str]] = field(default_factory=dict)
    moments: dict[str, float] = field(default_factory=dict)
    extremes: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def values(self) -> int:
        return int(self.per_day.sum())

    def merge(self, other: Tally) -> Tally:
        """Both together; where both have a place, the one of this tally counts."""
        merged = Tally(
            self.per_day + other.per_day, dict(self.faults), dict(self.places), dict(self.items),
            dict(self.moments), dict(self.extremes),
        )  # fmt: skip
        for name, count in other.faults.items():
            merged.fault(name, count, other.places[name], other.items[name])
        for name, value in other.moments.items():
            merged.add(name, value)
        for name, (low, high) in other.extremes.items():
            merged.widen(name, low, high)
        return merged

    def fault(self, check: str, count: int, place: str, items: Iterable[str]) -> None:
        """Count faults of a check; place: where the first of them lies."""
        if count:
            self.faults[check] = self.faults.get(check, 0) + count
            self.places.setdefault(check, place)
            self.items[check] = self.items.get(check, set()) | set(items)

    def add(self, name: str, value: float) -> None:
        """Add to a moment."""
        self.moments[name] = self.moments.get(name, 0.0) + float(value)

    def widen(self, name: str, low: float, high: float) -> None:
        """Widen the extremes of an array."""
        old = self.extremes.get(name, (low, high))
        self.extremes[name] = (min(old[0], low), max(old[1], high))


def empty_tally(layout: FluxLayout) -> Tally:
    """Nothing counted yet."""
    return Tally(np.zeros(layout.count, np.int64))
