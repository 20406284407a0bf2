"""What a file of an archive holds, as values: a description and its layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Description:
    """What a file is, read from its header alone.

    `file` is the name of the file without its folders; `grid` says in words on which cells its
    values lie; `date` is an ISO date, `first/last` for a period, "" for what has no date;
    `variables` are the names of its layers.
    """

    file: str
    product: str
    collection: str
    grid: str
    date: str
    variables: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Layer:
    """One variable of a file in physical units.

    `values`: (row, col) or (time, row, col), float32 (float64 where 32-bit codes need it), NaN
    where the file has its fill or a value outside the valid range.
    `usable`: True where the default QA of the product accepts the value, same shape as `values`;
    None where the product has no QA for this variable.
    """

    name: str
    units: str
    values: NDArray[np.floating[Any]]
    usable: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.usable is not None and self.usable.shape != self.values.shape:
            raise ValueError(
                f"layer {self.name}: expected QA of shape {self.values.shape}, "
                f"found {self.usable.shape}"
            )
