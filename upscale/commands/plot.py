"""`upscale plot`: maps and the seasonal cycle of a flux cube as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upscale.commands.arguments import FluxCubeArgument
from upscale.product.plots import plot_cube

EXAMPLES = ("upscale plot fluxes.zarr --out figures",)


def plot(
    store: FluxCubeArgument,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the figures.")] = Path(
        "figures"
    ),
) -> None:
    """Draw mean maps of GPP, RECO and NEE, their spread, and the seasonal cycle by latitude."""
    for path in plot_cube(store, out):
        print(path)
