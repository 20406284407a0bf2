"""Relative RMSE of every model against a baseline, by class (after Rozanov et al. 2026,
Figure 4): (baseline - model) / baseline, so that more is better."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from upscale.evaluation.bootstrap import BETTER, RMSE, TOO_FEW, WORSE, compare
from upscale.evaluation.figures.style import CLIMATES, classes_in_order
from upscale.evaluation.model_names import title_of
from upscale.figures import colours
from upscale.figures.numbers import minus
from upscale.figures.style import headline, panel_title
from upscale.variables import FLUXES

#: Where the colours end, per cent.
_LIMIT = 40.0

#: Room between the groups of columns, in cells.
_GAP = 0.25

_CELL = (0.56, 0.34)


def relative_rmse(table: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Relative RMSE against `reference` over all towers and in every class.

    table: of `scores`. Columns: section (`all`, `igbp`, `climate`), label, model, flux,
    towers, clusters, days, gain (100 (reference - model) / reference, per cent), low, high
    (its interval of 95 %), verdict.
    """
    parts = []
    for section in ("all", "igbp", "climate"):
        labelled = table.assign(label="all" if section == "all" else table[section])
        part = compare(labelled, reference, (RMSE,), by=("label",)).assign(section=section)
        days = labelled[labelled["model"] == reference]
        counts = days.groupby(["label", "flux"])["n"].sum()
        keys = pd.MultiIndex.from_frame(part[["label", "flux"]])
        parts.append(part.assign(days=counts.reindex(keys).to_numpy()))
    found = pd.concat(parts, ignore_index=True)
    found = found.assign(
        gain=-found["percent"], low=-found["percent_high"], high=-found["percent_low"]
    )
    names = ["section", "label", "model", "flux", "towers", "clusters", "days", "gain", "low"]
    return found[[*names, "high", "verdict"]]


def heat_map(table: pd.DataFrame, reference: str, models: Sequence[str], note: str) -> Figure:
    """Relative RMSE of `models` against `reference`; table: of `relative_rmse`."""
    others = [name for name in models if name != reference]
    columns = _columns(table)
    left, top, between = 1.75, 1.0, 0.36
    panel = len(others) * _CELL[1]
    width = left + (columns[-1][2] + 1) * _CELL[0] + 1.1
    height = top + 3 * panel + 2 * between + 0.85
    figure = Figure(figsize=(width, height))
    for row, flux in enumerate(FLUXES):
        low = height - top - (row + 1) * panel - row * between
        box = (left / width, low / height, (width - left - 1.1) / width, panel / height)
        axes = figure.add_axes(box)
        _cells(axes, table[table["flux"] == flux], others, columns)
        panel_title(axes, flux.upper())
        _columns_below(axes, table, columns, shown=row == len(FLUXES) - 1)
    tall = min(3 * panel + 2 * between, 2.6)
    box = ((width - 0.85) / width, (height - top - tall) / height, 0.12 / width, tall / height)
    _colour_bar(figure, figure.add_axes(box))
    headline(figure, f"RMSE relative to {title_of(reference)}", note)
    return figure


def _columns(table: pd.DataFrame) -> list[tuple[str, str, float]]:
    """Section, label and place of each column."""
    found, place = [], 0.0
    for section in ("all", "igbp", "climate"):
        present = list(table.loc[table["section"] == section, "label"].unique())
        for label in classes_in_order(section, present):
            found.append((section, label, place))
            place += 1
        place += _GAP
    return found


def _cells(
    axes: Axes, table: pd.DataFrame, models: Sequence[str], columns: list[tuple[str, str, float]]
) -> None:
    """One panel: a row per model, a column per class."""
    known = {(r["section"], r["label"], r["model"]): r for r in table.to_dict("records")}
    for row, model in enumerate(models):
        for section, label, place in columns:
            if (section, label, model) in known:
                _cell(axes, place, row, known[section, label, model])
    axes.set_xlim(-0.02, columns[-1][2] + 1)
    axes.set_ylim(len(models), 0)
    axes.set_yticks(np.arange(len(models)) + 0.5, [title_of(name) for name in models], fontsize=8)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _cell(axes: Axes, left: float, top: float, row: Mapping[Hashable, Any]) -> None:
    """A cell; bold where the interval of the difference leaves zero out, small where there is
    none because there are too few clusters."""
    colour = _colour(row["gain"])
    x, y = (0.2, 0.16) if row["verdict"] == TOO_FEW else (0.0, 0.0)
    place, size = (left + x, top + y), (0.96 - 2 * x, 0.94 - 2 * y)
    axes.add_patch(Rectangle(place, *size, facecolor=colour, linewidth=0))
    dark = colours.lightness(np.array([colour[:3]]))[0] < 0.66
    sure = row["verdict"] in (BETTER, WORSE)
    axes.text(
        left + 0.48, top + 0.49, _signed(row["gain"]), ha="center", va="center", fontsize=8,
        fontweight="bold" if sure else "normal", color="white" if dark else colours.INK,
    )  # fmt: skip


def _signed(gain: float) -> str:
    rounded = round(float(gain))
    return minus(f"{rounded:+d}") if rounded else "0"


def _colour(gain: float) -> NDArray[np.float64]:
    """Teal where the model is better, brown where it is worse."""
    share = np.clip(0.5 - gain / (2 * _LIMIT), 0, 1)
    return np.array(colours.colour_map("nee")(share))


def _columns_below(
    axes: Axes, table: pd.DataFrame, columns: list[tuple[str, str, float]], shown: bool
) -> None:
    """Class, number of towers and of days."""
    axes.set_xticks([])
    if not shown:
        return
    for section, label, place in columns:
        part = table[(table["section"] == section) & (table["label"] == label)]
        towers, days = float(part["towers"].max()), float(part["days"].max())
        name = CLIMATES[label][0] if section == "climate" else label
        for line, text in enumerate((name, f"{towers:.0f}", _many(days))):
            _below(axes, (place + 0.48, 0), line, text, "center", colours.INK)
    for line, text in enumerate(("", "towers", "days")):
        _below(axes, (0, 0), line, text, "right", colours.NOTE)


def _below(
    axes: Axes, at: tuple[float, float], line: int, text: str, side: str, colour: str
) -> None:
    axes.annotate(
        text, at, (0 if side == "center" else -8, -11 - 11 * line),
        xycoords=("data", "axes fraction"), textcoords="offset points", ha=side, va="baseline",
        fontsize=7.6, color=colour,
    )  # fmt: skip


def _many(days: float) -> str:
    return f"{days / 1000:.0f}k" if days >= 10_000 else f"{days:.0f}"


def _colour_bar(figure: Figure, axes: Axes) -> None:
    mappable = ScalarMappable(Normalize(-_LIMIT, _LIMIT), colours.colour_map("nee").reversed())
    bar = figure.colorbar(mappable, cax=axes, extend="both", ticks=[-40, -20, 0, 20, 40])
    bar.ax.set_yticklabels([_signed(t) for t in (-40, -20, 0, 20, 40)])
    bar.ax.tick_params(labelsize=7.5, length=2.5, width=0.5)
    bar.outline.set_linewidth(0.4)
    bar.set_label("RMSE smaller by, %", fontsize=8, color=colours.INK)
