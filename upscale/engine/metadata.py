"""What a store holds besides the values of work items: attributes, the metadata of arrays, axes,
areas and static layers. Where any of it is not as its run writes it, it is written anew.

Metadata, axes and areas are those of an empty cube that is made for this beside; static layers come
from the drivers.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from upscale.checks.metadata import item_arrays
from upscale.checks.seal import MAY_CHANGE, UNREADABLE_VALUES, digest_of_array
from upscale.drivers.cube import DriverCube
from upscale.engine.plan import RunPlan, read_part
from upscale.engine.provenance import attributes_of
from upscale.engine.validate import Checked
from upscale.engine.work.uncertainty import uncertainty_of
from upscale.product.cube import create_flux_cube
from upscale.product.growth import IN_THE_MAKING
from upscale.product.reader import open_flux_cube
from upscale.product.shards import remove_values, update_layer
from upscale.stores.documents import read_documents, write_document

#: Static layers that come from the drivers.
DRIVEN = ("sftlf", "igbp", "koppen")
#: Root attributes that the making of a store adds to those of its run.
_MADE = frozenset(("initialised", "revision", *IN_THE_MAKING))


def write_static(cube: DriverCube, plan: RunPlan) -> set[str]:
    """Copy land share and classes of every band that holds a part of the domain; the layers that
    were others."""
    layout, changed = plan.job.layout, set[str]()
    edge, cols = layout.layer_chunk, slice(0, layout.grid.cols)
    for band in sorted({tile.tile.row * layout.tile // edge for tile in plan.tiles}):
        rows = slice(band * edge, min((band + 1) * edge, layout.grid.rows))
        surface = read_part(cube, layout.grid, rows, cols)
        for name in DRIVEN:
            if update_layer(plan.job.store, name, rows, cols, getattr(surface, name)):
                changed.add(name)
    return changed


def mend_metadata(checked: Checked) -> tuple[str, ...]:
    """Write attributes, metadata, axes and layers anew where they differ; names of the arrays."""
    job = checked.plan.job
    with tempfile.TemporaryDirectory() as folder:
        empty = str(Path(folder) / "empty.zarr")
        attributes = attributes_of(checked.run, job, checked.release, checked.cube)
        create_flux_cube(empty, job.layout, attributes, uncertainty=uncertainty_of(checked.release))
        _mend_attributes(empty, job.store)
        changed = _mend_documents(empty, job.store)
        changed += _mend_axes(empty, job.store)
    group = open_flux_cube(job.store).group
    lost = [name for name in DRIVEN if digest_of_array(group, name) == UNREADABLE_VALUES]
    for name in lost:
        remove_values(job.store, name)
    return tuple(sorted({*changed, *lost, *write_static(checked.cube, checked.plan)}))


def _mend_attributes(empty: str, store: str) -> None:
    """The root attributes of the run; when the store was made stays as it is."""
    wanted = dict(zarr.open_group(empty, mode="r").attrs)
    attributes = zarr.open_group(store, mode="r+", use_consolidated=False).attrs
    found = dict(attributes)
    kept = {key: value for key, value in found.items() if key in MAY_CHANGE | _MADE}
    if found != wanted | kept:
        attributes.put(wanted | kept)


def _mend_documents(empty: str, store: str) -> list[str]:
    wanted, found = read_documents(empty), read_documents(store)
    changed = [name for name, document in wanted.items() if found.get(name) != document]
    for name in changed:
        write_document(store, name, wanted[name])
    return changed


def _mend_axes(empty: str, store: str) -> list[str]:
    """Axes, bounds and cell areas: what is the same in every cube of this layout."""
    cube, made = open_flux_cube(store), open_flux_cube(empty)
    names = [n for n in read_documents(empty) if n not in {*item_arrays(made), *DRIVEN}]
    root: Any = zarr.open_group(store, mode="r+", use_consolidated=False)
    changed = []
    for name in names:
        if digest_of_array(cube.group, name) != digest_of_array(made.group, name):
            remove_values(store, name)
            root[name][...] = np.asarray(made.array(name)[...])
            changed.append(name)
    return changed
