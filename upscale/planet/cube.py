"""The planet as a driver cube, written tile by tile and year by year in bounded memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import day_number
from upscale.drivers.writer import (
    SeriesSpec,
    create_cube,
    create_series,
    seal,
    write_series,
    write_static,
)
from upscale.grid import Grid
from upscale.planet import meteo
from upscale.planet.world import Planet, PlanetGrid

#: Cells computed at once: one series of a year takes 117 MB.
_CELLS = 80_000

_SOURCE = "upscale.planet: a made-up planet; its totals mean nothing for the Earth"


def write_planet(
    path: str,
    product_grid: Grid,
    meteo_grid: Grid,
    period: tuple[dt.date, dt.date],
    *,
    seed: int = 0,
    satellite: tuple[str, ...] = ("ndvi", "evi", "nirv", "fapar"),
    meteorology: tuple[str, ...] = meteo.NAMES,
    packing: Literal["int16", "float32"] = "int16",
    tile: int = 100,
    overwrite: bool = False,
) -> str:
    """Write a synthetic planet as a driver cube at `path` and return its digest.

    product_grid: of the static layers and the satellite series; meteo_grid: of the
    meteorology. period: first and last day. satellite: series to write; if empty, no satellite
    group is written. meteorology: variables to write, of `meteo.NAMES` and `meteo.MORE`.
    tile: edge of a stored chunk in cells. overwrite: replace a finished driver cube.
    ValueError if the period ends before it begins, FileExistsError if `path` exists and may
    not be replaced.
    """
    first, last = day_number(period[0]), day_number(period[1])
    if last < first:
        raise ValueError(f"expected a period that ends after it begins, found {period}")
    create_cube(
        path,
        title=f"Synthetic planet {seed}: daily drivers",
        source=_SOURCE,
        day_definition="local-standard",
        tile=tile,
        synthetic=True,
        attributes={"planet_seed": seed},
        overwrite=overwrite,
    )
    planet, count, chunk = Planet(seed), last - first + 1, (366, tile, tile)
    _write_static(path, planet, product_grid, tile)
    spec = SeriesSpec("meteo", meteo_grid, first, count, meteorology, packing, chunk)
    create_series(path, spec, land=_land(planet, meteo_grid, tile))
    _write_group(path, planet, spec)
    if satellite:
        seen = SeriesSpec("satellite", product_grid, first, count, satellite, packing, chunk)
        create_series(path, seen)
        _write_group(path, planet, seen)
    return seal(path)


def _tiles(planet: Planet, grid: Grid, edge: int) -> Iterator[tuple[int, int, PlanetGrid]]:
    """Row, column and region of parts of a grid: whole chunks, about `_CELLS` cells.

    The parts are large, because the weather of the globe is computed again for each.
    """
    height = edge * max(1, min(-(-grid.rows // edge), _CELLS // edge**2))
    width = edge * max(1, min(-(-grid.cols // edge), _CELLS // (edge * height)))
    for row in range(0, grid.rows, height):
        for col in range(0, grid.cols, width):
            lat, lon = grid.lat[row : row + height], grid.lon[col : col + width]
            yield row, col, planet.region(lat, lon)


def _write_static(path: str, planet: Planet, grid: Grid, edge: int) -> None:
    sftlf, elevation = (np.zeros(grid.shape, np.float32) for _ in range(2))
    igbp, koppen = (np.zeros(grid.shape, np.uint8) for _ in range(2))
    for row, col, region in _tiles(planet, grid, edge):
        here = slice(row, row + region.lat.size), slice(col, col + region.lon.size)
        surface = region.surface
        sftlf[here], elevation[here] = surface.sftlf, surface.elevation
        igbp[here], koppen[here] = surface.igbp, surface.koppen
    write_static(path, grid, igbp=igbp, koppen=koppen, sftlf=sftlf, elevation=elevation)


def _land(planet: Planet, grid: Grid, edge: int) -> NDArray[np.bool_]:
    land = np.zeros(grid.shape, bool)
    for row, col, region in _tiles(planet, grid, edge):
        part = region.land
        land[row : row + part.shape[0], col : col + part.shape[1]] = part
    return land


def _write_group(path: str, planet: Planet, spec: SeriesSpec) -> None:
    """Write a group chunk by chunk; chunks without land are left unwritten."""
    length = spec.chunks[0]
    for row, col, region in _tiles(planet, spec.grid, spec.chunk[1]):
        if not region.land.any():
            continue
        for start in range(0, spec.count, length):
            stop = min(start + length, spec.count)
            days = spec.first + np.arange(start, stop)
            _write_block(path, region, spec, days, (start, row, col))


def _write_block(
    path: str,
    region: PlanetGrid,
    spec: SeriesSpec,
    days: NDArray[np.int64],
    at: tuple[int, int, int],
) -> None:
    if spec.group == "meteo":
        for name, values in region.meteo(days, spec.variables).items():
            write_series(path, spec.group, name, at, values)
        return
    for k in range(0, len(spec.variables), 4):  # all bands at once would not fit in memory
        few = spec.variables[k : k + 4]
        for name, (values, filled) in region.satellite(days, few).items():
            write_series(path, spec.group, name, at, values, filled)
