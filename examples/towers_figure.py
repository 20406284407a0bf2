"""Draw the fluxes of a flux cube beside the ones measured at towers that the model never saw.

    python examples/towers_figure.py fluxes.zarr TOWERS towers.png --years 2010 2012

Towers of the clusters that the release held out ("left out"). Left: of every land cover the
one with most good flux days in the years shown, chosen by that rule and not by how well it
fits; means of 8 days. Right: means of all of them over all their good flux days.
"""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter, YearLocator
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from upscale.calendar import dates_of, day_number, day_numbers
from upscale.drivers.from_towers import best_by_cell
from upscale.evaluation.skill import skill
from upscale.figures.colours import FAINT, INK
from upscale.figures.numbers import minus, number
from upscale.figures.style import UNITS, headline, quiet, save
from upscale.product.cube import layout_of, open_flux_group
from upscale.towers.table import Tower, read_towers
from upscale.variables import FLUXES, IGBP

Floats = NDArray[np.float32]

COLOURS = {"gpp": "#23804f", "reco": "#b0522f", "nee": "#6f55a3"}
COVER = {
    "ENF": "evergreen needleleaf forest", "EBF": "evergreen broadleaf forest",
    "DBF": "deciduous broadleaf forest", "MF": "mixed forest", "CSH": "closed shrubland",
    "OSH": "open shrubland", "WSA": "woody savanna", "SAV": "savanna", "GRA": "grassland",
    "WET": "wetland", "CRO": "cropland",
}  # fmt: skip
#: Days of a mean, and the least of them that must be measured.
STEP, LEAST = 8, 4


@dataclass(frozen=True)
class Record:
    """One tower: days `(day,)`; measured (NaN on all but good flux days), predicted and spread
    `(day, 3)`, g m-2 d-1."""

    tower: Tower
    days: NDArray[np.int64]
    measured: Floats
    predicted: Floats
    spread: Floats

    @property
    def cover(self) -> str:
        return IGBP[self.tower.igbp - 1]

    def between(self, first: int, last: int) -> Record:
        """The days from `first` to `last` alone."""
        part = (self.days >= first) & (self.days <= last)
        fields = self.days, self.measured, self.predicted, self.spread
        return Record(self.tower, *(field[part] for field in fields))

    @property
    def good(self) -> NDArray[np.bool_]:
        """Days on which both are there."""
        return np.asarray(np.isfinite(self.measured + self.predicted).all(axis=1))


def read_records(store: str, folder: Path) -> list[Record]:
    """The left-out towers of a folder, as measured and as the cube has them."""
    group = open_flux_group(store)
    held_out = set(str(group.attrs["held_out_clusters"]).split(", "))
    towers = [tower for tower in read_towers(folder) if tower.cluster in held_out]
    cells, _ = best_by_cell([t for t in towers if not t.suspect], layout_of(group.attrs).grid)
    cube = xr.open_zarr(store, chunks=None)  # a few cells: what is asked for is read, no more
    return [_record(cube, tower, cell) for cell, tower in cells.items()]


def _record(cube: xr.Dataset, tower: Tower, cell: tuple[int, int]) -> Record:
    here = cube.isel(lat=cell[0], lon=cell[1])
    days = day_numbers(cube.time.values)
    there = (tower.days >= days[0]) & (tower.days <= days[-1])
    measured = np.full((len(days), len(FLUXES)), np.nan, np.float32)
    use = there & tower.good
    measured[tower.days[use] - days[0]] = tower.fluxes[use]
    predicted = np.stack([here[name].values for name in FLUXES], axis=1)
    spread = np.stack([here[f"{name}_sd"].values for name in FLUXES], axis=1)
    return Record(tower, days, measured, predicted, spread)


def richest_of_each_cover(records: Sequence[Record], first: int, last: int) -> list[Record]:
    """Of every land cover the tower with most good days between two days."""
    best: dict[str, Record] = {}
    for record in records:
        part = record.between(first, last)
        if part.good.sum() > (best[part.cover].good.sum() if part.cover in best else LEAST):
            best[part.cover] = part
    return [best[cover] for cover in COVER if cover in best]


def means(values: Floats, least: int) -> Floats:
    """Means of `STEP` days, NaN where fewer than `least` of them are there."""
    whole = values[: len(values) // STEP * STEP].reshape(-1, STEP)
    enough = np.isfinite(whole).sum(axis=1) >= least
    total: Floats = np.full(len(whole), np.nan, np.float32)
    total[enough] = np.nanmean(whole[enough], axis=1)
    return total


def draw_series(axes: Axes, record: Record) -> None:
    """GPP and NEE of one tower: dots measured, lines predicted, bands the ensemble's spread."""
    when = dates_of(record.days[STEP // 2 :: STEP])
    for flux in ("gpp", "nee"):
        column, colour = FLUXES.index(flux), COLOURS[flux]
        line = means(record.predicted[:, column], 1)
        band = means(record.spread[:, column], 1)
        here = when[: len(line)]
        axes.fill_between(here, line - band, line + band, color=colour, alpha=0.25, lw=0)
        axes.plot(here, line, color=colour, lw=1.1)
        dots = means(record.measured[:, column], LEAST)
        axes.plot(here, dots, "o", ms=2.1, mfc="white", mec=colour, mew=0.6)
    axes.axhline(0, color=FAINT, lw=0.5, zorder=0)
    axes.set_title(_title(record), loc="left", fontsize=7.6, color=INK, pad=3)
    axes.xaxis.set_major_locator(YearLocator())
    axes.xaxis.set_major_formatter(DateFormatter("%Y"))
    axes.set_xlim(*dates_of(record.days[[0, -1]]))
    quiet(axes)


def _title(record: Record) -> str:
    good = record.good
    seen, made = record.measured[good], record.predicted[good]
    scores = ", ".join(
        f"{flux.upper()} {skill(seen[:, i], made[:, i]).r2:.2f}"
        for i, flux in enumerate(FLUXES)
        if flux != "reco"
    )
    return f"{record.tower.site}, {COVER[record.cover]}:  R² {minus(scores)}"


def draw_towers(axes: Axes, records: Sequence[Record], flux: str) -> None:
    """Mean flux of every tower, measured against predicted."""
    column = FLUXES.index(flux)
    pairs = np.array([
        (r.measured[r.good, column].mean(), r.predicted[r.good, column].mean()) for r in records
    ])  # fmt: skip
    low, high = pairs.min() - 0.5, pairs.max() + 0.5
    axes.plot([low, high], [low, high], color=FAINT, lw=0.7)
    axes.plot(*pairs.T, "o", ms=4.2, mfc=COLOURS[flux], mec="white", mew=0.5)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    error = pairs[:, 1] - pairs[:, 0]
    text = f"bias {number(2, signed=True)(error.mean())}\nRMSE {np.sqrt((error**2).mean()):.2f}"
    axes.text(0.04, 0.96, text, transform=axes.transAxes, va="top", fontsize=7, color=INK)
    axes.set_title(f"{flux.upper()}, tower means", loc="left", fontsize=7.6, color=INK, pad=3)
    axes.set_xlabel(f"measured, {UNITS}", fontsize=7)
    axes.set_ylabel(f"predicted, {UNITS}", fontsize=7)
    quiet(axes)


def draw(records: Sequence[Record], years: tuple[int, int]) -> Figure:
    """The whole figure."""
    first = day_number(dt.date(years[0], 1, 1))
    shown = richest_of_each_cover(records, first, day_number(dt.date(years[1], 12, 31)))
    rows = -(-len(shown) // 2)
    figure = Figure(figsize=(10.6, 1.5 * rows + 1.4))
    grid = figure.add_gridspec(
        rows * 3, 5, left=0.05, right=0.985, top=1 - 0.85 / figure.get_figheight(),
        bottom=0.62 / figure.get_figheight(), hspace=3.9, wspace=0.55,
    )  # fmt: skip
    for index, record in enumerate(shown):
        row, col = divmod(index, 2)
        part = grid[3 * row : 3 * row + 3, 2 * col : 2 * col + 2]
        axes = figure.add_subplot(part)
        draw_series(axes, record)
        if col == 0:
            axes.set_ylabel(UNITS, fontsize=7)
    for index, flux in enumerate(FLUXES):
        draw_towers(figure.add_subplot(grid[rows * index : rows * (index + 1), 4]), records, flux)
    _headline(figure, records)
    return figure


def _headline(figure: Figure, records: Sequence[Record]) -> None:
    days = sum(int(record.good.sum()) for record in records)
    title = "Measured and predicted carbon fluxes at flux towers that training never saw"
    note = (
        "Left: of each land cover the tower with most data; means of 8 days, R² of days. "
        f"Right: all {len(records)} towers left out, {days:,} good flux days."
    )
    headline(figure, title, note)
    legend = [
        Line2D([], [], ls="", marker="o", ms=4, mfc="white", mec=INK, label="measured"),
        Line2D([], [], color=INK, lw=1.2, label="predicted"),
        Patch(color=INK, alpha=0.25, lw=0, label="ensemble ± 1 sd"),
        Line2D([], [], color=COLOURS["gpp"], lw=3, label="GPP"),
        Line2D([], [], color=COLOURS["nee"], lw=3, label="NEE (negative = uptake)"),
    ]
    figure.legend(handles=legend, ncols=5, loc="lower center", fontsize=7.8, frameon=False,
                  bbox_to_anchor=(0.4, 0), columnspacing=1.8)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", help="flux cube of the towers")
    parser.add_argument("towers", type=Path, help="folder with towers.parquet, sites.parquet")
    parser.add_argument("out", type=Path, help="PNG to write")
    parser.add_argument("--years", type=int, nargs=2, default=(2010, 2012), help="years to show")
    choice = parser.parse_args()
    figure = draw(read_records(choice.store, choice.towers), tuple(choice.years))
    save(figure, choice.out)


if __name__ == "__main__":
    main()
