"""The features of a model at a tower: its drivers, satellite series, latitude and day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from upscale.drivers.composites import DAYS, composite
from upscale.drivers.tiles import DERIVED
from upscale.towers.table import DRIVERS, Tower
from upscale.variables import IGBP, KOPPEN, of_kind

Floats = NDArray[np.float32]

#: Vegetation series, which are composites of 4 to 16 days at towers.
VEGETATION = ("ndvi", "evi", "nirv", "fapar")

#: Length in days of the composites that a model reads, by name; other features are daily.
COMPOSITES: Mapping[str, int] = MappingProxyType(dict.fromkeys(VEGETATION, DAYS))

#: Every feature that is available at towers.
FEATURES = (*DRIVERS, *DERIVED, *of_kind("satellite"))

_MET = (*DRIVERS, "sw_pot", "day_length")

#: What MOD09GA measures: bands, angles, clouds.
_MOD09GA = tuple(
    name
    for name in of_kind("satellite")
    if name.startswith(("sur_refl_", "sensor_", "solar_")) or name == "clouds"
)

#: Sets of features by name: weather alone, with MOD09GA, with vegetation series.
FEATURE_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "met": _MET,
        "met+modis": (*_MET, *_MOD09GA),
        "met+vi": (*_MET, *VEGETATION),
    }
)

#: Dynamic features without which no day can be predicted.
REQUIRED = ("ta", "sw_in", *DERIVED)


def features_of(
    tower: Tower, names: Sequence[str], composites: Mapping[str, int] = COMPOSITES
) -> Floats:
    """Features `(day, feature)` float32 in the order of `names`, units of the table.

    A satellite series that the tower lacks is NaN throughout; those in `composites` are maxima
    over that many days. Raises KeyError for a name that is not in `FEATURES`.
    """
    columns: Floats = np.stack([_feature(tower, name, composites) for name in names], axis=1)
    return columns


def classes_of(tower: Tower) -> NDArray[np.int64]:
    """Class codes `(2,)`: IGBP, Koeppen-Geiger; 0 = unknown."""
    return np.array([tower.igbp, tower.koppen], np.int64)


def class_columns(tower: Tower) -> Floats:
    """One-hot encoding `(class,)` of IGBP and Koeppen-Geiger; unknown is the first of each."""
    columns = np.zeros(len(IGBP) + len(KOPPEN) + 2, np.float32)
    columns[[tower.igbp, len(IGBP) + 1 + tower.koppen]] = 1
    return columns


def _feature(tower: Tower, name: str, composites: Mapping[str, int]) -> Floats:
    if name in DRIVERS:
        return tower.driver(name)
    if name in of_kind("satellite"):
        return _series(tower, name, composites.get(name, 0))
    if name not in DERIVED:
        raise KeyError(f"unknown feature {name!r}; known: {', '.join(FEATURES)}")
    lat, lon = np.array([[tower.lat], [tower.lon]], np.float32)
    return np.asarray(DERIVED[name](lat, tower.days, lon)[0], np.float32)


def _series(tower: Tower, name: str, length: int) -> Floats:
    series = tower.satellite.get(name)
    if series is None:
        return np.full(len(tower.days), np.nan, np.float32)
    return composite(series, tower.days, length) if length else series
