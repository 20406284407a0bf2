"""`upscale ingest`: archives to a driver cube."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from upscale.commands.arguments import IngestFile, IngestKeys, Json, with_out
from upscale.commands.output import note_old, print_json
from upscale.ingest.config import load_ingest
from upscale.ingest.cube import check_cube
from upscale.ingest.report import outcome_facts, scan_facts, show_outcome, show_scan
from upscale.ingest.run import IngestOutcome
from upscale.ingest.run import ingest as bring_in
from upscale.ingest.scan import Scan, scan
from upscale.jobs.progress import make_progress

EXAMPLES = (
    "upscale ingest INGEST.yaml",
    "upscale ingest INGEST.yaml --dry-run",
    "upscale ingest INGEST.yaml --out alps.zarr grid=global-0p25",
    "upscale ingest INGEST.yaml --dry-run --json",
)


def ingest(
    config: IngestFile,
    overrides: IngestKeys = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="CUBE", help="Driver cube to write, in place of the key cube."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List present and missing files; read no pixel.")
    ] = False,
    json: Json = False,
    scan_only: Annotated[bool, typer.Option("--scan", hidden=True)] = False,
) -> None:
    """Make a driver cube of MODIS, VIIRS and ERA5 archives. Run it again to go on or to add."""
    if scan_only:
        note_old("--scan", "--dry-run")
    console = Console(stderr=True)
    found = scan(load_ingest(config, with_out(overrides, "cube", out)))
    show_scan(found, console)
    check_cube(found)
    outcome = None if dry_run or scan_only else run(found)
    if outcome is not None:
        show_outcome(found, outcome, console)
    if json:
        done = None if outcome is None else outcome_facts(outcome)
        print_json({"scan": scan_facts(found), "outcome": done})
    if outcome is not None:
        _end(found, outcome, console)


def _end(found: Scan, outcome: IngestOutcome, console: Console) -> None:
    """Exit with 1 where something failed or was left out."""
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
