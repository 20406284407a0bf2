"""One row per VIIRS product: its default QA, and attributes that its files lack.

Names are without platform (VNP Suomi NPP, VJ1 NOAA-20, VJ2 NOAA-21). The quality bits are not those
of the MODIS product of the same number. Sources: VNP09 and VNP13 user guides, file specifications
of VNP13A1, VNP15A2H and VNP43; none was tested on a real granule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upscale.archives.formats.bits import CODE, VI_QC, Field, accepted
from upscale.archives.satellite.products import Product, QualityTest, Rule

#: Quality flags of VNP09GA (VNP09 User Guide, collection 2).
QF1: Mapping[str, Field] = {
    "mask_quality": (0, 1), "cloud": (2, 3), "night": (4, 4), "low_sun": (5, 5), "glint": (6, 7),
}  # fmt: skip
QF2: Mapping[str, Field] = {
    "land_water": (0, 2), "shadow": (3, 3), "heavy_aerosol": (4, 4), "snow": (5, 5),
    "cirrus_reflective": (6, 6), "cirrus_emissive": (7, 7),
}  # fmt: skip
QF7: Mapping[str, Field] = {
    "snow": (0, 0), "adjacent": (1, 1), "aerosol": (2, 3), "thin_cirrus": (4, 4),
}  # fmt: skip

#: `FparLai_QC` of VNP15A2H: the path of the algorithm comes first, and no cloud is in it.
FPAR_PATH: Mapping[str, Field] = {"scf": (0, 2), "dead_detector": (3, 3), "biome": (4, 7)}

#: `FparExtra_QC` of VNP15A2H.
FPAR_SKY: Mapping[str, Field] = {
    "cloud": (0, 1), "shadow": (2, 2), "cirrus": (3, 3), "aerosol": (4, 5), "snow": (6, 6),
}  # fmt: skip

#: Clear daytime sky over land, coast or inland water; no shadow, cirrus or heavy aerosol.
_CLEAR: Rule = (
    QualityTest("SurfReflect_QF1_1", accepted(QF1, cloud=(0, 1), night=(0,))),
    QualityTest("SurfReflect_QF2_1", accepted(
        QF2, land_water=(0, 1, 2, 5), shadow=(0,), heavy_aerosol=(0,), cirrus_reflective=(0,),
        cirrus_emissive=(0,),
    )),
    QualityTest("SurfReflect_QF7_1", accepted(QF7, adjacent=(0,), aerosol=(0, 1, 2))),
)  # fmt: skip

_IMAGERY = ("I1", "I2", "I3")
_MODERATE = ("M1", "M2", "M3", "M4", "M5", "M7", "M8", "M10", "M11")

#: What layers of composites begin with.
PREFIXES = (
    "500 m 16 days ", "1 km 16 days ", "1 km monthly ", "CMG 0.05 Deg 16 days ",
    "CMG 0.05 Deg monthly ",
)  # fmt: skip


def _vegetation_index() -> dict[str, tuple[Rule, ...]]:
    """VNP13: of 12 ranks of reliability those from excellent to marginal; without it, VI quality.

    Ranks 1 and 2 of VIIRS are good and acceptable, where those of MODIS are marginal and snow.
    """
    layers = ("NDVI", "EVI", "EVI2", *(f"{c} reflectance" for c in (
        "red", "NIR", "blue", "green", "SWIR1", "SWIR2", "SWIR3")))  # fmt: skip
    reliable, quality = accepted(CODE, code=(0, 1, 2, 3)), accepted(VI_QC, modland=(0, 1))
    return {
        prefix + layer: (
            (QualityTest(f"{prefix}pixel reliability", reliable),),
            (QualityTest(f"{prefix}VI Quality", quality),),
        )
        for prefix in PREFIXES
        for layer in layers
    }


def _fapar() -> dict[str, tuple[Rule, ...]]:
    """VNP15A2H: main algorithm, no dead detector; no cloud and no shadow where a file says it."""
    path = QualityTest("FparLai_QC", accepted(FPAR_PATH, scf=(0, 1), dead_detector=(0,)))
    sky = QualityTest("FparExtra_QC", accepted(FPAR_SKY, cloud=(0, 1), shadow=(0,)))
    return dict.fromkeys(("Fpar", "Lai", "FparStdDev", "LaiStdDev"), ((path, sky), (path,)))


def _full_inversion() -> dict[str, tuple[Rule, ...]]:
    """VNP43: full inversions of the band."""
    good = accepted(CODE, code=(0,))
    return {
        f"{name}_{band}": (
            (QualityTest(f"BRDF_Albedo_Band_Mandatory_Quality_{band}", good),),
        )
        for band in (*_IMAGERY, *_MODERATE, "vis", "nir", "shortwave")
        for name in ("Nadir_Reflectance", "Albedo_BSA", "Albedo_WSA")
    }  # fmt: skip


_REFLECTANCE: Mapping[str, Any] = {
    "_FillValue": -28672, "valid_range": (-100, 16000), "scale_factor": 1e-4,
}  # fmt: skip
_INDEX: Mapping[str, Any] = {
    "_FillValue": -15000, "valid_range": (-10000, 10000), "scale_factor": 1e-4,
}  # fmt: skip
_NBAR: Mapping[str, Any] = {
    "_FillValue": 32767, "valid_range": (0, 32766), "scale_factor": 1e-4,
}  # fmt: skip
_BANDS = dict.fromkeys((f"SurfReflect_{band}_1" for band in _IMAGERY + _MODERATE), (_CLEAR,))

_INVERSION = Product(
    _full_inversion(), ((r"(Nadir_Reflectance|Albedo_[BW]SA)_\w+", _NBAR),), adds=True
)
_COMPOSITE = Product(
    _vegetation_index(),
    (
        (r".* (NDVI|EVI2?)", _INDEX),
        (r".* reflectance", {"valid_range": (0, 10000), "scale_factor": 1e-4}),
    ),
    adds=True,
)

#: The table. Other products are read with the attributes of their file and without QA.
VIIRS_PRODUCTS: Mapping[str, Product] = {
    "09GA": Product(_BANDS, ((r"SurfReflect_[IM]\d+_1", _REFLECTANCE),), adds=True),
    **dict.fromkeys(("13A1", "13A2", "13A3", "13C1", "13C2"), _COMPOSITE),
    "15A2H": Product(
        _fapar(),
        (
            (r"Fpar(StdDev)?", {"_FillValue": 255, "valid_range": (0, 100), "scale_factor": 0.01}),
            (r"Lai(StdDev)?", {"_FillValue": 255, "valid_range": (0, 100), "scale_factor": 0.1}),
        ),
        adds=True,
    ),
    **dict.fromkeys(("43IA3", "43IA4", "43MA3", "43MA4"), _INVERSION),
}


def viirs_row(name: str) -> Product:
    """The row of a product such as `VNP13A1`; for an unknown product, a row without QA."""
    return VIIRS_PRODUCTS.get(name[3:], Product(adds=True))
