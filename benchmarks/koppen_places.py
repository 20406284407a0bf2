"""Where climates are: makes the table that proves legends, and measures how often it can.

    python benchmarks/koppen_places.py koppen_geiger_0p1.tif            # measures
    python benchmarks/koppen_places.py koppen_geiger_0p1.tif --write    # makes the table anew

The map is that of Beck et al. (2023), doi:10.1038/s41597-023-02549-6, CC BY 4.0, for 1991 to 2020.
Cut-outs of it at random places on land are numbered in each known legend, and in a legend that
nobody knows: in an order at random. A legend may be proven rightly, proven wrongly, or asked for.
"""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import rasterio

from upscale.archives.legends.known import KOPPEN_LEGENDS
from upscale.archives.legends.proven import BOX, PLACES, MapSample, proven_legend
from upscale.variables import KOPPEN

#: Share of the land of a box that a class needs, and least number of pixels.
SHARE, LEAST = 0.002, 3
SIZES, CUT_OUTS = (5, 20, 100), 200
HEAD = """# Classes of Koeppen-Geiger by box of 5 degrees, made by benchmarks/koppen_places.py
# from the map of Beck et al. (2023) for 1991-2020, doi:10.1038/s41597-023-02549-6, CC BY 4.0
# A line is a row of boxes: its southern edge, then the western edge of each box and its classes
"""


def write(codes: np.ndarray) -> None:
    """The classes that have some share of the land of each box."""
    size = codes.shape[0] * BOX // 180
    lines = []
    for row in range(180 // BOX):
        boxes = [str(90 - (row + 1) * BOX)]
        for col in range(360 // BOX):
            box = codes[row * size : (row + 1) * size, col * size : (col + 1) * size]
            counts = np.bincount(box.ravel(), minlength=len(KOPPEN) + 1)[1:]
            held = counts >= max(LEAST, SHARE * counts.sum())
            if held.any():
                boxes.append(" ".join([str(col * BOX - 180), *np.array(KOPPEN)[held]]))
        if len(boxes) > 1:
            lines.append(",".join(boxes))
    PLACES.write_text(HEAD + "\n".join(lines) + "\n")


def numbers(name: str, random: np.random.Generator) -> np.ndarray:
    """The code of each class in a legend; of one that is not known, an order at random."""
    if name not in KOPPEN_LEGENDS:
        return np.append(0, 1 + random.permutation(len(KOPPEN)))
    classes = KOPPEN_LEGENDS[name].classes
    number = {found: code for code, found in sorted(classes.items(), reverse=True)}
    return np.array([number.get(code, 0) for code in range(len(KOPPEN) + 1)])


def outcome(true: np.ndarray, lat: np.ndarray, lon: np.ndarray, table: np.ndarray) -> str:
    """What is made of classes whose codes are in `table`."""
    codes = table[true]
    proven = proven_legend(MapSample(codes, lat, lon), set(np.unique(codes).tolist()) - {0})
    if proven is None:
        return "asked"
    read = np.array([proven.means(code) for code in range(256)])[codes]
    return "right" if (read == true).all() else "WRONG"


def measure(codes: np.ndarray, step: float) -> None:
    random = np.random.default_rng(0)
    for size in SIZES:
        places = []
        while len(places) < CUT_OUTS:
            row, col = random.integers(0, codes.shape[0] - size), random.integers(0, 3600 - size)
            if (codes[row : row + size, col : col + size] > 0).mean() >= 0.5:
                places.append((row, col))
        for name in (*KOPPEN_LEGENDS, "unknown"):
            found = Counter(
                outcome(
                    codes[row : row + size, col : col + size],
                    90 - (row + np.arange(size) + 0.5) * step,
                    -180 + (col + np.arange(size) + 0.5) * step,
                    numbers(name, random),
                )
                for row, col in places
            )
            print(
                f"{size * step:4.1f} degrees, {name:12s}: "
                + ", ".join(f"{found[kind]} {kind}" for kind in ("right", "asked", "WRONG"))
            )


def main() -> None:
    with rasterio.open(sys.argv[1]) as file:
        codes, step = file.read(1), file.res[0]
    if "--write" in sys.argv:
        write(codes)
    measure(codes, step)


if __name__ == "__main__":
    main()
