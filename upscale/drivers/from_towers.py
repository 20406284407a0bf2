"""A driver cube whose cells are flux towers, so that a run can use measured weather.

The daily meteorology of a tower is written to the cell of the product grid in which the tower
stands. The group `meteo` is on the product grid and unpacked, so that nothing is interpolated,
rounded or filled. Satellite composites of towers are written to the group `satellite`, each value
on all days of its period.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from upscale.calendar import date_of, day_number
from upscale.drivers.cube import DriverError
from upscale.drivers.writer import (
    SeriesSpec,
    create_cube,
    create_series,
    may_replace,
    seal,
    write_series,
    write_static,
)
from upscale.grid import Grid, load_grid
from upscale.towers.table import DRIVERS, Tower, read_sites, read_towers
from upscale.variables import of_kind, variable

#: Edge of a stored chunk in cells; small, because towers are far apart.
CHUNK = 10
#: Edge of the tiles of a run: small, because a tile holds one or two towers, but not smaller,
#: because readers such as dask create a task for every tile of the globe.
TILE = 25

Cell = tuple[int, int]


@dataclass(frozen=True)
class PlacedTower:
    """A tower and the cell (row, column of the product grid) that carries its drivers.

    days: number of days in the period that have every required driver (TA, SW_IN).
    """

    site: str
    lat: float
    lon: float
    row: int
    col: int
    days: int


@dataclass(frozen=True)
class SkippedTower:
    """A tower that is not used, and the reason."""

    site: str
    reason: str


@dataclass(frozen=True)
class TowersOnGrid:
    """What was written: `kept` towers, one per cell, and those left out with the reason.

    digest: of the cube, empty where nothing was written.
    """

    url: str
    first: dt.date
    last: dt.date
    kept: tuple[PlacedTower, ...]
    left_out: tuple[SkippedTower, ...]
    digest: str


def towers_on_grid(
    folder: str | Path,
    url: str,
    start: int | dt.date,
    end: int | dt.date,
    *,
    overwrite: bool = False,
    dry_run: bool = False,
) -> TowersOnGrid:
    """Write the daily drivers of a folder of towers as a driver cube on the 0.05 degree grid.

    folder: of flux towers, any layout of `read_towers`; start, end: years, or first and last
    day; dry_run: only say which towers would become cells. Where towers share a cell the one with
    most good flux days is kept. Raises
    FileNotFoundError or ValueError (DriverError) that name the file, column or tower at
    fault, before anything is written; FileExistsError where `url` is taken.
    """
    first, last = period_of(start, end)
    grid = load_grid("global-0p05")
    table, towers = read_sites(folder), read_towers(folder)
    for tower in towers:
        _check_values(tower)
    used, left_out = choose(towers, grid, first, last)
    if not used:
        raise DriverError(_nothing(folder, towers, first, last))
    placed = tuple(_placed(tower, cell, first, last) for cell, tower in used.items())
    if dry_run:
        may_replace(url, overwrite)
        return TowersOnGrid(url, date_of(first), date_of(last), placed, left_out, "")
    elevation = dict(zip(table["site"], table.get("elevation", table["lat"] * np.nan), strict=True))
    attributes = _provenance(table, placed, left_out)
    _write(url, grid, used, (first, last), elevation, attributes, overwrite)
    return TowersOnGrid(url, date_of(first), date_of(last), placed, left_out, seal(url))


def period_of(start: int | dt.date, end: int | dt.date) -> tuple[int, int]:
    """First and last day number of a period given by years or by dates."""
    first = day_number(dt.date(start, 1, 1) if isinstance(start, int) else start)
    last = day_number(dt.date(end, 12, 31) if isinstance(end, int) else end)
    if last < first:
        raise DriverError(f"expected a period that ends after it starts, found {start} to {end}")
    return first, last


def best_by_cell(
    towers: Iterable[Tower], grid: Grid
) -> tuple[dict[Cell, Tower], tuple[SkippedTower, ...]]:
    """Choose one tower for every cell of `grid`: the one with the most good flux days.

    Days of the whole record count, so that the choice is the same for every period; of equal
    towers the first by name is taken. Returns the towers by (row, col) in order, and the others
    with the reason: another tower holds the cell, or the cell lies outside the grid.
    """
    there: dict[Cell, list[Tower]] = defaultdict(list)
    left_out = []
    for tower in towers:
        _check_place(tower)
        try:
            there[grid.cell_of(tower.lat, tower.lon)].append(tower)
        except ValueError as error:
            left_out.append(SkippedTower(tower.site, str(error)))
    best = {}
    for cell in sorted(there):
        best[cell], *others = sorted(there[cell], key=lambda t: (-int(t.good.sum()), t.site))
        left_out += [SkippedTower(other.site, _shares(other, best[cell], cell)) for other in others]
    return best, tuple(left_out)


def _check_place(tower: Tower) -> None:
    if not (abs(tower.lat) <= 90 and abs(tower.lon) <= 360):
        raise DriverError(
            f"tower {tower.site}: expected a latitude and a longitude in degrees, found "
            f"({tower.lat}, {tower.lon}); correct sites.parquet"
        )


def _shares(other: Tower, kept: Tower, cell: Cell) -> str:
    return (
        f"shares cell {cell} with {kept.site}, which has more good days "
        f"({int(kept.good.sum())} against {int(other.good.sum())})"
    )


def choose(
    towers: Iterable[Tower], grid: Grid, first: int, last: int
) -> tuple[dict[Cell, Tower], tuple[SkippedTower, ...]]:
    """The towers to write, by cell, and those left out.

    Towers without drivers between day numbers `first` and `last` are left out, too.
    """
    best, left_out = best_by_cell(towers, grid)
    silent = [t for t in best.values() if not np.isfinite(_drivers(t, first, last)).any()]
    reason = f"no drivers between {date_of(first)} and {date_of(last)}"
    left_out += tuple(SkippedTower(tower.site, reason) for tower in silent)
    used = {cell: tower for cell, tower in best.items() if tower not in silent}
    return used, left_out


def _drivers(tower: Tower, first: int, last: int) -> NDArray[np.float32]:
    """Drivers `(day, driver)` from day number `first` to `last`, NaN outside the record."""
    values = np.full((last - first + 1, len(DRIVERS)), np.nan, np.float32)
    inside = (tower.days >= first) & (tower.days <= last)
    values[tower.days[inside] - first] = tower.drivers[inside]
    return values


def _seen(tower: Tower, name: str, first: int, last: int) -> NDArray[np.float32]:
    """A satellite series `(day,)` from day number `first` to `last`, NaN where missing."""
    values = np.full(last - first + 1, np.nan, np.float32)
    inside = (tower.days >= first) & (tower.days <= last)
    if name in tower.satellite:
        values[tower.days[inside] - first] = tower.satellite[name][inside]
    return values


def _satellite_names(towers: Iterable[Tower]) -> tuple[str, ...]:
    """Satellite variables of at least one tower, in the order of the table."""
    there = {name for tower in towers for name in tower.satellite}
    return tuple(name for name in of_kind("satellite") if name in there)


def _placed(tower: Tower, cell: Cell, first: int, last: int) -> PlacedTower:
    drivers = _drivers(tower, first, last)
    needed = drivers[:, [DRIVERS.index("ta"), DRIVERS.index("sw_in")]]
    days = int(np.isfinite(needed).all(axis=1).sum())
    return PlacedTower(tower.site, tower.lat, tower.lon, *cell, days)


def _check_values(tower: Tower) -> None:
    """Refuse impossible values; the tower table states no units that could be checked."""
    for position, name in enumerate(DRIVERS):
        row, values = variable(name), tower.drivers[:, position]
        wrong = (values < row.valid_min - 1e-3) | (values > row.valid_max + 1e-3)
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            raise DriverError(
                f"tower {tower.site}: {int(wrong.sum())} values of {name.upper()} outside "
                f"{row.valid_min}..{row.valid_max} {row.units}, the first {values[at]:.6g} on "
                f"{date_of(int(tower.days[at]))}; is the unit wrong? Convert or blank them"
            )


def _nothing(folder: str | Path, towers: Sequence[Tower], first: int, last: int) -> str:
    known = [t.days[np.isfinite(t.drivers).any(axis=1)] for t in towers]
    days = np.concatenate(known) if known else np.empty(0, np.int64)
    found = f"from {date_of(days.min())} to {date_of(days.max())}" if days.size else "nowhere"
    return (
        f"{folder}: no tower has drivers between {date_of(first)} and {date_of(last)}; "
        f"drivers exist {found}; ask for years in that range"
    )


def _provenance(
    table: pd.DataFrame, placed: Sequence[PlacedTower], left_out: Sequence[SkippedTower]
) -> dict[str, Any]:
    """Attributes that name the tower of each cell, its source and its citation."""
    used = table[table["site"].isin([tower.site for tower in placed])]
    return {
        "title": f"Daily meteorology at {len(placed)} flux towers, each in its 0.05 degree cell",
        "source": f"flux tower data products: {', '.join(_unique(used, 'source'))}",
        "citations": _unique(used, "citation"),
        "license": "; ".join(_unique(used, "licence")),
        "comment": "Series as in the tower table, neither interpolated nor filled. Satellite "
        "series are composites; each value stands on all days of its period.",
        "towers": [asdict(tower) for tower in placed],
        "towers_left_out": [asdict(tower) for tower in left_out],
    }


def _unique(table: pd.DataFrame, column: str) -> list[str]:
    return sorted(set(table[column].dropna().astype(str))) if column in table else []


def _write(
    url: str,
    grid: Grid,
    towers: Mapping[Cell, Tower],
    period: tuple[int, int],
    elevation: Mapping[str, float],
    attributes: dict[str, Any],
    overwrite: bool,
) -> None:
    """Write the cube of some towers, without its seal."""
    first, last = period
    create_cube(
        url,
        title=attributes.pop("title"),
        source=attributes.pop("source"),
        day_definition="local-standard",
        tile=TILE,
        attributes=attributes,
        overwrite=overwrite,
    )
    _write_static(url, grid, towers, elevation)
    count = last - first + 1
    spec = SeriesSpec("meteo", grid, first, count, DRIVERS, "float32", (count, CHUNK, CHUNK))
    create_series(url, spec)
    names = _satellite_names(towers.values())
    if names:
        create_series(url, replace(spec, group="satellite", variables=names))
    for corner, cells in _by_chunk(towers).items():
        _write_chunk(url, period, corner, cells)
        _write_satellite(url, period, corner, cells, names)


def _write_static(
    url: str, grid: Grid, towers: Mapping[Cell, Tower], elevation: Mapping[str, float]
) -> None:
    igbp, koppen = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, np.uint8)
    sftlf = np.full(grid.shape, np.nan, np.float32)
    height = sftlf.copy()
    for cell, tower in towers.items():
        igbp[cell], koppen[cell] = tower.igbp, tower.koppen
        sftlf[cell], height[cell] = 100, elevation[tower.site]
    write_static(url, grid, igbp=igbp, koppen=koppen, sftlf=sftlf, elevation=height)


def _by_chunk(towers: Mapping[Cell, Tower]) -> dict[Cell, dict[Cell, Tower]]:
    """Towers by chunk, a chunk being named by the row and column of its first cell."""
    chunks: dict[Cell, dict[Cell, Tower]] = defaultdict(dict)
    for (row, col), tower in towers.items():
        chunks[row - row % CHUNK, col - col % CHUNK][row, col] = tower
    return chunks


def _write_chunk(
    url: str, period: tuple[int, int], corner: Cell, towers: Mapping[Cell, Tower]
) -> None:
    first, last = period
    block = np.full((len(DRIVERS), last - first + 1, CHUNK, CHUNK), np.nan, np.float32)
    for (row, col), tower in towers.items():
        block[:, :, row - corner[0], col - corner[1]] = _drivers(tower, first, last).T
    for values, name in zip(block, DRIVERS, strict=True):
        write_series(url, "meteo", name, (0, *corner), values)


def _write_satellite(
    url: str,
    period: tuple[int, int],
    corner: Cell,
    towers: Mapping[Cell, Tower],
    names: Sequence[str],
) -> None:
    """Write the satellite series of the towers in one chunk of cells."""
    first, last = period
    for name in names:
        block = np.full((last - first + 1, CHUNK, CHUNK), np.nan, np.float32)
        for (row, col), tower in towers.items():
            block[:, row - corner[0], col - corner[1]] = _seen(tower, name, first, last)
        write_series(url, "satellite", name, (0, *corner), block, np.zeros(block.shape, bool))
