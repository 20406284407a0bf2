"""`upscale status`: how far a run is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from upscale.commands.arguments import FluxCubeArgument, Json
from upscale.commands.output import PLAIN, print_json

EXAMPLES = (
    "upscale status fluxes.zarr",
    "upscale status fluxes.zarr --log",
    "upscale status s3://bucket/fluxes.zarr --json",
)


def status(
    store: FluxCubeArgument,
    log: Annotated[bool, typer.Option("--log", help="Tell what each revision changed.")] = False,
    json: Json = False,
) -> None:
    """Say how far the run of a store is, and what its revisions changed."""
    from upscale.engine import report as reports
    from upscale.engine import run as engine  # torch and dask load when the command is called
    from upscale.engine.revisions import read_log

    state, console = engine.status(store), Console(stderr=json)
    revisions = read_log(store) if log else []
    console.print(f"{store}: {state.done} of {state.total} work items done", **PLAIN)
    for entry in state.failed:
        console.print(f"  failed {entry.item} at {entry.finished}: {entry.error}", **PLAIN)
    if state.missing:
        console.print("run the same RUN.yaml again to go on", **PLAIN)
    rate = reports.last_rate(store)
    if rate:
        console.print(reports.rate_in_words(rate), **PLAIN)
    for revision in revisions:
        console.print(revision.describe(), **PLAIN)
    if log and not revisions:
        console.print("no revision yet: the store was never finished", **PLAIN)
    if json:
        failed = [{"item": e.item, "finished": e.finished, "error": e.error} for e in state.failed]
        facts = {"store": store, "run": state.run, "work_items": state.total, "done": state.done}
        told = {"revisions": [asdict(revision) for revision in revisions]} if log else {}
        print_json(facts | {"missing": state.missing, "failed": failed, "rate": rate} | told)
