"""What is entered into the ledger of a work item that was done, or that failed."""

from __future__ import annotations

import os
import resource
import socket
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from upscale.drivers.tiles import Surface
from upscale.engine.ledger import RunEntry
from upscale.engine.plan import RunJob
from upscale.engine.work.kept import ItemSource
from upscale.engine.work.reduction import Doubles
from upscale.grid import cell_areas
from upscale.jobs.clock import now
from upscale.product.layout import FluxLayout, WorkItem
from upscale.product.quality import count_flags
from upscale.product.shards import TileFluxes
from upscale.variables import FLUXES
from upscale.version import __version__


@dataclass(frozen=True)
class MadeItem:
    """What was made of a work item, and of what: see the fields of `RunEntry`."""

    fluxes: TileFluxes
    identity: str
    source: ItemSource
    settled: int
    kept: int
    running: Doubles
    totals: dict[str, list[list[float]]] = field(default_factory=dict)
    change: dict[str, Any] = field(default_factory=dict)


def make_entry(
    job: RunJob,
    surface: Surface,
    item: WorkItem,
    made: MadeItem,
    digests: dict[str, str],
    running: str,
    seconds: dict[str, float],
    device: str,
) -> RunEntry:
    """The ledger entry of a finished work item."""
    fluxes, (_, days) = made.fluxes, job.layout.span(item.block)
    counts = {"land": int(surface.land.sum()), "cells": int((~surface.outside).sum())}
    stats = {}
    for flux in FLUXES:
        values = fluxes.daily.get(flux)
        known = np.empty(0) if values is None else values[np.isfinite(values)]
        counts["values"] = int(known.size)
        old = known[:0] if values is None else values[: made.kept]
        counts["kept"] = int(np.isfinite(old).sum())
        if known.size:
            stats[flux] = _stats(known)
    counts |= count_flags(fluxes.daily["quality"])
    return RunEntry(
        item=item.id,
        run=job.digest,
        status="done",
        digests=digests,
        counts=counts,
        stats=stats,
        totals=made.totals,
        seconds=seconds,
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        worker=f"{socket.gethostname()} {os.getpid()} {device}",
        release=job.release,
        cube=job.cube,
        version=__version__,
        finished=now(),
        identity=made.identity,
        surface=made.source.surface,
        embeddings=made.source.embeddings,
        strides=made.source.strides,
        days=days,
        settled=made.settled,
        kept=made.kept,
        running=running,
        revision=job.revision,
        change=made.change,
    )


def _stats(known: Any) -> dict[str, float]:
    return {
        "min": float(known.min()),
        "mean": float(known.mean(dtype=np.float64)),
        "max": float(known.max()),
    }


def totals_of(
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
