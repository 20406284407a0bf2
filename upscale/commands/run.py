"""`upscale run`: all steps of a run."""

from __future__ import annotations

import re
import time
from typing import Annotated

import typer
from rich.console import Console

from upscale.commands.arguments import DryRun, Json, RunFile, RunKeys, RunOut, with_out
from upscale.commands.output import print_json

EXAMPLES = (
    "upscale run RUN.yaml",
    "upscale run RUN.yaml --out alps.zarr model=tamrl-met-v1 cluster.workers=4",
    "upscale run RUN.yaml --part 2/8 --no-check",
    'upscale run RUN.yaml period.end=2012-05-31 --why "May 2012"',
    "upscale run RUN.yaml --dry-run",
)


def run(
    config: RunFile,
    overrides: RunKeys = None,
    out: RunOut = None,
    part: Annotated[str, typer.Option(metavar="I/N", help="Do only part i of n.")] = "1/1",
    why: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Why a finished store is revised, for its log."),
    ] = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Leave out the check.")] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Make daily flux maps: plan, init, run, finalise, check. Run it again to go on.

    With a later period.end a finished store grows; after the drivers were corrected, what they
    touch is made again. `upscale status STORE --log` tells what each revision changed."""
    from upscale.commands import forecast, steps  # torch and dask load when the command is called

    console, start, chosen = Console(stderr=True), time.monotonic(), parse_part(part)
    checked = steps.checked_run(config, with_out(overrides, "output.store", out), console, why)
    if dry_run:
        forecast.show_plan(checked, console, chosen)
        if json:
            print_json(forecast.plan_facts(checked, chosen))
        return
    outcome = steps.predict(checked, chosen)
    steps.finish(checked, outcome, start, console, chosen, not no_check, json)


def parse_part(text: str) -> tuple[int, int]:
    """`2/8` as (2, 8); ConfigError where the text is not a valid part."""
    from upscale.jobs.settings import ConfigError

    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"--part: expected i/n with 1 <= i <= n, found {text!r}")
    return int(match[1]), int(match[2])
