"""What reading the header of a MODIS granule costs in CPU milliseconds, beside pyhdf's own way.

Both ways in turns on the granules that are named, by default on a made MOD09GA tile; medians.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pyhdf.SD import SD

from upscale.archives.formats.hdf4 import read_header
from upscale.testing.archives import BOX
from upscale.testing.scenes import write_mod09ga

TURNS = 15


def by_pyhdf(path: str) -> None:
    """All attributes of a file and its datasets, as pyhdf reads them."""
    file = SD(path)
    file.attributes()
    for name in file.datasets():
        file.select(name).attributes()
    file.end()


def cpu(work: Callable[[str], object], path: str) -> float:
    """CPU milliseconds of one call."""
    begin = time.process_time()
    work(path)
    return 1e3 * (time.process_time() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("granules", nargs="*", type=Path)
    granules = parser.parse_args().granules
    with tempfile.TemporaryDirectory() as folder:
        if not granules:
            day = dt.date(2019, 3, 1)
            granules = [write_mod09ga(Path(folder), BOX, BOX.tiles[0], day)]
        for path in map(str, granules):
            turns = [(cpu(by_pyhdf, path), cpu(read_header, path)) for _ in range(TURNS)]
            theirs, ours = (statistics.median(column) for column in zip(*turns, strict=True))
            print(f"{Path(path).name}: pyhdf {theirs:.1f} ms, read_header {ours:.1f} ms, "
                  f"ratio {theirs / ours:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
