"""The columns that a model sees: a tower's own drivers, and what latitude and day give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from upscale.drivers.tiles import DERIVED
from upscale.towers.table import DRIVERS, Tower
from upscale.variables import IGBP, KOPPEN

Floats = NDArray[np.float32]

#: Every feature that can be had at a tower.
FEATURES = (*DRIVERS, *DERIVED)


def features_of(tower: Tower, names: Sequence[str]) -> Floats:
    """Features `(day, feature)` float32 in the order of `names`, units of the table.

    Raises KeyError for a name that is not in `FEATURES`.
    """
    columns: Floats = np.stack([_feature(tower, name) for name in names], axis=1)
    return columns


def classes_of(tower: Tower) -> NDArray[np.int64]:
    """Class codes `(2,)`: IGBP, Koeppen-Geiger; 0 = unknown."""
    return np.array([tower.igbp, tower.koppen], np.int64)


def class_columns(tower: Tower) -> Floats:
    """One-hots `(class,)` of IGBP and Koeppen-Geiger, each with unknown first."""
    columns = np.zeros(len(IGBP) + len(KOPPEN) + 2, np.float32)
    columns[[tower.igbp, len(IGBP) + 1 + tower.koppen]] = 1
    return columns


def _feature(tower: Tower, name: str) -> Floats:
    if name in DRIVERS:
        return tower.driver(name)
    if name not in DERIVED:
        raise KeyError(f"unknown feature {name!r}; known: {', '.join(FEATURES)}")
    lat = np.array([tower.lat], np.float32)
    return np.asarray(DERIVED[name](lat, tower.days)[0], np.float32)
