"""What happens on a Dask worker: the ensemble is loaded once, then tile after tile.

Each worker process runs two tasks at a time, but only one of them computes: while one does,
the other reads the next tile's drivers or support set, or writes the last one.
"""

from __future__ import annotations

import os
import resource
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from distributed import get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from upscale.drivers.cube import DriverCube, open_cube
from upscale.drivers.tiles import Surface, read_features
from upscale.engine.context import (
    encode_support,
    read_embeddings,
    read_support,
    write_embeddings,
)
from upscale.engine.ledger import RunEntry, RunLedger
from upscale.engine.plan import RunJob, read_part
from upscale.engine.predict import barren_tile, predict_tile
from upscale.engine.uncertainty import margin_of, with_applicability, without_margin
from upscale.grid import Tile, cell_areas
from upscale.jobs.clock import Stopwatch, now
from upscale.network.inference import Embeddings
from upscale.network.predictor import Predictor, load_predictor
from upscale.network.releases.release import load_release
from upscale.network.uncertainty.applicability import Applicability
from upscale.network.windows import WindowRule
from upscale.product.layout import FluxLayout, WorkItem
from upscale.product.quality import count_flags
from upscale.product.shards import TileFluxes, withdraw_item, write_item
from upscale.variables import FLUXES
from upscale.version import __version__


@dataclass
class WorkerSession:
    """What a worker process keeps between tiles. margin: days of drivers read on either side
    of a block; `computing` lets one task compute at a time."""

    job: RunJob
    cube: DriverCube
    predictor: Predictor
    rule: WindowRule
    ledger: RunLedger
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
    rule, ledger = release.window_rule, RunLedger(job.store)
    return WorkerSession(
        job, cube, predictor, rule, ledger, margin_of(release), release.applicability
    )


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
    session, watch = _session(job_name), Stopwatch()
    embed(session, _surface(session, tile), tile, block, watch)
    return watch.seconds


def predict_on_worker(
    job_name: str, item: WorkItem, land: bool, context: dict[str, float] | None
) -> RunEntry:
    """Task: one work item from drivers to ledger; context: seconds that its embeddings took."""
    return process(_session(job_name), item, land, context)


def embed(
    session: WorkerSession, surface: Surface, tile: Tile, block: int, watch: Stopwatch
) -> Embeddings:
    """The embeddings of a tile's land cells: the kept ones, or made and kept now."""
    job = session.job
    kept = read_embeddings(job, tile, block, surface.land)
    if kept is not None:
        return kept
    before = job.layout.first + job.layout.days(block).start if job.strict_past else None
    with watch.stage("read support"):
        support = read_support(session.cube, surface, session.predictor.scaler, job.support, before)
    with session.computing, watch.stage("encode"):
        made = encode_support(support, surface, session.predictor)
    write_embeddings(job, tile, block, surface.land, made)
    return made


def process(
    session: WorkerSession, item: WorkItem, land: bool, context: dict[str, float] | None = None
) -> RunEntry:
    """Read, predict, write, read back and enter one work item into the ledger.

    context: seconds that were spent on the tile's embeddings, entered with its first block.
    """
    job, watch = session.job, Stopwatch()
    if context and (job.strict_past or item.block == 0):
        watch.seconds |= context
    with watch.stage("read"):
        surface = _surface(session, item.tile)
    if land:
        fluxes = _predict(session, surface, item, watch)
    else:
        fluxes = barren_tile(surface, job.layout, item)
    try:
        with watch.stage("write"):
            digests = write_item(job.store, job.layout, item, fluxes)
        entry = make_entry(session, surface, item, fluxes, digests, watch.seconds)
        session.ledger.write(entry)
    except Exception:
        with suppress(Exception):  # the failure itself is what the ledger is to name
            withdraw(session, item)
        raise
    return entry


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
    session: WorkerSession, surface: Surface, item: WorkItem, watch: Stopwatch
) -> TileFluxes:
    """The fluxes of an item with land, with the indices of applicability that its model has."""
    job, margin, applicability = session.job, session.margin, session.applicability
    days = job.layout.days(item.block)
    first, count = job.layout.first + days.start - margin, days.stop - days.start + 2 * margin
    with watch.stage("read"):
        scaler = session.predictor.scaler
        drivers = read_features(
            session.cube, surface, scaler.names, first, count, scaler.composites
        )
    embeddings = None
    if not job.query_context:
        embeddings = embed(session, surface, item.tile, item.block, watch)
    predictor, rule = session.predictor, session.rule
    with session.computing, watch.stage("predict"):
        inner = without_margin(drivers, margin - rule.margin)
        fluxes = predict_tile(surface, inner, predictor, embeddings, rule, job.layout, item)
    if applicability is None:
        return fluxes
    with session.computing, watch.stage("applicability"):
        return with_applicability(
            fluxes, surface, drivers, embeddings, predictor, applicability, job.layout, item
        )


def _surface(session: WorkerSession, tile: Tile) -> Surface:
    layout = session.job.layout
    return read_part(session.cube, layout.grid, *tile.slices(layout.grid, layout.tile))


def make_entry(
    session: WorkerSession,
    surface: Surface,
    item: WorkItem,
    fluxes: TileFluxes,
    digests: dict[str, str],
    seconds: dict[str, float],
) -> RunEntry:
    """The ledger entry of a finished work item."""
    counts = {"land": int(surface.land.sum()), "cells": int((~surface.outside).sum())}
    stats = {}
    for flux in FLUXES:
        values = fluxes.daily.get(flux)
        known = np.empty(0) if values is None else values[np.isfinite(values)]
        counts["values"] = int(known.size)
        if known.size:
            stats[flux] = _stats(known)
    counts |= count_flags(fluxes.daily["quality"])
    return RunEntry(
        item=item.id,
        run=session.job.digest,
        status="done",
        digests=digests,
        counts=counts,
        stats=stats,
        totals=_totals(surface, fluxes, session.job.layout),
        seconds=seconds,
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        worker=f"{socket.gethostname()} {os.getpid()} {session.predictor.device}",
        release=session.job.release,
        cube=session.job.cube,
        version=__version__,
        finished=now(),
    )


def _stats(known: Any) -> dict[str, float]:
    return {
        "min": float(known.min()),
        "mean": float(known.mean(dtype=np.float64)),
        "max": float(known.max()),
    }


def _totals(
    surface: Surface, fluxes: TileFluxes, layout: FluxLayout
) -> dict[str, list[list[float]]]:
    """Total of each flux, g, by segment of the block and member."""
    area = cell_areas(surface.grid)[:, None] * np.nan_to_num(surface.sftlf) / 100
    totals = {}
    for flux, sums in fluxes.sums.items():
        total: Any = np.nansum(sums * area, axis=(2, 3), dtype=np.float64)
        totals[flux] = total.T.tolist()
    return totals


def failed_entry(job: RunJob, item: WorkItem, error: BaseException) -> RunEntry:
    """The ledger entry of a work item that could not be done."""
    text = f"{type(error).__name__}: {error}"
    return RunEntry(
        item=item.id, run=job.digest, release=job.release, cube=job.cube, version=__version__,
        status="failed", digests={}, counts={}, stats={}, totals={}, seconds={}, memory=0,
        worker=socket.gethostname(), finished=now(), error=text,
    )  # fmt: skip
