"""`upscale plan`: what a run consists of."""

from __future__ import annotations

from rich.console import Console

from upscale.commands.arguments import Json, RunFile, RunKeys, RunOut, with_out
from upscale.commands.output import print_json

EXAMPLES = (
    "upscale plan RUN.yaml",
    "upscale plan RUN.yaml output.tile=50 --json",
)


def plan(
    config: RunFile, overrides: RunKeys = None, out: RunOut = None, json: Json = False
) -> None:
    """Say what a run consists of and what it takes: tiles, work items, bytes."""
    from upscale.commands import steps  # torch and dask load when the command is called

    console = Console(stderr=json)
    checked = steps.checked_run(config, with_out(overrides, "output.store", out), console)
    steps.show_plan(checked, console)
    if json:
        print_json(steps.plan_facts(checked))
