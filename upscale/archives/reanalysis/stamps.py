"""How the stamps of a variable lie, over one file or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import date_of, day_of_hour


@dataclass(frozen=True)
class Stamps:
    """The stamps of a variable, hours since 1970-01-01 00 UTC.

    step: shortest distance in hours, 0 for a single stamp; day_step: the same of days that have
    stamps; clock: hours of the day that occur.
    """

    first: int
    last: int
    step: int
    day_step: int
    clock: tuple[int, ...]

    @property
    def spacing(self) -> str:
        """How far stamps lie apart, in words."""
        if self.step == 0:
            return "a single stamp"
        if self.day_step >= 28:
            return "stamps a month apart" if len(self.clock) == 1 else "hours of one day a month"
        if self.day_step == 0 and date_of(day_of_hour(self.first)).day == 1:
            return "hours of one day that begins a month"
        if self.step < 24:
            return "a stamp every hour" if self.step == 1 else f"a stamp every {self.step} hours"
        days = self.step == 24 and len(self.clock) == 1
        return "one stamp a day" if days else f"stamps {self.step / 24:g} days apart"


def stamps_of(hours: NDArray[np.int64]) -> Stamps:
    """The stamps of hours `(stamp,)` in any order."""
    steps, days = np.diff(np.unique(hours)), np.diff(np.unique(day_of_hour(hours)))
    clock = tuple(int(hour) for hour in np.unique(hours % 24))
    if not hours.size:
        return Stamps(0, 0, 0, 0, ())
    return Stamps(
        int(hours.min()), int(hours.max()), int(steps.min(initial=1 << 40)) if steps.size else 0,
        int(days.min()) if days.size else 0, clock,
    )  # fmt: skip


def merged(several: Sequence[Stamps]) -> Stamps:
    """The stamps of several files that are one series."""
    several = [stamps for stamps in several if stamps.clock] or several[:1]
    ordered = sorted(several, key=lambda stamps: (stamps.first, stamps.last))
    pairs = list(pairwise(ordered))
    between = [(a.last, b.first) for a, b in pairs] + [(a.first, b.first) for a, b in pairs]
    steps = [b - a for a, b in between if b > a] + [s.step for s in several if s.step]
    days = [day_of_hour(b) - day_of_hour(a) for a, b in between]
    day_steps = [step for step in days if step > 0] + [s.day_step for s in several if s.day_step]
    clock = tuple(sorted({hour for stamps in several for hour in stamps.clock}))
    last = max(stamps.last for stamps in several)
    return Stamps(
        ordered[0].first, last, min(steps, default=0), min(day_steps, default=0), clock
    )  # fmt: skip
