"""`upscale validate`: whether a run can start."""

from __future__ import annotations

from rich.console import Console

from upscale.commands.arguments import Json, RunFile, RunKeys, RunOut, with_out
from upscale.commands.output import PLAIN, print_json

EXAMPLES = (
    "upscale validate RUN.yaml",
    "upscale validate RUN.yaml period.end=2012-06-30",
)


def validate(
    config: RunFile, overrides: RunKeys = None, out: RunOut = None, json: Json = False
) -> None:
    """Refuse a run that cannot succeed, before any work, naming the key and the remedy."""
    from upscale.commands import steps  # torch and dask load when the command is called

    console = Console(stderr=json)
    checked = steps.checked_run(config, with_out(overrides, "output.store", out), console)
    store = checked.run.output.store
    console.print(f"{store}: this run can start", **PLAIN)
    if json:
        print_json({"store": store, "can_start": True, "notes": checked.warnings})
