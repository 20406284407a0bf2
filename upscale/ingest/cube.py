"""The cube of an ingest: checked to be ours, created, grown, and sealed at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from upscale.calendar import date_of
from upscale.drivers.audit import lost_chunks
from upscale.drivers.cube import KIND
from upscale.drivers.growing import combined, grow_series, is_grown
from upscale.drivers.preliminary import UNKNOWN, put_preliminary, worst_of
from upscale.drivers.tiles import LAYERS
from upscale.drivers.writer import create_cube, seal
from upscale.grid import Grid
from upscale.ingest.climate import CLIMATE
from upscale.ingest.entry import IngestEntry, IngestLedger
from upscale.ingest.plan import IngestItem, IngestJob, IngestTask
from upscale.ingest.scan import Scan
from upscale.jobs.settings import ConfigError, digest_of
from upscale.stores.location import is_empty
from upscale.stores.manifest import SEAL, chunk_grid

#: Object of the ledger: what had been done when the cube was last sealed.
SEALED = "sealed.json"


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
    values of chunks, which workers know. Only objects that were written since the cube was last
    sealed are read: what was lost or changed in the others is not sealed.
    """
    arrays: dict[str, list[str]] = defaultdict(list)
    for task in tasks:
        if task.item.kind != "granules":  # filling tells of the same chunks
            for name, digest in known[task.id].outputs.items():
                arrays[name].append(digest)
    outputs = {name: combined(digests) for name, digests in arrays.items()}
    attributes = zarr.open_group(scan.job.cube, mode="r+").attrs
    attributes.update({"source": _source(scan), "title": scan.ingest.title})
    attributes["weather_statistics"] = _statistics(scan)
    content: list[object] = [scan.ingest.layout(), scan.job.count]
    told = _told_days(scan.job, tasks, known)
    if (told != UNKNOWN).any():
        content.append(told.tolist())
    put_preliminary(scan.job.cube, told)
    ledger, stamps = IngestLedger(scan.job.cube), {t.id: known[t.id].stamp for t in tasks}
    stamps[climate.item] = climate.stamp
    unwritten = _unwritten(scan.job, ledger, tasks, stamps)
    digest = seal(scan.job.cube, digest_of([content, outputs, climate.outputs]), unwritten)
    ledger.write_object(SEALED, {"seal": _seal_of(scan.job), "stamps": stamps})
    return digest


def _told_days(
    job: IngestJob, tasks: Sequence[IngestTask], known: Mapping[str, IngestEntry]
) -> NDArray[np.uint8]:
    """What all tasks of weather say of each day `(day,)`; tasks of the same days have other nodes
    of them, and those of earlier versions say nothing."""
    by_days: dict[tuple[int, int], list[NDArray[np.uint8]]] = defaultdict(list)
    for task in tasks:
        if task.item.kind == "weather":
            begin, end = task.item.days
            told = known[task.id].told
            if len(told) != end - begin:
                told = [UNKNOWN] * (end - begin)
            by_days[begin, end].append(np.array(told, np.uint8))
    days = np.full(job.count, UNKNOWN, np.uint8)
    for (begin, end), parts in by_days.items():
        days[begin:end] = worst_of(parts)
    return days


def _seal_of(job: IngestJob) -> str:
    """Digest of the seal of the cube as it was last written."""
    return digest_of([zarr.open_group(job.cube, mode="r").attrs.get(SEAL)])


def _unwritten(
    job: IngestJob, ledger: IngestLedger, tasks: Sequence[IngestTask], stamps: Mapping[str, str]
) -> dict[str, NDArray[np.bool_]]:
    """By array, the chunks that no task has written since the cube was last sealed.

    A task that was begun has lost its entry, and has another stamp when it is done. One of
    granules is followed by those that fill its cells, which tell of the same chunks.
    """
    last = ledger.read_object(SEALED) or {}
    if last.get("seal") != _seal_of(job):
        return {}
    root: Any = zarr.open_group(job.cube, mode="r")
    same = {name for name, stamp in stamps.items() if last["stamps"].get(name) == stamp}
    unwritten: dict[str, NDArray[np.bool_]] = {}
    for path, array in root.members(max_depth=None):
        maker = _maker_of(job, path)
        if maker is None or not isinstance(array, zarr.Array):
            continue
        kept = np.full(chunk_grid(array), maker == CLIMATE and CLIMATE in same)
        for task in tasks:
            if task.item.kind == maker and task.id in same:
                kept[_chunks(task.item, array.chunks)] = True
        unwritten[path] = kept
    return unwritten


def _maker_of(job: IngestJob, path: str) -> str | None:
    """The kind of tasks that write an array last; None of axes, which are always written anew."""
    group, _, name = path.partition("/")
    if path == "meteo/land" or (path == "static/koppen" and job.ground.koppen is None):
        return CLIMATE
    if group == "static":
        return "static" if name in LAYERS else None
    if group == "meteo":
        return "weather" if name in job.drivers else None
    name = name.removesuffix("_filled").removesuffix("_distance")
    return "fill" if name in job.satellite else None


def _chunks(item: IngestItem, sizes: Sequence[int]) -> tuple[slice, ...]:
    """The chunks of an array, of `sizes`, that an item writes; a layer has no days."""
    parts = (item.days, item.rows, item.cols)[-len(sizes) :]
    return tuple(
        slice(start // size, -(-stop // size))
        for (start, stop), size in zip(parts, sizes, strict=True)
    )


def tasks_of_lost_chunks(job: IngestJob, tasks: Sequence[IngestTask]) -> set[str]:
    """The work items that wrote chunks which the cube had when it was last sealed, and has no
    more; nothing is read. Chunks of granules are filled again after them."""
    if is_empty(job.cube):
        return set()
    root: Any = zarr.open_group(job.cube, mode="r")
    lost = set()
    for path, place in lost_chunks(job.cube):
        maker = _maker_of(job, path)
        if maker is None or path not in root:
            continue
        kinds = {"granules", "fill"} if maker == "fill" else {maker}
        lost |= {CLIMATE} & kinds
        for task in tasks:
            there = _chunks(task.item, root[path].chunks) if task.item.kind in kinds else ()
            if there and all(s.start <= p < s.stop for s, p in zip(there, place, strict=True)):
                lost.add(task.id)
    return lost


def _statistics(scan: Scan) -> str:
    """What the numbers of the weather files stood for, and why, in words."""
    return "; ".join(f"{name}: {verdict}" for name, verdict in scan.weather.verdicts)


def _source(scan: Scan) -> str:
    """Products of a cube in words."""
    names = [scan.weather.product]
    names += [name for held in scan.holdings for name in held.products]
    return ", ".join(dict.fromkeys(names))
