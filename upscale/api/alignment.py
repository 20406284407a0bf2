"""Values of places, brought into the order of the drivers by their labels, never by position."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from upscale.drivers.cube import DriverError

Labelled = TypeVar("Labelled", xr.Dataset, xr.DataArray)


def aligned(
    values: Labelled, drivers: xr.Dataset, dims: tuple[str, ...], what: str
) -> Labelled:  # fmt: skip
    """Bring values into the order of the places of the drivers.

    Parameters
    ----------
    values : xarray.Dataset or xarray.DataArray
        Values of places.
    drivers : xarray.Dataset
        The drivers of these places.
    dims : tuple of str
        Dimensions of the places; those that `values` lack are left out.
    what : str
        What to call the values in messages.

    Returns
    -------
    xarray.Dataset or xarray.DataArray
        The values, selected by label where both have labels on a dimension.

    Raises
    ------
    DriverError
        Where a dimension has another size, or other labels.
    """
    for dim in dims:
        if dim not in values.dims:
            continue
        if values.sizes[dim] != drivers.sizes[dim]:
            raise DriverError(
                f"{what}: expected the places of the drivers, {drivers.sizes[dim]} along {dim}, "
                f"found {values.sizes[dim]}; give one value for each place"
            )
        if dim in values.indexes and dim in drivers.indexes:
            order = _order(drivers.indexes[dim], values.indexes[dim], dim, what)
            values = values.isel({dim: order})
    return values


def _order(wanted: pd.Index, found: pd.Index, dim: str, what: str) -> slice | list[int]:
    """Positions of the wanted labels among those that were found."""
    if {wanted.dtype.kind, found.dtype.kind} == {"f"} and wanted.dtype != found.dtype:
        wanted, found = wanted.astype(np.float32), found.astype(np.float32)
    if wanted.equals(found):
        return slice(None)
    order = found.get_indexer(wanted) if found.is_unique else np.array([-1])
    if (order < 0).any() or not wanted.is_unique:
        raise DriverError(
            f"{what}: expected the places of the drivers, along {dim} {_in_words(wanted)}, found "
            f"{_in_words(found)}; give the values of the same places, or drop these labels where "
            "the order is right"
        )
    return [int(position) for position in order]


def _in_words(labels: pd.Index) -> str:
    some = ", ".join(str(label) for label in labels[:3])
    return f"{some}, ... ({len(labels)})" if len(labels) > 3 else some
