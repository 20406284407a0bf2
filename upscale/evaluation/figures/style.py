"""What all figures of an evaluation share: how models and classes are shown.

The qualitative colours are those of Okabe & Ito (2008), which people with any of the common
colour deficiencies can tell apart; each climate also has its own marker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from upscale.evaluation.model_names import SEASONAL_CYCLE, title_of
from upscale.evaluation.seasons import SEASONS
from upscale.variables import IGBP

#: Main Koeppen-Geiger groups: name, colour, marker.
CLIMATES = {
    "A": ("tropical", "#d55e00", "^"),
    "B": ("arid", "#e69f00", "s"),
    "C": ("temperate", "#009e73", "o"),
    "D": ("cold", "#0072b2", "D"),
    "E": ("polar", "#cc79a7", "p"),
    "?": ("unknown", "#7f7f7f", "X"),
}

_MODEL_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
_SEASONAL = "#9a9a9a"


@dataclass(frozen=True)
class Look:
    """How a model is shown."""

    title: str
    colour: str


def looks(models: Sequence[str]) -> dict[str, Look]:
    """A look for each model, in their order; the seasonal cycle is grey, as no model at all."""
    ranked = [name for name in models if name != SEASONAL_CYCLE]
    found = {
        name: Look(title_of(name), _MODEL_COLOURS[i % len(_MODEL_COLOURS)])
        for i, name in enumerate(ranked)
    }
    grey = {SEASONAL_CYCLE: Look(title_of(SEASONAL_CYCLE), _SEASONAL)}
    return {name: (found | grey)[name] for name in models}


def classes_in_order(column: str, present: Sequence[str]) -> list[str]:
    """Labels that are present, in the order of their legend, `?` last."""
    if column == "igbp":
        return [name for name in (*IGBP, "?") if name in present]
    if column == "climate":
        return [name for name in CLIMATES if name in present]
    if column == "season":
        return [name for name in SEASONS if name in present]
    return sorted(present, key=lambda name: (name == "?", name))
