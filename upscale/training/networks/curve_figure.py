"""The figure of the training curves: training loss, validation loss, and where training stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from upscale.figures.colours import FAINT, INK
from upscale.figures.style import quiet, rules, save

_TITLES = {
    "pretrain": "Encoder on drivers alone",
    "decoder": "Decoder alone",
    "joint": "Encoder, generator and decoder",
}


@dataclass(frozen=True)
class _Row:
    """A quantity of the table; its name where fluxes are learned, and in pretraining."""

    quantity: str
    name: str
    before: str
    colour: str
    scale: str = "linear"


#: A log axis over more than this has ticks at the powers of ten alone.
_WIDE = 300.0

_ROWS = (
    _Row("loss", "loss of learning,\nscaled", "contrast in learning", "#0072b2"),
    _Row("validation", "RMSE at clusters\nto stop by, scaled", "contrast at others", "#d55e00"),
    _Row("balance", "imbalance,\n(g C m$^{-2}$ d$^{-1}$)$^2$", "", FAINT, "log"),
)


def plot_curves(table: pd.DataFrame, path: str | Path, title: str = "") -> Path:
    """Draw `curves.csv` (see `upscale.training.networks.curves`) as PNG; returns its path.

    One column per stage; a thin line per member, their median in bold while all of them train,
    a dot at each epoch whose weights were kept.
    """
    stages = list(dict.fromkeys(table["stage"]))
    figure = Figure(figsize=(2.2 + 3.4 * len(stages), 6.4), layout="constrained")
    axes = figure.subplots(len(_ROWS), len(stages), squeeze=False, sharex="col")
    for row, panels in zip(_ROWS, axes, strict=True):
        _draw_row(row, panels, stages, table)
    for axis, stage in zip(axes[0], stages, strict=True):
        axis.set_title(_TITLES.get(stage, stage), loc="left", fontsize=10)
    for column, stage in enumerate(stages):
        lowest = axes[-2 if stage == "pretrain" else -1, column]
        lowest.set_xlabel("epoch")
        lowest.tick_params(labelbottom=True)
    members = table["member"].nunique()
    said = f"{title}: {members} members. Thin: each; bold: median of all; dot: weights kept"
    figure.suptitle(said, fontsize=10, x=0.01, ha="left")
    return save(figure, Path(path))


def _draw_row(
    row: _Row, panels: Sequence[Axes], stages: Sequence[str], table: pd.DataFrame
) -> None:
    """One quantity; the stages that learn fluxes share one height, pretraining has its own."""
    fluxes = [axis for axis, stage in zip(panels, stages, strict=True) if stage != "pretrain"]
    for axis, stage in zip(panels, stages, strict=True):
        early = stage == "pretrain"
        axis.set_ylabel(row.before if early else row.name if axis is fluxes[0] else "")
        if early and not row.before:
            axis.set_visible(False)
            continue
        _draw_panel(axis, table[table["stage"] == stage], row)
    low = min((axis.get_ylim()[0] for axis in fluxes), default=0)
    high = max((axis.get_ylim()[1] for axis in fluxes), default=1)
    for axis in fluxes:
        axis.set_ylim(low, high)
        if row.scale == "log":
            _log_ticks(axis, high / low > _WIDE)


def _log_ticks(axis: Axes, wide: bool) -> None:
    """Powers of ten where the axis is wide, 1, 2 and 5 between them where there is room."""
    axis.yaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5), numticks=20))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())


def _draw_panel(axis: Axes, part: pd.DataFrame, row: _Row) -> None:
    """One quantity in one stage: every member, their median and the epochs that were kept."""
    if row.scale == "log":
        axis.set_yscale("log")
    quiet(axis)
    rules(axis)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    wide = part.assign(epoch=part["epoch"] + 1).pivot(
        index="epoch", columns="member", values=row.quantity
    )
    axis.plot(wide, color=row.colour, lw=0.8, alpha=0.45)
    axis.plot(wide.dropna().median(axis=1), color=row.colour, lw=2)
    if row.quantity == "validation":
        kept = part[part["best"]].groupby("member").tail(1)
        axis.plot(kept["epoch"] + 1, kept["validation"], "o", color=INK, ms=3.5, zorder=3)
