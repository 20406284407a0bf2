"""The context cube: the embedding z of every cell, made once and kept.

It lies beside the flux cube, one group for each digest of what the embeddings are made from
(weights, drivers, support rule, grid), so that a later run reuses what is still right and
never what is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from upscale.drivers.cube import DriverCube
from upscale.drivers.tiles import Surface, read_features
from upscale.engine.plan import RunJob
from upscale.grid import Tile, tile_counts
from upscale.jobs.claim import claimed
from upscale.network.inference import Embeddings, embed_windows
from upscale.network.predictor import Predictor
from upscale.network.scaler import Scaler
from upscale.network.support import Support, SupportRule, choose
from upscale.stores.arrays import create_array
from upscale.stores.axes import CELLS

#: Days of drivers that are read at once.
_SPAN = 366


def group_path(job: RunJob) -> str:
    """Name of the group that holds this job's embeddings."""
    return job.embeddings[:16]


def create_context(job: RunJob, latent: int) -> None:
    """Make the group of a job's embeddings unless it is there; one process at a time."""
    with claimed(f"{job.context_store}.claim"):
        root = zarr.open_group(job.context_store, mode="a", zarr_format=3)
        there = group_path(job) in root
        if not (there and root[group_path(job)].attrs.get("complete")):
            _create_group(root, job, latent)


def _create_group(root: zarr.Group, job: RunJob, latent: int) -> None:
    """Write the metadata of the embeddings of a job; the mark that all is there comes last."""
    group = root.create_group(group_path(job), overwrite=True)
    tile, grid, members = job.layout.tile, job.layout.grid, job.layout.members
    blocks = job.layout.blocks if job.strict_past else 1
    years = job.support.most_windows // job.support.windows_per_year
    create_array(
        group, "z", (blocks, members, latent, *grid.shape), np.float32,
        ("block", "member", "z", *CELLS), fill=np.nan, chunks=(1, members, latent, tile, tile),
    )  # fmt: skip
    create_array(
        group, "support_years", (blocks, years, *grid.shape), np.int16,
        ("block", "year", *CELLS), fill=0, chunks=(1, years, tile, tile),
    )  # fmt: skip
    create_array(
        group, "context_short", (blocks, *grid.shape), np.uint8,
        ("block", *CELLS), fill=0, chunks=(1, tile, tile),
    )  # fmt: skip
    create_array(
        group, "done", (blocks, *tile_counts(grid, tile)), np.uint8,
        ("block", "tile_row", "tile_col"), fill=0, chunks=(1, 1, 1),
    )  # fmt: skip
    group.attrs.update({"grid": grid.to_dict(), "digest": job.embeddings, "complete": True})


def read_embeddings(
    job: RunJob, tile: Tile, block: int, land: NDArray[np.bool_]
) -> Embeddings | None:
    """The kept embeddings of the land cells `(row, col)` of a tile; None where they were not
    made yet, or are not whole: a cell with support years has an embedding."""
    group = zarr.open_group(job.context_store, mode="r", path=group_path(job))
    lead = block if job.strict_past else 0
    if not group["done"][lead, tile.row, tile.col]:
        return None
    rows, cols = tile.slices(job.layout.grid, job.layout.tile)
    z = np.asarray(group["z"][lead, :, :, rows, cols])[:, :, land]
    years = np.asarray(group["support_years"][lead, :, rows, cols])[:, land]
    short = np.asarray(group["context_short"][lead, rows, cols])[land]
    kept = Embeddings(np.ascontiguousarray(z.transpose(0, 2, 1)), years.T, short.astype(bool))
    supported = kept.short | (kept.years > 0).any(axis=1)
    return kept if np.array_equal(kept.known, supported) else None


def write_embeddings(
    job: RunJob, tile: Tile, block: int, land: NDArray[np.bool_], made: Embeddings
) -> None:
    """Keep the embeddings of a tile; the mark that they are there is written last."""
    group: Any = zarr.open_group(job.context_store, mode="r+", path=group_path(job))
    lead = block if job.strict_past else 0
    rows, cols = tile.slices(job.layout.grid, job.layout.tile)
    z = np.full((*group["z"].shape[1:3], *land.shape), np.nan, np.float32)
    z[:, :, land] = made.z.transpose(0, 2, 1)
    years = np.zeros((made.years.shape[1], *land.shape), np.int16)
    years[:, land] = made.years.T
    short = np.zeros(land.shape, np.uint8)
    short[land] = made.short
    group["z"][lead, :, :, rows, cols] = z
    group["support_years"][lead, :, rows, cols] = years
    group["context_short"][lead, rows, cols] = short
    group["done"][lead, tile.row, tile.col] = 1


@dataclass(frozen=True)
class SupportSet:
    """The support windows of the land cells of a tile, read.

    windows: `(cell, window, day, feature)` in the units of the table, NaN where none.
    """

    choice: Support
    windows: NDArray[np.float32]


def read_support(
    cube: DriverCube,
    surface: Surface,
    scaler: Scaler,
    rule: SupportRule,
    before: int | None,
) -> SupportSet:
    """Choose and read the support windows of a tile's land cells, features as in `scaler`.

    before: day number; only earlier days may be used (strict past).
    """
    valid = _validity(cube, surface, scaler.required)
    days = cube.first + np.arange(valid.shape[1])
    choice = choose(valid, days, rule, before)
    return SupportSet(choice, _read_windows(cube, surface, scaler, choice, rule, before))


def encode_support(support: SupportSet, surface: Surface, predictor: Predictor) -> Embeddings:
    """Embeddings of a tile's land cells from their support windows."""
    return embed_windows(predictor, support.choice, support.windows, class_codes(surface))


def class_codes(surface: Surface) -> NDArray[np.int64]:
    """IGBP and Koeppen codes `(cell, 2)` of the land cells of a tile."""
    codes = np.stack([surface.igbp[surface.land], surface.koppen[surface.land]], axis=1)
    return codes.astype(np.int64)


def _validity(cube: DriverCube, surface: Surface, required: tuple[str, ...]) -> NDArray[np.bool_]:
    """Where all required drivers are there, `(cell, day)` over the whole record."""
    count = cube.last - cube.first + 1
    parts = []
    for day in range(0, count, _SPAN):
        length = min(_SPAN, count - day)
        read = read_features(cube, surface, required, cube.first + day, length)
        parts.append(np.asarray(np.isfinite(read.values).all(axis=2)))
    return np.concatenate(parts, axis=1)


def _read_windows(
    cube: DriverCube,
    surface: Surface,
    scaler: Scaler,
    support: Support,
    rule: SupportRule,
    before: int | None,
) -> NDArray[np.float32]:
    """Support windows `(cell, window, day, feature)` of the land cells, NaN where none.

    Only the days that some cell uses are read, each once.
    """
    shape = (*support.start.shape, rule.window, len(scaler.names))
    windows = np.full(shape, np.nan, np.float32)
    starts = np.unique(support.start[support.start >= 0])
    for span in _spans(starts, rule.window):
        length = int(span[-1] - span[0]) + rule.window
        begin = cube.first + int(span[0])
        read = read_features(cube, surface, scaler.names, begin, length, scaler.composites, before)
        for start in span:
            cell, window = np.nonzero(support.start == start)
            offset = int(start - span[0])
            windows[cell, window] = read.values[cell, offset : offset + rule.window]
    return windows


def _spans(starts: NDArray[np.int32], window: int) -> list[NDArray[np.int32]]:
    """Window starts, ascending, grouped where windows touch, at most `_SPAN` days a group."""
    groups: list[list[int]] = []
    for start in starts.tolist():
        touches = groups and start - groups[-1][-1] <= window
        if touches and start + window - groups[-1][0] <= _SPAN:
            groups[-1].append(start)
        else:
            groups.append([start])
    return [np.array(group, np.int32) for group in groups]
