"""`upscale fetch`: what an INGEST.yaml lacks, from where its entries say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from upscale.fetch.plan import FetchPlan, make_plan
from upscale.fetch.progress import make_progress
from upscale.fetch.report import show_outcome, show_plan
from upscale.fetch.run import FetchOutcome, Speed
from upscale.fetch.run import fetch as bring
from upscale.ingest.config import load_ingest


def fetch(
    config: Annotated[Path, typer.Argument(help="INGEST.yaml")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, e.g. period.end=2019-12-31")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is missing; ask no server.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare fetched files with their checksums, too.")
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Files at a time.")] = 4,
    rate: Annotated[float, typer.Option(min=0.01, help="Requests per second, of all.")] = 5.0,
) -> None:
    """Download the files that an INGEST.yaml lacks. Run it again to go on."""
    console = Console(stderr=True)
    ingest = load_ingest(config, overrides or ())
    plan = make_plan(ingest, deep=verify)
    show_plan(plan, console)
    if dry_run or not plan.missing:
        return
    outcome = run(plan, ingest.interval, Speed(parallel, rate))
    show_outcome(outcome, console)
    if outcome.failed:
        raise typer.Exit(1)


def run(plan: FetchPlan, interval: float, speed: Speed) -> FetchOutcome:
    """Fetch with progress."""
    progress = make_progress(interval)
    try:
        return bring(plan, progress, speed)
    finally:
        progress.close()
