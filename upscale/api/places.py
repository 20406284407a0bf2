"""Where the drivers of a user belong: latitude, longitude, classes and land share of each place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from upscale.api.alignment import aligned
from upscale.drivers.cube import DriverError
from upscale.drivers.tiles import check_range, is_ice, is_water
from upscale.variables import IGBP, KOPPEN

Reals = NDArray[np.float64]
Bools = NDArray[np.bool_]

_LEGENDS = {"igbp": IGBP, "koppen": KOPPEN}
_UNKNOWN = ("", "unknown")


@dataclass(frozen=True, eq=False)
class Places:
    """Where drivers belong, all `(cell,)`.

    lat, lon: degrees, lon None where it was not given; igbp, koppen: class codes, 0 = unknown;
    sftlf: % of the cell that is land, NaN outside the domain.
    """

    lat: Reals
    lon: Reals | None
    igbp: NDArray[np.int64]
    koppen: NDArray[np.int64]
    sftlf: Reals

    @property
    def outside(self) -> Bools:
        """Cells without any known value."""
        return np.isnan(self.sftlf)

    @property
    def water(self) -> Bools:
        """Cells without land."""
        return is_water(self.igbp, self.sftlf)

    @property
    def ice(self) -> Bools:
        """Cells of permanent snow and ice."""
        return is_ice(self.igbp, self.sftlf)

    @property
    def land(self) -> Bools:
        """Cells whose fluxes are predicted."""
        return ~(self.outside | self.water | self.ice)

    @property
    def codes(self) -> NDArray[np.int64]:
        """Class codes `(cell, 2)`."""
        return np.stack([self.igbp, self.koppen], axis=1)


def read_places(
    table: xr.Dataset, dims: tuple[str, ...], given: Mapping[str, Any], what: str
) -> Places:
    """Where the drivers belong, by what the table holds or the caller gives.

    Parameters
    ----------
    table : xarray.Dataset
        Drivers, and any of lat, lon (degrees), igbp, koppen, sftlf (%) for each place.
    dims : tuple of str
        Dimensions of the places.
    given : mapping
        Values for lat, lon, igbp and koppen in place of what the table holds; those with labels
        on a dimension are selected by them, in any order.
    what : str
        What to call the drivers in messages.

    Returns
    -------
    Places
        All ``(cell,)``, in the order of `dims`.

    Raises
    ------
    DriverError
        Without a latitude, and for a value twice, out of range or of no class, or of other places
        than those of the drivers.
    """
    lat = _of_place(table, dims, "lat", given, what)
    if lat is None:
        raise DriverError(
            f"{what}: expected the latitude of the place, from which the radiation at the top of "
            "the atmosphere and the length of the day follow, found none; give lat="
        )
    sftlf = _of_place(table, dims, "sftlf", {}, what)
    sftlf = np.full(lat.shape, 100.0) if sftlf is None else _numbers(sftlf, "sftlf", what)
    lon = _of_place(table, dims, "lon", given, what)
    places = Places(
        lat=_degrees(lat, 90, "lat", what),
        lon=None if lon is None else _degrees(lon, 180, "lon", what),
        igbp=_codes(table, dims, "igbp", given, what, lat.shape),
        koppen=_codes(table, dims, "koppen", given, what, lat.shape),
        sftlf=sftlf,
    )
    check_range("sftlf", sftlf.astype(np.float32)[None], 0, lambda cell: f" of cell {cell}")
    return places


def _of_place(
    table: xr.Dataset, dims: tuple[str, ...], name: str, given: Mapping[str, Any], what: str
) -> NDArray[Any] | None:
    """Find the given value for each place `(cell,)`; None where none is given."""
    sizes = {dim: table.sizes[dim] for dim in dims}
    value = given.get(name)
    if value is not None and name in table.variables:
        raise DriverError(
            f"{name}: expected it once, found it as an argument and in the {what}; drop one of them"
        )
    if value is None and name not in table.variables:
        return None
    found = table[name] if value is None else _labelled(value, dims, sizes, name)
    strange = [str(dim) for dim in found.dims if dim not in dims]
    if strange:
        raise DriverError(
            f"{what}.{name}: expected one value for each place ({', '.join(dims) or 'a number'}), "
            f"found it along {', '.join(strange)}; select or average"
        )
    found = aligned(found, table, dims, name)
    array = found.transpose(*(dim for dim in dims if dim in found.dims)).to_numpy()
    lead = tuple(sizes[dim] if dim in found.dims else 1 for dim in dims)
    return np.broadcast_to(array.reshape(lead), tuple(sizes.values())).reshape(-1)


def _labelled(
    value: ArrayLike | xr.DataArray, dims: tuple[str, ...], sizes: Mapping[str, int], name: str
) -> xr.DataArray:
    """Name the dimensions of an array."""
    if isinstance(value, xr.DataArray):
        return value
    array = np.asarray(value)
    if array.shape not in ((), tuple(sizes.values())):
        raise DriverError(
            f"{name}: expected one value, or an array of shape {tuple(sizes.values())} "
            f"({', '.join(dims) or 'one place'}), found shape {array.shape}"
        )
    return xr.DataArray(array, dims=dims if array.shape else ())


def _degrees(values: NDArray[Any], most: float, name: str, what: str) -> Reals:
    """Degrees `(cell,)` as they must be: numbers up to `most` on either side of zero."""
    degrees = _numbers(values, name, what)
    if not (np.abs(degrees) <= most).all():
        wrong = degrees[~(np.abs(degrees) <= most)][0]
        raise DriverError(
            f"{what}.{name}: expected degrees from {-most:g} to {most:g}, found {wrong:g}"
        )
    return degrees


def _numbers(values: NDArray[Any], name: str, what: str) -> Reals:
    """Refuse what is no number, text such as '47N' too."""
    if values.dtype.kind not in "iuf":
        raise DriverError(
            f"{what}.{name}: expected numbers, found {values.dtype} such as {values[:1].tolist()}; "
            "convert them"
        )
    return values.astype(np.float64)


def _codes(
    table: xr.Dataset,
    dims: tuple[str, ...],
    name: str,
    given: Mapping[str, Any],
    what: str,
    shape: tuple[int, ...],
) -> NDArray[np.int64]:
    """Class codes `(cell,)` of labels or codes; 0 where none is given."""
    found = _of_place(table, dims, name, given, what)
    if found is None:
        return np.zeros(shape, np.int64)
    return np.array([_code(value, name) for value in found.tolist()], np.int64)


def _code(value: Any, name: str) -> int:
    """Find the code of one class, given by its label in the legend or by its code."""
    legend = _LEGENDS[name]
    labels = {label.casefold(): code for code, label in enumerate(legend, 1)}
    if isinstance(value, str):
        text = value.strip().casefold()
        if text in labels or text in _UNKNOWN:
            return labels.get(text, 0)
    elif (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and value in range(len(legend) + 1)
    ):
        return int(value)
    raise DriverError(
        f"{name}: expected one of {', '.join(legend)}, its code from 1 to {len(legend)}, or "
        f"'unknown', found {value!r}"
    )
