"""`upscale repair`: makes again what is bad in a store."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from upscale.commands.arguments import FluxCubeArgument, Json, completer, model_names

EXAMPLES = (
    "upscale repair fluxes.zarr",
    "upscale repair fluxes.zarr drivers=/elsewhere/drivers.zarr cluster.workers=4",
)


def repair(
    store: FluxCubeArgument,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Keys of RUN.yaml that are others now, e.g. drivers=/elsewhere/drivers.zarr",
            autocompletion=completer("model", model_names),
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make again what `upscale check` finds bad in a store, and nothing else; then check it."""
    from upscale.commands import steps  # torch and dask load when the command is called

    steps.repair(store, overrides or [], Console(stderr=True), json)
