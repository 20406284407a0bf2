"""`upscale towers`: what can be told of a folder of flux towers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from upscale.commands.arguments import Json
from upscale.commands.output import PLAIN, print_json
from upscale.towers.screening.report import ScreeningReport, check_towers

EXAMPLES = (
    "upscale towers check TOWERS",
    "upscale towers check TOWERS/towers.parquet --json",
    "upscale towers check TOWERS --sites sites.csv",
)


def towers(
    action: Annotated[Literal["check"], typer.Argument(help="check: screen every tower.")],
    place: Annotated[
        Path, typer.Argument(metavar="TOWERS", help="Folder of flux towers, or a table in it.")
    ],
    sites: Annotated[
        Path | None, typer.Option(help="Table of sites (Parquet, CSV), if not in the folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Screen flux towers: signs, units, seasons, gaps and places that cannot be right."""
    found = check_towers(place, sites)
    if json:
        print_json({"passed": found.passed, **vars(found)})
    show(found, Console(stderr=json))
    if not found.passed:
        raise typer.Exit(1)


def show(found: ScreeningReport, console: Console) -> None:
    """Print every finding in a line: what is certain to be wrong is called WRONG."""
    for finding in found.findings:
        word = "WRONG" if finding.verdict == "certain" else "odd"
        console.print(f"{word} {finding.site} {finding.screen}: {finding.text}", **PLAIN)
    for one in found.accepted:
        what = f"{one.finding.site} {one.finding.screen}: {one.finding.text}"
        console.print(f"accepted {what} ({one.reason})", **PLAIN)
    count = found.counts()
    console.print(
        f"{len(found.sites)} towers: {count['certain']} findings certain, {count['suspect']} "
        f"suspect, {len(found.accepted)} accepted",
        **PLAIN,
    )
