"""`upscale import-release`: weights of the released TAM-RL code as a model release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from upscale.commands.output import note_old
from upscale.network.released_code.release import Import
from upscale.network.released_code.release import import_release as make
from upscale.network.released_code.scaling import read_scaling

EXAMPLES = (
    "upscale import-release seed27.pt seed28.pt --out models/released",
    "upscale import-release STATE.pt --out models/mine --scaling scaling.yaml",
)


def import_release(
    states: Annotated[
        list[Path],
        typer.Argument(metavar="STATE.pt", help="Weights, one file for each member."),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of the new release.")
    ] = None,
    features: Annotated[
        str,
        typer.Option(metavar="NAMES", help="The drivers in the order of the weights: ta,p,sw_in"),
    ] = "",
    scaling: Annotated[
        Path | None,
        typer.Option(metavar="YAML", help="File with mean and std of features and fluxes."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the release.")] = None,
) -> None:
    """Turn weights of the released TAM-RL code into a model release that runs here.

    A file holds two state dicts, `encoder` and `decoder`; it is opened with safe loading only.
    """
    files, folder = files_and_folder(states, out)
    asked = [part.strip() for part in features.split(",") if part.strip()]
    constants = None if scaling is None else read_scaling(scaling)
    show(make(files, folder, asked, constants, name), Console())


def files_and_folder(states: list[Path], out: Path | None) -> tuple[list[Path], Path]:
    """The files of weights and the folder: of `--out`, or of the last argument (the older form)."""
    if out is not None:
        return states, out
    if len(states) < 2:
        raise typer.BadParameter("expected a folder for the release, found none: add --out FOLDER")
    note_old("STATE.pt... FOLDER", "STATE.pt... --out FOLDER")
    return states[:-1], states[-1]


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
