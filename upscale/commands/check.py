"""`upscale check`: checks the values of a store."""

from __future__ import annotations

from rich.console import Console

from upscale.commands.arguments import FluxCubeArgument, Json

EXAMPLES = ("upscale check fluxes.zarr", "upscale check fluxes.zarr --json")


def check(store: FluxCubeArgument, json: Json = False) -> None:
    """Check the values of a store and that they are the ones that were computed."""
    from upscale.commands import steps  # torch and dask load when the command is called

    steps.show_check(store, Console(stderr=json), json)
