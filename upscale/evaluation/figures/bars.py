"""Mean RMSE by class, one bar per model (after Rozanov et al. 2026, Figure 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from upscale.evaluation.figures.style import CLIMATES, Look, classes_in_order, looks
from upscale.figures import colours
from upscale.figures.style import UNITS, headline, panel_title, quiet, rules
from upscale.variables import FLUXES

#: Share of the room of a class that its bars take.
_FILL = 0.8


@dataclass(frozen=True)
class Section:
    """One column of panels: what the classes are, and the classes in order."""

    title: str
    column: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class _BarPage:
    """Where panels go, in inches; widths: classes of the panels of a row."""

    widths: tuple[int, ...]
    rows: int
    between: float = 0.18
    left: float = 0.75
    top: float = 1.02
    panel: float = 1.75
    gap: float = 0.28
    below: float = 0.72
    width: float = 11.0

    @property
    def height(self) -> float:
        return self.top + self.rows * self.panel + (self.rows - 1) * self.gap + self.below

    def axes(self, figure: Figure, row: int) -> list[Axes]:
        """Axes of one row, as wide as they have classes."""
        room = self.width - self.left - 0.2 - self.between * (len(self.widths) - 1)
        unit = room / sum(self.widths)
        low = self.height - self.top - (row + 1) * self.panel - row * self.gap
        found, left = [], self.left
        for count in self.widths:
            box = (left / self.width, low / self.height,
                   unit * count / self.width, self.panel / self.height)  # fmt: skip
            found.append(figure.add_axes(box))
            left += unit * count + self.between
        return found


def bars_by_class(table: pd.DataFrame, models: Sequence[str], note: str) -> Figure:
    """RMSE by IGBP class and by main Koeppen-Geiger group; table: of `scores`."""
    table = table.dropna(subset=["rmse"]).assign(all="all")
    sections = [
        Section("", "all", ("all",)),
        _section(table, "IGBP land cover", "igbp"),
        _section(table, "Köppen–Geiger climate", "climate"),
    ]
    page = _BarPage(tuple(len(section.classes) for section in sections), len(FLUXES))
    figure = Figure(figsize=(page.width, page.height))
    shown = looks(models)
    for row, flux in enumerate(FLUXES):
        part = table[table["flux"] == flux]
        panels = page.axes(figure, row)
        for axes, section in zip(panels, sections, strict=True):
            _bars(axes, part, section, shown)
            _label(axes, part, section, named=row == len(FLUXES) - 1)
        _share_height(panels)
        panels[0].set_ylabel(f"{flux.upper()} RMSE\n{UNITS}", fontsize=8.5, color=colours.INK)
        for axes in panels[1:]:
            axes.tick_params(labelleft=False)
    _legend(figure, shown, page)
    headline(figure, "Error by land cover and by climate", note)
    return figure


def bars_by_season(table: pd.DataFrame, models: Sequence[str], note: str) -> Figure:
    """RMSE by season, one panel per flux; table: of `season_scores`."""
    table = table.dropna(subset=["rmse"])
    section = _section(table, "", "season")
    page = _BarPage((1, 1, 1), 1, between=0.55, panel=2.3)
    figure = Figure(figsize=(page.width, page.height))
    shown = looks(models)
    for axes, flux in zip(page.axes(figure, 0), FLUXES, strict=True):
        part = table[table["flux"] == flux]
        _bars(axes, part, section, shown)
        _label(axes, part, section, named=True)
        panel_title(axes, flux.upper())
        axes.set_ylabel(f"RMSE, {UNITS}", fontsize=8, color=colours.INK)
    _legend(figure, shown, page)
    headline(figure, "Error by season", note)
    return figure


def _section(table: pd.DataFrame, title: str, column: str) -> Section:
    return Section(title, column, tuple(classes_in_order(column, list(table[column].unique()))))


def _bars(axes: Axes, table: pd.DataFrame, section: Section, shown: Mapping[str, Look]) -> None:
    """Bars of the mean over towers; lines of one standard deviation where there are two towers
    or more."""
    width = _FILL / len(shown)
    for index, (model, look) in enumerate(shown.items()):
        shift = (index - (len(shown) - 1) / 2) * width
        for place, name in enumerate(section.classes):
            rows = table[(table["model"] == model) & (table[section.column] == name)]
            _bar(axes, place + shift, 0.92 * width, rows["rmse"].to_numpy(), look.colour)
    quiet(axes)
    axes.set_xlim(-0.55, len(section.classes) - 0.45)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    rules(axes)


def _bar(axes: Axes, x: float, width: float, rmse: np.ndarray, colour: str) -> None:
    if not len(rmse):
        return
    mean = float(rmse.mean())
    axes.bar(x, mean, width, color=colour, linewidth=0)
    if len(rmse) > 1:
        sd = float(rmse.std(ddof=1))
        axes.plot([x, x], [max(mean - sd, 0), mean + sd], color=colours.INK, lw=0.8, zorder=3)


def _label(axes: Axes, table: pd.DataFrame, section: Section, named: bool) -> None:
    """Class names, each with its number of towers."""
    axes.set_xticks(range(len(section.classes)))
    axes.tick_params(axis="x", length=0, labelbottom=named)
    if not named:
        return
    axes.set_xticklabels([_name(section, name) for name in section.classes], fontsize=8)
    towers = table.groupby(section.column)["tower"].nunique()
    for place, name in enumerate(section.classes):
        axes.annotate(
            f"n = {towers[name]}", (place, 0), (0, -15.5), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", va="top", fontsize=6.8, color=colours.NOTE,
        )  # fmt: skip
    axes.set_xlabel(section.title, fontsize=8.5, color=colours.INK, labelpad=14)


def _name(section: Section, name: str) -> str:
    return CLIMATES[name][0] if section.column == "climate" else name


def _share_height(panels: Sequence[Axes]) -> None:
    top = max(axes.get_ylim()[1] for axes in panels)
    for axes in panels:
        axes.set_ylim(0, top)


def _legend(figure: Figure, shown: Mapping[str, Look], page: _BarPage) -> None:
    """Colours of the models and the meaning of the lines, below the headline."""
    handles: list[Patch | Line2D] = [
        Patch(facecolor=look.colour, label=look.title) for look in shown.values()
    ]
    handles.append(
        Line2D([], [], color=colours.INK, lw=0.9, label="± 1 standard deviation over towers")
    )
    figure.legend(
        handles=handles, loc="lower left", ncols=len(handles), frameon=False, fontsize=8,
        bbox_to_anchor=(0.4 / page.width, 1 - 0.8 / page.height),
        handlelength=1.2, columnspacing=1.6, borderpad=0,
    )  # fmt: skip
