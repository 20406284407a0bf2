"""Colour maps that are even to the eye, made in the OKLab space, and the greys of a map.

Lightness runs linearly along a sequential map and falls off evenly on both sides of a
diverging one, so that no step of colour suggests a step in the data. Teal against brown stays
apart for people with any of the common colour deficiencies. Source of OKLab: B. Ottosson (2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from matplotlib.colors import ListedColormap, to_rgb
from numpy.typing import NDArray

Colours = NDArray[np.float64]

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)

#: Colours of cells without a value, by the reason.
WATER = "#e9eef2"
ICE = "#c3ced8"
NO_VALUE = "#b5b0a8"
STRIPE = "#8f8a82"
OUTSIDE = "#fbfbfa"

#: Colours of text and of lines: of what is read first, of notes and frames, of ticks and axes,
#: of lines behind the data, and of what must not be missed.
INK = "#2b2b2b"
NOTE = "#5f666d"
FAINT = "#8a8f94"
RULE = "#d9dcdf"
WARNING = "#b3261e"

_ANCHORS: dict[str, tuple[str, ...]] = {
    "gpp": ("#f6efcf", "#c3d68b", "#6fae5f", "#23804f", "#0b4a3a"),
    "reco": ("#f8efd6", "#f0c987", "#dc8d4b", "#b0522f", "#6b2420"),
    "spread": ("#f3eff5", "#cdbfe0", "#9f8bc4", "#6f55a3", "#3d2570"),
}
_SINK = ("#f5f2ea", "#a9d3cb", "#4fa89d", "#13736f", "#043f42")
_SOURCE = ("#f5f2ea", "#eac9a0", "#cf8f4e", "#97571f", "#562b08")


@lru_cache
def colour_map(name: str) -> ListedColormap:
    """The map of `gpp`, `reco`, `nee` (teal = sink, brown = source) or `spread`."""
    if name != "nee":
        return ListedColormap(_even(_ANCHORS[name], 256), name=f"upscale-{name}")
    sink, source = _even(_SINK, 128), _even(_SOURCE, 128)
    return ListedColormap(np.vstack([sink[::-1], source]), name="upscale-nee")


def _even(anchors: Sequence[str], count: int) -> Colours:
    """`count` colours `(colour, rgb)` through the anchors, with lightness even."""
    lab = _to_oklab(np.array([to_rgb(anchor) for anchor in anchors]))
    lightness = np.linspace(lab[0, 0], lab[-1, 0], count)
    order = np.argsort(lab[:, 0])
    ab = [np.interp(lightness, lab[order, 0], lab[order, axis]) for axis in (1, 2)]
    return _from_oklab(np.stack([lightness, *ab], axis=1))


def _to_oklab(rgb: Colours) -> Colours:
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    lab: Colours = np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T
    return lab


def _from_oklab(lab: Colours) -> Colours:
    linear = (lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_LMS).T
    linear = np.clip(linear, 0, 1)
    gamma = 1.055 * linear ** (1 / 2.4) - 0.055
    rgb: Colours = np.where(linear > 0.0031308, gamma, 12.92 * linear)
    return np.clip(rgb, 0, 1)


def lightness(colours: Colours) -> NDArray[np.float64]:
    """OKLab lightness `(colour,)` of sRGB colours `(colour, 3)`."""
    return _to_oklab(colours)[:, 0]
