"""Tiles of a MODIS product, one GeoTIFF for each layer, written as a granule.

Stored numbers stay as they are, on their own sinusoidal grid: nothing is resampled, scaled or cut,
so that an ingest reads the same as from a granule of the archive.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from upscale.archives.formats.hdfeos import StoredGrid, write_modis
from upscale.archives.satellite.products import product_row
from upscale.archives.satellite.recipes import offer_of
from upscale.grid import EARTH_RADIUS
from upscale.remote.errors import ArchiveError

#: GDAL reads the file itself and looks for no other one.
_ALONE = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO",
          "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none", "GDAL_HTTP_MAX_RETRY": "0"}  # fmt: skip
_LARGEST = 4800  #: pixels along the edge of a tile
_KEYS = ("_FillValue", "valid_range", "scale_factor", "add_offset", "units", "long_name")

#: Names of the grid in granules, by product without platform.
_GRIDS = {
    "09A1": "MOD_Grid_500m_Surface_Reflectance", "09Q1": "MOD_Grid_250m_Surface_Reflectance",
    "11A1": "MODIS_Grid_Daily_1km_LST", "11A2": "MODIS_Grid_8Day_1km_LST",
    "13A1": "MODIS_Grid_16DAY_500m_VI", "13A2": "MODIS_Grid_16DAY_1km_VI",
    "13Q1": "MODIS_Grid_16DAY_250m_500m_VI", "15A2H": "MOD_Grid_MOD15A2H",
    "15A3H": "MOD_Grid_MCD15A3H", "43A4": "MOD_Grid_BRDF",
}  # fmt: skip

#: Types and attributes of layers of MOD13 granules, by the end of their names.
_VEGETATION: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    (r"(NDVI|EVI)", "int16", {"_FillValue": -3000, "valid_range": (-2000, 10000),
                              "scale_factor": 10000.0, "add_offset": 0.0, "units": "NDVI"}),
    (r"reflectance", "int16", {"_FillValue": -1000, "valid_range": (0, 10000),
                               "scale_factor": 10000.0, "add_offset": 0.0,
                               "units": "reflectance"}),
    (r"VI Quality", "uint16", {"_FillValue": 65535, "valid_range": (0, 65534)}),
    (r"pixel reliability", "int8", {"_FillValue": -1, "valid_range": (0, 3)}),
)  # fmt: skip


def layers_needed(product: str, variables: tuple[str, ...] | None) -> tuple[str, ...]:
    """Layers that variables (by default the usual ones) and their quality control need.

    ArchiveError where the product gives none of them.
    """
    offer, rules = offer_of(product), product_row(product).rules
    asked = [name for name in variables or offer.usual if name in offer.recipes]
    if not asked:
        raise ArchiveError(
            f"{product}: expected variables that it gives ({', '.join(offer.recipes)}), found "
            f"{', '.join(variables or ())}; name another product"
        )
    layers = [layer for name in asked for layer in offer.recipes[name].layers]
    checks = [check.layer for layer in layers for check in next(iter(rules.get(layer, ())), ())]
    return tuple(dict.fromkeys([*layers, *checks]))


def write_granule(path: Path, product: str, layers: Mapping[str, Path]) -> None:
    """Write local GeoTIFFs, by the name of their layer, as one granule.

    ArchiveError where a tile is no whole GeoTIFF on the sinusoidal grid of MODIS, or has no scale.
    """
    grids: dict[tuple[float, ...], dict[str, tuple[NDArray[Any], Mapping[str, Any]]]] = {}
    for name, tile in layers.items():
        corners, stored, attributes = read_tile(tile, product, name)
        grids.setdefault(corners, {})[name] = stored, attributes
    base = _GRIDS.get(product[3:], "MODIS_Grid")
    shapes = [next(iter(rows.values()))[0].shape for rows in grids.values()]
    stored_grids = [
        StoredGrid(base if len(grids) == 1 else f"{base}_{shape[0]}", corners[:4], rows)  # type: ignore[arg-type]
        for (corners, rows), shape in zip(grids.items(), shapes, strict=True)
    ]
    write_modis(path, *stored_grids)


def read_tile(
    path: Path, product: str, layer: str
) -> tuple[tuple[float, ...], NDArray[Any], dict[str, Any]]:
    """Corners (left, top, right, bottom, rows) in m, stored numbers (row, col) and attributes."""
    try:
        with rasterio.Env(**_ALONE), rasterio.open(path, driver="GTiff", sharing=False) as image:
            _check_grid(image, path)
            stored: NDArray[Any] = image.read(1)
            attributes = _attributes(image, product, layer, path)
            corners = (*image.bounds, image.height)
    except RasterioError as error:
        raise ArchiveError(
            f"{path.name}: expected a whole GeoTIFF, found a damaged one ({error}); fetch it again"
        ) from None
    left, bottom, right, top, rows = corners
    return (left, top, right, bottom, rows), _typed(stored, layer, path), attributes


def _check_grid(image: Any, path: Path) -> None:
    """Raise ArchiveError where an image is not a tile of MODIS, or has more than one band."""
    crs = image.crs.to_dict() if image.crs else {}
    radius = float(crs.get("R", crs.get("a", 0)))
    moved = any(abs(float(crs.get(key, 0))) > 1e-9 for key in ("lon_0", "x_0", "y_0"))
    if crs.get("proj") != "sinu" or moved or abs(radius - EARTH_RADIUS) > 1e-3:
        raise ArchiveError(
            f"{path.name}: expected the sinusoidal grid of MODIS (R = {EARTH_RADIUS} m), found "
            f"{crs or 'no projection'}; take the product on its own grid"
        )
    turned = image.transform.b or image.transform.d or image.transform.e >= 0
    if turned or image.count != 1 or max(image.height, image.width) > _LARGEST:
        raise ArchiveError(
            f"{path.name}: expected one band of at most {_LARGEST} x {_LARGEST} pixels from north "
            f"to south, found {image.count} of {image.height} x {image.width}; do not use this file"
        )


def _attributes(image: Any, product: str, layer: str, path: Path) -> dict[str, Any]:
    """The attributes in the tags of the file, else the documented ones of the product."""
    row = product_row(product)
    tags = {key: _value(text) for key, text in (image.tags() | image.tags(1)).items()}
    found = dict(row.attributes(layer)) | dict(_documented(layer)[1])
    if image.nodata is not None:
        found["_FillValue"] = int(image.nodata)
    if image.scales[0] != 1 or image.offsets[0] != 0:
        found |= {"scale_factor": image.scales[0], "add_offset": image.offsets[0]}
    found |= {key: tags[key] for key in _KEYS if key in tags}
    if layer in row.rules and "scale_factor" not in found:
        raise ArchiveError(
            f"{path.name}: expected the scale of {layer} in its tags, found none; take the "
            "product from another catalogue"
        )
    return found


def _value(text: str) -> Any:
    """A tag with the type that it had in the granule: a number, numbers, or text."""
    listed = re.fullmatch(r"\{?\s*([-+\d.eE]+(?:\s*,\s*[-+\d.eE]+)*)\s*\}?", text.strip())
    if listed is None:
        return text
    try:
        numbers = tuple(ast.literal_eval(part.strip()) for part in listed[1].split(","))
    except (ValueError, SyntaxError):
        return text
    return numbers[0] if len(numbers) == 1 else numbers


def _documented(layer: str) -> tuple[str, Mapping[str, Any]]:
    for pattern, kind, attributes in _VEGETATION:
        if re.fullmatch(rf"(?:1 km|500m|250m) .*{pattern}", layer):
            return kind, attributes
    return "", {}


def _typed(stored: NDArray[Any], layer: str, path: Path) -> NDArray[Any]:
    """Stored numbers with the type of the granule: some writers of GeoTIFF have no int8."""
    if stored.dtype.kind not in "iu":
        raise ArchiveError(
            f"{path.name}: expected stored integers, found {stored.dtype}; take unscaled numbers"
        )
    kind = np.dtype(_documented(layer)[0] or stored.dtype)
    return stored.view(kind) if kind.itemsize == stored.dtype.itemsize else stored
