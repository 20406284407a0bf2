"""A model against a baseline, tower by tower, coloured by climate (after Rozanov et al. 2026,
Figure 5): RMSE above the line and r2 below it speak for the model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from upscale.evaluation.figures.style import CLIMATES, classes_in_order
from upscale.evaluation.model_names import title_of
from upscale.figures import colours
from upscale.figures.numbers import minus
from upscale.figures.style import UNITS, headline, panel_title, quiet
from upscale.variables import FLUXES

#: Towers whose r2 is below are drawn at the edge, and counted there.
R2_FLOOR = -1.0

#: So many of the towers that are farthest from the line are named.
_NAMED = 3

Reals = NDArray[np.float64]


def scatter_by_tower(table: pd.DataFrame, model: str, reference: str, note: str) -> Figure:
    """RMSE (above) and r2 (below) of every tower; table: of `scores`."""
    figure = Figure(figsize=(10.6, 7.75))
    grid = figure.add_gridspec(
        2, 3, left=0.068, right=0.975, top=0.872, bottom=0.105, hspace=0.27, wspace=0.24
    )
    for col, flux in enumerate(FLUXES):
        part = _side_by_side(table[table["flux"] == flux], model, reference)
        for row, score in enumerate(("rmse", "r2")):
            axes = figure.add_subplot(grid[row, col])
            _panel(axes, part, score)
            axes.set_xlabel(_axis(title_of(model), score), fontsize=8, color=colours.INK)
            axes.set_ylabel(_axis(title_of(reference), score), fontsize=8, color=colours.INK)
            what = "RMSE" if score == "rmse" else "R$^2$"
            panel_title(axes, f"{'abcdef'[3 * row + col]}   {flux.upper()}  {what}")
    _legend(figure, table)
    headline(figure, f"{title_of(model)} and {title_of(reference)}, tower by tower", note)
    return figure


def _side_by_side(table: pd.DataFrame, model: str, reference: str) -> pd.DataFrame:
    """rmse, rmse_reference, r2, r2_reference and climate, one row per tower."""
    keys = ["tower", "climate"]
    mine, theirs = (
        table[table["model"] == name].set_index(keys)[["rmse", "r2"]] for name in (model, reference)
    )
    return mine.join(theirs.add_suffix("_reference")).reset_index()


def _axis(title: str, score: str) -> str:
    return f"{title}, {UNITS}" if score == "rmse" else title


def _panel(axes: Axes, table: pd.DataFrame, score: str) -> None:
    """One score of both models at every tower, around the line where they are equal."""
    known = table.dropna(subset=[score, f"{score}_reference"])
    x, y = known[score].to_numpy(), known[f"{score}_reference"].to_numpy()
    low, high = _limits(np.concatenate([x, y]), score)
    axes.plot([low, high], [low, high], color=colours.NOTE, lw=0.8, zorder=1)
    if score == "r2":
        axes.axhline(0, color=colours.RULE, lw=0.8, zorder=0)
        axes.axvline(0, color=colours.RULE, lw=0.8, zorder=0)
    _points(axes, known, np.clip(x, low, high), np.clip(y, low, high))
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    quiet(axes)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    _tell(axes, x, y, score)
    _name_the_farthest(axes, known, x, y, (low, high))


def _limits(values: Reals, score: str) -> tuple[float, float]:
    if score == "r2":
        return R2_FLOOR - 0.05, 1.0
    return 0.0, float(values.max()) * 1.06 if len(values) else 1.0


def _points(axes: Axes, table: pd.DataFrame, x: Reals, y: Reals) -> None:
    for group in classes_in_order("climate", list(table["climate"].unique())):
        _, colour, marker = CLIMATES[group]
        here = (table["climate"] == group).to_numpy()
        axes.plot(
            x[here], y[here], marker, ms=5.2, mfc=colour, mec="white", mew=0.6, alpha=0.9,
            clip_on=False, zorder=3,
        )  # fmt: skip


def _tell(axes: Axes, x: Reals, y: Reals, score: str) -> None:
    """How many towers speak for the model, and how many lie beyond the edge."""
    better = int((x < y).sum() if score == "rmse" else (x > y).sum())
    text = f"better at {better} of {len(x)} towers"
    beyond = int(((x < R2_FLOOR) | (y < R2_FLOOR)).sum()) if score == "r2" else 0
    if beyond:
        text += f"\n{beyond} at the edge: below {minus(f'{R2_FLOOR:g}')}"
    axes.text(
        0.04, 0.96, text, transform=axes.transAxes, va="top", fontsize=7.5, color=colours.INK,
        zorder=4, bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1.5},
    )  # fmt: skip


def _name_the_farthest(
    axes: Axes, table: pd.DataFrame, x: Reals, y: Reals, limits: tuple[float, float]
) -> None:
    """Names beside the points that are farthest from the line, inside and with room."""
    low, high = limits
    distance = np.where((np.minimum(x, y) < low) | (np.maximum(x, y) > high), 0, np.abs(x - y))
    named: list[tuple[float, float]] = []
    for i in np.argsort(-distance)[: 3 * _NAMED]:
        taken = any(abs(y[i] - other) < 0.04 * (high - low) for _, other in named)
        if len(named) < _NAMED and not taken and distance[i] > 0.05 * (high - low):
            named.append((x[i], y[i]))
            at_left = bool(x[i] > low + 0.75 * (high - low))
            _write(axes, str(table["tower"].iloc[i]), x[i], y[i], at_left)


def _write(axes: Axes, text: str, x: float, y: float, left: bool) -> None:
    halo = [withStroke(linewidth=2, foreground="white")]
    axes.annotate(
        text, (x, y), (-5 if left else 5, 0), textcoords="offset points",
        ha="right" if left else "left", va="center", fontsize=6.5, color=colours.NOTE, zorder=5,
        path_effects=halo,
    )  # fmt: skip


def _legend(figure: Figure, table: pd.DataFrame) -> None:
    """Climates that occur, each with its number of towers."""
    towers = table.dropna(subset=["rmse"]).groupby("climate")["tower"].nunique()
    handles = [
        Line2D([], [], ls="", marker=marker, ms=6, mfc=colour, mec="white", mew=0.6, label=label)
        for group, (name, colour, marker) in CLIMATES.items()
        if group in towers
        for label in [f"{name} ({towers[group]})"]
    ]
    figure.legend(
        handles=handles, loc="lower center", ncols=len(handles), frameon=False, fontsize=8,
        bbox_to_anchor=(0.5, 0.005), title="Köppen–Geiger climate of the tower (number of towers)",
        title_fontsize=8, columnspacing=2.0,
    )  # fmt: skip
