"""`upscale train`: from TRAIN.yaml and a folder of towers to a model release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from upscale.commands.arguments import DryRun, with_out
from upscale.commands.output import PLAIN
from upscale.training.config import read_config
from upscale.training.networks.progress import make_watcher
from upscale.training.release import plan_lines, train_release

EXAMPLES = (
    "upscale train TRAIN.yaml",
    "upscale train TRAIN.yaml --out models/mine name=mine data=TOWERS members=5",
    "upscale train TRAIN.yaml --dry-run",
)


def train(
    config: Annotated[
        Path, typer.Argument(metavar="TRAIN.yaml", help="The file that configures a training.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Keys of it, e.g. data=TOWERS"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of the release, in place of the key out."),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Train an ensemble on flux towers, evaluate it on towers left out, write a model release.

    Run it again to go on where it was killed.
    """
    chosen = read_config(config, with_out(overrides, "out", out))
    console = Console()
    if dry_run:
        for line in plan_lines(chosen):
            console.print(line, **PLAIN)
        return
    with make_watcher(chosen, console) as (watcher, say):
        train_release(chosen, say, watcher)
