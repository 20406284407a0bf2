"""A flux cube that grows: more days of the same grid, tiles and blocks.

The length of a block does not depend on the last day, so that new days are new shards, or the
empty rest of one that is there. Nothing that is stored moves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale.product.cube import extent_attributes, layout_dict, open_flux_group, plain
from upscale.product.layout import FluxLayout

#: Attributes of a store while a revision is made of it.
IN_THE_MAKING = (
    "revision_in_the_making", "revision_days", "revision_tiles", "revision_why",
)  # fmt: skip


def grow_flux_cube(url: str, layout: FluxLayout) -> None:
    """Give the arrays and axes of a flux cube the days of `layout`, which has more of them.

    The attribute `layout` is written last. It is safe to interrupt and to call again.
    """
    root = open_flux_group(url, "r+")
    axes = _axes(layout)
    lengths = {name: len(values) for name, values in axes.items() if not name.endswith("_bnds")}
    for name, array in sorted(root.arrays()):
        dims = array.metadata.dimension_names or ()
        shape = tuple(lengths.get(dim, n) for dim, n in zip(dims, array.shape, strict=True))
        if shape != array.shape:
            array.resize(shape)
        if name in axes:
            root[name][...] = axes[name]
    content = extent_attributes(layout) | {"layout": layout_dict(layout)}
    root.attrs.update({name: plain(value) for name, value in content.items()})


def _axes(layout: FluxLayout) -> dict[str, NDArray[Any]]:
    """The axes that grow with the days, and their bounds, by name."""
    days = (layout.first + np.arange(layout.count)).astype(np.int32)
    stretches = {
        "time": np.stack([days, days + 1], 1),
        "segment": layout.segment_bounds,
        "step": layout.step_bounds,
    }
    starts = {name: bounds[:, 0] for name, bounds in stretches.items()}
    return starts | {f"{name}_bnds": bounds for name, bounds in stretches.items()}
