"""Whether a flux cube is better kept in Icechunk: time, size, files and what readers need.

Needs a Python of its own, without this package, as Icechunk is no dependency of it:

    python3.12 -m venv ice && ice/bin/pip install icechunk xarray "moto[server]" s3fs
    OMP_NUM_THREADS=1 ice/bin/python benchmarks/icechunk_store.py

Made values with the arrays, chunks and shards of a flux cube are written by worker processes, item
by item: into plain Zarr, into forks of one Icechunk session which a coordinator merges and commits
once, and into a commit of its own for each item. Prints figures of each, and of a correction.
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import os
import pickle
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr
from zarr.codecs import ZstdCodec

FLUXES = ("gpp", "reco", "nee", "gpp_sd", "reco_sd", "nee_sd")
ARRAYS = {**dict.fromkeys(FLUXES, "float32"), "quality": "uint32", "filled_share": "uint8"}
BLOCK = 360


@dataclass(frozen=True)
class Layout:
    """A store of `rows` x `cols` cells in tiles of `tile`, of whole blocks of 360 days."""

    rows: int
    cols: int
    tile: int
    blocks: int

    @property
    def items(self) -> list[tuple[int, int, int]]:
        """First day, row and column of each work item."""
        return [
            (block * BLOCK, row, col)
            for block in range(self.blocks)
            for row in range(0, self.rows, self.tile)
            for col in range(0, self.cols, self.tile)
        ]


LAYOUTS = {
    "as large as the demo": Layout(60, 150, 30, 2),
    "many items": Layout(90, 150, 5, 2),
}


def create(store: Any, layout: Layout) -> None:
    """The metadata of a store."""
    group = zarr.create_group(store, zarr_format=3, overwrite=True)
    shape = layout.blocks * BLOCK, layout.rows, layout.cols
    for name, dtype in ARRAYS.items():
        group.create_array(
            name, shape=shape, dtype=dtype, chunks=(BLOCK // 2, layout.tile, layout.tile),
            shards=(BLOCK, layout.tile, layout.tile), fill_value=0,
            compressors=ZstdCodec(level=3, checksum=True), dimension_names=("time", "lat", "lon"),
        )  # fmt: skip


def write_item(store: Any, layout: Layout, item: tuple[int, int, int]) -> None:
    """Write the shard of an item in every array."""
    group, days = zarr.open_group(store, mode="r+"), np.arange(BLOCK)[:, None, None]
    random = np.random.default_rng(sum(item))
    for name, dtype in ARRAYS.items():
        wave = 5 + 4 * np.sin(days / 58) + random.normal(0, 1, (BLOCK, layout.tile, layout.tile))
        values = wave if dtype == "float32" else np.round(wave / 8)
        day, row, col = item
        region = (
            slice(day, day + BLOCK),
            slice(row, row + layout.tile),
            slice(col, col + layout.tile),
        )
        group[name][region] = values.astype(dtype)


def write_plain(path: str, layout: Layout, item: tuple[int, int, int]) -> None:
    write_item(path, layout, item)


def write_fork(fork: Any, layout: Layout, item: tuple[int, int, int]) -> Any:
    """Write an item into a fork, which goes back to the coordinator."""
    write_item(fork.store, layout, item)
    return fork


def write_commit(place: Any, layout: Layout, item: tuple[int, int, int]) -> int:
    """Write an item and commit it alone; how often that had to be tried anew."""
    session = open_repository(place).writable_session("main")
    write_item(session.store, layout, item)
    session.commit(f"item {item}", rebase_with=icechunk.ConflictDetector(), rebase_tries=1000)
    return 0


def storage_of(place: Any) -> Any:
    """Icechunk's storage: of a folder, or of a bucket (endpoint, bucket, prefix)."""
    if isinstance(place, str):
        return icechunk.local_filesystem_storage(place)
    endpoint, bucket, prefix = place
    return icechunk.s3_storage(
        bucket=bucket, prefix=prefix, endpoint_url=endpoint, allow_http=True, region="us-east-1",
        force_path_style=True, access_key_id="test", secret_access_key="test",
    )  # fmt: skip


def open_repository(place: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return icechunk.Repository.open_or_create(storage_of(place))


@contextmanager
def workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that are started anew, as Icechunk hangs in forked ones; all ready."""
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        list(pool.map(time.sleep, [0.5] * count))
        yield pool


def plain(folder: Path, layout: Layout, count: int) -> float:
    path = str(folder / "plain.zarr")
    create(path, layout)
    with workers(count) as pool:
        begin = time.perf_counter()
        for done in [pool.submit(write_plain, path, layout, item) for item in layout.items]:
            done.result()
        return time.perf_counter() - begin


def forks(place: Any, layout: Layout, count: int) -> tuple[float, float, int]:
    """Seconds of all and of the merges and the commit alone, and the bytes of a fork that an item
    sends back."""
    repository = open_repository(place)
    session = repository.writable_session("main")
    create(session.store, layout)
    session.commit("metadata")
    session = repository.writable_session("main")
    fork = session.fork()
    with workers(count) as pool:
        begin = time.perf_counter()
        done = [pool.submit(write_fork, fork, layout, item) for item in layout.items]
        made = [each.result() for each in done]
        merging = time.perf_counter()
        session.merge(*made)
        session.commit("revision 1")
        end = time.perf_counter()
    repository.create_tag("revision-1", snapshot_id=repository.lookup_branch("main"))
    return end - begin, end - merging, len(pickle.dumps(made[-1]))


def commits(place: Any, layout: Layout, count: int, items: int) -> float:
    """Seconds of `items` items of which each is a commit."""
    session = open_repository(place).writable_session("main")
    create(session.store, layout)
    session.commit("metadata")
    with workers(count) as pool:
        begin = time.perf_counter()
        for done in [
            pool.submit(write_commit, place, layout, item) for item in layout.items[:items]
        ]:
            done.result()
        return time.perf_counter() - begin


def stored(path: Path) -> str:
    sizes = [each.stat().st_size for each in path.rglob("*") if each.is_file()]
    return f"{len(sizes):,} files, {sum(sizes) / 1e6:.0f} MB"


def median(act: Callable[[], object], turns: int = 5) -> float:
    seconds = []
    for _ in range(turns):
        begin = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def read(open_store: Callable[[], Any]) -> str:
    """Median seconds to open a store, to read a day of one flux, and all days of a cell."""

    def opened() -> xr.Dataset:
        return xr.open_zarr(open_store(), consolidated=False, chunks=None)

    data = opened()
    return (
        f"open {median(opened):.3f} s, a day {median(lambda: opened().gpp[100].values):.3f} s, "
        f"a cell {median(lambda: opened().gpp[:, 30, 60].values):.3f} s; {dict(data.sizes)}"
    )


def correct(place: str, layout: Layout, items: int) -> None:
    """Write some items again as a second revision; what it adds, and what is left of the first."""
    repository, path = open_repository(place), Path(place)
    session, before = repository.writable_session("main"), stored(path)
    for item in layout.items[:items]:
        write_item(session.store, layout, item)
    session.commit("revision 2")
    print(f"    a correction of {items} items: {before} -> {stored(path)}")
    repository.delete_tag("revision-1")
    later = dt.datetime.now(dt.UTC)
    repository.expire_snapshots(older_than=later)
    repository.garbage_collect(later)
    print(f"    the first revision expired and its garbage collected: {stored(path)}")


def what_others_see(place: str) -> str:
    try:
        xr.open_zarr(place, consolidated=False)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"
    return "opens"


def told_of_local_disks(folder: Path) -> str:
    """What Icechunk warns of when a repository is made in a folder."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        icechunk.Repository.create(icechunk.local_filesystem_storage(str(folder / "warned")))
    return "; ".join(str(each.message).splitlines()[0] for each in told) or "no Python warning"


def measure(name: str, layout: Layout, folder: Path, count: int) -> None:
    items = len(layout.items)
    print(f"{name}: {items:,} items, {count} workers, load {os.getloadavg()[0]:.1f}", flush=True)
    seconds = plain(folder, layout, count)
    path = folder / "plain.zarr"
    print(f"  plain Zarr: {1000 * seconds / items:.0f} ms an item, {stored(path)}")
    print(f"    {read(lambda: str(path))}", flush=True)
    place = str(folder / "forks")
    seconds, merging, size = forks(place, layout, count)
    print(
        f"  Icechunk, forks: {1000 * seconds / items:.0f} ms an item, merge and commit "
        f"{merging:.2f} s, {size:,} bytes sent back for an item, {stored(Path(place))}"
    )
    opened = open_repository(place)
    print(f"    {read(lambda: opened.readonly_session('main').store)}")
    print(f"    without icechunk: {what_others_see(place)}")
    correct(place, layout, items // 10)
    alone, some = str(folder / "commits"), min(items, 72)
    seconds = commits(alone, layout, count, some)
    print(f"  Icechunk, a commit for each of {some} items: {1000 * seconds / some:.0f} ms an item,")
    print(f"    {stored(Path(alone))}", flush=True)
    for each in (path, Path(place), Path(alone)):
        shutil.rmtree(each)


def measure_s3(layout: Layout, count: int) -> None:
    """The same on a server of this machine: how many requests an item takes."""
    import s3fs
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
                   "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": endpoint}  # fmt: skip
    s3fs.S3FileSystem().mkdir("bench")
    items = len(layout.items)
    with workers(count) as pool:
        create("s3://bench/plain.zarr", layout)
        begin = time.perf_counter()
        done = [pool.submit(write_plain, "s3://bench/plain.zarr", layout, i) for i in layout.items]
        for each in done:
            each.result()
        seconds = time.perf_counter() - begin
    print(
        f"S3 server on loopback, {items} items: plain Zarr {1000 * seconds / items:.0f} ms an item"
    )
    seconds, merging, _ = forks((endpoint, "bench", "forks"), layout, count)
    print(f"  Icechunk, forks: {1000 * seconds / items:.0f} ms an item, merge {merging:.2f} s")
    seconds = commits((endpoint, "bench", "commits"), layout, count, items)
    print(f"  Icechunk, a commit for each item: {1000 * seconds / items:.0f} ms an item")
    server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-s3", action="store_true")
    given = parser.parse_args()
    print(f"icechunk {icechunk.__version__}, zarr {zarr.__version__}, xarray {xr.__version__}")
    library = Path(icechunk.__file__).parent
    print(f"installed: {stored(library)}")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        print(f"a repository in a folder: {told_of_local_disks(folder)}")
        for name, layout in LAYOUTS.items():
            measure(name, layout, folder, given.workers)
    if not given.no_s3:
        measure_s3(Layout(60, 150, 30, 2), given.workers)


if __name__ == "__main__":
    main()
