"""Training curves: one line for each epoch of each member, as CSV and as a figure."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from upscale.stores.broken import refusing

CURVES = "curves.csv"
FIGURE = "curves.png"


@dataclass(frozen=True)
class Epoch:
    """One line of a curve.

    loss: weighted mean square of the scaled fluxes, or the loss of the pretraining; balance:
    mean square of NEE - (RECO - GPP), (g m-2 d-1)^2, while learning; validation: mean scaled
    RMSE at towers of clusters not learned from, or the loss of the pretraining there; best:
    whether no earlier epoch of the stage was better; seconds: of wall time.
    """

    stage: str
    epoch: int
    loss: float
    balance: float
    validation: float
    best: bool = False
    seconds: float = field(default=0.0, compare=False)


#: Columns of `curves.csv`; `step` counts the epochs of a member through its stages.
COLUMNS = (
    "member", "seed", "step", "stage", "epoch", "loss", "balance", "validation", "best", "seconds",
)  # fmt: skip

Curve = Sequence[Epoch]


def curve_table(curves: Sequence[Curve], seeds: Sequence[int]) -> pd.DataFrame:
    """All epochs of all members, in order, with the columns `COLUMNS`."""
    rows = [
        {"member": member, "seed": seed, "step": step, **asdict(epoch)}
        for member, (curve, seed) in enumerate(zip(curves, seeds, strict=True))
        for step, epoch in enumerate(curve)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def curve_csv(table: pd.DataFrame) -> str:
    """The text of `curves.csv`."""
    text = io.StringIO()
    rounded = table.assign(seconds=table["seconds"].round(1))
    rounded.to_csv(text, index=False, float_format="%.6g", lineterminator="\n")
    return text.getvalue()


def read_curves(path: str | Path) -> pd.DataFrame:
    """Read `curves.csv`; ValueError where it has other columns."""
    with refusing(str(path), "the CSV file of training curves", ValueError):
        table = pd.read_csv(path)
    if tuple(table.columns) != COLUMNS:
        raise ValueError(
            f"{path}: expected the columns {', '.join(COLUMNS)}, found "
            f"{', '.join(table.columns)[:500]}: take the curves.csv that training wrote"
        )
    return table
