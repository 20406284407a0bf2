"""What happens on a Dask worker: the ensemble is loaded once, then tile after tile.

Each worker process runs two tasks at a time, but only one of them computes: while one does,
the other reads the next tile's drivers or support set, or writes the last one.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from distributed import get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from upscale.drivers.cube import DriverCube, open_cube
from upscale.drivers.tiles import Surface, TileDrivers, read_features
from upscale.engine.identity import NO_EMBEDDINGS, identity_of, item_reads, surface_reads
from upscale.engine.ledger import RunEntry, RunLedger, Withdrawn
from upscale.engine.plan import RunJob, read_part
from upscale.engine.work.change import change_of, change_of_revision
from upscale.engine.work.context import (
    ContextEntry,
    ContextLedger,
    context_item,
    encode_support,
    joined_identity,
    read_embeddings,
    read_support,
    support_identity,
    support_reads,
    write_embeddings,
)
from upscale.engine.work.entries import MadeItem, make_entry, totals_of
from upscale.engine.work.kept import (
    Earlier,
    ItemSource,
    day_cut,
    pack_running,
    stride_digests,
    surface_digest,
)
from upscale.engine.work.pieces import (
    MadeEmbeddings,
    MadePiece,
    joined_embeddings,
    pieces_of,
    with_piece,
)
from upscale.engine.work.predict import barren_tile, predict_tile, tile_windows
from upscale.engine.work.reduction import DayCut, KeptDays
from upscale.engine.work.uncertainty import margin_of, with_applicability, without_margin
from upscale.grid import Tile
from upscale.jobs.clock import Stopwatch
from upscale.network.inference import Embeddings
from upscale.network.predictor import Predictor, load_predictor
from upscale.network.releases.release import Release, load_release
from upscale.network.uncertainty.applicability import Applicability
from upscale.network.windows import WindowRule
from upscale.product.layout import WorkItem
from upscale.product.rounding import rounded
from upscale.product.shards import arrays_of, remove_item, withdraw_item, write_item


@dataclass
class WorkerSession:
    """What a worker process keeps between tiles. margin: days of drivers read on either side
    of a block; `computing` lets one task compute at a time."""

    job: RunJob
    cube: DriverCube
    predictor: Predictor
    release: Release
    rule: WindowRule
    ledger: RunLedger
    contexts: ContextLedger
    margin: int
    applicability: Applicability | None
    computing: threading.Lock = field(default_factory=threading.Lock)


def open_session(job: RunJob) -> WorkerSession:
    """Load the ensemble and open the driver cube; sets the number of torch threads, because
    Dask starts its workers with one thread whatever the machine has.

    Raises ValueError where this machine finds another model or other drivers than the run.
    """
    torch.set_num_threads(job.threads)
    release, cube = load_release(job.model), open_cube(job.drivers)
    for place, expected, found in (
        (job.model, job.release, release.digest),
        (job.drivers, job.cube, cube.digest),
    ):
        if expected != found:
            raise ValueError(
                f"{place} on {socket.gethostname()} is not the one that the run was planned with "
                f"(digest {found[:12]}, expected {expected[:12]}); give all machines the same one"
            )
    predictor = load_predictor(release, job.device)
    return WorkerSession(
        job, cube, predictor, release, release.window_rule, RunLedger(job.store),
        ContextLedger(job.context_store), margin_of(release), release.applicability,
    )  # fmt: skip


class EnsemblePlugin(WorkerPlugin):
    """Opens the session of a job on every worker, also on those that join later."""

    def __init__(self, job: RunJob) -> None:
        self.job = job
        self.name = plugin_name(job)
        self.session: WorkerSession | None = None

    def setup(self, worker: Any) -> None:
        self.session = open_session(self.job)

    def __getstate__(self) -> dict[str, Any]:
        return {"job": self.job, "name": self.name, "session": None}


def plugin_name(job: RunJob) -> str:
    """Name of a job's plugin: two attempts on one cluster do not share it."""
    return f"upscale-{job.digest[:8]}-{job.session}"


def _session(job_name: str) -> WorkerSession:
    plugin: Any = get_worker().plugins[job_name]
    if plugin.session is None:
        raise RuntimeError(f"the ensemble of {job_name} was not loaded on this worker")
    session: WorkerSession = plugin.session
    return session


def embed_on_worker(job_name: str, tile: Tile, block: int) -> dict[str, float]:
    """Task: make and keep the embeddings of a tile unless they are there; seconds by stage."""
    return embed_item(_session(job_name), WorkItem(block, tile))


def embed_item(session: WorkerSession, item: WorkItem) -> dict[str, float]:
    """Make and keep the embeddings of an item's tile unless they are there; seconds by stage."""
    watch = Stopwatch()
    embed(session, _surface(session, item.tile), item.tile, item.block, watch)
    return watch.seconds


def predict_on_worker(
    job_name: str,
    item: WorkItem,
    land: bool,
    context: dict[str, float] | None,
    before: RunEntry | None = None,
) -> RunEntry:
    """Task: one work item from drivers to ledger; context: seconds that its embeddings took."""
    return process(_session(job_name), item, land, context, before)


def embed(
    session: WorkerSession, surface: Surface, tile: Tile, block: int, watch: Stopwatch
) -> tuple[Embeddings, str]:
    """The embeddings of a tile's land cells, and their identity: the kept ones as long as their
    support is what it was, or made and kept now."""
    job, scaler, cube = session.job, session.predictor.scaler, session.cube
    name = context_item(job, tile, job.context_block(block))
    entry, kept = session.contexts.entry(name), None
    if entry is not None and entry.run == job.embeddings:
        kept = read_embeddings(job, tile, block, surface.land, entry.digests)
    known, digests = list[str](), dict[str, str]()
    if entry is not None and kept is not None:
        if [entry.reads] == support_reads(cube, job, scaler, [tile], entry.spans, block):
            return kept, entry.identity
        known, digests = entry.parts or [entry.identity], entry.digests
    made = _embed_pieces(session, surface, block, known, kept, watch)
    if known != made.parts:
        digests = write_embeddings(job, tile, block, surface.land, made.embeddings)
    identity = joined_identity(job, made.parts)
    (reads,) = support_reads(cube, job, scaler, [tile], made.spans, block)
    parts = made.parts if len(made.parts) > 1 else []
    session.contexts.write(
        ContextEntry(name, job.embeddings, identity, reads, made.spans, digests, parts=parts)
    )
    return made.embeddings, identity


def _embed_pieces(
    session: WorkerSession,
    surface: Surface,
    block: int,
    known: Sequence[str],
    kept: Embeddings | None,
    watch: Stopwatch,
) -> MadeEmbeddings:
    """The embeddings of a tile, piece after piece: from `kept` where a piece is still what it was
    when its identity was `known`."""
    job, pieces = session.job, pieces_of(surface, session.job.piece)
    parts, embeddings, spans = [], [], set[tuple[int, ...]]()
    for number, piece in enumerate(pieces):
        with watch.stage("read support"):
            support = read_support(
                session.cube, piece.surface, session.predictor.scaler, job.support,
                job.support_end(block),
            )  # fmt: skip
        parts.append(support_identity(job, piece.surface, support))
        spans.update(map(tuple, support.spans))
        if kept is not None and known[number : number + 1] == parts[-1:]:
            embeddings.append(piece.of(kept))
            continue
        with session.computing, watch.stage("encode"):
            embeddings.append(encode_support(support, piece.surface, session.predictor))
    whole = joined_embeddings(pieces, embeddings)
    return MadeEmbeddings(whole, parts, [list(span) for span in sorted(spans)])


def process(
    session: WorkerSession,
    item: WorkItem,
    land: bool,
    context: dict[str, float] | None = None,
    before: RunEntry | None = None,
) -> RunEntry:
    """Read, predict, write, read back and enter one work item into the ledger.

    context: seconds that were spent on the tile's embeddings, entered with its first block;
    before: the entry of the item that is to be replaced.
    """
    job, watch = session.job, Stopwatch()
    if context and (job.strict_past or item.block == 0):
        watch.seconds |= context
    with watch.stage("read"):
        surface = _surface(session, item.tile)
    made = (
        _predict(session, surface, item, watch, before) if land else _barren(session, surface, item)
    )
    daily = rounded(made.fluxes.daily, job.layout.keep_bits)
    made = replace(made, fluxes=replace(made.fluxes, daily=daily))
    try:
        with watch.stage("write"):
            made = replace(made, totals=totals_of(surface, made.fluxes, job.layout))
            made = replace(made, change=_take_the_place(session, item, made, before))
            digests = write_item(job.store, job.layout, item, made.fluxes)
            running = _keep_running(session, item, made)
        device = str(session.predictor.device)
        entry = make_entry(job, surface, item, made, digests, running, watch.seconds, device)
        session.ledger.write(entry)
        session.ledger.replaced(item.id)
    except Exception:
        with suppress(Exception):  # the failure itself is what the ledger is to name
            withdraw(session, item)
        raise
    return entry


def _take_the_place(
    session: WorkerSession, item: WorkItem, made: MadeItem, before: RunEntry | None
) -> dict[str, Any]:
    """Withdraw the earlier entry of an item, because a killed writer must leave none of what is
    gone; what the revision changes in it."""
    job, ledger = session.job, session.ledger
    kept = ledger.withdrawn(item.id) if job.revision > 1 else None
    if kept is not None and before is not None and kept.revision == job.revision:
        if kept.entry.finished == before.finished:  # another attempt in this session
            before = None
        else:
            kept = None
    old = before or (kept.entry if kept is not None else None)
    change = change_of(job, item, old, made.fluxes, made.totals)
    change = change_of_revision(job, made.identity, before, kept, change)
    if old is not None:
        ledger.withdraw(Withdrawn(old, made.identity, job.revision, change))
        gone = sorted(old.digests.keys() - arrays_of(made.fluxes).keys())
        remove_item(job.store, job.layout, item, gone)  # of land that is none any more
    return change


def _keep_running(session: WorkerSession, item: WorkItem, made: MadeItem) -> str:
    """Keep the running sums of an item that may grow; the digest of what was kept."""
    if not 0 < made.settled < session.job.layout.block or not made.fluxes.sums:
        session.ledger.forget_running(item.id)
        return ""
    return session.ledger.write_running(item.id, pack_running(made.running))


def _barren(session: WorkerSession, surface: Surface, item: WorkItem) -> MadeItem:
    """What is made of an item without any land."""
    job = session.job
    reads = surface_reads(session.cube, job, [item.tile])[item.tile]
    identity = identity_of(job, item, reads, NO_EMBEDDINGS)
    source = ItemSource(surface_digest(surface), NO_EMBEDDINGS, ())
    return MadeItem(barren_tile(surface, job.layout, item), identity, source, 0, 0, np.zeros(0))


def withdraw(session: WorkerSession, item: WorkItem) -> None:
    """Make an item that has no entry read as not produced.

    An item is done with its entry: without one, nothing of it may read as good. Another worker
    may do the same item, one that Dask had given up for example: what has its entry stays, and
    an entry that came while `quality` was removed goes with it, so that the item is done again.
    """
    job, ledger = session.job, session.ledger
    if ledger.holds(item.id, job.digest):
        return
    withdraw_item(job.store, job.layout, item)
    if ledger.holds(item.id, job.digest):
        ledger.forget(item.id)


def _predict(
    session: WorkerSession,
    surface: Surface,
    item: WorkItem,
    watch: Stopwatch,
    before: RunEntry | None,
) -> MadeItem:
    """What is made of an item with land, piece after piece."""
    job, predictor, rule = session.job, session.predictor, session.rule
    embeddings, known = None, NO_EMBEDDINGS
    if not job.query_context:
        embeddings, known = embed(session, surface, item.tile, item.block, watch)
    cut = day_cut(job.layout, item, rule, predictor.scaler, session.cube)
    pieces, earlier = pieces_of(surface, job.piece), None
    if before is not None:
        running = session.ledger.read_running(item.id)
        earlier = Earlier(job, item, before, surface, known, len(pieces), cut, running)
    whole, strides, kept = None, tuple[str, ...](), []
    for number, piece in enumerate(pieces):
        part = None if embeddings is None else piece.of(embeddings)
        then = partial(earlier.kept, number, piece) if earlier is not None else None
        made = _predict_piece(session, piece.surface, item, part, cut, then, watch)
        whole = with_piece(whole, surface, piece, made.tile)
        strides += made.strides
        kept.append(made.kept)
    assert whole is not None  # an item with land has a piece with land
    surfaces = surface_reads(session.cube, job, [item.tile])
    (found,) = item_reads(session.cube, job, session.release, surfaces, [item.block])
    (reads,) = found.values()
    identity = identity_of(job, item, reads, known)
    source = ItemSource(surface_digest(surface), known, strides)
    return MadeItem(whole.fluxes, identity, source, cut.settled, min(kept), whole.running)


def _predict_piece(
    session: WorkerSession,
    surface: Surface,
    item: WorkItem,
    embeddings: Embeddings | None,
    cut: DayCut,
    then: Callable[[tuple[str, ...]], KeptDays | None] | None,
    watch: Stopwatch,
) -> MadePiece:
    """What is made of a piece with land, with the indices of applicability that its model has.

    then: the days that stand as an earlier session left them, given the digests of its strides.
    """
    job, predictor, rule = session.job, session.predictor, session.rule
    with watch.stage("read"):
        drivers = _read_drivers(session, surface, item)
    inner = without_margin(drivers, session.margin - rule.margin)
    with session.computing, watch.stage("predict"):
        laid = tile_windows(surface, inner, predictor, rule, job.layout, item)
        strides = stride_digests(laid, inner.first, cut, rule)
        kept = then(strides) if then is not None else None
        made = predict_tile(surface, laid, inner, predictor, embeddings, job.layout, cut, kept)
    if session.applicability is not None:
        with session.computing, watch.stage("applicability"):
            fluxes = with_applicability(
                made.fluxes, surface, drivers, embeddings, predictor, session.applicability,
                job.layout, item,
            )  # fmt: skip
        made = replace(made, fluxes=fluxes)
    return MadePiece(made, strides, kept.count if kept is not None else 0)


def _read_drivers(session: WorkerSession, surface: Surface, item: WorkItem) -> TileDrivers:
    """The drivers of a block and of the margins on both sides of it."""
    scaler = session.predictor.scaler
    first, count = session.job.layout.span(item.block, session.margin)
    return read_features(session.cube, surface, scaler.names, first, count, scaler.composites)


def _surface(session: WorkerSession, tile: Tile) -> Surface:
    layout = session.job.layout
    return read_part(session.cube, layout.grid, *tile.slices(layout.grid, layout.tile))
