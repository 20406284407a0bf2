"""Driver cubes that grow and change as an ingest makes them, from a whole one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from upscale.calendar import day_number
from upscale.drivers.cube import SeriesGroup, open_cube
from upscale.drivers.growing import grow_series
from upscale.drivers.writer import (
    SeriesSpec,
    create_cube,
    put_land,
    seal,
    unseal,
    write_static,
)

#: Days of a stored chunk, as an ingest stores them.
CHUNK_DAYS = 30


def grow_cube(target: Path, source: Path, end: dt.date, *, edge: int = 5) -> Path:
    """Create a driver cube with the days of `source` up to `end`, or let it grow to that day.

    edge: of a stored chunk in cells. Series are taken as they are stored; a chunk that is there is
    written again only where it gains days.
    """
    whole = open_cube(str(source))
    if target.exists():
        unseal(str(target))
    else:
        create_cube(str(target), title="t", source="s", day_definition="utc", tile=edge)
        names = ("igbp", "koppen", "sftlf", "elevation")
        layers: dict[str, Any] = {name: np.asarray(whole.static[name][...]) for name in names}
        write_static(str(target), whole.grid, **layers)
    for group in whole.series.values():
        _grow_group(target, group, day_number(end) - group.first + 1, edge)
    seal(str(target))
    return target


def _grow_group(target: Path, group: SeriesGroup, count: int, edge: int) -> None:
    """Give a group `count` days of the one that it is taken from."""
    name: Any = group.name
    edges = (edge, edge) if name == "satellite" else (50, 50)
    spec = SeriesSpec(
        name, group.grid, group.first, count, group.variables,
        chunk=(CHUNK_DAYS, *edges), growing=True,
    )  # fmt: skip
    root: Any = zarr.open_group(str(target), mode="r+")
    held = root[name]["time"].shape[0] if name in root else 0
    grow_series(str(target), spec)
    arrays: Any = zarr.open_group(str(target), mode="r+", path=name)
    if group.land is not None and not held:
        put_land(arrays, group.land)
    days = slice(held // CHUNK_DAYS * CHUNK_DAYS, count)
    for key in sorted(set(group.arrays) & set(arrays)):
        if arrays[key].ndim == 3:
            arrays[key][days] = np.asarray(group.arrays[key][days])


def mend(cube: Path, name: str, change: Callable[[NDArray[Any]], None], region: Any = ...) -> None:
    """Change stored values of an array of a driver cube, such as `meteo/ta`, and seal it again.

    region: what is read, changed and written, by default all.
    """
    unseal(str(cube))
    group: Any = zarr.open_group(str(cube), mode="r+")
    values = np.asarray(group[name][region])
    change(values)
    group[name][region] = values
    seal(str(cube))
