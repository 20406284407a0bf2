"""From MODIS pixels to 0.05 degree cells: how long it takes, and how right the means are.

    OMP_NUM_THREADS=1 python benchmarks/regridding.py [--turns 5] [--good 0.35]

First table: one layer of 2400 x 2400 pixels, by each way that one might take, in turns
(A B A B): median milliseconds, (largest - smallest) / median. Then, on the field
cos(lat) sin(2 lon) with missing pixels, the largest and the RMS difference of a cell's mean from
the mean of the good pixels whose centres lie in it, and from the field at the centre of the
cell, and how much of the sum of all good pixels the means times their counts miss. Cells wholly
inside the tile with 5 good pixels or more are compared. Second table: a whole MOD09GA granule,
stage by stage. All times are CPU milliseconds of one thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rasterio.transform import Affine, from_origin
from rasterio.warp import Resampling, reproject

from upscale.archives.cells.sinusoidal import (
    CellSums,
    PixelCells,
    cells_of,
    pixel_centres,
    sum_cells,
    sum_layers,
)
from upscale.archives.formats.hdf4 import read_dataset
from upscale.archives.formats.scaling import physical
from upscale.archives.formats.structure import NORTH, TILE, WEST, Geometry
from upscale.archives.satellite import modis
from upscale.grid import EARTH_RADIUS
from upscale.testing.granules import StoredGrid, tile_corners, write_modis

PIXELS = 2400
TILES = ((18, 5), (35, 9), (14, 2), (20, 1))
SINUSOIDAL = f"+proj=sinu +R={EARTH_RADIUS} +units=m +no_defs"
DEGREES = f"+proj=longlat +R={EARTH_RADIUS} +no_defs"  # the same sphere: no datum is shifted

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


def tile(h: int, v: int) -> Geometry:
    return Geometry("tile", True, PIXELS, PIXELS, WEST + h * TILE, NORTH - v * TILE, TILE / PIXELS)


def wave(lat: Floats, lon: Floats) -> Floats:
    field: Floats = np.cos(np.radians(lat))[:, None] * np.sin(2 * np.radians(lon))
    return field


def patches(share: float, edge: int, seed: int) -> Mask:
    """True for a share of all pixels, in squares of `edge` pixels as clouds leave them."""
    coarse = np.random.default_rng(seed).random((PIXELS // edge, PIXELS // edge)) < share
    return coarse.repeat(edge, 0).repeat(edge, 1)


def by_package(values: Floats, good: Mask, cells: PixelCells) -> Floats:
    """What the package does."""
    return sum_cells(values, good, cells).mean


def plain_sums(
    values: Floats, good: Mask, cells: PixelCells
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sums and numbers of good pixels (row, col), by what cannot go wrong."""
    index, length = cells.index[good.ravel()], cells.pixels.size + 1
    total = np.bincount(index, weights=values[good], minlength=length)[:-1]
    number = np.bincount(index, minlength=length)[:-1]
    return total.reshape(cells.shape), number.reshape(cells.shape)


def by_bincount(values: Floats, good: Mask, cells: PixelCells) -> Floats:
    """Two passes of `bincount` over the good pixels."""
    total, number = plain_sums(values, good, cells)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def by_groups(values: Floats, good: Mask, cells: PixelCells, lat: Floats, lon: Floats) -> Floats:
    """Pixels grouped by the row and column of their centres, with pandas."""
    good = good & (np.abs(lon) <= 180)
    row = np.broadcast_to(np.floor((90 - lat) / 0.05)[:, None], lon.shape)[good]
    col = np.floor((lon[good] + 180) / 0.05)
    table = pd.DataFrame({"row": row.astype(int), "col": col.astype(int), "value": values[good]})
    means = table.groupby(["row", "col"])["value"].mean()
    found = np.full(cells.shape, np.nan)
    rows, cols = (means.index.get_level_values(level).to_numpy() for level in (0, 1))
    found[rows - cells.row, cols - cells.col] = means.to_numpy()
    return found


def by_warp(values: Floats, good: Mask, cells: PixelCells, geometry: Geometry) -> Floats:
    """GDAL's warper with `average`, on one thread."""
    found = np.full(cells.shape, np.nan, np.float32)
    reproject(
        np.where(good, values, np.nan).astype(np.float32), found,
        src_transform=Affine(geometry.pixel, 0, geometry.left, 0, -geometry.pixel, geometry.top),
        src_crs=SINUSOIDAL, src_nodata=np.nan, dst_crs=DEGREES, dst_nodata=np.nan,
        dst_transform=from_origin(-180 + 0.05 * cells.col, 90 - 0.05 * cells.row, 0.05, 0.05),
        resampling=Resampling.average, num_threads=1,
    )  # fmt: skip
    return found.astype(np.float64)


def in_turns(
    ways: Mapping[str, Callable[[], Any]], turns: int
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """What each way gives, and its CPU milliseconds of each turn."""
    given: dict[str, Any] = {}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            start = time.process_time()
            given[name] = way()
            spent[name].append(1000 * (time.process_time() - start))
    return given, spent


def timed(spent: list[float]) -> str:
    middle = float(np.median(spent))
    return f"{middle:9.1f} ({100 * (max(spent) - min(spent)) / middle:3.0f} %)"


def whole_cells(cells: PixelCells, geometry: Geometry) -> Mask:
    """Cells whose corners all lie in the tile."""
    rows, cols = cells.shape
    north, west = 90 - 0.05 * cells.row, 0.05 * cells.col - 180
    y = np.radians(north - 0.05 * np.arange(rows + 1))
    x = np.radians(west + 0.05 * np.arange(cols + 1))[None, :] * np.cos(y)[:, None]
    right, down = x * EARTH_RADIUS - geometry.left, geometry.top - y[:, None] * EARTH_RADIUS
    inside = (right > -1) & (right < TILE + 1) & (down > -1) & (down < TILE + 1)
    return inside[:-1, :-1] & inside[1:, :-1] & inside[:-1, 1:] & inside[1:, 1:]


def compare_ways(h: int, v: int, turns: int, share: float) -> None:
    geometry = tile(h, v)
    lat, lon = pixel_centres(geometry)
    values, cells = wave(lat, lon).astype(np.float32), cells_of(geometry)
    good = patches(share, 3, h) & (np.abs(lon) <= 180)
    ways: dict[str, Callable[[], Any]] = {
        "this package": lambda: by_package(values, good, cells),
        "bincount twice": lambda: by_bincount(values, good, cells),
        "pandas groupby": lambda: by_groups(values, good, cells, lat, lon),
        "warp, average": lambda: by_warp(values, good, cells, geometry),
    }
    given, spent = in_turns(ways, turns)
    total, number = plain_sums(values.astype(np.float64), good, cells)
    compared = whole_cells(cells, geometry) & (number >= 5)
    truth = total / np.maximum(number, 1)
    at_centre = wave(90 - 0.05 * (cells.row + np.arange(cells.shape[0]) + 0.5),
                     0.05 * (cells.col + np.arange(cells.shape[1]) + 0.5) - 180)  # fmt: skip
    size = float(np.abs(values[good].astype(np.float64)).sum())
    print(f"\nh{h:02d}v{v:02d}: {good.mean():.0%} good, {compared.sum():,} cells compared")
    print("way              ms (spread)     from the good pixels    from the field        sum")
    print(f"{'max':>37} {'RMS':>9} {'max':>9} {'RMS':>9}     missed")
    for name, means in given.items():
        there = compared & np.isfinite(means)
        figures = " ".join(distance(means[there], field[there]) for field in (truth, at_centre))
        again = float(np.sum(np.where(np.isfinite(means), means, 0) * number))
        without = int((compared & ~there).sum())
        lost = f", {without} cells empty" if without else ""
        missed = abs(again - float(total.sum())) / size
        print(f"{name:14} {timed(spent[name])} {figures}  {missed:.0e}{lost}")


def distance(means: Floats, field: Floats) -> str:
    """Largest and RMS difference."""
    off = np.abs(means - field)
    return f"{off.max():9.1e} {np.sqrt((off**2).mean()):9.1e}"


def made_granule(folder: Path, share: float) -> str:
    """A MOD09GA granule of about 8 MB a band, `share` of it clear."""
    rng = np.random.default_rng(0)
    state = np.where(patches(share, 80, 1)[::2, ::2], 8 + 64, 1 + 8 + 64).astype(np.uint16)
    qc = np.where(rng.random((PIXELS, PIXELS)) < 0.1, 0x4000001C, 0x40000000).astype(np.uint32)
    attributes = {"_FillValue": -28672, "valid_range": (-100, 16000), "scale_factor": 10000.0,
                  "add_offset": 0.0, "units": "reflectance"}  # fmt: skip
    bands = {}
    for band in range(1, 8):
        smooth = rng.normal(2000, 800, (PIXELS // 20, PIXELS // 20)).repeat(20, 0).repeat(20, 1)
        stored = (smooth + rng.integers(0, 40, smooth.shape)).clip(-100, 16000)
        stored[patches(0.03, 80, band + 2)] = -28672
        bands[f"sur_refl_b{band:02d}_1"] = stored.astype(np.int16), attributes
    corners = tile_corners(18, 5)
    return write_modis(
        folder / "MOD09GA.A2019180.h18v05.061.2020180000000.hdf",
        StoredGrid("MODIS_Grid_1km_2D", corners, {"state_1km_1": (state, {})}),
        StoredGrid("MODIS_Grid_500m_2D", corners, {**bands, "QC_500m_1": (qc, {})}),
    )


def time_granule(path: str, turns: int) -> None:
    """Prints the milliseconds of each stage, of all seven bands together."""
    granule = modis.open_granule(path)
    names = [name for name in granule.datasets if name.startswith("sur_refl")]
    stored = [granule.stored(name) for name in names]
    layers = [granule.layer(name) for name in names]
    masks = [layer.usable for layer in layers]
    clear = (granule.codes("state_1km_1") == 8 + 64).repeat(2, 0).repeat(2, 1)
    geometry = granule.geometry_of(names[0])
    cells = cells_of(geometry)
    window = cells.crop(slice(cells.row + 50, cells.row + 75), slice(cells.col, cells.col + 25))
    others = (
        replace(geometry, left=geometry.left + n * geometry.pixel) for n in count(1)
    )  # not kept yet
    flags, scale = ("state_1km_1", "QC_500m_1"), granule.datasets[names[0]].attributes

    def in_one_go(onto: PixelCells) -> list[CellSums]:
        sums = sum_layers(stored, clear, onto, valid=(-100, 16000), accepted=masks)
        return [part.scaled(1e-4) for part in sums]

    ways: dict[str, Callable[[], Any]] = {
        "open, header": lambda: modis.open_granule(path),
        "decode 7 bands": lambda: [read_dataset(path, name) for name in names],
        "decode state, QC": lambda: [read_dataset(path, name) for name in flags],
        "QA of 7 bands": lambda: [granule.usable(name) for name in names],
        "numbers to float": lambda: [physical("", numbers, scale, False) for numbers in stored],
        "bincount twice, float": lambda: [by_bincount(x.values, np.isfinite(x.values) & x.usable,
                                                      cells) for x in layers],
        "sum_cells, float": lambda: [sum_cells(x.values, x.usable, cells) for x in layers],
        "sum_layers, stored": lambda: in_one_go(cells),
        "the same, 25 x 25 cells": lambda: in_one_go(window),
        "cells of a tile (once)": lambda: cells_of(next(others)),
    }  # fmt: skip
    given, spent = in_turns(ways, turns)
    fast, slow = given["sum_layers, stored"], given["sum_cells, float"]
    assert all((a.count == b.count).all() for a, b in zip(fast, slow, strict=True))
    size = Path(path).stat().st_size / 1e6
    good = float(np.mean([np.isfinite(x.values) & x.usable for x in layers]))
    print(f"\nMOD09GA, {size:.0f} MB, {good:.0%} of the values good")
    print("stage                    ms a granule")
    for name, milliseconds in spent.items():
        print(f"{name:24} {timed(milliseconds)}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--good", type=float, default=0.35)
    asked = parser.parse_args()
    for h, v in TILES:
        compare_ways(h, v, asked.turns, asked.good)
    with tempfile.TemporaryDirectory() as folder:
        time_granule(made_granule(Path(folder), asked.good), asked.turns)


if __name__ == "__main__":
    main()
