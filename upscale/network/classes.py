"""Class codes of a place as the one-hot vectors that the encoder reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from upscale.variables import IGBP, KOPPEN

#: The main groups of Koeppen and Geiger: the first letters of their classes.
MAIN_GROUPS = ("A", "B", "C", "D", "E")


@dataclass(frozen=True)
class Classes:
    """The classes that a model has seen in training, by name and in the order of its one-hots.

    igbp, koppen: each list is followed by one "unknown" column for code 0 and for classes not
    seen in training. main_groups: columns between the two lists, 1 for the main group of the
    Koeppen class. unknown_columns: False for a model without "unknown" columns, in which an
    unlisted class is all zeros. ValueError for a name that is outside the legend or repeated.
    """

    igbp: tuple[str, ...]
    koppen: tuple[str, ...]
    main_groups: tuple[str, ...] = ()
    unknown_columns: bool = True

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    def __post_init__(self) -> None:
        _check("igbp", self.igbp, IGBP)
        _check("koppen", self.koppen, KOPPEN)
        _check("main group of koppen", self.main_groups, MAIN_GROUPS)

    @property
    def width(self) -> int:
        """Columns of the one-hots."""
        listed = len(self.igbp) + len(self.main_groups) + len(self.koppen)
        return listed + 2 * self.unknown_columns

    def onehot(self, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """One-hots `(pixel, width)` of codes `(pixel, 2)` (igbp, koppen), 0 = unknown."""
        main = _groups(codes[:, 1])
        parts = (
            self._part(codes[:, 0], self.igbp, IGBP),
            _indicators(_positions(main, self.main_groups, MAIN_GROUPS), len(self.main_groups)),
            self._part(codes[:, 1], self.koppen, KOPPEN),
        )
        return np.concatenate(parts, axis=1)

    def unknown(self, codes: NDArray[np.integer]) -> NDArray[np.bool_]:
        """`(pixel,)` True where either class of `(pixel, 2)` was not seen in training."""
        igbp = _positions(codes[:, 0], self.igbp, IGBP) == len(self.igbp)
        koppen = _positions(codes[:, 1], self.koppen, KOPPEN) == len(self.koppen)
        return np.asarray(igbp | koppen)

    def _part(
        self, codes: NDArray[np.integer], names: Sequence[str], legend: Sequence[str]
    ) -> NDArray[np.float32]:
        width = len(names) + self.unknown_columns
        return _indicators(_positions(codes, names, legend), width)


def seen_classes(codes: NDArray[np.integer]) -> Classes:
    """The classes that occur in codes `(place, 2)` (igbp, koppen), in the legends' order."""
    igbp, koppen = (
        tuple(name for code, name in enumerate(legend, 1) if code in set(codes[:, i].tolist()))
        for i, legend in enumerate((IGBP, KOPPEN))
    )
    return Classes(igbp, koppen)


def _groups(koppen: NDArray[np.integer]) -> NDArray[np.int64]:
    """Code 1..5 of the main group of each Koeppen code, 0 = unknown."""
    table = np.array([0, *(MAIN_GROUPS.index(name[0]) + 1 for name in KOPPEN)], np.int64)
    known = (koppen >= 0) & (koppen <= len(KOPPEN))
    return np.asarray(table[np.where(known, koppen, 0)])


def _positions(
    codes: NDArray[np.integer], names: Sequence[str], legend: Sequence[str]
) -> NDArray[np.int64]:
    """Position of each code's class in `names`, `len(names)` where it is not among them."""
    table = np.full(len(legend) + 1, len(names), np.int64)
    for position, name in enumerate(names):
        table[legend.index(name) + 1] = position
    known = (codes >= 0) & (codes <= len(legend))
    return np.asarray(table[np.where(known, codes, 0)])


def _indicators(positions: NDArray[np.int64], width: int) -> NDArray[np.float32]:
    """`(pixel, width)`, 1 at each position `(pixel,)`; all 0 for a position beyond the width."""
    return np.asarray(positions[:, None] == np.arange(width), np.float32)


def _check(kind: str, names: Sequence[str], legend: Sequence[str]) -> None:
    strange = [name for name in names if name not in legend]
    if strange or len(set(names)) != len(names):
        raise ValueError(
            f"expected each {kind} class once, from {', '.join(legend)}; found "
            f"{', '.join(strange or names)}: correct the list of classes"
        )


#: The one-hots of the released code (Rozanov et al. 2026, arXiv 2603.09868): 16 IGBP classes by
#: their letters, 5 main groups, 30 Koeppen classes in the order of that code. Barren ground has
#: no column: its IGBP one-hots are all zero.
CARBONFLUXBENCH = Classes(
    igbp=tuple(sorted(name for name in IGBP if name != "BSV")),
    koppen=(
        "Af", "Am", "Aw", "BWh", "BWk", "BSh", "BSk", "Cfa", "Cwa", "Csa", "Csb", "Csc", "Cwb",
        "Cwc", "Cfb", "Cfc", *(name for name in KOPPEN if name[0] in "DE"),
    ),
    main_groups=MAIN_GROUPS,
    unknown_columns=False,
)  # fmt: skip
