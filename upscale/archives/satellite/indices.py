"""Vegetation indices from MODIS bands: a table of formulas.

Bands are reflectances as fractions: 1 red, 2 near infrared, 3 blue, 6 shortwave infrared
(1628-1652 nm), 7 shortwave infrared (2105-2155 nm).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Index:
    """One formula: the MODIS bands that it takes, in order, and its reference."""

    bands: tuple[int, ...]
    formula: Callable[..., Floats]
    source: str


def _ndvi(red: Floats, nir: Floats) -> Floats:
    return (nir - red) / (nir + red)


def _evi(red: Floats, nir: Floats, blue: Floats) -> Floats:
    return np.asarray(2.5 * (nir - red) / (nir + 6.0 * red - 7.5 * blue + 1.0))


def _nirv(red: Floats, nir: Floats) -> Floats:
    return _ndvi(red, nir) * nir


def _water(nir: Floats, shortwave: Floats) -> Floats:
    return (nir - shortwave) / (nir + shortwave)


INDICES = {
    "ndvi": Index((1, 2), _ndvi, "Tucker 1979, doi:10.1016/0034-4257(79)90013-0"),
    "evi": Index((1, 2, 3), _evi, "Huete et al. 2002, doi:10.1016/S0034-4257(02)00096-2"),
    "nirv": Index((1, 2), _nirv, "Badgley et al. 2017, doi:10.1126/sciadv.1602244"),
    "ndwi": Index((2, 7), _water, "Gao 1996, doi:10.1016/S0034-4257(96)00067-3, with band 7"),
    "lswi": Index((2, 6), _water, "Xiao et al. 2004, doi:10.1016/j.rse.2003.11.008"),
}


def index(name: str, bands: Mapping[int, Floats]) -> Floats:
    """An index of `INDICES`, dimensionless, in the shape of the bands.

    bands: reflectance as a fraction by band number, NaN where missing. The index is NaN where a
    band is NaN or a denominator is zero. KeyError names the known indices or the missing band.
    """
    if name not in INDICES:
        raise KeyError(f"unknown index {name!r}; known: {', '.join(INDICES)}")
    row = INDICES[name]
    missing = [band for band in row.bands if band not in bands]
    if missing:
        raise KeyError(f"{name} takes bands {row.bands}, and {missing} are missing: read them too")
    with np.errstate(divide="ignore", invalid="ignore"):
        value = row.formula(*(bands[band] for band in row.bands))
    return np.where(np.isfinite(value), value, np.float32(np.nan)).astype(np.float32)
