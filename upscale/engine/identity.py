"""What a work item is made of, as one digest, and which items a plan has still to do.

The identity of an item is made of the rules of its run, of the chunks of drivers and static layers
that it reads, and of the embeddings of its tile. Done is an item whose ledger entry has the
identity that the plan asks for: from this alone follow resuming, growing and correcting a store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from upscale.drivers.cube import DriverCube
from upscale.drivers.growing import bytes_digest
from upscale.drivers.identity import identities_over, in_hex, surface_identities
from upscale.drivers.preliminary import UNKNOWN, preliminary_days
from upscale.engine.ledger import RunEntry, RunLedger
from upscale.engine.plan import RunJob, RunPlan
from upscale.engine.work.context import ContextLedger, known_embeddings
from upscale.engine.work.uncertainty import margin_of
from upscale.grid import Tile
from upscale.jobs.settings import digest_of
from upscale.network.releases.release import Release
from upscale.product.layout import WorkItem

#: What stands for the embeddings in the identity of an item whose model or tile has none.
NO_EMBEDDINGS = "none"


@dataclass(frozen=True)
class Standing:
    """How far a run is.

    identities: what the plan asks for, by item, None where the embeddings of the tile have to be
    made or looked at first; done: items whose entry has this identity; stale: the other entries.
    """

    identities: Mapping[str, str | None]
    done: frozenset[str]
    stale: Mapping[str, RunEntry]

    @property
    def unsure(self) -> frozenset[str]:
        """Items that may be done: their embeddings must be looked at to know."""
        return frozenset(item for item in self.stale if self.identities.get(item) is None)


def standing_of(plan: RunPlan, release: Release, cube: DriverCube) -> Standing:
    """Compare a plan with the ledger of its store; reads no driver."""
    ledger = RunLedger(plan.job.store)
    held = ledger.done(plan.job.digest)
    identities = identities_of(plan, release, cube)
    done = frozenset(i for i, e in held.items() if e.identity and identities.get(i) == e.identity)
    return Standing(identities, done, _whole(ledger, plan.job.digest, held.keys() - done))


def _whole(ledger: RunLedger, run: str, items: Set[str]) -> dict[str, RunEntry]:
    """The whole entries of some items."""
    entries = ledger.entries(run) if items else {}
    return {item: entries[item] for item in sorted(items & entries.keys())}


def identities_of(plan: RunPlan, release: Release, cube: DriverCube) -> dict[str, str | None]:
    """Identity of each item of a plan, None where that of its embeddings is not known."""
    job, found = plan.job, dict[str, str | None]()
    surfaces = surface_reads(cube, job, [tile.tile for tile in plan.tiles])
    wet = {tile.tile: surfaces[tile.tile] for tile in plan.tiles if tile.land}
    embeddings = _embeddings(plan, release, cube, list(wet))
    of_blocks = item_reads(cube, job, release, wet, range(job.layout.blocks))
    for block, of_wet in enumerate(of_blocks):
        reads = surfaces | of_wet
        known = dict.fromkeys(surfaces, NO_EMBEDDINGS) | embeddings[job.context_block(block)]
        _, days = job.layout.span(block)
        for tile, read in reads.items():
            name, of = WorkItem(block, tile).id, known[tile]
            found[name] = of and _identity(job, name, days, read, of)
    return found


def _embeddings(
    plan: RunPlan, release: Release, cube: DriverCube, tiles: Sequence[Tile]
) -> list[dict[Tile, str | None]]:
    """Identity of the embeddings of some tiles, None where it is not known, for each of
    `RunJob.context_blocks`."""
    job = plan.job
    if job.query_context:
        return [{}] * job.context_blocks
    entries = ContextLedger(job.context_store).entries(job.embeddings)
    return [
        dict.fromkeys(tiles) | known_embeddings(cube, job, release.scaler, tiles, entries, block)
        for block in range(job.context_blocks)
    ]


def identity_of(job: RunJob, item: WorkItem, reads: str, embeddings: str) -> str:
    """Identity of an item; reads: of all chunks that it reads, embeddings: of its tile."""
    _, days = job.layout.span(item.block)
    return _identity(job, item.id, days, reads, embeddings)


def _identity(job: RunJob, name: str, days: int, reads: str, embeddings: str) -> str:
    return digest_of([job.digest, name, days, reads, embeddings])[:32]


def surface_reads(cube: DriverCube, job: RunJob, tiles: Sequence[Tile]) -> dict[Tile, str]:
    """Identity of the chunks of static layers that each tile reads."""
    found = surface_identities(cube, job.layout.grid, job.layout.parts(tiles))
    return dict(zip(tiles, in_hex(found), strict=True))


def item_reads(
    cube: DriverCube,
    job: RunJob,
    release: Release,
    surfaces: Mapping[Tile, str],
    blocks: Sequence[int],
) -> list[dict[Tile, str]]:
    """For each of some blocks, the identity of all chunks that the item of each tile with land
    reads, without its support.

    surfaces: tiles, with the identity of the static layers that they read.
    """
    scaler, parts = release.scaler, job.layout.parts(list(surfaces))
    spans = [job.layout.span(block, margin_of(release)) for block in blocks]
    grid = job.layout.grid
    found = identities_over(cube, grid, parts, scaler.names, spans, scaler.composites)
    told = [_preliminary(cube, *job.layout.span(block)) for block in blocks]
    return [
        _beside(surfaces, [read + days for read in in_hex(reads)])
        for reads, days in zip(found, told, strict=True)
    ]


def _beside(surfaces: Mapping[Tile, str], reads: Sequence[str]) -> dict[Tile, str]:
    pairs = zip(surfaces.items(), reads, strict=True)
    return {tile: surface + read for (tile, surface), read in pairs}


def _preliminary(cube: DriverCube, first: int, count: int) -> str:
    """Which of some days are preliminary, as text; empty where the cube does not say."""
    days = preliminary_days(cube.series["meteo"], first, count)
    return "" if (days == UNKNOWN).all() else bytes_digest(days)[:32]
