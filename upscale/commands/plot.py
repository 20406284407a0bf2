"""`upscale plot`: maps and the seasonal cycle of a flux cube as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upscale.product.plots import plot_cube


def plot(
    store: Annotated[str, typer.Argument(help="Flux cube.")],
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("figures"),
) -> None:
    """Draw mean maps of GPP, RECO and NEE, their spread, and the seasonal cycle by latitude."""
    for path in plot_cube(store, out):
        print(path)
