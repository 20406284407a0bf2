"""What a work item is made of, as one digest, and which items a plan has still to do.

The identity of an item is made of the rules of its run, of the chunks of drivers and static layers
that it reads, and of the embeddings of its tile. Done is an item whose ledger entry has the
identity that the plan asks for: from this alone follow resuming, growing and correcting a store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from upscale.drivers.cube import DriverCube
from upscale.drivers.identity import read_identities, surface_identities
from upscale.engine.ledger import RunEntry, RunLedger
from upscale.engine.plan import RunJob, RunPlan
from upscale.engine.work.context import ContextEntry, ContextLedger, known_embeddings
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
    contexts: Mapping[str, ContextEntry] = {}
    if not plan.job.query_context:
        contexts = ContextLedger(plan.job.context_store).entries(plan.job.embeddings)
    identities: dict[str, str | None] = {}
    for block in range(plan.job.layout.blocks):
        identities |= identities_of(plan, release, cube, contexts, block)
    done = frozenset(i for i, e in held.items() if e.identity and identities.get(i) == e.identity)
    return Standing(identities, done, _whole(ledger, plan.job.digest, held.keys() - done))


def _whole(ledger: RunLedger, run: str, items: Set[str]) -> dict[str, RunEntry]:
    """The whole entries of some items."""
    entries = ledger.entries(run) if items else {}
    return {item: entries[item] for item in sorted(items & entries.keys())}


def identities_of(
    plan: RunPlan,
    release: Release,
    cube: DriverCube,
    contexts: Mapping[str, ContextEntry],
    block: int,
) -> dict[str, str | None]:
    """Identity of each item of a block, None where that of its embeddings is not known.

    contexts: what the ledger of embeddings holds.
    """
    job = plan.job
    wet = [tile.tile for tile in plan.tiles if tile.land]
    embeddings: Mapping[Tile, str] = dict.fromkeys(wet, NO_EMBEDDINGS)
    if not job.query_context:
        embeddings = known_embeddings(cube, job, release.scaler, wet, contexts, block)
    reads = item_reads(cube, job, release, wet, block)
    dry = [tile.tile for tile in plan.tiles if not tile.land]
    found: dict[str, str | None] = {}
    for tile in wet:
        item, known = WorkItem(block, tile), embeddings.get(tile)
        found[item.id] = known and identity_of(job, item, reads[tile], known)
    for tile, surface in zip(dry, surface_reads(cube, job, dry), strict=True):
        item = WorkItem(block, tile)
        found[item.id] = identity_of(job, item, surface, NO_EMBEDDINGS)
    return found


def identity_of(job: RunJob, item: WorkItem, reads: str, embeddings: str) -> str:
    """Identity of an item; reads: of all chunks that it reads, embeddings: of its tile."""
    days = job.layout.days(item.block)
    return digest_of([job.digest, item.id, days.stop - days.start, reads, embeddings])[:32]


def surface_reads(cube: DriverCube, job: RunJob, tiles: Sequence[Tile]) -> list[str]:
    """Identity, for each tile, of the chunks of static layers that it reads."""
    grid = job.layout.grid
    parts = [tile.slices(grid, job.layout.tile) for tile in tiles]
    return [row.tobytes().hex() for row in surface_identities(cube, grid, parts)]


def item_reads(
    cube: DriverCube, job: RunJob, release: Release, tiles: Sequence[Tile], block: int
) -> dict[Tile, str]:
    """Identity of all chunks that the item of each tile with land reads, without its support."""
    grid, margin, scaler = job.layout.grid, margin_of(release), release.scaler
    parts = [tile.slices(grid, job.layout.tile) for tile in tiles]
    days = job.layout.days(block)
    first, count = job.layout.first + days.start - margin, days.stop - days.start + 2 * margin
    found = read_identities(cube, grid, parts, scaler.names, first, count, scaler.composites)
    both = np.concatenate([surface_identities(cube, grid, parts), found], axis=1)
    return {tile: row.tobytes().hex() for tile, row in zip(tiles, both, strict=True)}
