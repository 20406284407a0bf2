"""`upscale train`: from TRAIN.yaml and a folder of towers to a model release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from upscale.training.config import read_config
from upscale.training.networks.progress import make_watcher
from upscale.training.release import train_release


def train(
    config: Annotated[Path, typer.Argument(help="TRAIN.yaml")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, e.g. data=towers out=models/mine")
    ] = None,
) -> None:
    """Train an ensemble on flux towers, judge it on towers left out, write a model release.

    Run it again to go on where it was killed.
    """
    chosen = read_config(config, overrides or ())
    with make_watcher(chosen, Console()) as (watcher, say):
        train_release(chosen, say, watcher)
