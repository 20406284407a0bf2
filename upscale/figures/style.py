"""What all figures share: their resolution, headline and axes, and how they are written.

Figures are objects of their own: no window, no global state of pyplot.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from upscale.figures import colours

DPI = 200

#: Unit of a flux, as matplotlib sets it.
UNITS = "g C m$^{-2}$ d$^{-1}$"


def headline(figure: Figure, title: str, note: str, warning: str = "") -> None:
    """A title, a line below it and, in red at the right of that line, what must not be missed."""
    width, height = figure.get_size_inches()
    left, first, second = 0.45 / width, 1 - 0.24 / height, 1 - 0.48 / height
    figure.text(
        left, first, title, fontsize=12.5, fontweight="bold", va="center", color=colours.INK
    )
    figure.text(left, second, note, fontsize=8, va="center", color=colours.NOTE)
    if warning:
        figure.text(
            1 - 0.2 / width, second, warning, fontsize=9, fontweight="bold", va="center",
            ha="right", color=colours.WARNING,
        )  # fmt: skip


def panel_title(axes: Axes, title: str) -> None:
    """A title at the left, above the axes."""
    axes.set_title(title, loc="left", fontsize=9.5, color=colours.INK, pad=5)


def quiet(axes: Axes) -> None:
    """No box, small ticks."""
    axes.tick_params(labelsize=7.5, color=colours.FAINT, length=2.5, width=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=colours.FAINT, linewidth=0.7)


def rules(axes: Axes) -> None:
    """Faint horizontal lines behind what is drawn."""
    axes.grid(axis="y", color=colours.RULE, linewidth=0.5)
    axes.set_axisbelow(True)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG."""
    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, facecolor="white", metadata={"Software": "upscale"})
    return path
