"""Figures of a flux cube: maps of the mean fluxes and their spread, and the seasonal cycle by
latitude. Figures are objects of their own: no window, no global state of pyplot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from upscale.figures import colours
from upscale.figures.style import DPI, UNITS, headline, panel_title, save
from upscale.product.composite import SEASON_BINS, SEASON_DAYS, Composite, composite
from upscale.product.maps import Scale, degrees, draw_map, legend_of, scale_to, view_of
from upscale.product.reader import FluxCube, open_flux_cube
from upscale.variables import FLUXES, variable

_MONTHS = "JFMAMJJASOND"
_MONTH_STARTS = (1, 32, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366)

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """One map: its field `(row, col)`, its scale, and what stands above and below it."""

    title: str
    field: Reals
    scale: Scale
    label: str


def plot_cube(store: str, out_dir: Path) -> list[Path]:
    """Draw all figures of a flux cube as PNG into `out_dir`; returns their paths.

    `maps.png` shows GPP, RECO, NEE and the spread of NEE (where members were kept) together,
    `map_<flux>.png` each alone, `seasonal_cycle.png` day of the year against latitude,
    `applicability.png` (where the model has such an area) how unlike the training data places
    and their weather are. A cube of towers is drawn as dots. Raises ValueError where there is
    no flux cube.
    """
    cube = open_flux_cube(store)
    made = composite(cube)
    out_dir.mkdir(parents=True, exist_ok=True)
    panels = _panels(made)
    title = "Carbon fluxes of the land"
    figures = {"maps.png": _atlas(cube, made, list(panels.values()), title)}
    figures |= {
        f"map_{name}.png": _atlas(cube, made, [one], one.title) for name, one in panels.items()
    }
    figures["seasonal_cycle.png"] = _seasons(cube, made)
    if made.applicability:
        area = list(applicability_panels(cube, made))
        figures["applicability.png"] = _atlas(cube, made, area, "Area of applicability")
    return [save(figure, out_dir / name) for name, figure in figures.items()]


def _panels(made: Composite) -> dict[str, Panel]:
    panels = _flux_panels(made.means, made.grid.lat)
    if "nee" in made.spreads:
        field = made.spreads["nee"]
        label = f"standard deviation over members, {UNITS}"
        scale = scale_to("nee_sd", [field], made.grid.lat)
        panels["nee_spread"] = Panel("Ensemble spread of mean NEE", field, scale, label)
    return panels


def _flux_panels(fields: Mapping[str, Reals], lat: Reals) -> dict[str, Panel]:
    """Panels of the three fluxes; GPP and RECO share a range, so that they can be compared."""
    panels = {}
    for flux, field in fields.items():
        shared = [field] if flux == "nee" else [fields["gpp"], fields["reco"]]
        sign = ": sink (−) to source (+)" if flux == "nee" else ""
        label = f"{flux.upper()}{sign}, {UNITS}"
        panels[flux] = Panel(_title(flux), field, scale_to(flux, shared, lat), label)
    return panels


def _title(flux: str) -> str:
    text = variable(flux).long_name.replace(" of carbon", "")
    return f"{text[0].upper()}{text[1:]} ({flux.upper()})"


def applicability_panels(cube: FluxCube, made: Composite) -> Iterator[Panel]:
    """Mean dissimilarity indices, mean density, and the share of days above a threshold."""
    titles = {
        "extrapolation": "Drivers unlike those of all towers",
        "extrapolation_embedding": "Place unlike all towers",
    }
    for name, title in titles.items():
        if name in made.applicability:
            threshold = cube.array(name).attrs["applicability_threshold"]
            label = f"dissimilarity index; outside the area above {threshold:.2g}"
            field = made.applicability[name]
            yield Panel(title, field, scale_to(name, [field], made.grid.lat), label)
    density = made.applicability["point_density"]
    scale = scale_to("point_density", [density], made.grid.lat)
    yield Panel("Training points with like drivers", density, scale, "points within the threshold")
    scale = Scale(colours.colour_map("spread"), 0, 100, "neither")
    yield Panel("Outside the area", made.applicability["outside"], scale, "share of days, %")


def _atlas(cube: FluxCube, made: Composite, panels: Sequence[Panel], title: str) -> Figure:
    """One map, or several in two columns, each with its colour bar."""
    cols = 1 if len(panels) == 1 else 2
    rows = -(-len(panels) // cols)
    view = view_of(made)
    page = _MapPage(7.2 if cols == 1 else 10.6, cols, rows, view.aspect, not view.world)
    figure = Figure(figsize=(page.width, page.height))
    for index, panel in enumerate(panels):
        axes, bar = page.axes(figure, index)
        draw_map(axes, made, panel.field, panel.scale, round(1.5 * DPI * page.panel_width))
        if len(panels) > 1:
            heading = f"{'abcdefgh'[index]}   {panel.title}"
            panel_title(axes, heading)
        _colour_bar(figure, bar, panel)
    _headline(figure, cube, made, f"{title}, mean of {cube.describe_period()}")
    _legend(figure, made, page.height)
    return figure


@dataclass(frozen=True)
class _MapPage:
    """Positions on a page, in inches; maps of regions need room for their degrees."""

    width: float
    cols: int
    rows: int
    aspect: float
    degrees: bool

    @property
    def top(self) -> float:
        return 0.95 if self.cols > 1 else 0.7

    @property
    def gap(self) -> float:
        return 0.6 if self.degrees else 0.35

    @property
    def below(self) -> float:
        """From the map to its colour bar."""
        return 0.4 if self.degrees else 0.22

    @property
    def panel_width(self) -> float:
        return (self.width - 0.65 - (self.cols - 1) * self.gap) / self.cols

    @property
    def map_height(self) -> float:
        return min(self.panel_width / self.aspect, 6.0)

    @property
    def step(self) -> float:
        """From one row of maps to the next."""
        return self.map_height + self.below + 0.83

    @property
    def height(self) -> float:
        return self.top + self.rows * self.step

    def axes(self, figure: Figure, index: int) -> tuple[Axes, Axes]:
        """Axes of the map and of the colour bar of one panel."""
        row, col = divmod(index, self.cols)
        wide, tall = self.panel_width, self.map_height
        left = 0.45 + col * (wide + self.gap)
        low = self.height - self.top - row * self.step - tall
        bar = (left + 0.2 * wide, low - self.below, 0.6 * wide, 0.11)
        return self._add(figure, (left, low, wide, tall)), self._add(figure, bar)

    def _add(self, figure: Figure, box: tuple[float, float, float, float]) -> Axes:
        left, low, wide, tall = box
        place = (left / self.width, low / self.height, wide / self.width, tall / self.height)
        return figure.add_axes(place)


def _colour_bar(figure: Figure, axes: Axes, panel: Panel) -> None:
    bar = figure.colorbar(
        panel.scale.mappable, cax=axes, orientation="horizontal", extend=panel.scale.extend
    )
    _style_bar(bar, panel.label)


def _style_bar(bar: Any, label: str) -> None:
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(labelsize=7.5, length=2.5, width=0.5)
    bar.locator = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10])
    bar.formatter = FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−"))
    bar.update_ticks()
    bar.set_label(label, fontsize=8, color=colours.INK, labelpad=3)


def _headline(figure: Figure, cube: FluxCube, made: Composite, title: str) -> None:
    """Title, source, and a note where the planet is synthetic."""
    warning = "Synthetic planet – not Earth" if cube.synthetic else ""
    headline(figure, title, _made_by(cube, made), warning)


def _made_by(cube: FluxCube, made: Composite) -> str:
    model = cube.attributes.get("model_name", cube.attributes.get("model", "unknown model"))
    members = cube.layout.members
    many = f"{members} members" if members != 1 else "1 member"
    cells = f"; {len(made.points()[0])} cells with values" if made.sparse else ""
    return f"{model}, {many}; {cube.grid.resolution:g}° daily, per area of land{cells}"


def _legend(figure: Figure, made: Composite, height: float) -> None:
    patches = legend_of(made)
    if patches:
        figure.legend(
            handles=patches, loc="lower center", ncols=len(patches), frameon=False, fontsize=7.5,
            bbox_to_anchor=(0.5, 0.04 / height), handlelength=1.6, columnspacing=2.0,
        )  # fmt: skip


def _seasons(cube: FluxCube, made: Composite) -> Figure:
    """Day of the year against latitude, one panel per flux."""
    fields, edges = _by_latitude(made)
    width, height = 10.6, 4.6
    figure = Figure(figsize=(width, height))
    panels = _flux_panels(fields, (edges[:-1] + edges[1:]) / 2)
    for index, panel in enumerate(panels.values()):
        left = (0.62 + index * 3.32) / width
        axes = figure.add_axes((left, 1.02 / height, 3.05 / width, 2.62 / height))
        bar = figure.add_axes((left + 0.45 / width, 0.55 / height, 2.15 / width, 0.11 / height))
        axes.set_facecolor(colours.OUTSIDE if made.sparse else colours.WATER)
        _draw_season(axes, panel, edges, first=index == 0)
        panel_title(axes, f"{'abc'[index]}   {panel.title}")
        _colour_bar(figure, bar, panel)
    title = f"Seasonal cycle of the land by latitude, {cube.describe_period()}"
    _headline(figure, cube, made, title)
    return figure


def _by_latitude(made: Composite) -> tuple[dict[str, Reals], Reals]:
    """Zonal means `(band, bin)` by flux, weighted by area of land, and the edges of bands."""
    grid = made.grid
    span = 2.5 if made.sparse else grid.rows * grid.resolution / 180
    merge = max(1, round(span / grid.resolution))
    starts = np.arange(0, grid.rows, merge)
    area = np.add.reduceat(made.season_area, starts, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        fields = np.add.reduceat(made.season, starts, axis=1) / area
    edges = grid.north - np.append(starts, grid.rows) * grid.resolution
    return dict(zip(FLUXES, fields, strict=True)), np.clip(edges, -90, 90)


def _draw_season(axes: Axes, panel: Panel, edges: Reals, first: bool) -> None:
    """One panel: months across, latitudes up; grey where no land has a value."""
    scale = panel.scale
    days = np.append(np.arange(SEASON_BINS) * SEASON_DAYS, 365) + 1
    axes.pcolormesh(
        days, edges, panel.field, cmap=scale.colours, vmin=scale.low, vmax=scale.high,
        rasterized=True,
    )  # fmt: skip
    rows, bins = (np.flatnonzero(np.isfinite(panel.field).any(axis=axis)) for axis in (1, 0))
    if len(rows):
        axes.set_ylim(edges[rows[-1] + 1], edges[rows[0]])
        axes.set_xlim(days[bins[0]], days[bins[-1] + 1])
    _style_season(axes, first)


def _style_season(axes: Axes, first: bool) -> None:
    """Name months and latitudes on the axes of a seasonal cycle."""
    starts = np.array(_MONTH_STARTS)
    low, high = axes.get_xlim()
    middles = (starts[:-1] + starts[1:]) / 2
    there = (middles >= low) & (middles <= high)
    axes.set_xticks(starts[(starts >= low) & (starts <= high)], minor=True)
    axes.set_xticks(middles[there], [m for m, t in zip(_MONTHS, there, strict=True) if t])
    axes.tick_params(axis="x", which="major", length=0, labelsize=8)
    axes.tick_params(axis="x", which="minor", length=3, width=0.6)
    axes.tick_params(axis="y", labelsize=8, length=3, width=0.6)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 1.5, 2, 3, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: degrees(round(value, 3), "NS"))
    axes.yaxis.grid(True, color=colours.NOTE, linewidth=0.35, alpha=0.4)
    if not first:
        axes.tick_params(axis="y", labelleft=False)
    for spine in axes.spines.values():
        spine.set(color=colours.NOTE, linewidth=0.6)
