"""Tables of towers in Parquet and CSV, read so that a damaged one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from upscale.stores.broken import refusing

_REMEDY = "fetch or write the file again"


def columns_of(path: Path) -> list[str]:
    """Names of the columns of a Parquet file; ValueError where it is damaged."""
    with refusing(str(path), "a whole Parquet file", ValueError, _REMEDY, also=(OSError,)):
        return list(pq.read_schema(path).names)


def read_parquet(path: Path, columns: list[str] | None = None, only: Any = None) -> pd.DataFrame:
    """A Parquet file, or some of its columns and rows; ValueError where it is damaged."""
    with refusing(str(path), "a whole Parquet file", ValueError, _REMEDY, also=(OSError,)):
        return pd.read_parquet(path, columns=columns, filters=only)


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV file; ValueError where it is none."""
    with refusing(str(path), "a CSV table", ValueError, _REMEDY):
        return pd.read_csv(path)
