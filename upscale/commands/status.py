"""`upscale status`: how far a run is."""

from __future__ import annotations

from rich.console import Console

from upscale.commands.arguments import FluxCubeArgument, Json
from upscale.commands.output import PLAIN, print_json

EXAMPLES = ("upscale status fluxes.zarr", "upscale status s3://bucket/fluxes.zarr --json")


def status(store: FluxCubeArgument, json: Json = False) -> None:
    """Say how far the run of a store is."""
    from upscale.engine import run as engine  # torch and dask load when the command is called

    state, console = engine.status(store), Console(stderr=json)
    console.print(f"{store}: {state.done} of {state.total} work items done", **PLAIN)
    for entry in state.failed:
        console.print(f"  failed {entry.item} at {entry.finished}: {entry.error}", **PLAIN)
    if state.missing:
        console.print("run the same RUN.yaml again to go on", **PLAIN)
    if json:
        failed = [{"item": e.item, "finished": e.finished, "error": e.error} for e in state.failed]
        facts = {"store": store, "run": state.run, "work_items": state.total, "done": state.done}
        print_json(facts | {"missing": state.missing, "failed": failed})
