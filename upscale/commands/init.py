"""`upscale init`: the empty flux cube of a run."""

from __future__ import annotations

from rich.console import Console

from upscale.commands.arguments import RunFile, RunKeys, RunOut, with_out
from upscale.commands.output import PLAIN

EXAMPLES = ("upscale init RUN.yaml", "upscale init RUN.yaml --out alps.zarr")


def init(config: RunFile, overrides: RunKeys = None, out: RunOut = None) -> None:
    """Create the empty flux cube of a run, unless it is there."""
    from upscale.commands import steps  # torch and dask load when the command is called
    from upscale.engine import run as engine

    console = Console()
    checked = steps.checked_run(config, with_out(overrides, "output.store", out), console)
    engine.init(checked)
    console.print(f"{checked.run.output.store}: ready for `upscale run`", **PLAIN)
