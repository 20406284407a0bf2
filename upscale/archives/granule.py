"""The contents of an archive file as values: a description and its layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Description:
    """A file as its header describes it.

    `file` is the file name without folders; `grid` describes the grid in words; `date` is an ISO
    date, `first/last` for a period, "" for a file without a date; `variables` are the names of
    its layers. `believes`: what is taken for certain about its numbers, and why, such as the legend
    of classes.
    """

    file: str
    product: str
    collection: str
    grid: str
    date: str
    variables: tuple[str, ...]
    believes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Layer:
    """One variable of a file in physical units.

    `values`: (row, col) or (time, row, col), float32 (float64 where 32-bit codes need it), NaN
    for fill values and outside the valid range.
    `usable`: True where the default QA of the product accepts the value, same shape as `values`;
    None where the product has no QA for this variable.
    `codes`: the values are codes, packed bits or dates, of which no mean may be taken.
    """

    name: str
    units: str
    values: NDArray[np.floating[Any]]
    usable: NDArray[np.bool_] | None = None
    codes: bool = False

    def __post_init__(self) -> None:
        if self.usable is not None and self.usable.shape != self.values.shape:
            raise ValueError(
                f"layer {self.name}: expected QA of shape {self.values.shape}, "
                f"found {self.usable.shape}"
            )
