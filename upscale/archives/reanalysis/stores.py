"""Zarr stores, opened so that a chunk that was never written is missing, and a zero is a zero.

Zarr gives the fill value for a chunk that is not there, and xarray takes the fill value of Zarr 2
for a mark of missing values. Both are wrong where it is 0, which libraries choose where nobody
else does: lost days would be dry, and nights without sun would be missing. So maps are read with
another fill value, which no field has: NaN, or the most extreme integer. Libraries also leave out
chunks that hold nothing but the fill value; whether such a chunk was zero or lost cannot be told,
and it is missing.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.abc.buffer import Buffer, BufferPrototype
from zarr.abc.store import ByteRequest, Store
from zarr.storage import WrapperStore

#: Attribute of a variable whose chunks that are not there would be read as zeros.
ZERO_FILLED = "zero_filled"

_METADATA = (".zarray", ".zmetadata", "zarr.json")


def open_store(url: str) -> xr.Dataset:
    """Open a Zarr store lazily; a store without consolidated metadata takes longer to open."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Failed to open Zarr store with consolidated")
        group = zarr.open_group(url, mode="r")
        store: xr.Dataset = xr.open_zarr(_Unwritten(group.store), chunks=None)
    for name, array in store.data_vars.items():
        stored: Any = group[str(name)]
        if array.ndim > 2 and (stored.fill_value is None or stored.fill_value == 0):
            array.attrs[ZERO_FILLED] = 1
    return store


def unwritten_stamps(array: xr.DataArray) -> NDArray[np.datetime64]:
    """Stamps at which a variable `(time, lat, lon)` has no value because chunks are not there.

    Only of a variable that would be zero there, and has values at other stamps.
    """
    if not array.attrs.get(ZERO_FILLED):
        return np.array([], "datetime64[ns]")
    empty = array.isnull().all(("lat", "lon")).values
    return array["time"].values[empty & (not empty.all())]


class _Unwritten(WrapperStore[Store]):  # type: ignore[misc]  # zarr is read without its types
    """A store whose maps have a fill value that no field has."""

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        found = await super().get(key, prototype, byte_range)
        if found is None or key.rsplit("/", 1)[-1] not in _METADATA:
            return found
        return prototype.buffer.from_bytes(_marked(key, found.to_bytes()))


def _marked(key: str, content: bytes) -> bytes:
    """Metadata of an array or a group with other fill values; what is no JSON as it is."""
    try:
        document = json.loads(content)
    except ValueError:
        return content
    for array in _arrays(key, document):
        if array.get("zarr_format") == 2:
            _mark_2(array)
        else:
            _mark_3(array)
    return json.dumps(document).encode()


def _arrays(key: str, document: Any) -> list[dict[str, Any]]:
    """The descriptions of arrays in an object of metadata, also of consolidated metadata."""
    if key.endswith(".zarray"):
        return [document]
    if key.endswith(".zmetadata"):
        return [held for name, held in document["metadata"].items() if name.endswith(".zarray")]
    if document.get("node_type") == "array":
        return [document]
    held = (document.get("consolidated_metadata") or {}).get("metadata", {})
    return [array for array in held.values() if array.get("node_type") == "array"]


def _mark_2(array: dict[str, Any]) -> None:
    """Zarr 2: the fill value is also what marks missing values, unless it is 0."""
    if array["fill_value"] not in (0, None):
        return
    array["fill_value"] = _extreme(array["dtype"]) if len(array["shape"]) > 2 else None


def _mark_3(array: dict[str, Any]) -> None:
    """Zarr 3: missing values are marked by an attribute, and the fill value says nothing."""
    extreme = _extreme(array["data_type"])
    if extreme is None or len(array["shape"]) < 3:
        return
    if isinstance(extreme, int):
        attributes = array.setdefault("attributes", {})
        extreme = attributes.setdefault("_FillValue", extreme)
    array["fill_value"] = extreme


def _extreme(name: Any) -> str | int | None:
    """A value of a named type that no field has, as JSON has it; None for types of no field."""
    try:
        kind = np.dtype(name)
    except TypeError:
        return None
    if kind.kind == "f":
        return "NaN"
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return int(limits.min or limits.max)
    return None
