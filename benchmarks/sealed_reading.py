"""What it costs that drivers are sealed: digests, checksums, verified reading, identities.

    OMP_NUM_THREADS=1 python benchmarks/sealed_reading.py [--turns 9]

A driver cube like that of an ingest (chunks of 30 days x 100 x 100 cells, six drivers at 0.1
degree and four satellite series with their flags at 0.05 degree, four tiles, one year) is written
to a temporary folder. Arrangements take turns (A B A B); printed are medians of CPU seconds, and
the median of the ratios of neighbours with (largest - smallest) / median of these ratios.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from upscale.drivers.cube import DriverCube, SeriesGroup, open_cube
from upscale.drivers.identity import read_identities
from upscale.drivers.tiles import read_features, read_surface
from upscale.drivers.writer import (
    SeriesSpec,
    create_cube,
    create_series,
    seal,
    write_series,
    write_static,
)
from upscale.grid import Grid, load_grid
from upscale.stores.arrays import shuffled
from upscale.stores.manifest import ArrayManifest, Manifest
from upscale.variables import variable

PRODUCT = load_grid("global-0p05").crop(slice(700, 900), slice(3700, 3900))
NODES = load_grid("era5-land-0p1").crop(slice(345, 456), slice(1845, 1956))
FIRST, DAYS, CHUNK = 4380, 360, (30, 100, 100)
METEO = ("ta", "sw_in", "vpd", "p", "lw_in", "ws")
SEEN = ("ndvi", "evi", "nirv", "fapar")


def smooth(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Values between 0 and 1 that change little from cell to cell and day to day."""
    days, rows, cols = (np.arange(n, dtype=np.float32) for n in shape)
    noise = np.random.default_rng(seed).random(shape, np.float32)
    wave = np.sin(days / 58)[:, None, None] + np.cos(rows / 9)[:, None] * np.sin(cols / 7 + seed)
    return np.asarray((wave + 2) / 4 * 0.95 + 0.05 * noise, np.float32)


def write(url: str) -> None:
    create_cube(url, title="made", source="benchmark", day_definition="utc")
    land_share = np.full(PRODUCT.shape, 100.0)
    classes = np.ones(PRODUCT.shape, int)
    write_static(url, PRODUCT, igbp=classes, koppen=classes, sftlf=land_share, elevation=land_share)
    for group, grid, names in (("meteo", NODES, METEO), ("satellite", PRODUCT, SEEN)):
        land = np.ones(grid.shape, bool) if group == "meteo" else None
        spec = SeriesSpec(group, grid, FIRST, DAYS, names, chunk=CHUNK, growing=True)  # type: ignore[arg-type]
        create_series(url, spec, land)
        for seed, name in enumerate(names):
            row, share = variable(name), smooth((DAYS, *grid.shape), seed)
            values = row.valid_min + (row.valid_max - row.valid_min) * share
            flags = share > 0.6 if group == "satellite" else None
            write_series(url, group, name, (0, 0, 0), values, flags)


def in_turns(one: Callable[[], Any], other: Callable[[], Any], turns: int) -> str:
    """Medians of two arrangements that take turns, and of the ratio of the second to the first."""
    spent: tuple[list[float], list[float]] = ([], [])
    for turn in range(turns + 1):
        for way, seconds in zip((one, other), spent, strict=True):
            start = time.process_time()
            way()
            if turn:  # the first turn loads code and fills the cache of the disk
                seconds.append(time.process_time() - start)
    ratios = np.array(spent[1]) / np.array(spent[0])
    middle = float(np.median(ratios))
    a, b = (1000 * float(np.median(seconds)) for seconds in spent)
    return f"{a:8.1f} ms {b:8.1f} ms   x {middle:.3f} ({100 * np.ptp(ratios) / middle:.0f} %)"


def plainly(cube: DriverCube, url: str) -> DriverCube:
    """The same cube, read without its manifest."""
    root: Any = zarr.open_group(url, mode="r")
    series = {
        name: replace(group, arrays=dict(root[name].arrays()))
        for name, group in cube.series.items()
    }
    return replace(cube, series=series, static=dict(root["static"].arrays()), manifest=None)


def reading(url: str, turns: int) -> None:
    sealed = open_cube(url)
    plain = plainly(sealed, url)
    tile = slice(0, 100), slice(0, 100)
    surface = read_surface(sealed, *tile)

    def read(cube: DriverCube) -> Callable[[], Any]:
        return lambda: read_features(cube, surface, METEO + SEEN, FIRST, DAYS)

    def chunks(cube: DriverCube) -> Callable[[], Any]:
        return lambda: [cube.series["meteo"].arrays[name][...] for name in METEO]

    print("                                  unverified    verified")
    print("features of a tile and a year  ", in_turns(read(plain), read(sealed), turns))
    print("chunks of six drivers alone    ", in_turns(chunks(plain), chunks(sealed), turns))


def checksums(folder: Path, turns: int) -> None:
    """Packed values of a year with and without a checksum in the chain of codecs."""
    values = (smooth((DAYS, 200, 200), 1) * 30_000).astype(np.int16)
    blosc = shuffled(np.int16)[0]  # type: ignore[index]
    chains = {"Blosc": blosc, "Blosc and crc32c": (blosc, Crc32cCodec()),
              "Zstd": ZstdCodec(level=0, checksum=False),
              "Zstd with checksum": ZstdCodec(level=0, checksum=True)}  # fmt: skip
    arrays = {
        name: zarr.create_array(
            str(folder / name), shape=values.shape, dtype=values.dtype, chunks=CHUNK,
            compressors=codec,
        )
        for name, codec in chains.items()
    }  # fmt: skip

    def write_to(name: str) -> Callable[[], None]:
        return lambda: arrays[name].__setitem__(slice(None), values)

    def read_from(name: str) -> Callable[[], Any]:
        return lambda: arrays[name][...]

    print("\n                                  without        with a checksum")
    for one, other in (("Blosc", "Blosc and crc32c"), ("Zstd", "Zstd with checksum")):
        print(f"write, {one:24}", in_turns(write_to(one), write_to(other), turns))
        print(f"read, {one:25}", in_turns(read_from(one), read_from(other), turns))


def digests(turns: int) -> None:
    """Megabytes per second of what the standard library offers, on a chunk of 200 kB."""
    content = np.random.default_rng(0).bytes(200_000)
    ways: dict[str, Callable[[], bytes]] = {
        "sha256": lambda: hashlib.sha256(content).digest(),
        "sha1": lambda: hashlib.sha1(content).digest(),
        "blake2b, 16 bytes": lambda: hashlib.blake2b(content, digest_size=16).digest(),
        "sha512": lambda: hashlib.sha512(content).digest(),
        "md5": lambda: hashlib.md5(content).digest(),
    }
    print("\ndigest              MB/s")
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            start = time.process_time()
            for _ in range(50):
                way()
            spent[name].append(time.process_time() - start)
    for name, seconds in spent.items():
        print(f"{name:18} {50 * len(content) / float(np.median(seconds)) / 1e6:6.0f}")


def sealing(url: str, turns: int) -> None:
    stored = sum(file.stat().st_size for file in Path(url).rglob("c/**/*") if file.is_file())
    spent = []
    for _ in range(turns):
        start = time.process_time()
        seal(url)
        spent.append(time.process_time() - start)
    manifest = open_cube(url).manifest
    assert manifest is not None
    count = sum(int(array.stored.sum()) for array in manifest.arrays.values())
    middle = float(np.median(spent))
    print(
        f"\nsealing {count:,} chunks of {stored / 1e6:.0f} MB: {1000 * middle:.0f} ms of CPU, "
        f"{stored / middle / 1e6:.0f} MB/s"
    )


class Laid:
    """An array of a cube that is too large to write: its chunks and no values."""

    def __init__(self, chunks: tuple[int, ...]) -> None:
        self.chunks, self.metadata = chunks, self
        self.attrs: dict[str, Any] = {}

    def to_dict(self) -> dict[str, Any]:
        return {}

    def __getitem__(self, _: Any) -> NDArray[np.uint8]:
        return np.ones((1801, 3600), np.uint8)


def decade() -> DriverCube:
    """A decade of the globe at 0.05 degree, as its manifest alone."""
    product, nodes, count = load_grid("global-0p05"), load_grid("era5-land-0p1"), 3653
    random, blocks = np.random.default_rng(0), -(-3653 // CHUNK[0])

    def made(grid: Grid) -> ArrayManifest:
        shape = blocks, -(-grid.rows // CHUNK[1]), -(-grid.cols // CHUNK[2])
        return ArrayManifest(b"", random.integers(0, 256, (*shape, 16), np.uint8))

    seen = [name + part for name in SEEN for part in ("", "_filled")]
    listed = {f"meteo/{n}": made(nodes) for n in METEO} | {
        f"satellite/{n}": made(product) for n in seen
    }
    laid: dict[str, Any] = {name: Laid(CHUNK) for name in (*METEO, "land", *seen)}
    meteo = SeriesGroup("meteo", nodes, 0, count, {n: laid[n] for n in (*METEO, "land")})
    satellite = SeriesGroup("satellite", product, 0, count, {n: laid[n] for n in seen})
    series = {"meteo": meteo, "satellite": satellite}
    return DriverCube("decade", {}, product, {}, series, Manifest({}, listed))


def identities() -> None:
    cube = decade()
    assert cube.manifest is not None
    listed = sum(a.digests.size // 16 for a in cube.manifest.arrays.values())
    tiles = [
        (slice(row, row + 100), slice(col, col + 100))
        for row in range(0, 3600, 100) for col in range(0, 7200, 100)
    ]  # fmt: skip
    seconds = []
    for block in range(11):
        start = time.process_time()
        read_identities(cube, cube.grid, tiles, METEO + SEEN, 360 * block - 30, 420, {"ndvi": 8})
        seconds.append(time.process_time() - start)
    print(
        f"\nidentities of {11 * len(tiles):,} items over {listed:,} chunks: {sum(seconds):.2f} s, "
        f"of which the first block takes {seconds[0]:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=9)
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as folder:
        url = str(Path(folder) / "drivers.zarr")
        write(url)
        seal(url)
        reading(url, turns)
        checksums(Path(folder), turns)
        digests(turns)
        sealing(url, turns)
    identities()


if __name__ == "__main__":
    main()
