"""What a check says: its name, what was found, where, and what mends it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

#: Faults that a line names, before it counts the others.
NAMED = 3


@dataclass(frozen=True)
class Check:
    """One named check: `found` in words, `remedy` where it failed.

    waived: it may fail; told: it is shown although it passed; items: ids of the work items that
    would have to be done again.
    """

    name: str
    passed: bool
    found: str
    remedy: str = ""
    waived: bool = False
    told: bool = False
    items: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line for people."""
        state = "ok" if self.passed else ("waived" if self.waived else "FAILED")
        remedy = f"; {self.remedy}" if self.remedy and not self.passed else ""
        return f"{state:<7} {self.name}: {self.found}{remedy}"


@dataclass(frozen=True)
class CheckReport:
    """All checks of one flux cube, and figures of its values."""

    store: str
    checks: tuple[Check, ...]
    figures: dict[str, float]

    @property
    def passed(self) -> bool:
        """True where every check passed or was waived by name."""
        return not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """Names of the checks that failed and were not waived."""
        return tuple(c.name for c in self.checks if not c.passed and not c.waived)

    @property
    def items(self) -> tuple[str, ...]:
        """The work items that failed checks name, each once."""
        named = (item for c in self.checks if not c.passed and not c.waived for item in c.items)
        return tuple(sorted(set(named)))

    def describe(self) -> str:
        """One line per check."""
        return "\n".join(check.describe() for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a report in JSON; NaN becomes None."""
        figures = {k: v if math.isfinite(v) else None for k, v in self.figures.items()}
        checks = [asdict(check) for check in self.checks]
        return {"store": self.store, "passed": self.passed, "checks": checks, "figures": figures}


def verdict(
    name: str, faults: Iterable[str], good: str, remedy: str, items: Iterable[str] = ()
) -> Check:
    """A check that failed where there are faults: the first ones are named, the others counted."""
    listed = list(faults)
    more = f"; and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    found = "; ".join(listed[:NAMED]) + more if listed else good
    return Check(name, not listed, found, remedy, items=tuple(sorted(set(items))))


def repair(store: str) -> str:
    """The command that does what is bad in a store again."""
    return f"run `upscale repair {store}`"
