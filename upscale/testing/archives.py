"""A small synthetic archive of MODIS and ERA5-Land, and its ingest without a cluster."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from upscale.calendar import date_of, day_number, number_in_year
from upscale.ingest.config import Ingest, parse_ingest
from upscale.ingest.entry import IngestEntry
from upscale.ingest.plan import IngestJob, IngestTask
from upscale.ingest.run import IngestOutcome
from upscale.ingest.run import ingest as bring_in
from upscale.ingest.scan import scan
from upscale.ingest.worker import failed_entry, process
from upscale.jobs.progress import make_progress
from upscale.testing.hourly import Layout, make_hourly, write_months
from upscale.testing.scenes import (
    SceneBounds,
    write_map,
    write_mcd12q1,
    write_mcd15a2h,
    write_mod09ga,
)

#: Four sinusoidal tiles meet near its middle.
BOX = SceneBounds(south=49.6, north=50.4, west=15.1, east=16.1)


@dataclass(frozen=True)
class Archive:
    """Location of a synthetic archive, and its first and last day."""

    folder: Path
    first: dt.date
    last: dt.date

    @property
    def days(self) -> list[dt.date]:
        return [date_of(day) for day in range(day_number(self.first), day_number(self.last) + 1)]


def make_archive(
    folder: Path, first: dt.date, last: dt.date, layout: Layout = "netcdf", box: SceneBounds = BOX
) -> Archive:
    """Write MOD09GA, MCD15A2H, MCD12Q1, hourly ERA5-Land and a climate map around a box."""
    archive = Archive(folder, first, last)
    for name in ("modis", "fapar", "cover", "hours"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for tile in box.tiles:
        write_mcd12q1(folder / "cover", box, tile, first.year)
        for day in archive.days:
            write_mod09ga(folder / "modis", box, tile, day)
            if (number_in_year(day) - 1) % 8 == 0:
                write_mcd15a2h(folder / "fapar", box, tile, day)
    write_hours(archive, layout, box)
    around = SceneBounds(box.south - 0.5, box.north + 0.5, box.west - 0.5, box.east + 0.5)
    write_map(folder / "koppen.tif", around, 0.1, {"of": _climate})
    return archive


def _climate(lat: Any, lon: Any) -> Any:
    return np.where(lon > 15.6, 26, 15).astype(np.uint8) + np.zeros(lat.shape, np.uint8)


def write_hours(archive: Archive, layout: Layout = "netcdf", box: SceneBounds = BOX) -> list[Path]:
    """Write hourly ERA5-Land for the days of an archive and one more on either side, one file per
    month."""
    lat = np.arange(round(box.north * 10) + 2, round(box.south * 10) - 3, -1) / 10
    lon = np.arange(round(box.west * 10) - 2, round(box.east * 10) + 3) / 10
    start, end = (
        dt.datetime.combine(date_of(day), dt.time())
        for day in (day_number(archive.first) - 1, day_number(archive.last) + 2)
    )
    world = make_hourly(lat, lon, start, end)
    return write_months(archive.folder / "hours", world, layout)


def config_of(archive: Archive, cube: Path | str, **keys: Any) -> Ingest:
    """An ingest of a synthetic archive with small chunks; `keys` replace those of INGEST.yaml."""
    return parse_ingest(content_of(archive, cube) | keys, "the made archive")


def content_of(archive: Archive, cube: Path | str, box: SceneBounds = BOX) -> dict[str, Any]:
    """INGEST.yaml of a synthetic archive as plain values."""
    folder = archive.folder
    return {
        "cube": str(cube),
        "period": {"start": str(archive.first), "end": str(archive.last)},
        "region": {"south": box.south, "north": box.north, "west": box.west, "east": box.east},
        "meteo": {"files": str(folder / "hours")},
        "satellite": [{"files": str(folder / "modis")}, {"files": str(folder / "fapar")}],
        "static": {"igbp": str(folder / "cover"), "koppen": str(folder / "koppen.tif")},
        "tile": 8,
        "block": 20,
        "gaps": {"linear": 4, "limit": 30},
        "memory": 1.5,
        "cluster": {"workers": 2, "memory": 2.0},
        "interval": 1,
    }


def ingest_here(ingest: Ingest, runner: Any = None) -> IngestOutcome:
    """Run an ingest in this process, one work item after the other."""
    return bring_in(scan(ingest), make_progress(1e9, StringIO()), runner or in_turn)


def in_turn(job: IngestJob, tasks: Sequence[IngestTask]) -> Iterator[IngestEntry]:
    """Run tasks one after the other."""
    for task in tasks:
        try:
            yield process(job, task)
        except (ValueError, OSError) as error:
            yield failed_entry(job, task, error)


def contents(cube: Path | str, but: Iterable[str] = ()) -> dict[str, Any]:
    """Every array of a cube, its digest, and the digests of its manifests."""
    root: Any = zarr.open_group(str(cube), mode="r")
    arrays = {f"{g}/{name}": a[...] for g, group in root.groups() for name, a in group.arrays()}
    return {name: a for name, a in arrays.items() if name not in but} | {
        "digest": root.attrs.get("digest"),
        "manifests": str(sorted(dict(root.attrs.get("seal", {})).get("arrays", {}).items())),
    }


def same_contents(one: Path | str, other: Path | str) -> list[str]:
    """Names of the arrays that differ between two cubes in any bit."""
    first, second = contents(one), contents(other)
    names = sorted(first.keys() | second.keys())
    return [name for name in names if not _same(first.get(name), second.get(name))]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and one.tobytes() == other.tobytes()
    return isinstance(one, str) and bool(one == other)
