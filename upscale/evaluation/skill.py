"""How well predictions meet observations, and the row in which that is written.

`skill.csv` of a release, `compare` and `evaluate` share one row: `SKILL_COLUMNS`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from upscale.stores.broken import refusing
from upscale.variables import FLUXES


@dataclass(frozen=True)
class Skill:
    """n: days compared; rmse, bias (predicted - observed): g m-2 d-1; r2: 1 - SSE / SST."""

    n: int
    rmse: float
    r2: float
    bias: float


@dataclass(frozen=True)
class SkillRow:
    """The skill of one model for one flux of one tower."""

    tower: str
    cluster: str
    flux: str
    model: str
    split: str
    n: int
    rmse: float
    r2: float
    bias: float


#: Columns of a skill table, in order.
SKILL_COLUMNS = tuple(field.name for field in fields(SkillRow))


def skill(observed: ArrayLike, predicted: ArrayLike) -> Skill:
    """Skill over the days on which both are finite.

    observed, predicted: `(day,)`, g m-2 d-1. r2 is one minus the sum of squared errors over
    the sum of squares about the mean of the observations: unclipped, NaN where the
    observations do not vary; everything is NaN where no day is left.
    """
    seen, made = np.asarray(observed, np.float64), np.asarray(predicted, np.float64)
    both = np.isfinite(seen) & np.isfinite(made)
    seen, error = seen[both], (made - seen)[both]
    if not seen.size:
        return Skill(0, np.nan, np.nan, np.nan)
    total = float(((seen - seen.mean()) ** 2).sum())
    squared = float((error**2).sum())
    r2 = 1 - squared / total if total > 0 else np.nan
    return Skill(int(seen.size), float(np.sqrt(squared / seen.size)), r2, float(error.mean()))


def skill_rows(
    observed: ArrayLike, predicted: ArrayLike, tower: str, cluster: str, model: str, split: str
) -> list[SkillRow]:
    """One row per flux; observed, predicted: `(day, 3)` gpp, reco, nee, NaN = not compared."""
    seen, made = np.asarray(observed), np.asarray(predicted)
    return [
        SkillRow(tower, cluster, flux, model, split, **asdict(skill(seen[:, i], made[:, i])))
        for i, flux in enumerate(FLUXES)
    ]


def skill_table(rows: Iterable[SkillRow]) -> pd.DataFrame:
    """Rows as a table with the columns `SKILL_COLUMNS`."""
    return pd.DataFrame([asdict(row) for row in rows], columns=list(SKILL_COLUMNS))


def skill_csv(table: pd.DataFrame) -> str:
    """A skill table as the text of a CSV file, four decimals."""
    return table.to_csv(index=False, float_format="%.4f")


def skill_json(table: pd.DataFrame) -> str:
    """A skill table as a JSON list of rows; what is not a number is null."""
    rows = table[list(SKILL_COLUMNS)].to_dict("records")
    plain = [{key: None if value != value else value for key, value in row.items()} for row in rows]
    return json.dumps(plain, indent=1, allow_nan=False) + "\n"


def read_skill(path: str | Path) -> pd.DataFrame:
    """Read a skill table; ValueError where its columns are not `SKILL_COLUMNS`."""
    with refusing(str(path), "the CSV file of a skill table", ValueError):
        table = pd.read_csv(path)
    if tuple(table.columns) != SKILL_COLUMNS:
        raise ValueError(
            f"{path}: expected the columns {', '.join(SKILL_COLUMNS)}, "
            f"found {', '.join(table.columns)[:500]}; take the file that training wrote"
        )
    for name in ("n", "rmse", "r2", "bias"):
        with refusing(f"{path}: column {name}", "numbers", ValueError):
            table[name] = pd.to_numeric(table[name])
    return table


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Skill over towers, one row per model and flux, every tower counting the same.

    Columns: model, flux, towers, rmse (mean), r2_q25, r2_median, r2_q75, negative (share of
    r2 below 0), bias (mean).
    """
    groups = table.dropna(subset=["rmse"]).groupby(["model", "flux"], sort=False)
    r2 = groups["r2"]
    columns = {
        "towers": groups["tower"].nunique(),
        "rmse": groups["rmse"].mean(),
        "r2_q25": r2.quantile(0.25),
        "r2_median": r2.median(),
        "r2_q75": r2.quantile(0.75),
        "negative": r2.agg(lambda values: float((values < 0).mean())),
        "bias": groups["bias"].mean(),
    }
    return pd.DataFrame(columns).reset_index()
