"""The picture of the rooms in the architecture page, made from the imports in the code.

    python docs/rooms.py

writes docs/images/rooms.svg. Layers are those of the contract in pyproject.toml; an arrow says that
a room imports another one. The picture carries the list of all imports as text, which a test
compares with the code.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from itertools import pairwise
from pathlib import Path

import grimp
import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path as Curve

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "rooms.svg"

#: What a room is for, in a few words; its row in the architecture page says more.
CAPTIONS = {
    "commands": "one file for each command",
    "api": "what import upscale offers",
    "testing": "worlds for tests",
    "fetch": "downloads",
    "checks": "faults of a flux cube",
    "evaluation": "skill at towers",
    "ingest": "archives to drivers",
    "planet": "a synthetic world",
    "training": "towers to releases",
    "engine": "a run on a cluster",
    "product": "the flux cube",
    "archives": "MODIS, VIIRS, ERA5",
    "drivers": "the driver cube",
    "network": "models, uncertainty",
    "jobs": "clusters, ledgers, keys",
    "remote": "copies of remote files",
    "figures": "colours, projection",
    "towers": "measured fluxes",
    "stores": "Zarr and files",
    "grid": "cells, tiles, areas",
    "variables": "names and units",
    "calendar": "day numbers",
    "humidity": "vapour pressure",
    "prediction_interval": "the formula",
    "shipped": "models and grids",
    "version": "of the package",
}
WIDTH, HEIGHT, GAP, STEP = 2.5, 0.8, 0.5, 1.5
INK, PALE, PAPER = "#16352c", "#7d968d", "#ffffff"
SHADES = ("#1f5d4c", "#2f7f69", "#4f8f5b", "#8a9a3f", "#b98a2f", "#b0602a")

Edges = set[tuple[str, str]]


def layers() -> list[list[str]]:
    """Rooms from top to bottom, as the contract has them."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = content["tool"]["importlinter"]["contracts"]
    (rows,) = (one["layers"] for one in contracts if one["type"] == "layers")
    return [[name.strip().split(".")[1] for name in row.split("|")] for row in rows]


def imports() -> Counter[tuple[str, str]]:
    """How often modules of one room import modules of another."""
    graph = grimp.build_graph("upscale", cache_dir=None)
    known = {room for row in layers() for room in row}
    found: Counter[tuple[str, str]] = Counter()
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            rooms = tuple((name + ".").split(".")[1] for name in (module, other))
            if rooms[0] != rooms[1] and set(rooms) <= known:
                found[rooms[0], rooms[1]] += 1
    return found


def as_text(edges: Edges) -> str:
    """One line for each room: the rooms that it imports."""
    rooms = sorted({room for room, _ in edges})
    return "\n".join(
        f"{room} > {', '.join(sorted(to for one, to in edges if one == room))}" for room in rooms
    )


def without_shortcuts(edges: Edges) -> Edges:
    """The imports that no chain of other imports stands for (the transitive reduction)."""

    def reached(start: str, seen: set[str]) -> set[str]:
        for to in {to for one, to in edges if one == start} - seen:
            seen |= {to} | reached(to, seen | {to})
        return seen

    below = {room: reached(room, set()) for room, _ in edges}
    return {
        (one, to)
        for one, to in edges
        if not any(to in below.get(via, ()) for start, via in edges if start == one and via != to)
    }


class Sheet:
    """Where rooms stand and how arrows run: rows of rooms and of points that arrows pass."""

    def __init__(self, rows: list[list[str]], edges: Edges) -> None:
        level = {room: i for i, row in enumerate(rows) for room in row}
        self.rows = [list(row) for row in rows]
        self.chains: dict[tuple[str, str], list[str]] = {}
        for one, to in sorted(edges):
            passed = [f"{one}>{to}@{i}" for i in range(level[one] + 1, level[to])]
            for name, i in zip(passed, range(level[one] + 1, level[to]), strict=True):
                self.rows[i].append(name)
            self.chains[one, to] = [one, *passed, to]
        links = [pair for chain in self.chains.values() for pair in pairwise(chain)]
        self.below = {name: [b for a, b in links if a == name] for row in self.rows for name in row}
        self.above = {name: [a for a, b in links if b == name] for row in self.rows for name in row}
        self._order()
        self.x = self._places()

    def _crossings(self) -> int:
        place = {name: i for row in self.rows for i, name in enumerate(row)}
        total = 0
        for row in self.rows:
            ends = [(place[a], place[b]) for a in row for b in self.below[a]]
            total += sum(a < c and b > d for a, b in ends for c, d in ends)
        return total

    def _order(self) -> None:
        """Put each row in the order of its neighbours, down and up, and keep the best sheet."""
        best = (self._crossings(), [list(row) for row in self.rows])
        for turn in range(40):
            down = turn % 2 == 0
            near = self.above if down else self.below
            indices = range(1, len(self.rows)) if down else range(len(self.rows) - 2, -1, -1)
            for i in indices:
                place = {
                    n: k / max(len(row) - 1, 1) for row in self.rows for k, n in enumerate(row)
                }
                self.rows[i].sort(
                    key=lambda n: (
                        sum(place[m] for m in near[n]) / len(near[n]) if near[n] else place[n]
                    )
                )
            best = min(best, (self._crossings(), [list(row) for row in self.rows]))
        self.rows = best[1]

    def _places(self) -> dict[str, float]:
        """Each name under the middle of its neighbours, as far as the others in its row let it."""
        x = {name: self._spread(row)[name] for row in self.rows for name in row}
        for turn in range(200):
            for row in self.rows if turn % 2 else self.rows[::-1]:
                wished = []
                for name in row:
                    near = [*self.above[name], *self.below[name]]
                    wished.append(sum(x[n] for n in near) / len(near) if near else x[name])
                x.update(self._apart(row, wished))
        return x

    def _spread(self, row: list[str]) -> dict[str, float]:
        return {name: (i - (len(row) - 1) / 2) * WIDTH for i, name in enumerate(row)}

    def _apart(self, row: list[str], wished: list[float]) -> dict[str, float]:
        """The wished places moved as little as keeps names in order and apart."""
        needed = [0.0]
        for one, other in pairwise(row):
            needed.append(needed[-1] + self.room_for(one) + self.room_for(other))
        free = [w - n for w, n in zip(wished, needed, strict=True)]
        return {name: f + n for name, f, n in zip(row, _rising(free), needed, strict=True)}

    @staticmethod
    def room_for(name: str) -> float:
        """Half of what a name takes in its row: a room its box, an arrow that passes little."""
        return 0.17 if "@" in name else (WIDTH + GAP) / 2


def _rising(values: list[float]) -> list[float]:
    """The nearest sequence that never falls: means of the neighbours that are out of order."""
    groups: list[list[float]] = []
    for value in values:
        groups.append([value, 1])
        while len(groups) > 1 and groups[-2][0] > groups[-1][0]:
            (a, n), (b, m) = groups[-2:]
            groups[-2:] = [[(a * n + b * m) / (n + m), n + m]]
    return [mean for mean, count in groups for _ in range(int(count))]


def draw(path: Path = PICTURE) -> None:
    """Write the picture, with all imports as its description."""
    *rows, ground = layers()
    found = imports()
    edges = {(one, to) for one, to in found if to not in ground}
    shown = without_shortcuts(edges)
    sheet = Sheet(rows, shown)
    mpl.rcParams.update({"svg.hashsalt": "rooms", "font.family": "DejaVu Sans"})
    left = min(sheet.x.values()) - WIDTH / 2 - GAP
    right = max(sheet.x.values()) + WIDTH / 2 + GAP
    ground_level = -len(rows) * STEP - 0.1
    lowest = ground_level - HEIGHT / 2 - 0.5
    top = STEP * 0.62
    figure = Figure(figsize=((right - left) * 0.62, (top - lowest) * 0.62))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(left, right), ylim=(lowest, top))
    axes.set_axis_off()
    level = {name: -i * STEP for i, row in enumerate(sheet.rows) for name in row}
    for chain in sheet.chains.values():
        points = [(sheet.x[name], level[name]) for name in chain]
        _arrow(axes, points, _shade(rows, chain[0]))
    for row in rows:
        for room in row:
            _box(axes, sheet.x[room], level[room], room, _shade(rows, room))
    _ground(axes, ground, (left + right) / 2, right - left - 2 * GAP, ground_level)
    figure.savefig(path, format="svg", metadata={
        "Date": None, "Creator": "docs/rooms.py", "Title": "Rooms and what they import",
        "Description": as_text(set(found)),
    })  # fmt: skip
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def _shade(rows: list[list[str]], room: str) -> str:
    index = next(i for i, row in enumerate(rows) if room in row)
    return SHADES[index * len(SHADES) // len(rows)]


def _box(axes: Axes, x: float, y: float, room: str, shade: str, width: float = WIDTH) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - HEIGHT / 2), width, HEIGHT, zorder=3,
            boxstyle="round,pad=0,rounding_size=0.14", facecolor=shade, edgecolor=PAPER, lw=2,
        )
    )  # fmt: skip
    size = 11.5 * min(1.0, 5.0 * width / len(room))  # a long name stays in its box
    axes.text(x, y + 0.13, room, color=PAPER, ha="center", va="center", size=size, weight="bold",
              zorder=4)  # fmt: skip
    axes.text(x, y - 0.2, CAPTIONS.get(room, ""), color=PAPER, ha="center", va="center", size=7.6,
              zorder=4)  # fmt: skip


def _arrow(axes: Axes, points: list[tuple[float, float]], shade: str) -> None:
    """A smooth line from the lower edge of a box to the upper edge of another one."""
    (x0, y0), *passed, (x1, y1) = points
    tip = y1 + HEIGHT / 2 + 0.03
    stops = [(x0, y0 - HEIGHT / 2)]
    for x, y in passed:  # straight through a row, so that it keeps clear of the boxes there
        stops += [(x, y + HEIGHT / 2), (x, y - HEIGHT / 2)]
    stops.append((x1, tip + 0.13))
    nodes, codes = [stops[0]], [Curve.MOVETO]
    for (xa, ya), (xb, yb) in pairwise(stops):
        middle = (ya + yb) / 2
        nodes += [(xa, middle), (xb, middle), (xb, yb)]
        codes += [Curve.CURVE4] * 3
    axes.add_patch(PathPatch(Curve(nodes, codes), fill=False, ec=shade, lw=1.5, alpha=0.85,
                             capstyle="round", zorder=2))  # fmt: skip
    head = [(x1, tip), (x1 - 0.09, tip + 0.2), (x1 + 0.09, tip + 0.2)]
    axes.add_patch(Polygon(head, closed=True, fc=shade, ec="none", alpha=0.95, zorder=2))


def _ground(axes: Axes, rooms: list[str], x: float, width: float, y: float) -> None:
    """The modules that every room may use: a strip, without arrows."""
    each = width / len(rooms)
    for i, room in enumerate(rooms):
        _box(axes, x + (i - (len(rooms) - 1) / 2) * each, y, room, PALE, each - 0.12)
    axes.text(
        x, y - HEIGHT / 2 - 0.22, size=8, color=INK, ha="center", va="center",
        s="Every room may use these. An arrow means: imports. An import that a chain of "
        "arrows already implies is not drawn.",
    )  # fmt: skip


if __name__ == "__main__":
    draw()
    print(PICTURE.relative_to(ROOT))
