"""How a flux cube packs and how it is read: codecs, kept bits, chunks, on the values of a run.

Takes a store of a run, such as the one of `upscale demo`, and writes its arrays again in memory
under each candidate. Prints bytes, seconds of processor time to pack and unpack (the smaller of
two turns), the error of rounding beside the spread of the ensemble, and, from the layout alone,
the requests and bytes of two readings of a global decade at 0.05 degrees: one day of the globe,
and one cell of all days.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.storage import MemoryStore

from upscale.product.reader import CellSlices, open_flux_cube

ARRAYS = ("gpp", "nee", "gpp_sd", "quality", "filled_share")
#: Explicit bits of the mantissa of a float32.
MANTISSA = 23
#: Kept bits of the mantissa that are tried; 23 is all of them.
BITS = (23, 12, 10, 8)


def codecs(size: int) -> dict[str, list[Any]]:
    """The candidates by name; size: bytes of a value."""
    found: dict[str, list[Any]] = {
        f"zstd {level}": [ZstdCodec(level=level, checksum=True)] for level in (1, 3, 5)
    }
    for shuffle in ("shuffle", "bitshuffle"):
        for level in (1, 3, 5):
            blosc = BloscCodec(typesize=size, cname="zstd", clevel=level, shuffle=shuffle)
            found[f"{shuffle} + zstd {level}"] = [blosc, Crc32cCodec()]
    return found


def stored(values: NDArray[Any], codec: Sequence[Any], chunks: Sequence[int]) -> Any:
    """An array in memory that holds the values; returns it with bytes and processor seconds."""
    fill = np.nan if values.dtype.kind == "f" else 0
    best = [np.inf, np.inf]
    for _ in range(2):
        store = MemoryStore()
        array: Any = zarr.create_array(
            store, shape=values.shape, dtype=values.dtype, chunks=chunks, compressors=codec,
            fill_value=fill,
        )  # fmt: skip
        begin = time.process_time()
        array[...] = values
        middle = time.process_time()
        array[...]
        best = [min(best[0], middle - begin), min(best[1], time.process_time() - middle)]
    return array.nbytes_stored(), *best


def rounded(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """The values, same shape, with `bits` explicit bits of the mantissa, 1 to 23.

    To the nearest, ties to even: the relative error is at most 2 ** -(bits + 1). NaN stays NaN,
    whatever its bits, and what would round to infinity is left as it is.
    """
    drop = MANTISSA - bits
    if not drop:
        return values.copy()
    raw = np.ascontiguousarray(values, np.float32).view(np.uint32)
    half = np.uint32((1 << (drop - 1)) - 1) + ((raw >> np.uint32(drop)) & np.uint32(1))
    short = ((raw + half) & np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)).view(np.float32)
    return np.where(np.isfinite(values) & np.isfinite(short), short, values)


def packing(values: dict[str, NDArray[Any]], chunks: Sequence[int]) -> None:
    """Bytes and seconds of every array under every codec."""
    print("codec, then per array: bytes per value of land, MB/s packed, MB/s unpacked")
    land = int(np.isfinite(values["gpp"]).sum())
    for name in codecs(4):
        cells = []
        for array, field in values.items():
            size, write, read = stored(field, codecs(field.dtype.itemsize)[name], chunks)
            mb = field.nbytes / 1e6
            cells.append(f"{array} {size / land:.3f} {mb / write:.0f} {mb / read:.0f}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def rounding(values: dict[str, NDArray[Any]], chunks: Sequence[int], spread: str) -> None:
    """Bytes and errors of kept bits, under bytes that are shuffled."""
    codec = codecs(4)["shuffle + zstd 3"]
    print("bits, array, bytes per value, largest relative error, error / spread: median, 99 %")
    for name in ("gpp", "nee", "gpp_sd"):
        field = values[name]
        there = np.isfinite(field) & (values[spread] > 0)
        for bits in BITS:
            short = rounded(field, bits)
            size, *_ = stored(short, codec, chunks)
            gap = np.abs(short[there].astype(np.float64) - field[there])
            large = np.abs(field[there]) > 1e-6
            relative = float((gap[large] / np.abs(field[there][large])).max())
            share = gap / values[spread][there]
            mean = abs(float((short[there].astype(np.float64) - field[there]).mean()))
            print(
                f"| {bits} | {name} | {size / there.sum():.3f} | {relative:.1e} | "
                f"{np.median(share):.1e} | {np.quantile(share, 0.99):.1e} | shift {mean:.1e} |"
            )


def reading(rate: float) -> None:
    """Requests and bytes of a global day and of one cell's decade, for shards of 360 days.

    rate: bytes per value stored, the oceans included.
    """
    rows, cols, days = 3600, 7200, 3653
    blocks = -(-days // 360)
    print("tile, chunk, objects of an array, global day: requests MB, one cell: requests MB")
    for tile in (100, 200, 400):
        for edge, count in ((100, 30), (100, 15), (50, 120), (200, 10), (50, 30)):
            if tile % edge:
                continue
            tiles = (rows // tile) * (cols // tile)
            chunk = count * edge**2 * rate
            inside = (tile // edge) ** 2
            day = tiles * inside + tiles  # a chunk of each place, an index of each shard
            series = blocks * (1 + 360 // count)
            print(
                f"| {tile} | {count} x {edge} x {edge} | {tiles * blocks} | {day} | "
                f"{tiles * inside * chunk / 1e6:.0f} | {series} | "
                f"{blocks * (360 // count) * chunk / 1e6:.1f} |"
            )


def main() -> None:
    """Measure on the arrays of a store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--first", type=int, default=150)
    given = parser.parse_args()
    cube = open_flux_cube(given.store)
    cells = CellSlices(slice(0, cube.grid.rows), slice(0, cube.grid.cols))
    days = slice(given.first, given.first + given.days)
    values = {name: cube.daily(name, days, cells) for name in ARRAYS}
    chunks = (30, min(100, cube.grid.rows), min(100, cube.grid.cols))
    land = np.isfinite(values["gpp"]).mean()
    print(f"{cube.url}: {given.days} days on {cube.grid.shape}, {land:.0%} with values")
    packing(values, chunks)
    rounding(values, chunks, "gpp_sd")
    size, *_ = stored(values["gpp"], codecs(4)["shuffle + zstd 3"], chunks)
    reading(size / values["gpp"].size)


if __name__ == "__main__":
    main()
