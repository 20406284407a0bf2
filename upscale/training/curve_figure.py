"""The figure of the training curves: what was learned, what was judged, and where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from upscale.product.colours import FAINT, INK

_LEARNED, _JUDGED = "#0072b2", "#d55e00"
_STAGES = {
    "pretrain": "Encoder on drivers alone",
    "decoder": "Decoder alone",
    "joint": "Encoder, generator and decoder",
}

#: Rows of the figure: column of the table, its name, colour.
_ROWS = (
    ("loss", "learning: loss,\nscaled", _LEARNED),
    ("validation", "clusters to stop by:\nmean RMSE, scaled", _JUDGED),
    ("balance", "learning: imbalance,\n(g C m$^{-2}$ d$^{-1}$)$^2$", FAINT),
)


def plot_curves(table: pd.DataFrame, path: str | Path, title: str = "") -> Path:
    """Draw `curves.csv` (see `upscale.training.curves`) as PNG; returns its path.

    One column per stage; a thin line per member, the median of those still in training in bold,
    a dot at each epoch whose weights were kept.
    """
    stages = list(dict.fromkeys(table["stage"]))
    figure = Figure(figsize=(2.2 + 3.4 * len(stages), 6.4), layout="constrained")
    axes = figure.subplots(len(_ROWS), len(stages), squeeze=False, sharex="col")
    for row, (quantity, name, colour) in enumerate(_ROWS):
        for column, stage in enumerate(stages):
            part = table[table["stage"] == stage]
            _panel(axes[row, column], part, quantity, colour)
        axes[row, 0].set_ylabel(name)
    for column, stage in enumerate(stages):
        axes[0, column].set_title(_STAGES.get(stage, stage), loc="left", fontsize=10)
        axes[-1, column].set_xlabel("epoch")
    _share_heights(axes, stages)
    members = table["member"].nunique()
    note = "thin: each member; bold: their median; dot: weights kept"
    figure.suptitle(f"{title}  {members} members ({note})".strip(), fontsize=10, x=0.01, ha="left")
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=160, facecolor="white", metadata={"Software": "upscale"})
    return Path(path)


def _panel(axis: Axes, part: pd.DataFrame, quantity: str, colour: str) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if quantity == "balance" and not part["balance"].any():
        axis.text(0.5, 0.5, "no fluxes here", transform=axis.transAxes, ha="center", color=FAINT)
        axis.set_yticks([])
        return
    for _, curve in part.groupby("member"):
        axis.plot(curve["epoch"] + 1, curve[quantity], color=colour, lw=0.8, alpha=0.45)
        if quantity == "validation":
            kept = curve[curve["best"]].tail(1)
            axis.plot(kept["epoch"] + 1, kept[quantity], "o", color=INK, ms=3.5, zorder=3)
    median = part.groupby("epoch")[quantity].median()
    axis.plot(median.index + 1, median, color=colour, lw=2)
    axis.grid(axis="y", color="#e6e6e6", lw=0.6)
    axis.set_axisbelow(True)


def _share_heights(axes: NDArray[np.object_], stages: list[str]) -> None:
    """One height for each row over the stages that learn fluxes; pretraining has its own."""
    fluxes = [column for column, stage in enumerate(stages) if stage != "pretrain"]
    for row in axes:
        for column in fluxes[1:]:
            row[column].sharey(row[fluxes[0]])
