"""The flux cube: all metadata is written once, before any flux; then shard by shard.

Zarr v3, sharded, zstd with checksums, explicit fill values: what was never written reads as
NaN with the reason `not_produced`, never as zero or as good.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from zarr.errors import ContainsArrayError, ZarrUserWarning
from zarr.storage import MemoryStore

from upscale.calendar import date_of
from upscale.grid import EARTH_RADIUS, Grid, cell_areas
from upscale.product.layout import FORMAT, FluxLayout
from upscale.product.quality import DTYPE, FILL, flag_attributes
from upscale.product.rounding import ALGORITHM, ROUNDING, rounding_attributes
from upscale.product.uncertainty import NO_UNCERTAINTY, STEP_ARRAYS, StoredUncertainty
from upscale.stores.arrays import create_array, packed, put_array
from upscale.stores.axes import CELLS, DAILY, put_axes, put_stretches
from upscale.stores.broken import refusing
from upscale.stores.location import check_store_place
from upscale.variables import FLUXES, class_attributes, variable

#: What every array over cells says of them.
CELL_ATTRIBUTES = {"grid_mapping": "crs", "cell_measures": "area: areacella"}
#: How a flux of a cell is made from what varies in it.
PER_LAND = "area: mean where land time: mean"

#: Attributes of the axis of members.
MEMBER_AXIS: Mapping[str, str] = {
    "standard_name": "realization", "long_name": "member of the ensemble", "units": "1",
}  # fmt: skip

#: What the attribute `kind` of a store says.
KIND, UNFINISHED = "upscale flux cube", "upscale flux cube, not yet created"


def open_flux_group(url: str, mode: str = "r") -> zarr.Group:
    """The Zarr group of a flux cube; ValueError where there is none."""
    check_store_place(url)
    try:
        with _naming(url):
            group = zarr.open_group(url, mode=mode, use_consolidated=False)
    except (FileNotFoundError, KeyError, ContainsArrayError) as error:
        raise ValueError(f"{url}: no flux cube there; run `upscale run` first") from error
    if group.attrs.get("kind") != KIND:
        raise ValueError(f"{url}: a Zarr store, but no flux cube (attribute 'kind')")
    return group


def _naming(url: str) -> Any:
    """Turn what Zarr raises for a damaged root into a ValueError."""
    missing = (FileNotFoundError, KeyError, ContainsArrayError)
    return refusing(f"{url}/zarr.json", "the metadata of a flux cube", ValueError, passing=missing)


def consolidate(url: str) -> None:
    """Gather all metadata in the root, so that opening the cube is one request.

    No part of the Zarr v3 specification yet, and no reader needs it: xarray asks for it first.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)
        zarr.consolidate_metadata(url)


def is_consolidated(url: str) -> bool:
    """Whether the metadata are gathered in the root."""
    return zarr.open_group(url, mode="r").metadata.consolidated_metadata is not None


def create_flux_cube(
    url: str | MemoryStore,
    layout: FluxLayout,
    attributes: Mapping[str, Any],
    *,
    uncertainty: StoredUncertainty = NO_UNCERTAINTY,
    overwrite: bool = False,
) -> None:
    """Write the metadata, the coordinates and the cell areas of an empty flux cube.

    attributes: global attributes beyond those that follow from the layout; uncertainty: decides
    which arrays stand on the step axis, and what the attributes of the spreads say. A mark that a
    flux cube is being created is written first, and `kind` last. A store with that mark is
    created again; any other is replaced with `overwrite` alone. Raises ValueError where anything
    else is there.
    """
    mark = {"kind": UNFINISHED}
    again = overwrite or was_begun(url)
    root = zarr.create_group(url, overwrite=again, attributes=mark, zarr_format=3)
    put_axes(root, layout.grid, layout.first + np.arange(layout.count))
    if layout.keep_bits is not None:
        put_array(root, ROUNDING, np.array(0, np.int32), (), ALGORITHM)
    _create_daily(root, layout, uncertainty)
    _create_static(root, layout)
    _create_sums(root, layout)
    _create_steps(root, layout, uncertainty)
    content = extent_attributes(layout) | dict(attributes) | {"layout": layout_dict(layout)}
    root.attrs.update({name: plain(value) for name, value in content.items()})
    root.attrs["kind"] = KIND


def was_begun(url: str | MemoryStore) -> bool:
    """Whether a flux cube was begun at `url` and its creation never finished."""
    try:
        with _naming(url):
            root = zarr.open_group(url, mode="r", use_consolidated=False)
    except (FileNotFoundError, KeyError, ContainsArrayError):
        return False
    return bool(root.attrs.get("kind") == UNFINISHED)


def layout_dict(layout: FluxLayout) -> dict[str, Any]:
    """A layout as plain values; what a store of every version has comes first."""
    return {
        "grid": layout.grid.to_dict(),
        "first": layout.first,
        "count": layout.count,
        "tile": layout.tile,
        "members": layout.members,
        "sums": layout.sums,
        "block": layout.block,
        "format": layout.format,
        **({} if layout.keep_bits is None else {"keep_bits": layout.keep_bits}),
    }


def layout_of(attributes: Mapping[str, Any]) -> FluxLayout:
    """The layout that a flux cube was created with, from its root attributes; ValueError where
    they hold none."""
    with refusing("attribute layout", "the layout of a flux cube", ValueError):
        return _parsed_layout({"format": 1} | json.loads(attributes["layout"]))


def _parsed_layout(fields: dict[str, Any]) -> FluxLayout:
    """A layout whose sizes a cube can have."""
    numbers = {"count": 10**6, "tile": 10**4, "members": 10**4, "block": 10**4, "format": 10**4}
    for name, most in numbers.items():
        if type(fields[name]) is not int or not 1 <= fields[name] <= most:
            raise ValueError(f"{name}: expected 1 to {most}, found {str(fields[name])[:50]}")
    if type(fields["first"]) is not int or fields["sums"] not in ("annual", "monthly", "none"):
        raise ValueError(f"first and sums: found {str(fields)[:100]}")
    if fields["format"] > FORMAT:
        raise ValueError(
            f"attribute layout: expected format {FORMAT} or an older one, found "
            f"{fields['format']}; the flux cube is of a newer version, read it with that one"
        )
    return FluxLayout(grid=Grid(**fields.pop("grid")), **fields)


def plain(value: Any) -> Any:
    """A global attribute in a form that NetCDF also supports: text or a number.

    What holds a truth value becomes 0 or 1, a list of texts one text, all else JSON, so that
    a part of the cube can be written with `to_netcdf` as it is.
    """
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value):
        return ", ".join(value)
    return json.dumps(value, sort_keys=True)


def extent_attributes(layout: FluxLayout) -> dict[str, Any]:
    """Global CF-1.11 and ACDD-1.3 attributes that follow from the layout."""
    grid = layout.grid
    last = date_of(layout.first + layout.count - 1)
    return {
        "Conventions": "CF-1.11, ACDD-1.3",
        "geospatial_lat_min": float(grid.lat_bounds.min()),
        "geospatial_lat_max": float(grid.lat_bounds.max()),
        "geospatial_lon_min": float(grid.lon_bounds.min()),
        "geospatial_lon_max": float(grid.lon_bounds.max()),
        "geospatial_lat_units": "degrees_north",
        "geospatial_lon_units": "degrees_east",
        "geospatial_lat_resolution": f"{grid.resolution:g} degree",
        "geospatial_lon_resolution": f"{grid.resolution:g} degree",
        "time_coverage_start": f"{date_of(layout.first)}T00:00:00Z",
        "time_coverage_end": f"{last}T23:59:59Z",
        "time_coverage_duration": f"P{layout.count}D",
        "time_coverage_resolution": "P1D",
        "standard_name_vocabulary": "CF Standard Name Table v93",
    }


def _create_daily(root: zarr.Group, layout: FluxLayout, uncertainty: StoredUncertainty) -> None:
    """Write the metadata of fluxes, spreads, quality and the share of filled days."""
    for name in (*FLUXES, *(f"{flux}_sd" for flux in FLUXES)):
        text = daily_attributes(name, uncertainty) | CELL_ATTRIBUTES | {"cell_methods": PER_LAND}
        text |= rounding_attributes(name, layout.keep_bits)
        _create(root, name, np.float32, np.nan, layout, text)
    flags = daily_attributes("quality", uncertainty) | CELL_ATTRIBUTES
    _create(root, "quality", DTYPE, FILL, layout, flags)
    share = daily_attributes("filled_share", uncertainty) | CELL_ATTRIBUTES
    _create(root, "filled_share", np.uint8, 255, layout, share)


def daily_attributes(name: str, uncertainty: StoredUncertainty = NO_UNCERTAINTY) -> dict[str, Any]:
    """Attributes of a daily array, except those about cells and their areas.

    name: a flux, its spread (`gpp_sd`), `quality` or `filled_share`.
    """
    if name == "quality":
        return flag_attributes(uncertainty.unused_flags)
    if name == "filled_share":
        return {
            "long_name": "share of the days of the window with a filled driver",
            "units": "%",
            "comment": "Of satellites alone in a run. 255 where there is no prediction.",
            "valid_range": [0, 100],
        }
    text = dict[str, Any](variable(name).attributes)
    if name in FLUXES:
        return text | {"coverage_content_type": "modelResult", "ancillary_variables": f"{name}_sd"}
    spread = uncertainty.spread_attributes(name.removesuffix("_sd"))
    return text | spread | {"coverage_content_type": "qualityInformation"}


def _create(
    root: zarr.Group,
    name: str,
    dtype: Any,
    fill: float,
    layout: FluxLayout,
    attributes: Mapping[str, Any],
) -> None:
    """Write the metadata of a daily array."""
    shape = (layout.count, *layout.grid.shape)
    create_array(
        root, name, shape, dtype, DAILY, fill=fill, chunks=layout.chunk, shards=layout.shard,
        attributes=attributes, codec=packed(dtype),
    )  # fmt: skip


def _create_static(root: zarr.Group, layout: FluxLayout) -> None:
    """Write the cell areas, and the metadata of land share and classes."""
    grid = layout.grid
    areas = np.broadcast_to(cell_areas(grid)[:, None], grid.shape).astype(np.float32)
    sphere = f"On a sphere of radius {EARTH_RADIUS} m."
    text = variable("areacella").attributes | {"comment": sphere, "cell_methods": "area: sum"}
    text |= {"grid_mapping": "crs"}
    put_array(root, "areacella", areas, CELLS, text, chunk=layout.layer_chunk)
    land = variable("sftlf").attributes | CELL_ATTRIBUTES | {"cell_methods": "area: mean"}
    _layer(root, "sftlf", np.float32, np.nan, layout, land)
    _layer(root, "igbp", np.uint8, 0, layout, class_attributes("igbp") | CELL_ATTRIBUTES)
    _layer(root, "koppen", np.uint8, 0, layout, class_attributes("koppen") | CELL_ATTRIBUTES)


def _layer(
    root: zarr.Group,
    name: str,
    dtype: Any,
    fill: float,
    layout: FluxLayout,
    attributes: Mapping[str, Any],
) -> None:
    """Write the metadata of a static layer."""
    edges = (layout.layer_chunk, layout.layer_chunk)
    create_array(
        root, name, layout.grid.shape, dtype, CELLS, fill=fill, chunks=edges,
        attributes=attributes,
    )  # fmt: skip


def _create_sums(root: zarr.Group, layout: FluxLayout) -> None:
    """Write the axes of the sums of each member, and the metadata of the sums."""
    if layout.sums == "none":
        return
    put_stretches(root, "segment", layout.segment_bounds)
    numbers = np.arange(layout.members, dtype=np.int32)
    put_array(root, "member", numbers, ("member",), MEMBER_AXIS)
    for flux in FLUXES:
        _create_sum(root, flux, layout)
    _create_days(root, layout)


def _create_sum(root: zarr.Group, flux: str, layout: FluxLayout) -> None:
    """Write the metadata of the sums of each member over each segment."""
    row, members = variable(flux), layout.members
    create_array(
        root,
        f"{flux}_member",
        (members, len(layout.segments), *layout.grid.shape),
        np.float32,
        ("member", "segment", *CELLS),
        fill=np.nan,
        chunks=(members, layout.segment_chunk, layout.tile, layout.tile),
        codec=packed(np.float32),
        attributes={
            "long_name": f"{row.long_name}, sum over the days of the segment, by member",
            "units": "g m-2",
            "comment": f"{row.comment} Spreads of sums and means are made from these.",
            **CELL_ATTRIBUTES,
        },
    )


def _create_days(root: zarr.Group, layout: FluxLayout) -> None:
    """Write the metadata of the days that the sums of the members are made of."""
    create_array(
        root,
        "segment_days",
        (len(layout.segments), *layout.grid.shape),
        np.uint16,
        ("segment", *CELLS),
        fill=0,
        chunks=(layout.segment_chunk, layout.tile, layout.tile),
        attributes={
            "long_name": "days with a value in the sums of the members",
            "units": "1",
            "standard_name": "number_of_observations",
            **CELL_ATTRIBUTES,
        },
    )


def _create_steps(root: zarr.Group, layout: FluxLayout, uncertainty: StoredUncertainty) -> None:
    """Write the step axis, and the metadata of the arrays of `uncertainty` that stand on it."""
    if not uncertainty.arrays:
        return
    put_stretches(root, "step", layout.step_bounds)
    for name in uncertainty.arrays:
        dtype, fill = STEP_ARRAYS[name]
        create_array(
            root,
            name,
            (len(layout.step_bounds), *layout.grid.shape),
            dtype,
            ("step", *CELLS),
            fill=fill,
            chunks=(layout.steps_per_block, layout.tile, layout.tile),
            codec=packed(dtype),
            attributes=uncertainty.step_attributes(name) | CELL_ATTRIBUTES,
        )
