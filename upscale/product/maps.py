"""Drawing one map: the whole world in Equal Earth, a region in plain degrees, towers as dots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize, to_rgba
from matplotlib.patches import Patch
from numpy.typing import NDArray

from upscale.figures import colours, projection
from upscale.product.composite import Composite, State

Reals = NDArray[np.float64]
Bytes = NDArray[np.uint8]

_GREYS = {
    State.OUTSIDE: colours.OUTSIDE,
    State.WATER: colours.WATER,
    State.ICE: colours.ICE,
    State.NO_VALUE: colours.NO_VALUE,
}
_NAMES = {
    State.WATER: "water",
    State.ICE: "ice and snow",
    State.NO_VALUE: "no drivers or no context",
}
_NICE = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """Colours of a quantity: `low` to `high` in g m-2 d-1; `extend` as in a colour bar."""

    colours: Colormap
    low: float
    high: float
    extend: str

    @property
    def mappable(self) -> ScalarMappable:
        return ScalarMappable(Normalize(self.low, self.high), self.colours)


@dataclass(frozen=True)
class View:
    """The part of the Earth that a map shows: west, east, south, north in degrees."""

    world: bool
    west: float
    east: float
    south: float
    north: float

    @property
    def aspect(self) -> float:
        """Width over height on paper."""
        if self.world:
            return projection.HALF_WIDTH / projection.HALF_HEIGHT
        return (self.east - self.west) * self.stretch / (self.north - self.south)

    @property
    def stretch(self) -> float:
        """Length of a degree of longitude over one of latitude in the middle of a region."""
        middle = np.clip((self.south + self.north) / 2, -75, 75)
        return float(np.cos(np.radians(middle)))


def scale_to(name: str, fields: list[Reals], lat: Reals) -> Scale:
    """A scale for fields `(row, ...)` of one quantity: 98 % of the area lies inside it.

    name: a flux, else a spread; lat: latitude `(row,)` of the rows, for their weight.
    """
    high = _nice(max((_percentile(field, lat) for field in fields), default=1.0))
    beyond = any((np.abs(field[np.isfinite(field)]) > high).any() for field in fields)
    if name == "nee":
        return Scale(colours.colour_map(name), -high, high, "both" if beyond else "neither")
    kind = name if name in ("gpp", "reco") else "spread"
    return Scale(colours.colour_map(kind), 0, high, "max" if beyond else "neither")


def _percentile(field: Reals, lat: Reals) -> float:
    """The 98th percentile of |field| by area; 0 where there is no value."""
    there = np.isfinite(field)
    if not there.any():
        return 0.0
    weight = np.broadcast_to(np.cos(np.radians(lat))[:, None], field.shape)[there]
    values = np.abs(field[there])
    order = np.argsort(values)
    share = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][min(int(np.searchsorted(share, 0.98)), len(order) - 1)])


def _nice(value: float) -> float:
    """The next round number."""
    if not value > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(n for n in _NICE if n * power >= value * (1 - 1e-9)) * power)


def view_of(composite: Composite) -> View:
    """The whole world for a global grid; else the grid, or the surroundings of the towers."""
    grid = composite.grid
    east, south = grid.west + grid.cols * grid.resolution, grid.north - grid.rows * grid.resolution
    if composite.sparse:
        lon, lat = composite.points()
        if len(lon) and np.ptp(lon) < 120:
            pad = max(2.0, 0.08 * max(np.ptp(lon), np.ptp(lat)))
            low, high = max(lat.min() - pad, -90), min(lat.max() + pad, 90)
            return View(False, lon.min() - pad, lon.max() + pad, low, high)
        return View(True, -180, 180, -90, 90)
    world = grid.wraps and grid.rows * grid.resolution > 100
    return View(world, grid.west, east, max(south, -90.0), min(grid.north, 90.0))


def draw_map(axes: Axes, composite: Composite, field: Reals, scale: Scale, pixels: int) -> None:
    """Draw a field `(row, col)` in g m-2 d-1 with the states around it; no titles.

    pixels: columns of the image, best half as many again as the paper will show.
    """
    view = view_of(composite)
    _draw_cells(axes, composite, field, scale, view, pixels)
    if composite.sparse:
        _draw_towers(axes, composite, field, scale, view)
    if view.world:
        _draw_world(axes)
    else:
        _draw_frame(axes, view)


def _draw_cells(
    axes: Axes, composite: Composite, field: Reals, scale: Scale, view: View, pixels: int
) -> None:
    """Colour every pixel of the map by the cell that lies under its centre."""
    lines = round(pixels / view.aspect)
    half = (projection.HALF_WIDTH, projection.HALF_HEIGHT)
    box = (-half[0], half[0], -half[1], half[1]) if view.world else _box(view)
    x = box[0] + (np.arange(pixels) + 0.5) * (box[1] - box[0]) / pixels
    y = box[3] - (np.arange(lines) + 0.5) * (box[3] - box[2]) / lines
    lon, lat = projection.inverse(x, y) if view.world else np.meshgrid(x, y)
    image = _image(composite, _cell_colours(composite, field, scale), lon, lat)
    axes.imshow(image, extent=box, interpolation="antialiased", aspect="auto", zorder=1)
    axes.set_xlim(box[0], box[1])
    axes.set_ylim(box[2], box[3])
    axes.set_aspect(1 if view.world else 1 / view.stretch)


def _box(view: View) -> tuple[float, float, float, float]:
    return view.west, view.east, view.south, view.north


def _cell_colours(composite: Composite, field: Reals, scale: Scale) -> Bytes:
    """Colours of the cells `(row, col, rgba)`."""
    painted: Bytes = np.array(scale.mappable.to_rgba(np.nan_to_num(field), bytes=True))
    for kind, grey in _GREYS.items():
        painted[composite.state == kind] = _bytes(grey)
    if composite.sparse:  # dots are drawn instead
        painted[composite.state == State.VALUE] = _bytes(colours.OUTSIDE)
    return painted


def _bytes(colour: str) -> Bytes:
    parts: Bytes = np.array([round(255 * part) for part in to_rgba(colour)], np.uint8)
    return parts


def _image(composite: Composite, painted: Bytes, lon: Reals, lat: Reals) -> Bytes:
    """Colours `(line, pixel, rgba)` of the cells at `lon`, `lat` `(line, pixel)`; clear
    outside the world, striped where there is no value."""
    grid = composite.grid
    known = np.isfinite(lon)
    row = np.floor((grid.north - np.where(known, lat, 0)) / grid.resolution).astype(int)
    col = np.floor(((np.where(known, lon, 0) - grid.west) % 360) / grid.resolution).astype(int)
    inside = (row >= 0) & (row < grid.rows) & (col < grid.cols)
    row, col = np.clip(row, 0, grid.rows - 1), np.clip(col, 0, grid.cols - 1)
    image: Bytes = painted[row, col]
    image[~inside] = _bytes(colours.OUTSIDE)
    striped = inside & (composite.state[row, col] == State.NO_VALUE) & _stripes(row.shape)
    image[striped] = _bytes(colours.STRIPE)
    image[~known] = 0
    return image


def _stripes(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    line, pixel = np.indices(shape[:2])
    return np.asarray((line + pixel) % 12 < 4)


def _draw_towers(axes: Axes, composite: Composite, field: Reals, scale: Scale, view: View) -> None:
    lon, lat = composite.points()
    x, y = projection.forward(lon, lat) if view.world else (lon, lat)
    values = field[composite.state == State.VALUE]
    axes.scatter(
        x, y, c=values, cmap=scale.colours, vmin=scale.low, vmax=scale.high, s=18,
        edgecolors=colours.INK, linewidths=0.4, zorder=4,
    )  # fmt: skip


def _draw_world(axes: Axes) -> None:
    """Draw the graticule, the outline of the projected globe and its latitudes."""
    for x, y in _graticule():
        axes.plot(x, y, color=colours.NOTE, linewidth=0.35, alpha=0.45, zorder=2)
    edge = np.linspace(-90, 90, 181)
    left, up = projection.forward(np.full(181, -180.0), edge)
    around = np.r_[left, -left[::-1]], np.r_[up, up[::-1]]
    axes.fill(*around, facecolor="none", edgecolor=colours.NOTE, linewidth=0.8, zorder=3)
    for lat in (-60, -30, 0, 30, 60):
        x, y = projection.forward(np.array([-180.0]), np.array([float(lat)]))
        axes.text(
            x[0] - 0.05, y[0], degrees(lat, "NS"), ha="right", va="center", fontsize=6.5,
            color=colours.FAINT,
        )  # fmt: skip
    axes.set_xlim(-projection.HALF_WIDTH * 1.005, projection.HALF_WIDTH * 1.005)
    axes.set_ylim(-projection.HALF_HEIGHT * 1.01, projection.HALF_HEIGHT * 1.01)
    axes.set_axis_off()


def _graticule() -> Iterator[tuple[Reals, Reals]]:
    lats, lons = np.linspace(-90, 90, 91), np.linspace(-180, 180, 91)
    for lon in range(-120, 180, 60):
        yield projection.forward(np.full(91, float(lon)), lats)
    for lat in range(-60, 90, 30):
        yield projection.forward(lons, np.full(91, float(lat)))


def degrees(value: float, letters: str) -> str:
    """`30°N`; letters: those of positive and negative values."""
    letter = "" if value == 0 else letters[0] if value > 0 else letters[1]
    return f"{abs(value):g}°{letter}"


def _draw_frame(axes: Axes, view: View) -> None:
    axes.grid(True, color=colours.NOTE, linewidth=0.35, alpha=0.45, zorder=2)
    axes.xaxis.set_major_formatter(lambda value, _: degrees(value, "EW"))
    axes.yaxis.set_major_formatter(lambda value, _: degrees(value, "NS"))
    axes.locator_params(nbins=5)
    axes.tick_params(labelsize=7, colors=colours.FAINT, length=2)
    for spine in axes.spines.values():
        spine.set(color=colours.NOTE, linewidth=0.8)


def legend_of(composite: Composite) -> list[Any]:
    """Legend patches for the states without a value that occur."""
    there = [state for state in _NAMES if (composite.state == state).any()]
    return [
        Patch(
            facecolor=_GREYS[state], edgecolor=colours.STRIPE, linewidth=0.4,
            hatch="/////" if state == State.NO_VALUE else None, label=_NAMES[state],
        )
        for state in there
    ]  # fmt: skip
