"""What all figures of an evaluation share: colours, names, headlines, axes.

The qualitative colours are those of Okabe & Ito (2008), which people with any of the common
colour deficiencies can tell apart; climates have a marker of their own as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from upscale.evaluation.model_names import SEASONAL_CYCLE, title_of
from upscale.evaluation.seasons import SEASONS
from upscale.figures import colours
from upscale.variables import IGBP

DPI = 200
FAINT = "#5f666d"
UNITS = "g C m$^{-2}$ d$^{-1}$"

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


def headline(figure: Figure, title: str, note: str) -> None:
    """Title and a line below it, as on the maps of a flux cube."""
    x, height = 0.45 / figure.get_figwidth(), figure.get_figheight()
    figure.text(
        x, 1 - 0.24 / height, title, fontsize=12.5, fontweight="bold", va="center",
        color=colours.INK,
    )  # fmt: skip
    figure.text(x, 1 - 0.48 / height, note, fontsize=8, va="center", color=FAINT)


def quiet(axes: Axes) -> None:
    """No box, small ticks."""
    axes.tick_params(labelsize=7.5, color=colours.FAINT, length=2.5, width=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=colours.FAINT, linewidth=0.7)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG."""
    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, facecolor="white", metadata={"Software": "upscale"})
    return path


def minus(text: str) -> str:
    """A typographic minus."""
    return text.replace("-", "−")
