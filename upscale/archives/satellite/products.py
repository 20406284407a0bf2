"""One row per MODIS product: its default QA, and attributes that its files lack.

Fill, valid range, scale and units come from the file; the table gives only those that a file
lacks. Product names are without platform (MOD Terra, MYD Aqua, MCD both).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from upscale.archives.formats.bits import (
    BAND_QC,
    BURN_QA,
    CODE,
    FPAR_QC,
    LST_QC,
    STATE,
    VI_QC,
    Accepted,
    accepted,
)


@dataclass(frozen=True)
class QualityTest:
    """Conditions on the bits of one QA layer."""

    layer: str
    conditions: tuple[Accepted, ...]


#: A value is usable if it passes all of these tests.
Rule = tuple[QualityTest, ...]


@dataclass(frozen=True)
class Product:
    """QA rules and documented attributes of one product.

    `rules`: for each layer, alternatives in order; the first whose QA layers all exist applies.
    `documented`: attributes by pattern of layer names, used where a file lacks them.
    `adds`: the offset is added after scaling (MOD11), not subtracted before scaling (HDF4).
    """

    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    documented: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    adds: bool = False

    def attributes(self, layer: str) -> Mapping[str, Any]:
        """Documented attributes of a layer; empty for a layer that is not in the table."""
        for pattern, attributes in self.documented:
            if re.fullmatch(pattern, layer):
                return attributes
        return {}


#: Clear sky over land, coast or inland water, at most thin cirrus, aerosol not high.
_CLEAR = accepted(
    STATE, cloud=(0,), shadow=(0,), land_water=(1, 2, 3, 4, 5), aerosol=(0, 1, 2), cirrus=(0, 1),
    internal_cloud=(0,), adjacent=(0,),
)  # fmt: skip


def _bands(name: str, state: str, qc: str | None) -> dict[str, tuple[Rule, ...]]:
    """Surface reflectance: clear sky, band of highest quality (climatology allowed)."""
    rules: dict[str, tuple[Rule, ...]] = {}
    for band in range(1, 8):
        checks = [QualityTest(state, _CLEAR)]
        if qc is not None:
            good = {"modland": (0, 1), f"band_{band}": (0, 12)}
            checks.append(QualityTest(qc, accepted(BAND_QC, **good)))
        rules[name.format(band)] = (tuple(checks),)
    return rules


def _lst(size: str) -> dict[str, tuple[Rule, ...]]:
    """Land surface temperature: produced, with an error of at most 2 K."""
    good = accepted(LST_QC, mandatory=(0, 1), lst_error=(0, 1))
    return {
        f"LST_{time}_{size}": ((QualityTest(f"QC_{time}", good),),) for time in ("Day", "Night")
    }


def _full_inversion() -> Iterator[tuple[str, tuple[Rule, ...]]]:
    """MCD43A3 and MCD43A4: full inversions of the band."""
    good = accepted(CODE, code=(0,))
    for band in (*(f"Band{n}" for n in range(1, 8)), "vis", "nir", "shortwave"):
        check = QualityTest(f"BRDF_Albedo_Band_Mandatory_Quality_{band}", good)
        for name in ("Nadir_Reflectance", "Albedo_BSA", "Albedo_WSA"):
            yield f"{name}_{band}", ((check,),)


def _cmg_inversion() -> dict[str, tuple[Rule, ...]]:
    """MCD43C4: at most a quarter filled (quality 0 to 3), no snow; the QA layer has two names."""
    snowless = QualityTest("Percent_Snow", accepted(CODE, code=(0,)))
    good = accepted(CODE, code=(0, 1, 2, 3))
    rules = tuple(
        (QualityTest(name, good), snowless) for name in ("Albedo_Quality", "BRDF_Quality")
    )
    return {f"Nadir_Reflectance_Band{band}": rules for band in range(1, 8)}


def _vegetation_index() -> dict[str, tuple[Rule, ...]]:
    """MOD13: pixel reliability good or marginal; without it, VI quality instead."""
    prefixes = (
        "1 km 16 days ", "500m 16 days ", "250m 16 days ", "1 km monthly ",
        "CMG 0.05 Deg 16 days ", "CMG 0.05 Deg Monthly ",
    )  # fmt: skip
    layers = ("NDVI", "EVI", *(f"{c} reflectance" for c in ("red", "NIR", "blue", "MIR")))
    reliable, quality = accepted(CODE, code=(0, 1)), accepted(VI_QC, modland=(0, 1))
    return {
        prefix + layer: (
            (QualityTest(f"{prefix}pixel reliability", reliable),),
            (QualityTest(f"{prefix}VI Quality", quality),),
        )
        for prefix in prefixes
        for layer in layers
    }


def _fapar() -> dict[str, tuple[Rule, ...]]:
    """MCD15A2H: main algorithm, no dead detector, no significant or mixed cloud."""
    good = accepted(FPAR_QC, modland=(0,), dead_detector=(0,), cloud=(0, 3), scf=(0, 1))
    layers = ("Fpar_500m", "Lai_500m", "FparStdDev_500m", "LaiStdDev_500m")
    return {layer: ((QualityTest("FparLai_QC", good),),) for layer in layers}


def _burned() -> dict[str, tuple[Rule, ...]]:
    """MCD64A1: land of which the month was seen well enough."""
    return {"Burn Date": ((QualityTest("QA", accepted(BURN_QA, land=(1,), valid=(1,))),),)}


_REFLECTANCE = {"_FillValue": -28672, "valid_range": (-100, 16000), "scale_factor": 1e-4,
                "units": "reflectance"}  # fmt: skip
_CODES = {"_FillValue": 255, "valid_range": (0, 254)}

#: MOD09CMG, from the MOD09 User Guide (table 7); its layer names contain spaces.
_CMG = "Coarse Resolution "
_CMG_DOCUMENTED: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (_CMG + r"Surface Reflectance Band \d", _REFLECTANCE),
    (_CMG + "Band 3 Path Radiance", _REFLECTANCE),
    (_CMG + "(Solar|View) Zenith Angle",
     {"_FillValue": 0, "valid_range": (0, 18000), "scale_factor": 0.01, "units": "degree"}),
    (_CMG + "Relative Azimuth Angle",
     {"_FillValue": 0, "valid_range": (-18000, 18000), "scale_factor": 0.01, "units": "degree"}),
    (_CMG + "Ozone", {"_FillValue": 0, "scale_factor": 0.0025}),
    (_CMG + r"Brightness Temperature Band \d+",
     {"_FillValue": 0, "valid_range": (0, 40000), "scale_factor": 0.01, "units": "K"}),
    (_CMG + "(Granule Time|QA|Internal CM|State QA)", {"_FillValue": 0}),
)  # fmt: skip

_NBAR_DOCUMENTED: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (r"Nadir_Reflectance_Band\d", {"_FillValue": 32767, "valid_range": (0, 32766),
                                   "scale_factor": 1e-4, "units": "reflectance"}),
    (r"BRDF_Albedo_Uncertainty", {"_FillValue": 32767, "scale_factor": 1e-3}),
    (r"(Albedo|BRDF)_Quality|Local_Solar_Noon|Percent_\w+|BRDF_Albedo_Band_\w+", _CODES),
)  # fmt: skip

_LST_DOCUMENTED: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (r"LST_(Day|Night)_\w+", {"_FillValue": 0, "valid_range": (7500, 65535),
                              "scale_factor": 0.02, "units": "K"}),
    (r"Emis_\d+", {"_FillValue": 0, "valid_range": (1, 255), "scale_factor": 0.002,
                   "add_offset": 0.49}),
    (r"(Day|Night)_view_angle?",
     {"_FillValue": 255, "scale_factor": 1.0, "add_offset": -65.0, "units": "deg"}),
)  # fmt: skip

_FAPAR_DOCUMENTED: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (r"Fpar(StdDev)?_500m", {"valid_range": (0, 100), "scale_factor": 0.01}),
    (r"Lai(StdDev)?_500m", {"valid_range": (0, 100), "scale_factor": 0.1}),
)
_GA_DOCUMENTED: tuple[tuple[str, Mapping[str, Any]], ...] = ((r"sur_refl_b0\d(_1)?", _REFLECTANCE),)

#: The table. Other products are read with the attributes of their file and without QA.
PRODUCTS: Mapping[str, Product] = {
    "09GA": Product(_bands("sur_refl_b{:02d}_1", "state_1km_1", "QC_500m_1"), _GA_DOCUMENTED),
    "09A1": Product(
        _bands("sur_refl_b{:02d}", "sur_refl_state_500m", "sur_refl_qc_500m"), _GA_DOCUMENTED
    ),
    "09Q1": Product(_bands("sur_refl_b{:02d}", "sur_refl_state_250m", None), _GA_DOCUMENTED),
    "09CMG": Product(
        _bands(_CMG + "Surface Reflectance Band {}", _CMG + "State QA", _CMG + "QA"),
        _CMG_DOCUMENTED,
    ),
    "43A3": Product(dict(_full_inversion()), _NBAR_DOCUMENTED),
    "43A4": Product(dict(_full_inversion()), _NBAR_DOCUMENTED),
    "43C4": Product(_cmg_inversion(), _NBAR_DOCUMENTED),
    **dict.fromkeys(("11A1", "11A2"), Product(_lst("1km"), _LST_DOCUMENTED, adds=True)),
    **dict.fromkeys(("11B1", "11B2", "11B3"), Product(_lst("6km"), _LST_DOCUMENTED, adds=True)),
    **dict.fromkeys(("11C1", "11C2", "11C3"), Product(_lst("CMG"), _LST_DOCUMENTED, adds=True)),
    **dict.fromkeys(("15A2H", "15A3H"), Product(_fapar(), _FAPAR_DOCUMENTED)),
    **dict.fromkeys(("13A1", "13A2", "13A3", "13Q1", "13C1", "13C2"),
                    Product(_vegetation_index())),
    "64A1": Product(_burned(), ((r"Burn Date", {"_FillValue": -1, "valid_range": (0, 366)}),)),
    "12Q1": Product(documented=((r"LC_\w+|Land_Cover_\w+", {"_FillValue": 255}),)),
    "12C1": Product(documented=((r"Majority_Land_Cover_\w+", {"_FillValue": 255}),)),
}  # fmt: skip


def product_row(name: str) -> Product:
    """The row of a product such as `MYD09GA`; an empty row for an unknown product."""
    return PRODUCTS.get(name[3:], Product())
