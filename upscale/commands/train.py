"""`upscale train`: from TRAIN.yaml and a folder of towers to a model release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from upscale.training.config import read_config
from upscale.training.release import train_release


def train(
    config: Annotated[Path, typer.Argument(help="TRAIN.yaml")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, e.g. data=towers out=models/mine")
    ] = None,
) -> None:
    """Train an ensemble on flux towers, judge it on towers left out, write a model release."""
    train_release(read_config(config, overrides or ()))
