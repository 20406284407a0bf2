"""The context cube: the embedding z of every cell, made once and kept.

It lies beside the flux cube, one group for each digest of the rules of its embeddings (weights,
support rule, grid, last day of the record). An entry of its ledger says what the embeddings of a
tile were made from, so that they are used as long as that is still so, and never longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import MemoryStore

from upscale.drivers.cube import DriverCube
from upscale.drivers.growing import bytes_digest
from upscale.drivers.identity import (
    identities_over,
    in_hex,
    read_identities,
    surface_identities,
)
from upscale.drivers.tiles import Surface, read_features
from upscale.engine.plan import RunJob
from upscale.grid import Tile
from upscale.jobs.claim import claimed
from upscale.jobs.ledger import Ledger, Status
from upscale.jobs.settings import ConfigError, digest_of
from upscale.network.inference import Embeddings, embed_windows
from upscale.network.predictor import Predictor
from upscale.network.scaler import Scaler
from upscale.network.support import Support, SupportRule, choose
from upscale.product.size import Domain, StoreSize, corner_of, size_of
from upscale.stores.arrays import create_array
from upscale.stores.axes import CELLS
from upscale.stores.broken import BROKEN, refusing

#: Days of drivers that are read at once.
_SPAN = 366

#: First day number and number of days, each, of what is read for the windows of a tile.
Spans = Sequence[Sequence[int]]


@dataclass(frozen=True)
class ContextEntry:
    """What the embeddings of a tile were made from.

    item: group, tile and block; run: digest of the rules of the group; identity: digest of the
    rules, of the support windows and of the classes; reads: of all chunks of drivers from which
    the windows were chosen and read; spans: days of the windows, see `Spans`; digests: of the
    arrays that are kept; parts: identity of each piece of the tile, where it has several.
    """

    item: str
    run: str
    identity: str
    reads: str
    spans: list[list[int]]
    digests: dict[str, str]
    status: Status = "done"
    parts: list[str] = field(default_factory=list)


class ContextLedger(Ledger[ContextEntry]):
    """The entries of one context cube."""

    def __init__(self, store: str) -> None:
        super().__init__(store, ContextEntry)


def group_path(job: RunJob) -> str:
    """Name of the group that holds this job's embeddings."""
    return job.embeddings[:16]


def context_item(job: RunJob, tile: Tile, lead: int) -> str:
    """Name of the entry of a tile's embeddings; lead: which of them, see `context_block`."""
    return f"{group_path(job)}-{tile.id}-b{lead:03d}"


def create_context(job: RunJob, latent: int) -> None:
    """Make the group of a job's embeddings unless it is there, or give it the blocks that it
    lacks; one process at a time."""
    remedy = "delete it: the run makes it again"
    broken = refusing(job.context_store, "a context cube", ConfigError, remedy)
    with claimed(f"{job.context_store}.claim"), broken:
        root = zarr.open_group(job.context_store, mode="a", zarr_format=3)
        there = group_path(job) in root
        if not (there and root[group_path(job)].attrs.get("complete")):
            _create_group(root, job, latent)
        else:
            _lengthen(root[group_path(job)], job.context_blocks)


def _lengthen(group: Any, blocks: int) -> None:
    for _, array in sorted(group.arrays()):
        if array.shape[0] < blocks:
            array.resize((blocks, *array.shape[1:]))


def context_size(job: RunJob, latent: int, domain: Domain) -> StoreSize:
    """The size of the embeddings of a run once they are all there; nothing where it has none."""
    if job.query_context:
        return StoreSize(objects=0, values=0)
    corner = replace(job, layout=corner_of(job.layout))
    root = zarr.create_group(MemoryStore(), zarr_format=3)
    _create_group(root, corner, latent)
    found = size_of(root[group_path(corner)], domain)
    return found + StoreSize(objects=1, values=0)  # the metadata of the root


def _create_group(root: zarr.Group, job: RunJob, latent: int) -> None:
    """Write the metadata of the embeddings of a job; the mark that all is there comes last."""
    group = root.create_group(group_path(job), overwrite=True)
    tile, grid, members = job.layout.tile, job.layout.grid, job.layout.members
    blocks = job.context_blocks
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
    group.attrs.update({"grid": grid.to_dict(), "digest": job.embeddings, "complete": 1})


def read_embeddings(
    job: RunJob, tile: Tile, block: int, land: NDArray[np.bool_], digests: Mapping[str, str]
) -> Embeddings | None:
    """The kept embeddings of the land cells `(row, col)` of a tile; None where they are not those
    with the `digests` of their entry."""
    arrays = _read_arrays(job, tile, job.context_block(block))
    if {name: bytes_digest(values) for name, values in arrays.items()} != dict(digests):
        return None
    z = arrays["z"][:, :, land].transpose(0, 2, 1)
    years, short = arrays["support_years"][:, land], arrays["context_short"][land]
    return Embeddings(np.ascontiguousarray(z), years.T, short.astype(bool))


def _read_arrays(job: RunJob, tile: Tile, lead: int) -> dict[str, NDArray[Any]]:
    """The kept arrays of a tile by name; none of those that cannot be decoded."""
    rows, cols = tile.slices(job.layout.grid, job.layout.tile)
    arrays = {}
    for name in ("z", "support_years", "context_short"):
        try:
            group: Any = zarr.open_group(job.context_store, mode="r", path=group_path(job))
            arrays[name] = np.asarray(group[name][lead, ..., rows, cols])
        except (*BROKEN, OSError):  # a checksum that does not match
            continue
    return arrays


def write_embeddings(
    job: RunJob, tile: Tile, block: int, land: NDArray[np.bool_], made: Embeddings
) -> dict[str, str]:
    """Keep the embeddings of a tile and return the digests of the arrays."""
    group: Any = zarr.open_group(job.context_store, mode="r+", path=group_path(job))
    lead = job.context_block(block)
    rows, cols = tile.slices(job.layout.grid, job.layout.tile)
    z = np.full((*group["z"].shape[1:3], *land.shape), np.nan, np.float32)
    z[:, :, land] = made.z.transpose(0, 2, 1)
    years = np.zeros((made.years.shape[1], *land.shape), np.int16)
    years[:, land] = made.years.T
    short = np.zeros(land.shape, np.uint8)
    short[land] = made.short
    arrays = {"z": z, "support_years": years, "context_short": short}
    for name, values in arrays.items():
        group[name][lead, ..., rows, cols] = values
    return {name: bytes_digest(values) for name, values in arrays.items()}


def known_embeddings(
    cube: DriverCube,
    job: RunJob,
    scaler: Scaler,
    tiles: Sequence[Tile],
    entries: Mapping[str, ContextEntry],
    block: int,
) -> dict[Tile, str]:
    """Identity of the embeddings that serve a block, of the tiles whose drivers are, as far as
    they were read for them, what they were when these were made."""
    lead = job.context_block(block)
    held = {tile: entries.get(context_item(job, tile, lead)) for tile in tiles}
    made = {tile: entry for tile, entry in held.items() if entry is not None}
    known = {}
    for spans in {tuple(map(tuple, entry.spans)) for entry in made.values()}:
        alike = [t for t, entry in made.items() if tuple(map(tuple, entry.spans)) == spans]
        found = support_reads(cube, job, scaler, alike, spans, block)
        for tile, reads in zip(alike, found, strict=True):
            if made[tile].reads == reads:
                known[tile] = made[tile].identity
    return known


def support_reads(
    cube: DriverCube,
    job: RunJob,
    scaler: Scaler,
    tiles: Sequence[Tile],
    spans: Spans,
    block: int,
) -> list[str]:
    """Identity, for each tile, of the chunks from which its support is chosen and read.

    spans: days of the windows; block: see `RunJob.support_end`.
    """
    grid, parts = job.layout.grid, job.layout.parts(tiles)
    count = job.support_end(block) - cube.first
    found = [surface_identities(cube, grid, parts)]
    found.append(read_identities(cube, grid, parts, scaler.required, cube.first, count))
    periods = [(first, length) for first, length in spans]
    found += identities_over(cube, grid, parts, scaler.names, periods, scaler.composites)
    return in_hex(np.concatenate(found, axis=1))


def joined_identity(job: RunJob, parts: Sequence[str]) -> str:
    """Identity of the embeddings of a tile from those of its pieces."""
    return parts[0] if len(parts) == 1 else digest_of([job.embeddings, *parts])[:32]


def support_identity(job: RunJob, surface: Surface, support: SupportSet) -> str:
    """Identity of the embeddings that are made from a support set."""
    choice = support.choice
    found = bytes_digest(
        class_codes(surface), surface.land, choice.present, choice.years, choice.short,
        support.windows,
    )  # fmt: skip
    return digest_of([job.embeddings, found])[:32]


@dataclass(frozen=True)
class SupportSet:
    """The support windows of the land cells of a tile, read.

    windows: `(cell, window, day, feature)` in the units of the table, NaN where none; spans: the
    days that were read for them, see `Spans`.
    """

    choice: Support
    windows: NDArray[np.float32]
    spans: list[list[int]]


def read_support(
    cube: DriverCube,
    surface: Surface,
    scaler: Scaler,
    rule: SupportRule,
    before: int,
) -> SupportSet:
    """Choose and read the support windows of a tile's land cells, features as in `scaler`.

    before: day number; only earlier days may be used.
    """
    valid = _validity(cube, surface, scaler.required, before)
    days = cube.first + np.arange(valid.shape[1])
    choice = choose(valid, days, rule, before)
    spans = _spans_of(cube, choice, rule)
    windows = _read_windows(cube, surface, scaler, choice, rule, before)
    return SupportSet(choice, windows, spans)


def encode_support(support: SupportSet, surface: Surface, predictor: Predictor) -> Embeddings:
    """Embeddings of a tile's land cells from their support windows."""
    return embed_windows(predictor, support.choice, support.windows, class_codes(surface))


def class_codes(surface: Surface) -> NDArray[np.int64]:
    """IGBP and Koeppen codes `(cell, 2)` of the land cells of a tile."""
    codes = np.stack([surface.igbp[surface.land], surface.koppen[surface.land]], axis=1)
    return codes.astype(np.int64)


def _validity(
    cube: DriverCube, surface: Surface, required: tuple[str, ...], before: int
) -> NDArray[np.bool_]:
    """Where all required drivers are there, `(cell, day)` over the record before a day."""
    count = max(1, min(cube.last + 1, before) - cube.first)
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
    before: int,
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


def _spans_of(cube: DriverCube, support: Support, rule: SupportRule) -> list[list[int]]:
    """First day number and length of what `_read_windows` reads."""
    starts = np.unique(support.start[support.start >= 0])
    return [
        [cube.first + int(span[0]), int(span[-1] - span[0]) + rule.window]
        for span in _spans(starts, rule.window)
    ]


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
