"""Which layers of a product give which drivers, and how.

One row per product, without platform (`09GA` for MOD09GA and MYD09GA). An index is computed from
the mean reflectances of a cell, as a sensor with pixels of that size would see it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from upscale.archives.satellite.indices import INDICES
from upscale.archives.satellite.published import Published
from upscale.calendar import day_number, next_month
from upscale.remote.errors import ArchiveError

Floats = NDArray[np.floating[Any]]

#: Period that a granule represents: a number of days, or a calendar month.
Span = int | Literal["month"]


def _alone(mean: Floats) -> Floats:
    return mean


def _product(index: Floats, nir: Floats) -> Floats:
    return np.asarray(index * nir)


@dataclass(frozen=True)
class Recipe:
    """A variable of a cell from the means of `layers` over the cell's good pixels.

    circular: the only layer is an angle in degrees; its mean direction is taken.
    """

    layers: tuple[str, ...]
    join: Callable[..., Floats] = _alone
    circular: bool = False


@dataclass(frozen=True)
class ProductVariables:
    """The variables of a product with their recipes, and the period that a granule represents.

    usual: the variables that are taken by default. step: days from one granule to the next, where
    they are fewer than a granule represents; of days that two of them represent, the first that has
    a value counts.
    """

    recipes: Mapping[str, Recipe]
    span: Span = 1
    usual: tuple[str, ...] = ()
    step: int | None = None


def _reflectances(bands: Mapping[int, str]) -> dict[str, Recipe]:
    """Reflectances by MODIS band and the indices that can be computed from them."""
    made = {f"sur_refl_b{number:02d}": Recipe((name,)) for number, name in bands.items()}
    for name, row in INDICES.items():
        if all(band in bands for band in row.bands):
            made[name] = Recipe(tuple(bands[band] for band in row.bands), row.formula)
    return made


def _seven(pattern: str) -> dict[int, str]:
    return {number: pattern.format(number) for number in range(1, 8)}


_ANGLES = {
    "sensor_zenith": Recipe(("SensorZenith_1",)),
    "sensor_azimuth": Recipe(("SensorAzimuth_1",), circular=True),
    "solar_zenith": Recipe(("SolarZenith_1",)),
    "solar_azimuth": Recipe(("SolarAzimuth_1",), circular=True),
    "clouds": Recipe(("clouds",)),
}

#: Indices that are taken by default.
_GREEN = ("ndvi", "evi", "nirv")


def _vegetation(prefix: str, span: Span, step: int | None = None) -> ProductVariables:
    """MOD13 and VNP13: their own NDVI and EVI; NIRv is NDVI x NIR of the means."""
    ndvi, nir = f"{prefix} NDVI", f"{prefix} NIR reflectance"
    recipes = {
        "ndvi": Recipe((ndvi,)),
        "evi": Recipe((f"{prefix} EVI",)),
        "nirv": Recipe((ndvi, nir), _product),
    }
    return ProductVariables(recipes, span, _GREEN, step)


def _temperature(grid: str, span: Span) -> ProductVariables:
    recipes = {f"lst_{half.lower()}": Recipe((f"LST_{half}_{grid}",)) for half in ("Day", "Night")}
    return ProductVariables(recipes, span, tuple(recipes))


_FAPAR = {"fapar": Recipe(("Fpar_500m",))}
_NBAR = ProductVariables(_reflectances(_seven("Nadir_Reflectance_Band{}")), 1, _GREEN)

#: VIIRS bands by the MODIS band that they continue: 500 m, and those of 1 km that indices take.
_IMAGERY = {1: "I1", 2: "I2", 6: "I3"}
_MODERATE = {1: "M5", 2: "M7", 3: "M3", 7: "M11"}


def _viirs(pattern: str, *sizes: Mapping[int, str]) -> ProductVariables:
    """Later sizes go first; indices with blue or 2.2 um use only 1 km bands."""
    recipes: dict[str, Recipe] = {}
    for bands in sizes:
        recipes |= _reflectances({key: pattern.format(band) for key, band in bands.items()})
    return ProductVariables(recipes, 1, tuple(name for name in _GREEN if name in recipes))


_NADIR = "Nadir_Reflectance_{}"

#: By product without its platform; VIIRS by `09GA_VIIRS`.
OFFERS: Mapping[str, ProductVariables] = {
    "09GA": ProductVariables(_reflectances(_seven("sur_refl_b{:02d}_1")) | _ANGLES, 1, _GREEN),
    "09A1": ProductVariables(_reflectances(_seven("sur_refl_b{:02d}")), 8, _GREEN),
    "09Q1": ProductVariables(
        _reflectances({1: "sur_refl_b01", 2: "sur_refl_b02"}), 8, ("ndvi", "nirv")
    ),
    "09CMG": ProductVariables(
        _reflectances(_seven("Coarse Resolution Surface Reflectance Band {}")), 1, _GREEN
    ),
    "09GA_VIIRS": _viirs("SurfReflect_{}_1", _MODERATE, _IMAGERY),
    "13A1_VIIRS": _vegetation("500 m 16 days", 16, 8),
    "13A2_VIIRS": _vegetation("1 km 16 days", 16, 8),
    "13C1_VIIRS": _vegetation("CMG 0.05 Deg 16 days", 16, 8),
    "13A3_VIIRS": _vegetation("1 km monthly", "month"),
    "13C2_VIIRS": _vegetation("CMG 0.05 Deg monthly", "month"),
    "15A2H_VIIRS": ProductVariables({"fapar": Recipe(("Fpar",))}, 8, ("fapar",)),
    "43IA4_VIIRS": _viirs(_NADIR, _IMAGERY),
    "43MA4_VIIRS": _viirs(_NADIR, _MODERATE),
    "43A4": _NBAR,
    "43C4": _NBAR,
    "11A1": _temperature("1km", 1),
    "11A2": _temperature("1km", 8),
    "11B1": _temperature("6km", 1),
    "11B2": _temperature("6km", 8),
    "11B3": _temperature("6km", "month"),
    "11C1": _temperature("CMG", 1),
    "11C2": _temperature("CMG", 8),
    "11C3": _temperature("CMG", "month"),
    "13A1": _vegetation("500m 16 days", 16),
    "13A2": _vegetation("1 km 16 days", 16),
    "13Q1": _vegetation("250m 16 days", 16),
    "13A3": _vegetation("1 km monthly", "month"),
    "13C1": _vegetation("CMG 0.05 Deg 16 days", 16),
    "13C2": _vegetation("CMG 0.05 Deg Monthly", "month"),
    "15A2H": ProductVariables(_FAPAR, 8, ("fapar",)),
    "15A3H": ProductVariables(_FAPAR, 4, ("fapar",)),
}  # fmt: skip


def offer_of(product: str) -> ProductVariables:
    """The variables of a product such as `MYD09GA`; ArchiveError names the known products."""
    viirs = product.startswith(("VNP", "VJ1", "VJ2"))
    name = product[3:] + ("_VIIRS" if viirs else "")
    if name not in OFFERS:
        known = ", ".join(map(with_platform, OFFERS))
        raise ArchiveError(
            f"expected a product that gives drivers ({known}), found {product}; leave its files out"
        )
    return OFFERS[name]


def check_collection(named: Published) -> None:
    """ArchiveError for a granule of an older collection that is made for other days than today's.

    MCD43 of collection 5 stands for 16 days from its date and has its quality in MCD43A2; since
    collection 6 a granule stands for one day and has its own.
    """
    if named.product.startswith("MCD43") and named.of_collection_5:
        raise ArchiveError(
            f"expected {named.product} of collection 006 or 061, whose granules stand for one day, "
            f"found collection {named.collection}, which is for 16 days from its date and without "
            "quality; fetch the newer collection"
        )


def with_platform(key: str) -> str:
    """The usual name of a product, with its platform."""
    if key.endswith("_VIIRS"):
        return "VNP" + key.removesuffix("_VIIRS")
    return ("MCD" if key[:2] in ("15", "43") else "MOD") + key


def days_of(product: str, date: dt.date) -> range:
    """Day numbers that a granule of `date` represents.

    Composites start on 1 January, so the last of a year is short; those of MYD13 start on 9
    January, half a period after those of MOD13.
    """
    span = offer_of(product).span
    if span == "month":
        return range(day_number(date), day_number(next_month(date)))
    opens = 9 if product.startswith("MYD13") else 1
    first, following = day_number(date), day_number(dt.date(date.year + 1, 1, opens))
    return range(first, min(first + span, following))
