"""`upscale finalise`: a store is marked complete."""

from __future__ import annotations

from upscale.commands.arguments import FluxCubeArgument

EXAMPLES = ("upscale finalise fluxes.zarr",)


def finalise(store: FluxCubeArgument) -> None:
    """Mark a store complete, once every work item is done."""
    from upscale.engine import run as engine  # torch and dask load when the command is called

    state = engine.finalise(store)
    print(f"{store}: complete, {state.done} work items")
