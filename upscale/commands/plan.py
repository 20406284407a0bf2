"""`upscale plan`: what a run consists of."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from upscale.commands.arguments import Json, RunFile, RunKeys, RunOut, with_out
from upscale.commands.output import print_json

EXAMPLES = (
    "upscale plan RUN.yaml",
    "upscale plan RUN.yaml --rate 9000",
    "upscale plan RUN.yaml output.tile=50 --json",
)


def plan(
    config: RunFile,
    overrides: RunKeys = None,
    out: RunOut = None,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            min=1e-3,
            help="Cell-days per second of a worker, as `upscale status` of a finished run has it.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Say what a run consists of and what it takes: work items, files, bytes, memory, time."""
    from upscale.commands import forecast, steps  # torch and dask load when the command is called

    console = Console(stderr=json)
    checked = steps.checked_run(config, with_out(overrides, "output.store", out), console)
    forecast.show_plan(checked, console, rate=rate)
    if json:
        print_json(forecast.plan_facts(checked, rate=rate))
