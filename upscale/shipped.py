"""Where the released models and the grid definitions lie: in the checkout or in the wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent


def folder(kind: Literal["models", "grids"]) -> Path:
    """Folder of what is shipped: inside an installed wheel, else beside the package."""
    packed = _PACKAGE / "_shipped" / kind
    return packed if packed.is_dir() else _PACKAGE.parent / kind
