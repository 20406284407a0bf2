"""`upscale ingest`: archives to a driver cube."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from upscale.ingest.config import load_ingest
from upscale.ingest.cube import check_cube
from upscale.ingest.report import show_outcome, show_scan
from upscale.ingest.run import IngestOutcome
from upscale.ingest.run import ingest as bring_in
from upscale.ingest.scan import Scan, scan
from upscale.jobs.progress import make_progress


def ingest(
    config: Annotated[Path, typer.Argument(help="INGEST.yaml")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, e.g. cube=x.zarr")
    ] = None,
    scan_only: Annotated[
        bool, typer.Option("--scan", help="Say what is there and what is missing; read no pixel.")
    ] = False,
) -> None:
    """Make a driver cube of MODIS, VIIRS and ERA5 archives. Run it again to go on or to add."""
    console = Console(stderr=True)
    found = scan(load_ingest(config, overrides or ()))
    show_scan(found, console)
    check_cube(found)
    if scan_only:
        return
    outcome = run(found)
    show_outcome(found, outcome, console)
    if outcome.failed:
        console.print(
            f"{len(outcome.failed)} work items failed; run the same command again", style="red"
        )
    if outcome.failed or outcome.faults or found.faults:
        raise typer.Exit(1)


def run(found: Scan) -> IngestOutcome:
    """Ingest with progress."""
    progress = make_progress(found.ingest.interval, of="work items")
    try:
        return bring_in(found, progress)
    finally:
        progress.close()
