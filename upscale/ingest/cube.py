"""The cube of an ingest: checked to be ours, created, grown, and sealed at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import zarr

from upscale.calendar import date_of
from upscale.drivers.cube import KIND
from upscale.drivers.growing import combined, grow_series, is_grown
from upscale.drivers.writer import create_cube, seal
from upscale.grid import Grid
from upscale.ingest.entry import IngestEntry
from upscale.ingest.plan import IngestJob, IngestTask
from upscale.ingest.scan import Scan
from upscale.jobs.settings import ConfigError, digest_of
from upscale.stores.location import is_empty


def check_cube(scan: Scan) -> None:
    """ConfigError where what lies at the cube's place is not a cube of this ingest."""
    job = scan.job
    if is_empty(job.cube):
        return
    try:
        attributes = zarr.open_group(job.cube, mode="r").attrs
    except (FileNotFoundError, KeyError, ValueError):
        raise ConfigError(
            f"cube: expected nothing, or a driver cube of this ingest at {job.cube}, found "
            "something else; give another path"
        ) from None
    known = attributes.get("ingest_digest")
    if attributes.get("kind") == KIND and known == job.run:
        _check_days(job, attributes)
        _check_nodes(job)
        return
    layout = scan.ingest.layout()
    former = dict(attributes.get("ingest_layout") or {})
    other = [f"{k} {former.get(k)!r} there, {v!r} here" for k, v in layout.items()
             if former.get(k) != v]  # fmt: skip
    raise ConfigError(
        f"cube: {job.cube} was laid out otherwise ({'; '.join(other) or 'not by an ingest'}); "
        "give another path, or the keys that it was made with"
    )


def _check_days(job: IngestJob, attributes: Any) -> None:
    days = int(attributes.get("ingest_days", 0))
    if days > job.count:
        end = date_of(job.first + days - 1)
        raise ConfigError(
            f"period.end: {job.cube} reaches to {end} already; a cube grows and never shrinks: "
            f"set {end} or a later day"
        )


def _check_nodes(job: IngestJob) -> None:
    root: Any = zarr.open_group(job.cube, mode="r")
    there = root["meteo"].attrs["grid"] if "meteo" in root else None
    if there is not None and Grid(**there) != job.nodes:
        raise ConfigError(
            f"meteo.files: {job.cube} has the nodes {Grid(**there)}, the files have {job.nodes}; "
            "give files of the same area, or another path for the cube"
        )


def was_created(job: IngestJob) -> bool:
    """Whether the cube is there, with the attributes that are written last when it is created."""
    if is_empty(job.cube):
        return False
    return bool(zarr.open_group(job.cube, mode="r").attrs.get("ingest_digest"))


def create(scan: Scan) -> None:
    """Create the cube of an ingest, without any day."""
    create_cube(
        scan.job.cube,
        title=scan.ingest.title,
        source=_source(scan),
        day_definition=scan.ingest.day,
        tile=scan.job.tile,
        attributes={
            "ingest_digest": scan.job.run,
            "ingest_layout": scan.ingest.layout(),
            "ingest_days": 0,
        },
    )


def grow(job: IngestJob) -> None:
    """Give the groups of the cube the days and variables that the job has."""
    root = zarr.open_group(job.cube, mode="r+")
    root.attrs["ingest_days"] = job.count
    grow_series(job.cube, job.spec("meteo"))
    if job.sources:
        grow_series(job.cube, job.spec("satellite"))
    elif "satellite" in root:
        del root["satellite"]


def sealed_digest(job: IngestJob) -> str | None:
    """The digest of a sealed cube; None where there is no cube, or it is open for writing."""
    if is_empty(job.cube):
        return None
    digest = zarr.open_group(job.cube, mode="r").attrs.get("digest")
    return None if digest is None else str(digest)


def has_grown(job: IngestJob) -> bool:
    """Whether the groups have the days and variables of the job."""
    return all(is_grown(job.cube, job.spec(group)) for group in ("meteo", "satellite"))


def seal_cube(
    scan: Scan,
    tasks: Sequence[IngestTask],
    known: Mapping[str, IngestEntry],
    climate: IngestEntry,
) -> str:
    """Seal the cube with the digest of all its values, and return it.

    tasks: all tasks of the ingest; known: their entries. The digest is made from those of the
    chunks, which workers know, so that nothing is read once more.
    """
    arrays: dict[str, list[str]] = defaultdict(list)
    for task in tasks:
        if task.item.kind != "granules":  # filling tells of the same chunks
            for name, digest in known[task.id].outputs.items():
                arrays[name].append(digest)
    outputs = {name: combined(digests) for name, digests in arrays.items()}
    attributes = zarr.open_group(scan.job.cube, mode="r+").attrs
    attributes.update({"source": _source(scan), "title": scan.ingest.title})
    content = [scan.ingest.layout(), scan.job.count]
    return seal(scan.job.cube, digest_of([content, outputs, climate.outputs]))


def _source(scan: Scan) -> str:
    """Products of a cube in words."""
    names = [scan.weather.product]
    names += [name for held in scan.holdings for name in held.products]
    return ", ".join(dict.fromkeys(names))
