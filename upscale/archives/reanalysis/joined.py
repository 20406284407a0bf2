"""Files of one area as one dataset, each variable with what its numbers stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from upscale.archives.reanalysis.evidence import EVIDENCE, evidence_of
from upscale.archives.reanalysis.fields import FIELDS
from upscale.archives.reanalysis.netcdf import join
from upscale.archives.reanalysis.proven import prove
from upscale.archives.reanalysis.statistic import DAILY, Product, Stated, Statistic, Verdict
from upscale.calendar import hour_numbers
from upscale.remote.errors import ArchiveError

Hours = NDArray[np.int64]

#: Node spacing of each product, degrees.
SPACING: dict[Product, float] = {"ERA5-Land": 0.1, "ERA5": 0.25}


def assemble(
    members: Sequence[xr.Dataset],
    product: Product | None = None,
    *,
    stated: Mapping[str, Stated] | None = None,
    settled: Mapping[str, Statistic] | None = None,
) -> xr.Dataset:
    """Combine datasets of `read_published` from files of one area into one; see `read_era5`.

    settled: statistics that were judged from all files of an archive, of which these are a part.
    """
    verdicts = _verdicts(members, product, stated or {}, settled)
    arrays = {}
    for name, verdict in sorted(verdicts.items()):
        held = [part for part in members if name in part]
        array = join(name, _final_first(name, held)).rename(name)
        arrays[name] = _stamped(array, verdict)
    whole = _same_nodes(arrays, members)
    daily_there = any(array.attrs["statistic"] in DAILY for array in arrays.values())
    return whole.assign_attrs(
        product=product or _named_product(members) or product_of(whole),
        daily=int(daily_there),
        preliminary_hours=_preliminary(members),
    )


def _verdicts(
    members: Sequence[xr.Dataset],
    product: Product | None,
    stated: Mapping[str, Stated],
    settled: Mapping[str, Statistic] | None,
) -> Mapping[str, Verdict]:
    """What each variable is, as settled or as its files prove; ArchiveError where they do not."""
    held = [(part, str(name)) for part in members for name in part.data_vars if name in FIELDS]
    if settled is not None:
        return {n: Verdict(settled[n], "all files of the archive") for _, n in held if n in settled}
    told = [evidence_of(part[name]) for part, name in held]
    counted = any(FIELDS[e.name].kind == "amount" and not e.product for e in told)
    fallback = product or (product_of(members[0]) if counted else "ERA5")
    keyed = [(f"{n} {e.file}", e) for n, e in enumerate(told)]
    proven = prove(keyed, FIELDS, fallback, stated, forced=product is not None)
    for (file, _), reason in proven.refused.items():
        raise ArchiveError(f"{file.partition(' ')[2]}: {reason}")
    return proven.verdicts


def _named_product(members: Sequence[xr.Dataset]) -> Product | None:
    """The product that files are called, None where they are called none or different ones."""
    told = [evidence_of(array).product for part in members for name, array in part.data_vars.items()
            if name in FIELDS]  # fmt: skip
    named = set(told) - {""}
    return cast(Product, named.pop()) if len(named) == 1 else None


def _preliminary(members: Sequence[xr.Dataset]) -> int | str:
    """How many hours have preliminary values, of which no file has final ones: a number, or, where
    some file does not say it of its hours, `unknown` or `at least N`."""
    names = {str(name) for part in members for name in part.data_vars}
    late = [hours_by_stream([part for part in members if name in part])[0] for name in names]
    count = len(set[int]().union(*(hours.tolist() for hours in late)))
    if all("preliminary" in part.attrs for part in members):
        return count
    return f"at least {count}" if count else "unknown"


def hours_by_stream(parts: Sequence[xr.Dataset]) -> tuple[Hours, Hours, Hours]:
    """Hours of one variable that are preliminary, final, and of which it is not said."""
    none = np.zeros(0, np.int64)
    late, final, untold = [none], [none], [none]
    for part in parts:
        hours = hour_numbers(part["time"].values)
        if "preliminary" not in part.attrs:
            untold.append(hours)
            continue
        is_late = np.isin(hours, part.attrs["preliminary"])
        late.append(hours[is_late])
        final.append(hours[~is_late])
    known = np.unique(np.concatenate(final))
    early, unsaid = (np.setdiff1d(np.concatenate(hours), known) for hours in (late, untold))
    return early, known, unsaid


def least_preliminary(said: int | str) -> int:
    """The number in what `preliminary_hours` says, 0 where it is unknown."""
    if isinstance(said, int):
        return said
    return 0 if said == "unknown" else int(said.removeprefix("at least "))


def _final_first(name: str, held: Sequence[xr.Dataset]) -> list[xr.DataArray]:
    """One variable of every file; hours with final values are removed from preliminary files."""
    final = [part for part in held if not part.attrs.get("preliminary_hours")]
    if not final or len(final) == len(held):
        return [part[name] for part in held]
    known = np.concatenate([part["time"].values for part in final])
    late = [part[name] for part in held if part.attrs.get("preliminary_hours")]
    parts = [array.isel(time=~np.isin(array["time"].values, known)) for array in late]
    return [part[name] for part in final] + [part for part in parts if part.sizes["time"]]


def _stamped(array: xr.DataArray, verdict: Verdict) -> xr.DataArray:
    """The variable with what it is; values of a day stamped at 00 UTC, wherever the file has
    them."""
    one_a_day = verdict.statistic in DAILY
    times = array["time"].dt.floor("D") if one_a_day else array["time"]
    kept = {key: value for key, value in array.attrs.items() if key != EVIDENCE}
    made = array.assign_coords(time=times)
    made.attrs = kept | {"statistic": verdict.statistic, "evidence": verdict.why}
    return made


def _same_nodes(arrays: dict[str, xr.DataArray], members: Sequence[xr.Dataset]) -> xr.Dataset:
    """One dataset of all variables; ArchiveError where they have different nodes."""
    if not arrays:
        found = sorted({str(name) for part in members for name in part.data_vars})
        raise ArchiveError(
            f"expected variables such as {', '.join(FIELDS)}; found {', '.join(found)}"
        )
    try:
        nodes = xr.align(*arrays.values(), join="exact", exclude={"time"})
    except ValueError as error:
        raise ArchiveError(
            "expected the same nodes for every variable, found different ones; read one area at "
            "a time"
        ) from error
    times = [array.indexes["time"] for array in nodes]
    if all(index.equals(times[0]) for index in times):
        return xr.Dataset(dict(zip(arrays, nodes, strict=True)))
    return xr.merge(nodes, join="outer", combine_attrs="override", compat="override")


def product_of(dataset: xr.Dataset) -> Product:
    """The product with the node spacing of a dataset; ArchiveError where no product has it."""
    steps = np.concatenate([np.abs(np.diff(dataset[axis].values)) for axis in ("lat", "lon")])
    steps = steps[steps < 180]  # a box across the date line has a gap
    for name, spacing in SPACING.items():
        if steps.size and np.allclose(steps, spacing, atol=1e-3):
            return name
    found = f"{np.unique(np.round(steps, 4)).tolist()}" if steps.size else "a single node"
    raise ArchiveError(
        f"expected nodes every 0.1 (ERA5-Land) or 0.25 (ERA5) degree, found {found}; say which "
        "product it is: they accumulate by different rules"
    )
