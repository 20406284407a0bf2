"""Files of ERA5 and ERA5-Land as a registered source, for `upscale inspect`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from upscale.archives.granule import Description, Layer
from upscale.archives.reanalysis.axes import AxisError
from upscale.archives.reanalysis.evidence import evidence_of
from upscale.archives.reanalysis.fields import FIELDS, RELATED
from upscale.archives.reanalysis.joined import product_of
from upscale.archives.reanalysis.netcdf import (
    DamagedError,
    each_variable,
    is_zarr,
    magic,
    read_published,
    variables_of,
)
from upscale.archives.reanalysis.statistic import (
    BOUNDS,
    MEANING,
    STEPS,
    Evidence,
    Product,
    settle,
    takers,
)
from upscale.remote.errors import ArchiveError

#: Largest variable that is inspected as a whole, bytes in memory.
LARGEST = 4 * 2**30


class _Era5:
    """ERA5 and ERA5-Land for `inspect`: all variables on time, latitude and longitude."""

    name = "era5"

    def matches(self, path: str) -> bool:
        if is_zarr(path):
            return _is_known(path)
        kind = magic(Path(path)) if Path(path).is_file() else ""
        return kind in {"zip", "grib"} or (kind == "netcdf" and _is_known(path))

    def describe(self, path: str) -> Description:
        members = read_published(path, header=True)
        names = tuple(name for part in members for name in variables_of(part).values())
        title, dates = _title(members), _dates(members)
        remarks = tuple(_remarks(members))
        return Description(Path(path).name, title, "", _grid(members[0]), dates, names, remarks)

    def layers(self, path: str) -> Iterator[Layer]:
        for array in each_variable(path):
            yield _layer(path, array)


def _layer(path: str, array: xr.DataArray) -> Layer:
    name = str(array.attrs["name_in_file"])
    if array.size * 4 > LARGEST:
        raise ArchiveError(
            f"{path}: expected at most {LARGEST} bytes for {name}, found {array.size * 4}; "
            "read a box and a period instead"
        )
    return Layer(name, str(array.attrs.get("units", "1")), array.values.astype(np.float32))


def _is_known(path: str) -> bool:
    """True where a file or store has an ERA5 variable, or is too damaged to tell."""
    try:
        members = read_published(path, header=True)
    except DamagedError:
        return Path(path).suffix == ".nc"
    except AxisError:
        return True  # its error says more than that no reader knows the file
    except (ArchiveError, OSError, ValueError, KeyError):
        return False
    return any(name in FIELDS or name in RELATED for part in members for name in variables_of(part))


def _title(members: list[xr.Dataset]) -> str:
    try:
        return product_of(members[0])
    except ArchiveError:
        return "ERA5 or ERA5-Land"


def _remarks(members: list[xr.Dataset]) -> Iterator[str]:
    """What each variable that drivers are made of stands for, why, and which drivers take it."""
    for part in members:
        for name, name_in_file in variables_of(part).items():
            if name in FIELDS:
                yield f"{name_in_file}: {_remark(evidence_of(part[name]), _title(members))}"


def _remark(evidence: Evidence, title: str) -> str:
    product: Product = "ERA5-Land" if title == "ERA5-Land" else "ERA5"
    [verdict] = settle([evidence], product)
    drivers = takers(evidence.name, verdict.statistic)
    use = f"for {', '.join(drivers)}" if drivers else "no driver takes it"
    rule = "" if FIELDS[evidence.name].kind != "amount" else (
        "; values must agree with it" if evidence.clue(BOUNDS, STEPS) else
        f"; as {evidence.product or title} accumulates, and values must agree with it"
    )  # fmt: skip
    return f"{verdict}, {MEANING[verdict.statistic]}{rule}; {use}"


def _grid(part: xr.Dataset) -> str:
    lat, lon = part["lat"].values, part["lon"].values
    return (
        f"{lat.size} x {lon.size} nodes, {lat[0]:g} to {lat[-1]:g} degrees north, "
        f"{lon[0]:g} to {lon[-1]:g} degrees east"
    )


def _dates(members: list[xr.Dataset]) -> str:
    stamps = np.concatenate([part["time"].values for part in members])
    first, last = (str(stamp)[:10] for stamp in (stamps.min(), stamps.max()))
    return first if first == last else f"{first}/{last}"


ERA5 = _Era5()
