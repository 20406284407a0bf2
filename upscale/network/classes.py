"""Class codes of a place as the one-hots that the encoder reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from upscale.variables import IGBP, KOPPEN


@dataclass(frozen=True)
class Classes:
    """The classes that a model has seen in training, by name and in the order of its one-hots.

    Each list is followed by one column for everything else ("unknown"): code 0 and classes
    that were not seen. ValueError on names outside the legends or given twice.
    """

    igbp: tuple[str, ...]
    koppen: tuple[str, ...]

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        _check("igbp", self.igbp, IGBP)
        _check("koppen", self.koppen, KOPPEN)

    @property
    def width(self) -> int:
        """Columns of the one-hots."""
        return len(self.igbp) + len(self.koppen) + 2

    def columns(self, codes: NDArray[np.integer]) -> NDArray[np.int64]:
        """The two columns `(pixel, 2)` that are 1, for codes `(pixel, 2)` (igbp, koppen)."""
        igbp = _column(codes[:, 0], self.igbp, IGBP)
        koppen = _column(codes[:, 1], self.koppen, KOPPEN)
        return np.stack([igbp, koppen + len(self.igbp) + 1], axis=1)

    def onehot(self, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """One-hots `(pixel, width)` of codes `(pixel, 2)` (igbp, koppen), 0 = unknown."""
        out = np.zeros((len(codes), self.width), np.float32)
        np.put_along_axis(out, self.columns(codes), 1, axis=1)
        return out

    def unknown(self, codes: NDArray[np.integer]) -> NDArray[np.bool_]:
        """`(pixel,)` True where either class of `(pixel, 2)` was not seen in training."""
        last = [len(self.igbp), self.width - 1]
        return np.asarray((self.columns(codes) == last).any(axis=1))


def seen_classes(codes: NDArray[np.integer]) -> Classes:
    """The classes that occur in codes `(place, 2)` (igbp, koppen), in the legends' order."""
    igbp, koppen = (
        tuple(name for code, name in enumerate(legend, 1) if code in set(codes[:, i].tolist()))
        for i, legend in enumerate((IGBP, KOPPEN))
    )
    return Classes(igbp, koppen)


def _column(
    codes: NDArray[np.integer], names: Sequence[str], legend: Sequence[str]
) -> NDArray[np.int64]:
    """Position of each code's class in `names`, `len(names)` where it is not among them."""
    table = np.full(len(legend) + 1, len(names), np.int64)
    for position, name in enumerate(names):
        table[legend.index(name) + 1] = position
    known = (codes >= 0) & (codes <= len(legend))
    return np.asarray(table[np.where(known, codes, 0)])


def _check(kind: str, names: Sequence[str], legend: Sequence[str]) -> None:
    strange = [name for name in names if name not in legend]
    if strange or len(set(names)) != len(names):
        raise ValueError(
            f"expected each {kind} class once, from {', '.join(legend)}; found "
            f"{', '.join(strange or names)}: correct the list of classes"
        )
