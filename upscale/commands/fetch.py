"""`upscale fetch`: downloads the files that an INGEST.yaml lacks."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from upscale.commands.arguments import IngestFile, IngestKeys, Json
from upscale.commands.output import print_json
from upscale.fetch.plan import FetchPlan, make_plan
from upscale.fetch.progress import make_progress
from upscale.fetch.report import outcome_facts, plan_facts, show_outcome, show_plan
from upscale.fetch.run import FetchOutcome, Speed
from upscale.fetch.run import fetch as bring
from upscale.ingest.config import load_ingest

EXAMPLES = (
    "upscale fetch INGEST.yaml",
    "upscale fetch INGEST.yaml --dry-run --json",
    "upscale fetch INGEST.yaml period.end=2019-12-31 --parallel 8 --rate 10",
    "upscale fetch INGEST.yaml --verify",
)


def fetch(
    config: IngestFile,
    overrides: IngestKeys = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is missing; ask no server.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare fetched files with their checksums, too.")
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Files at a time.")] = 4,
    rate: Annotated[float, typer.Option(min=0.01, help="Requests per second, of all.")] = 5.0,
    json: Json = False,
) -> None:
    """Download the files that an INGEST.yaml lacks. Run it again to go on."""
    console = Console(stderr=True)
    ingest = load_ingest(config, overrides or ())
    plan = make_plan(ingest, deep=verify)
    show_plan(plan, console)
    outcome = None
    if plan.missing and not dry_run:
        outcome = run(plan, ingest.interval, Speed(parallel, rate))
        show_outcome(outcome, console)
    if json:
        done = None if outcome is None else outcome_facts(outcome)
        print_json({"plan": plan_facts(plan), "outcome": done})
    if outcome and outcome.failed:
        raise typer.Exit(1)


def run(plan: FetchPlan, interval: float, speed: Speed) -> FetchOutcome:
    """Fetch with progress."""
    progress = make_progress(interval)
    try:
        return bring(plan, progress, speed)
    finally:
        progress.close()
