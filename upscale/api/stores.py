"""Stores as xarray objects, and how to read what a flux cube says of its own limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from upscale.drivers.cube import open_cube
from upscale.product import reader
from upscale.product.cube import open_flux_group
from upscale.stores.broken import refusing


def open_drivers(url: str, verify: bool = True) -> xr.DataTree:
    """Open a driver cube.

    Parameters
    ----------
    url : str
        Path or URL of the Zarr store.
    verify : bool
        Compare every object of a sealed cube with its digest when it is read, as a run does: what
        is lost, cut or changed is an error then and no value. It costs a twentieth of the reading.

    Returns
    -------
    xarray.DataTree
        Groups ``static`` (classes, land share, elevation), ``meteo`` and, where there is one,
        ``satellite``, each on its own grid, not loaded yet. Series are ``(time, lat, lon)`` in
        the units of their attributes.

    Raises
    ------
    DriverError
        Where there is no driver cube, or units, calendar or grid are not as they should be; with
        `verify`, also later, when values are read that are not the sealed ones. A ``ValueError``.

    Examples
    --------
    >>> import upscale
    >>> cube = upscale.open_drivers("drivers.zarr")
    >>> cube["meteo"].ta.units
    'degC'
    """
    cube = open_cube(url)
    source = cube.store if verify else url
    return xr.open_datatree(source, engine="zarr", chunks={}, consolidated=False)


def open_fluxes(url: str) -> xr.Dataset:
    """Open a flux cube.

    Parameters
    ----------
    url : str
        Path or URL of the Zarr store.

    Returns
    -------
    xarray.Dataset
        gpp, reco and nee ``(time, lat, lon)`` in g m-2 d-1 of carbon, their spread over the
        members (``gpp_sd``, ...), ``quality``, and what else the store holds; not loaded yet.

    Raises
    ------
    ValueError
        Where there is no flux cube.

    Examples
    --------
    >>> import upscale
    >>> upscale.open_fluxes("fluxes.zarr").gpp.units
    'g m-2 d-1'
    """
    open_flux_group(url)
    with refusing(url, "a flux cube that xarray can open", ValueError):
        store: xr.Dataset = xr.open_zarr(url)
    return store


def interval(
    fluxes: xr.Dataset, flux: str, level: float = 0.9
) -> tuple[xr.DataArray, xr.DataArray]:
    """Give the interval in which a measured day lies with some probability.

    For single days, not for means or sums, whose error is different: see
    ``docs/explanation/uncertainty.md``. Means and sums are refused where their dates show what
    they are. A single mean that has a date, a running mean and values in another unit look like
    days, and their interval is wrong.

    Parameters
    ----------
    fluxes : xarray.Dataset
        What `predict` or `open_fluxes` returns, a part of it, or a NetCDF file made from it.
    flux : str
        ``"gpp"``, ``"reco"`` or ``"nee"``.
    level : float
        Probability, above 0 and up to the largest that the model was calibrated for (0.95).

    Returns
    -------
    tuple of xarray.DataArray
        Lower and upper end in the shape of the flux, g m-2 d-1; not loaded where the flux is not.

    Raises
    ------
    ValueError
        Where the model was not calibrated, or not for this level; for a name that is no flux and
        a flux without its spread; without dates, and where no two dates are neighbouring days.

    Examples
    --------
    >>> import upscale
    >>> store = upscale.open_fluxes("fluxes.zarr")
    >>> place = store.sel(lat=47.01, lon=11.01, method="nearest")
    >>> low, high = upscale.interval(place, "gpp", level=0.9)
    >>> bool((low <= high).any())
    True
    """
    low, high = reader.interval(fluxes, flux, level)
    return low, high


def where(values: xr.DataArray, quality: xr.DataArray, *, without: Sequence[str]) -> xr.DataArray:
    """Keep the values that have none of some quality flags.

    Parameters
    ----------
    values : xarray.DataArray
        Daily values with the dimensions of `quality`, and others if need be.
    quality : xarray.DataArray
        The array ``quality`` that belongs to them.
    without : sequence of str
        Names among the attribute ``flag_meanings`` of `quality`, such as ``"clipped"``.

    Returns
    -------
    xarray.DataArray
        The values, NaN where any of these flags is set.

    Raises
    ------
    ValueError
        For a name that is no flag, or that this model never sets; for other days or places than
        those of `quality`, and a `quality` that is not of whole numbers.

    Examples
    --------
    >>> import upscale
    >>> store = upscale.open_fluxes("fluxes.zarr")
    >>> good = upscale.where(store.gpp, store.quality, without=["clipped", "class_unseen"])
    >>> good.units
    'g m-2 d-1'
    """
    flags = _bits_of(quality, [without] if isinstance(without, str) else without)
    if quality.dtype.kind not in "iu":
        raise ValueError(
            f"quality: expected whole numbers, found {quality.dtype}, which has lost its bits; "
            "give the array as the store holds it"
        )
    strange = [str(dim) for dim in quality.dims if dim not in values.dims]
    try:
        values, quality = xr.align(values, quality, join="exact")
    except ValueError as error:
        raise ValueError(_OTHER_CELLS.format(error)) from None
    if strange:
        raise ValueError(_OTHER_CELLS.format(f"values without {', '.join(strange)}"))
    return values.where((quality & flags) == 0)


_OTHER_CELLS = (
    "expected values and quality of the same days and places in the same order, found: {}; select "
    "the same part of both"
)


def _bits_of(quality: xr.DataArray, names: Sequence[str]) -> int:
    """Find the bits of some flags in the attributes of the array."""
    meanings = str(quality.attrs.get("flag_meanings", "")).split()
    masks = [int(mask) for mask in np.atleast_1d(quality.attrs.get("flag_masks", []))]
    if len(masks) != len(meanings):
        raise ValueError(
            f"quality: expected a number in flag_masks for each of {len(meanings)} flag_meanings, "
            f"found {len(masks)}; give the array as the store holds it"
        )
    bits = 0
    for name in names:
        if name not in meanings:
            raise ValueError(
                "expected names of flags "
                f"({', '.join(meanings) or 'the array has no flag_meanings'})"
                f", found {name!r}; a flag that is not listed is never set by this model"
            )
        bits |= masks[meanings.index(name)]
    return bits
