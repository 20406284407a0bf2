"""What a run consists of: every work item, and what all workers need to know."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from upscale.drivers.cube import DriverCube
from upscale.drivers.tiles import Surface, read_surface
from upscale.engine.config import Context, Run
from upscale.grid import Grid, Tile, tile_counts
from upscale.jobs.ledger import beside
from upscale.jobs.settings import ConfigError, absolute, digest_of
from upscale.network.releases.release import Release
from upscale.network.support import SupportRule
from upscale.product.layout import FluxLayout, WorkItem
from upscale.stores.location import is_url


@dataclass(frozen=True)
class RunJob:
    """What a worker needs for any work item of a run; plain values that travel.

    digest: names the run: two jobs with one digest give the same numbers. session: names this
    attempt at it. embeddings: digest of everything that the embeddings of places are made
    from. release, cube: digests that a worker must find when it opens model and drivers.
    """

    digest: str
    session: str
    release: str
    cube: str
    embeddings: str
    model: str
    drivers: str
    store: str
    context_store: str
    layout: FluxLayout
    support: SupportRule
    strict_past: bool
    query_context: bool
    threads: int
    device: str


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
    grid = product_grid(run, cube)
    tile = _tile_size(run, cube)
    layout = FluxLayout(
        grid, run.period.first, run.period.count, tile, release.members, run.output.members
    )
    job = make_job(run, release, cube, layout)
    plans = tuple(plan for plan in _tile_plans(cube, layout) if plan.domain)
    if not any(plan.land for plan in plans):
        raise ConfigError("output.region: no land cell of the driver cube lies in it")
    return RunPlan(job, plans)


def make_job(run: Run, release: Release, cube: DriverCube, layout: FluxLayout) -> RunJob:
    """What all workers of a run are told, with the digests that name the run and its embeddings."""
    support = support_rule(run.context, release)
    content = {"release": release.digest, "drivers": cube.digest}
    made_from = content | {
        "support": [support.years, support.most_years, support.window, support.windows_per_year],
        "grid": layout.grid.to_dict(),
        "tile": layout.tile,
        "blocks": [layout.first, layout.count] if run.context.strict_past else None,
    }
    science = run.science() | content | {"tile": layout.tile}
    del science["model"], science["drivers"]
    return RunJob(
        digest=digest_of(science),
        session=uuid.uuid4().hex[:12],
        release=release.digest,
        cube=cube.digest,
        embeddings=digest_of(made_from),
        model=run.model if is_url(run.model) else absolute(str(release.path)),
        drivers=absolute(run.drivers),
        store=absolute(run.output.store),
        context_store=absolute(run.context.store or beside(run.output.store, "context.zarr")),
        layout=layout,
        support=support,
        strict_past=run.context.strict_past,
        query_context=release.manifest.context.rule == "query",
        threads=run.cluster.threads,
        device=run.cluster.device,
    )


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


def _tile_size(run: Run, cube: DriverCube) -> int:
    tile: Any = run.output.tile
    return int(cube.attributes.get("tile", 100)) if tile == "auto" else int(tile)


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
                yield TilePlan(tile, int(known[part].sum()), int(land[part].sum()))


def read_part(cube: DriverCube, grid: Grid, rows: slice, cols: slice) -> Surface:
    """Static layers of a part of `grid`, which is a crop of the cube's own grid."""
    row, col = cube.grid.offset_of(grid)
    return read_surface(
        cube,
        slice(rows.start + row, rows.stop + row),
        slice(cols.start + col, cols.stop + col),
    )
