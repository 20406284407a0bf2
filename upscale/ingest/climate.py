"""What follows from the weather of a cube: which nodes are land and, without a map, the climate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from upscale.calendar import months_of
from upscale.drivers.cube import SeriesGroup, series_of
from upscale.drivers.growing import bytes_digest, stored_values
from upscale.drivers.koppen import classify
from upscale.drivers.writer import put_land
from upscale.grid import Grid
from upscale.grid.regrid import bilinear, interpolate
from upscale.ingest.entry import IngestEntry, IngestLedger
from upscale.ingest.plan import IngestJob, ground_task
from upscale.jobs.clock import now
from upscale.jobs.settings import digest_of
from upscale.remote.errors import ArchiveError

Codes = NDArray[np.uint8]
Floats = NDArray[np.float32]

#: Name of the entry of this step.
CLIMATE = "climate"

#: Rows of the product grid that are worked on at a time.
_BAND = 200

#: Days of a month with values that its mean needs.
_LEAST_DAYS = 20


def climate_is_known(job: IngestJob, known: Mapping[str, IngestEntry]) -> bool:
    """Whether an entry says that this step was done for the maps and the weather there are."""
    entry = known.get(CLIMATE)
    return entry is not None and entry.inputs == _inputs(job, known)


def derive_climate(
    job: IngestJob, ledger: IngestLedger, known: Mapping[str, IngestEntry]
) -> IngestEntry:
    """Write land nodes and, where no map says it, the climate; the entry of this step.

    ArchiveError where a driver has no value on any day, or the weather does not tell the climate;
    OSError names a chunk that cannot be decoded.
    """
    ledger.forget(CLIMATE)  # first, so that a writer killed below is not taken for done
    root: Any = zarr.open_group(job.cube, mode="r+")
    land = node_land(job.cube, root["meteo"], job.drivers, job.block)
    if not land.any():
        raise ArchiveError("meteo: expected some day with values, found none; see the faults")
    empty = [name for name in job.drivers if not has_values(root["meteo"][name])]
    if empty:
        raise ArchiveError(
            f"meteo: expected values of each driver, found none of {', '.join(empty)} on any day; "
            "see the faults, and name the drivers to make in meteo.variables"
        )
    put_land(root["meteo"], land)
    outputs = {"meteo/land": bytes_digest(land)}
    if job.ground.koppen is None:
        koppen = climate_of(job.cube, series_of(job.cube, "meteo"), job.grid)
        root["static/koppen"][...] = koppen
        outputs["static/koppen"] = bytes_digest(koppen)
    entry = IngestEntry(
        CLIMATE, job.run, "done", _inputs(job, known), now(), outputs, finished=now()
    )
    ledger.write(entry)
    return entry


def failed_climate(job: IngestJob, error: Exception) -> IngestEntry:
    """The entry of this step where it could not be done."""
    return IngestEntry(CLIMATE, job.run, "failed", "", "", error=str(error))


def _inputs(job: IngestJob, known: Mapping[str, IngestEntry]) -> str:
    """Digest of what the climate is made from: maps and weather as they were last made."""
    ground = known[ground_task(job).id]
    weather = sorted(e.stamp for e in known.values() if e.item.startswith("weather-"))
    return digest_of([ground.stamp, weather])


def node_land(
    cube: str, meteo: zarr.Group, drivers: Sequence[str], block: int
) -> NDArray[np.bool_]:
    """Nodes `(row, col)` that have values of some driver; cube: where they lie, for messages.

    Read block by block of days until one adds nothing, so that neither a short first block nor
    a driver without files decides.
    """
    arrays: dict[str, Any] = {name: meteo[name] for name in drivers}
    count, *shape = arrays[drivers[0]].shape
    land = np.zeros(shape, bool)
    for start in range(0, count, block):
        found, days = land.copy(), slice(start, min(start + block, count))
        for name, array in arrays.items():
            for top in range(0, shape[0], _BAND):
                rows = slice(top, min(top + _BAND, shape[0]))
                region = days, rows, slice(0, shape[1])
                stored = stored_values(cube, f"meteo/{name}", array, region)
                found[rows] |= (stored != array.fill_value).any(axis=0)
        if land.any() and (found == land).all():
            break
        land = found
    return land


def has_values(stored: zarr.Array) -> bool:
    """Whether an array `(day, row, col)` has a value anywhere; read up to the first."""
    days, rows = stored.chunks[0], stored.chunks[1]
    return any(
        bool(
            (np.asarray(stored[start : start + days, top : top + rows]) != stored.fill_value).any()
        )
        for start in range(0, stored.shape[0], days)
        for top in range(0, stored.shape[1], rows)
    )


def climate_of(cube: str, meteo: SeriesGroup, grid: Grid) -> Codes:
    """Koeppen-Geiger classes `(row, col)` from the meteorology of a cube, 0 where unknown.

    cube: where it lies, for messages. Means over all years of monthly mean temperature and monthly
    rain at the nodes, brought to the cells like the weather itself. ArchiveError where a month of
    the year has no values, OSError where a chunk cannot be decoded.
    """
    land = meteo.land
    if land is None:
        raise ValueError("expected the land nodes of the meteorology, found none; write them")
    warmth, rain = (_monthly(cube, meteo, name) for name in ("ta", "p"))
    codes = np.zeros(grid.shape, np.uint8)
    for top in range(0, grid.rows, _BAND):
        rows = slice(top, min(top + _BAND, grid.rows))
        part = grid.crop(rows, slice(0, grid.cols))
        stencil = bilinear(meteo.grid, part)
        down, across = stencil.rows.read, stencil.cols.read
        near = land[np.ix_(down, across)]
        ta, p = (interpolate(f[:, down][:, :, across], near, stencil) for f in (warmth, rain))
        codes[rows] = classify(ta, p, part.lat[:, None])
    return codes


def _monthly(cube: str, meteo: SeriesGroup, name: str) -> Floats:
    """Means over the years of the months `(12, row, col)`: degC, or mm a month for rain."""
    days = np.arange(meteo.first, meteo.last + 1)
    months = months_of(days)
    means = np.full((12, *meteo.grid.shape), np.nan, np.float32)
    for rows in _row_parts(meteo.grid):
        values = _all_days(cube, meteo, name, rows)
        for month in range(12):
            chosen = values[months == month + 1]
            known = np.isfinite(chosen).sum(axis=0)
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = np.where(np.isfinite(chosen), chosen, 0).sum(axis=0, dtype=float) / known
            means[month, rows] = np.where(known >= _LEAST_DAYS, mean, np.nan)
    if np.isnan(means).all(axis=(1, 2)).any():
        raise ArchiveError(
            f"static.koppen: expected values of {name} in every month of the year to derive the "
            "climate from, found months without; name a map, or ingest a whole year"
        )
    return means * _MONTH_LENGTHS[:, None, None] if name == "p" else means


def _all_days(cube: str, meteo: SeriesGroup, name: str, rows: NDArray[np.int64]) -> Floats:
    """Values `(day, row, col)` of all days and columns; OSError names a chunk that cannot be
    decoded."""
    days, cols = slice(0, meteo.count), np.arange(meteo.grid.cols)
    try:
        return meteo.read(name, days, rows, cols)
    except (ValueError, RuntimeError):
        region = days, slice(int(rows[0]), int(rows[-1]) + 1), slice(0, meteo.grid.cols)
        stored_values(cube, f"meteo/{name}", meteo.arrays[name], region)
        raise


_MONTH_LENGTHS = np.array([31, 28.25, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.float32)


def _row_parts(grid: Grid) -> Iterator[NDArray[np.int64]]:
    """Rows of a grid, a few at a time."""
    return (np.arange(top, min(top + 20, grid.rows)) for top in range(0, grid.rows, 20))
