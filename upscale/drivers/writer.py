"""Writing a driver cube: create it, write its groups in blocks, seal it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from upscale.drivers.cube import KIND
from upscale.drivers.packing import MISSING, packing_of
from upscale.grid import Grid
from upscale.stores.arrays import PLAIN, create_array, put_array, shuffled
from upscale.stores.axes import CELLS, DAILY, put_bare_axes
from upscale.stores.location import is_empty
from upscale.stores.manifest import SEAL, write_manifest
from upscale.variables import class_attributes, variable
from upscale.version import __version__

#: Attribute `schema` of the root of every driver cube: 2 has a manifest, 1 had none.
SCHEMA = 2


@dataclass(frozen=True)
class SeriesSpec:
    """What a series group is to hold: `count` days from day number `first` of `variables` on
    `grid`.

    chunk: days, rows and columns of a stored chunk; by default all days of the group (at most
    366) for 100 x 100 cells. growing: keep the chunk's length even if there are fewer days.
    """

    group: Literal["meteo", "satellite"]
    grid: Grid
    first: int
    count: int
    variables: tuple[str, ...]
    packing: Literal["int16", "float32"] = "int16"
    chunk: tuple[int, int, int] = (366, 100, 100)
    growing: bool = False

    @property
    def chunks(self) -> tuple[int, int, int]:
        shape = (self.chunk[0] if self.growing else self.count, *self.grid.shape)
        return tuple(min(c, n) for c, n in zip(self.chunk, shape, strict=True))  # type: ignore[return-value]


def create_cube(
    url: str,
    *,
    title: str,
    source: str,
    day_definition: Literal["local-standard", "utc"],
    tile: int = 100,
    synthetic: bool = False,
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Start an empty driver cube at `url`.

    tile: edge of the tiles that fit its chunks, in cells of the product grid. overwrite: replace
    a finished driver cube; one that was never sealed is always replaced. Raises FileExistsError,
    and changes nothing, where `url` holds anything else.
    """
    if may_replace(url, overwrite):
        # A cube that is half deleted when the machine stops must not pass for a finished one.
        unseal(url)
    text = {
        "kind": KIND,
        "schema": SCHEMA,
        "Conventions": "CF-1.11",
        "title": title,
        "source": source,
        "day_definition": day_definition,
        "tile": tile,
        "synthetic": int(synthetic),
        "written_by": f"upscale {__version__}",
    }
    given = dict(attributes or {})
    zarr.create_group(url, zarr_format=3, overwrite=True, attributes=text | given)


def may_replace(url: str, overwrite: bool) -> bool:
    """Whether a driver cube is at `url` that may be replaced; False where nothing is.

    Raises FileExistsError where it holds something that must not be deleted.
    """
    try:
        there = zarr.open_group(url, mode="r").attrs
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError):  # no Zarr group
        if not is_empty(url):
            raise FileExistsError(
                f"{url}: expected an empty place or a driver cube, found something that is "
                "no driver cube; give another path, or remove it yourself"
            ) from None
        return False
    if there.get("kind") != KIND:
        raise FileExistsError(
            f"{url}: expected an empty place or a driver cube, found a Zarr store of kind "
            f"{there.get('kind')!r} that is no driver cube; give another path, or remove it "
            "yourself"
        )
    if "digest" in there and not overwrite:
        raise FileExistsError(
            f"{url}: a finished driver cube ({there.get('title')!r}) exists already; give "
            "another path, or replace it with --overwrite (overwrite=True)"
        )
    return True


def create_series(url: str, spec: SeriesSpec, land: NDArray[np.bool_] | None = None) -> None:
    """Write the metadata and coordinates of a series group.

    land: `(row, col)` nodes that have values; needed for interpolation, which must distinguish
    coasts from gaps.
    """
    group = zarr.open_group(url, mode="r+").create_group(spec.group)
    group.attrs["grid"] = spec.grid.to_dict()
    put_axes(group, spec)
    if land is not None:
        put_land(group, land)
    for name in spec.variables:
        create_driver(group, name, spec)
        if spec.group == "satellite":
            flags = {"flag_values": [0, 1], "flag_meanings": "observed filled"}
            text = {"long_name": f"{name} was filled on this day, not observed"}
            create_bytes(group, f"{name}_filled", spec, 0, text | flags)


def put_axes(group: zarr.Group, spec: SeriesSpec) -> None:
    """Write or replace the axes of a group."""
    put_bare_axes(group, spec.grid, spec.first + np.arange(spec.count))


def put_land(group: zarr.Group, land: NDArray[np.bool_]) -> None:
    """Write or replace the mask `(row, col)` of nodes that have values."""
    text = {"long_name": "nodes of the source that are land", "units": "1"}
    _put(group, "land", land.astype(np.uint8), text)


def create_driver(group: zarr.Group, name: str, spec: SeriesSpec) -> None:
    """Write the metadata of a driver `(time, lat, lon)`."""
    packed = spec.packing == "int16"
    attributes: dict[str, Any] = dict(variable(name).attributes)
    if packed:
        packing = packing_of(name)
        attributes |= {"scale_factor": packing.scale, "add_offset": packing.offset}
        attributes["_FillValue"] = MISSING  # xarray masks by this, not by the fill value of Zarr
    dtype: type[np.generic] = np.int16 if packed else np.float32
    _create(group, name, spec, dtype, MISSING if packed else np.nan, attributes)


def create_bytes(
    group: zarr.Group, name: str, spec: SeriesSpec, fill: int, attributes: Mapping[str, Any]
) -> None:
    """Write the metadata of an array of bytes `(time, lat, lon)` that describes a driver."""
    _create(group, name, spec, np.uint8, fill, attributes)


def _create(
    group: zarr.Group,
    name: str,
    spec: SeriesSpec,
    dtype: type[np.generic],
    fill: float,
    attributes: Mapping[str, Any],
) -> None:
    """Write the metadata of an array over all days and cells of a group."""
    shape = (spec.count, *spec.grid.shape)
    create_array(
        group, name, shape, dtype, DAILY, fill=fill, chunks=spec.chunks, attributes=attributes,
        codec=shuffled(dtype),
    )  # fmt: skip


def write_series(
    url: str,
    group: str,
    name: str,
    corner: tuple[int, int, int],
    values: NDArray[np.floating],
    filled: NDArray[np.bool_] | None = None,
) -> None:
    """Write a block `(day, row, col)`, in the units of the table, with its first index `corner`.

    Blocks that are written concurrently must not share a chunk.
    """
    arrays = zarr.open_group(url, mode="r+", path=group)
    region = tuple(slice(c, c + n) for c, n in zip(corner, values.shape, strict=True))
    array: Any = arrays[name]
    array[region] = packing_of(name).pack(values) if array.dtype == np.int16 else values
    if filled is not None:
        flags: Any = arrays[f"{name}_filled"]
        flags[region] = filled.astype(np.uint8)


def write_static(
    url: str,
    grid: Grid,
    *,
    igbp: NDArray[np.integer],
    koppen: NDArray[np.integer],
    sftlf: NDArray[np.floating],
    elevation: NDArray[np.floating],
    chunk: int = 400,
) -> None:
    """Write the static layers `(row, col)`: class codes (0 = unknown), land share in %,
    elevation in m. Cells where `sftlf` is NaN lie outside the domain of the cube. Layers that
    are there already are replaced."""
    group = zarr.open_group(url, mode="r+").create_group("static", overwrite=True)
    group.attrs["grid"] = grid.to_dict()
    put_bare_axes(group, grid)
    _put(group, "igbp", igbp.astype(np.uint8), class_attributes("igbp"), chunk)
    _put(group, "koppen", koppen.astype(np.uint8), class_attributes("koppen"), chunk)
    for name, layer in (("sftlf", sftlf), ("elevation", elevation)):
        text = variable(name).attributes
        _put(group, name, layer.astype(np.float32), text, chunk)


def _put(
    group: zarr.Group,
    name: str,
    layer: NDArray[Any],
    attributes: Mapping[str, Any],
    chunk: int | None = None,
) -> None:
    put_array(group, name, layer, CELLS, attributes, chunk=chunk, codec=PLAIN, overwrite=True)


def unseal(url: str) -> None:
    """Mark a cube as being written: it cannot be opened until it is sealed again."""
    zarr.open_group(url, mode="r+").attrs.pop("digest", None)


def seal(
    url: str, digest: str | None = None, known: Mapping[str, NDArray[np.bool_]] | None = None
) -> str:
    """Finish a cube: read every object, write what belongs to it, and return its digest.

    digest: of all values, where the writer knows it; by default it is made of the digests of all
    objects but the root. known: by array, chunks that nobody has written since the cube was last
    sealed; they are not read, and what happened to them meanwhile is not sealed.
    """
    root = zarr.open_group(url, mode="r+")
    if root.attrs.get("schema") != SCHEMA:
        root.attrs["schema"] = SCHEMA
    made = write_manifest(url, known)
    found = digest or _digest_of(made)
    if (root.attrs.get(SEAL), root.attrs.get("digest")) != (made, found):
        root.attrs.update({SEAL: made, "digest": found})
    return found


def _digest_of(made: Mapping[str, Any]) -> str:
    """sha256 of the digests that a seal holds of groups and arrays."""
    content = json.dumps([made["groups"], made["arrays"]], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
