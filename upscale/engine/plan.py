"""What a run consists of: every work item, and what all workers need to know."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.calendar import date_of, day_number
from upscale.drivers.cube import DriverCube
from upscale.drivers.tiles import Surface, read_surface
from upscale.engine.config import Context, Run
from upscale.engine.work.uncertainty import uncertainty_of
from upscale.grid import Grid, Tile, tile_counts
from upscale.jobs.ledger import beside
from upscale.jobs.settings import ConfigError, absolute, digest_of
from upscale.network.releases.release import Release
from upscale.network.support import SupportRule
from upscale.product.cube import layout_of, open_flux_group
from upscale.product.layout import PIECE, FluxLayout, WorkItem
from upscale.product.size import tile_factor
from upscale.product.uncertainty import StoredUncertainty
from upscale.stores.location import is_url

#: Version of what a work item writes; items of two versions are never mixed in one store.
FORMAT = 2


@dataclass(frozen=True)
class RunJob:
    """What a worker needs for any work item of a run; plain values that travel.

    digest: of the rules, which all items of a store share; what an item was made from besides
    is its identity. session: names this attempt. rules: JSON of what `digest` is made of.
    embeddings: digest of the rules of the embeddings of places. release, cube: digests that a
    worker must find when it opens model and drivers. until: number of the last day from which
    support is chosen. revision: of the store, which this job makes. piece: edge in cells of what
    is read and computed at once.
    """

    digest: str
    session: str
    rules: str
    release: str
    cube: str
    embeddings: str
    model: str
    drivers: str
    store: str
    context_store: str
    layout: FluxLayout
    support: SupportRule
    until: int
    strict_past: bool
    query_context: bool
    threads: int
    device: str
    revision: int = 1
    piece: int = PIECE

    @property
    def context_blocks(self) -> int:
        """Number of embeddings of a place: one, or one for each block where only the past of a
        block may be its support."""
        return self.layout.blocks if self.strict_past else 1

    def context_block(self, block: int) -> int:
        """Which embeddings the items of a block need."""
        return block if self.strict_past else 0

    def support_end(self, block: int) -> int:
        """Day number before which lie all days that the support of a block is chosen from."""
        if not self.strict_past:
            return self.until + 1
        return min(self.until + 1, self.layout.first + block * self.layout.block)


@dataclass(frozen=True)
class TilePlan:
    """One tile with something to do: `domain` cells that the cube knows, `land` of them to be
    predicted."""

    tile: Tile
    domain: int
    land: int


@dataclass(frozen=True)
class RunPlan:
    """A job and its tiles, north to south."""

    job: RunJob
    tiles: tuple[TilePlan, ...]

    def items(self, part: tuple[int, int] = (1, 1)) -> Iterator[WorkItem]:
        """The work items of part `i` of `n`, block by block, so that embeddings are there
        when later blocks ask for them. A tile belongs to one part with all its blocks."""
        number, parts = part
        mine = [plan.tile for i, plan in enumerate(self.tiles) if i % parts == number - 1]
        for block in range(self.job.layout.blocks):
            yield from (WorkItem(block, tile) for tile in mine)

    @property
    def land(self) -> int:
        """Cells to be predicted."""
        return sum(plan.land for plan in self.tiles)


def make_plan(run: Run, release: Release, cube: DriverCube) -> RunPlan:
    """Lay out a run; reads the static layers of the cube once, tile row by tile row."""
    grid, stored = product_grid(run, cube), stored_attributes(run.output.store)
    tile = _tile_size(run, cube, stored)
    layout = FluxLayout(
        grid, run.period.first, run.period.count, tile or cube.tile, release.members,
        run.output.members, keep_bits=run.output.keep_bits,
    )  # fmt: skip
    plans = [plan for plan in _tile_plans(cube, layout) if plan.domain]
    if not any(plan.land for plan in plans):
        raise ConfigError("output.region: no land cell of the driver cube lies in it")
    if tile is None:
        layout, plans = _larger_tiles(layout, plans, uncertainty_of(release))
    return RunPlan(make_job(run, release, cube, layout, stored), tuple(plans))


def stored_attributes(store: str) -> Mapping[str, Any]:
    """Global attributes of the flux cube at a place, none where there is no flux cube."""
    try:
        return dict(open_flux_group(store).attrs)
    except ValueError:
        return {}


def make_job(
    run: Run,
    release: Release,
    cube: DriverCube,
    layout: FluxLayout,
    stored: Mapping[str, Any],
) -> RunJob:
    """What all workers of a run are told, with the digests that name its rules and those of its
    embeddings.

    stored: global attributes of the flux cube that is there already.
    """
    support, until = support_rule(run.context, release), _until(run, cube, stored)
    rules = rules_of(run, release, layout, until)
    made_from = {
        "release": release.digest,
        "support": [support.years, support.most_years, support.window, support.windows_per_year],
        "grid": layout.grid.to_dict(),
        "tile": layout.tile,
        "until": until,
        "blocks": [layout.first, layout.block] if run.context.strict_past else None,
    }
    return RunJob(
        digest=digest_of(rules),
        session=uuid.uuid4().hex[:12],
        rules=json.dumps(rules, sort_keys=True),
        release=release.digest,
        cube=cube.digest,
        embeddings=digest_of(made_from),
        model=run.model if is_url(run.model) else absolute(str(release.path)),
        drivers=absolute(run.drivers),
        store=absolute(run.output.store),
        context_store=absolute(run.context.store or beside(run.output.store, "context.zarr")),
        layout=layout,
        support=support,
        until=until,
        strict_past=run.context.strict_past,
        query_context=release.manifest.context.rule == "query",
        threads=run.cluster.threads,
        device=run.cluster.device,
        revision=int(stored.get("revision", 0)) + 1,
    )


def rules_of(run: Run, release: Release, layout: FluxLayout, until: int) -> dict[str, Any]:
    """What decides the numbers of all items of a store, by the key of RUN.yaml that says it.

    The end of the period and the drivers are not among them: a store grows, and its drivers are
    corrected.
    """
    science = run.science()
    named = {
        f"{section}.{key}": value
        for section in ("period", "output", "context")
        for key, value in science[section].items()
    }
    del named["period.end"]
    if run.output.keep_bits is None:  # so that stores of before this key go on
        del named["output.keep_bits"]
    return named | {
        "format": FORMAT,
        "model": release.manifest.name,
        "model_digest": release.digest,
        "grid": layout.grid.to_dict(),
        "output.tile": layout.tile,
        "context.until": str(date_of(until)),
    }


def _until(run: Run, cube: DriverCube, stored: Mapping[str, Any]) -> int:
    """Last day from which support is chosen: as the run says, as the store says, or the last one
    that the drivers have."""
    if run.context.until is not None:
        return day_number(run.context.until)
    known = stored.get("context_until")
    return cube.last if known is None else day_number(dt.date.fromisoformat(known))


def support_rule(context: Context, release: Release) -> SupportRule:
    """The support rule of the release, with the years that the run asks for."""
    rule = release.support_rule
    if context.years is None:
        return rule
    years = context.years if context.years == "auto" else tuple(sorted(set(context.years)))
    return SupportRule(years, rule.most_years, rule.window, rule.windows_per_year)


def product_grid(run: Run, cube: DriverCube) -> Grid:
    """The grid of the cube's static layers, cut to the region of the run."""
    region = run.output.region
    return cube.grid if region is None else region.of(cube.grid)


def _tile_size(run: Run, cube: DriverCube, stored: Mapping[str, Any]) -> int | None:
    """The tile that a run asks for, or that its store has already; None where neither says one."""
    if run.output.tile != "auto":
        return int(run.output.tile)
    return layout_of(stored).tile if "layout" in stored else None


def _larger_tiles(
    layout: FluxLayout, plans: Sequence[TilePlan], uncertainty: StoredUncertainty
) -> tuple[FluxLayout, list[TilePlan]]:
    """The layout and its tiles, in tiles so large that a store is not of too many objects."""
    known, land = (np.zeros(tile_counts(layout.grid, layout.tile), bool) for _ in range(2))
    for plan in plans:
        place = plan.tile.row, plan.tile.col
        known[place], land[place] = True, plan.land > 0
    factor = tile_factor(layout, uncertainty, known, land)
    cells: dict[Tile, tuple[int, int]] = {}
    for plan in plans:
        tile = Tile(plan.tile.row // factor, plan.tile.col // factor)
        before = cells.get(tile, (0, 0))
        cells[tile] = before[0] + plan.domain, before[1] + plan.land
    larger = [TilePlan(tile, *counts) for tile, counts in sorted(cells.items())]
    return replace(layout, tile=factor * layout.tile), larger


def _tile_plans(cube: DriverCube, layout: FluxLayout) -> Iterator[TilePlan]:
    """Tiles with their cells; the static layers are read in bands of many tiles."""
    rows, cols = tile_counts(layout.grid, layout.tile)
    tall = layout.layer_chunk // layout.tile
    for first in range(0, rows, tall):
        top = first * layout.tile
        band = slice(top, min(top + layout.layer_chunk, layout.grid.rows))
        surface = read_part(cube, layout.grid, band, slice(0, layout.grid.cols))
        known, land = ~surface.outside, surface.land
        for row in range(first, min(first + tall, rows)):
            for col in range(cols):
                tile = Tile(row, col)
                down, right = tile.slices(layout.grid, layout.tile)
                part = slice(down.start - top, down.stop - top), right
                yield TilePlan(tile, _count(known[part]), _count(land[part]))


def _count(mask: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))  # faster than a sum, with thousands of tiles


def read_part(cube: DriverCube, grid: Grid, rows: slice, cols: slice) -> Surface:
    """Static layers of a part of `grid`, which is a crop of the cube's own grid."""
    row, col = cube.grid.offset_of(grid)
    return read_surface(
        cube,
        slice(rows.start + row, rows.stop + row),
        slice(cols.start + col, cols.stop + col),
    )
