"""`upscale import-release`: weights of the released TAM-RL code as a model release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from upscale.network.released_code.release import Import
from upscale.network.released_code.release import import_release as make
from upscale.network.released_code.scaling import read_scaling


def import_release(
    states: Annotated[
        list[Path],
        typer.Argument(metavar="STATE.pt...", help="Weights, one file for each member."),
    ],
    out: Annotated[Path, typer.Argument(help="Folder of the new release.")],
    features: Annotated[
        str, typer.Option(help="Names of the drivers, in the order of the weights: ta,p,sw_in")
    ] = "",
    scaling: Annotated[
        Path | None, typer.Option(help="YAML with mean and std of features and fluxes.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the release.")] = None,
) -> None:
    """Turn weights of the released TAM-RL code into a model release that runs here.

    A file holds two state dicts, `encoder` and `decoder`; it is opened with safe loading only.
    """
    asked = [part.strip() for part in features.split(",") if part.strip()]
    constants = None if scaling is None else read_scaling(scaling)
    show(make(states, out, asked, constants, name), Console())


def show(made: Import, console: Console) -> None:
    """Print what was made, and what was assumed."""
    release, config = made.release, made.release.manifest.architecture
    members = "1 member" if release.members == 1 else f"{release.members} members"
    lines = [
        f"wrote {release.path} ({release.digest[:12]}): {members}, {config}",
        f"features: {', '.join(release.scaler.names)}",
        f"left behind, read by no prediction: {', '.join(made.left_out) or 'nothing'}",
    ]
    if made.default_features:
        lines.append("assumed: the default features; name others with --features")
    if made.assumed:
        lines.append(
            f"assumed: scaling constants of {', '.join(made.assumed)} are stand-ins, so that "
            "fluxes mean nothing yet; give the real ones with --scaling"
        )
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
