"""A digest of a folder of towers: the same data give the same digest on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from upscale.towers import satellite
from upscale.towers.table import tower_files
from upscale.variables import of_kind


def data_digest(folder: str | Path, features: Sequence[str] = ()) -> str:
    """sha256 over the files of a folder of towers, in the order in which they are read.

    features: of the model; `satellite.parquet` counts only if a feature is a satellite series.
    """
    seen = bool(set(features) & set(of_kind("satellite")))
    digest = hashlib.sha256()
    for path in tower_files(folder):
        if seen or path.name != satellite.FILE:
            digest.update(path.read_bytes())
    return digest.hexdigest()
