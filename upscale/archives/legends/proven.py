"""Which legend the codes of a Koeppen-Geiger map prove, by where on Earth they stand.

`koppen_places.txt` lists for each box of 5 degrees the classes that occur in it (made by
`benchmarks/koppen_places.py` from the map of Beck et al. (2023), CC BY 4.0). A legend fits where
its classes stand where such climates are; it is proven where it fits and no other reading does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upscale.archives.legends.known import KOPPEN_LEGENDS, Legend
from upscale.variables import KOPPEN, class_code

Bools = NDArray[np.bool_]

#: Edge of a box of the table, degrees.
BOX = 5

PLACES = Path(__file__).with_name("koppen_places.txt")

#: Share in its place from which a legend fits, and up to which one does not.
FITS, STRANGE = 0.95, 0.8

#: Share of the pixels from which a class counts by itself.
_LEAST_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class MapSample:
    """Pixels of a map: codes `(row, col)`, latitudes `(row,)` and longitudes `(col,)`."""

    codes: NDArray[np.generic]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]

    @property
    def turned(self) -> MapSample:
        """The same map upside down."""
        return MapSample(self.codes, -self.lat, self.lon)


@lru_cache(maxsize=1)
def places() -> Bools:
    """Whether a class occurs in a box: `(row, col, class)`, from 90 S and 180 W, class 0 never."""
    known = np.zeros((180 // BOX, 360 // BOX, len(KOPPEN) + 1), bool)
    for line in PLACES.read_text().splitlines():
        if line.startswith("#"):
            continue
        south, *boxes = line.split(",")
        for west, *names in map(str.split, boxes):
            box = (int(south) + 90) // BOX, (int(west) + 180) // BOX
            known[(*box, [class_code(KOPPEN, name) for name in names])] = True
    return known


def in_place(sample: MapSample, legend: Legend) -> float:
    """Share of the pixels, or of the classes if it is smaller, that stand where they may; else NaN.

    A pixel does where, within half a box, its class occurs; a class where half its pixels do. So a
    class that covers a map does not hide others that are out of place. Classes of less than a
    hundredth of the pixels do not count, and NaN is returned where no pixel has a class.
    """
    wanted = np.array([legend.means(code) for code in range(256)])
    classes = wanted[sample.codes.astype(np.uint8)]
    near = np.zeros(classes.shape, bool)
    for down in (-BOX / 2, BOX / 2):
        rows = np.clip(((sample.lat + 90 + down) // BOX).astype(int), 0, 180 // BOX - 1)
        for across in (-BOX / 2, BOX / 2):
            cols = ((sample.lon + 180 + across) % 360 // BOX).astype(int) % (360 // BOX)
            near |= places()[rows[:, None], cols[None, :], classes]
    some = classes > 0
    if not some.any():
        return float("nan")
    pixels = np.bincount(classes[some])
    right = np.bincount(classes[some & near], minlength=pixels.size)
    frequent = pixels >= max(1, _LEAST_SHARE * pixels.sum())
    of_classes = (right >= pixels / 2)[frequent].mean()
    return float(min(right.sum() / pixels.sum(), of_classes))


def readings(held: Iterable[int]) -> dict[str, Legend]:
    """Known legends that have all codes of a map, one of those that read it alike."""
    codes, found, seen = sorted(held), {}, set()
    for name, legend in KOPPEN_LEGENDS.items():
        read = tuple(legend.means(code) for code in codes)
        if set(codes) <= set(legend.classes) and read not in seen:
            seen.add(read)
            found[name] = legend
    return found


def fits(sample: MapSample, held: Iterable[int]) -> Mapping[str, float]:
    """By known legend that has all codes: the share of pixels in their places."""
    return {name: in_place(sample, legend) for name, legend in readings(held).items()}


def proven_legend(sample: MapSample, held: Iterable[int]) -> Legend | None:
    """The only known legend that fits the places of the codes; None where none or several do."""
    held = set(held)
    shares = fits(sample, held)
    best = max(shares, key=lambda name: shares[name], default=None)
    if best is None or not shares[best] >= FITS:
        return None
    others = [share for name, share in shares.items() if name != best]
    if any(share > STRANGE for share in others):
        return None
    reason = f"{100 * shares[best]:.0f} % of its classes stand where such climates are"
    if others:
        reason += f", by the next legend {100 * max(others):.0f} %"
    return Legend(best, KOPPEN_LEGENDS[best].classes, reason)
