"""A ledger and a seal for a flux cube that was made without a run, as a run would leave them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from upscale.checks.metadata import item_arrays
from upscale.checks.piece import read_item
from upscale.engine.ledger import PLAN, RunEntry, RunLedger
from upscale.engine.run import finalise, seal_begun
from upscale.grid import Tile, tiles_of
from upscale.jobs.clock import now
from upscale.jobs.ledger import store_name
from upscale.product.cube import consolidate, open_flux_group
from upscale.product.layout import WorkItem
from upscale.product.reader import CellSlices, FluxCube, open_flux_cube
from upscale.product.shards import digest_of
from upscale.variables import FLUXES
from upscale.version import __version__


def enter_all(store: str) -> None:
    """Write the entries of all work items from what is stored, and finish the store anew.

    So does whoever spoils a store and knows its ledger: every digest agrees afterwards. The
    attribute `run_digest` names the run.
    """
    cube, ledger = open_flux_cube(store), RunLedger(store)
    items = [WorkItem(b, t) for b in range(cube.layout.blocks) for t in _tiles(cube)]
    run = str(cube.attributes["run_digest"])
    names = [item.id for item in items]
    entries = [entry_of(cube, item, run) for item in items]
    plan = {"run": run, "store": store_name(store), "items": names}
    land = sum(entry.counts["land"] for entry in entries if entry.item.endswith("-b000"))
    ledger.write_object(PLAN, plan | {"land": land})
    for entry in entries:
        ledger.write(entry)
    open_flux_group(store, "r+").attrs.update({"complete": False})
    seal_begun(store)
    finalise(store)
    consolidate(store)


def _tiles(cube: FluxCube) -> Iterator[Tile]:
    yield from tiles_of(cube.grid, cube.layout.tile)


def entry_of(cube: FluxCube, item: WorkItem, run: str) -> RunEntry:
    """The entry that a run would have written of an item, from what is stored."""
    found = {name: read_item(cube, item, name) for name in item_arrays(cube)}
    arrays = {name: values for name, values in found.items() if values is not None}
    _, rows, cols = cube.layout.region(item)
    area = cube.land_area(CellSlices(rows, cols))
    totals: dict[str, Any] = {
        flux: np.nansum(arrays[f"{flux}_member"] * area, axis=(2, 3), dtype=np.float64).T.tolist()
        for flux in FLUXES
        if f"{flux}_member" in arrays
    }
    return RunEntry(
        item=item.id, run=run, release=str(cube.attributes["model_digest"]),
        cube=str(cube.attributes["driver_digest"]), version=__version__, status="done",
        digests={name: digest_of(values) for name, values in arrays.items()},
        counts={"land": int(np.isfinite(arrays["gpp"]).any(axis=0).sum())},
        stats={}, totals=totals, seconds={}, memory=0, worker="none", finished=now(),
    )  # fmt: skip
