"""`upscale models`: lists the available model releases."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from upscale.commands.arguments import Json
from upscale.commands.output import print_json, read_each
from upscale.network.releases.catalogue import ReleaseSummary, read_summary, release_folders
from upscale.variables import of_kind

#: Features that follow from place and day: they need no input file.
DERIVED = of_kind("derived")

EXAMPLES = ("upscale models", "upscale models models --json")


def models(
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Folder of releases, or of one.")
    ] = None,
    json: Json = False,
) -> None:
    """List the model releases that are shipped, or those of a folder."""
    found, broken = read_each(release_folders(folder), read_summary)
    if json:
        print_json([each.to_dict() for each in found])
    else:
        show(found, Console())
    if broken:
        raise typer.Exit(1)


def show(found: Iterable[ReleaseSummary], console: Console) -> None:
    """Print each release with what it is, what it needs and how good it is."""
    for release in found:
        console.print(f"[bold]{release.name}[/bold]  {release.path}", highlight=False)
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        for name, text in _lines(release).items():
            table.add_row(name, text)
        console.print(table, "", highlight=False)


def _lines(release: ReleaseSummary) -> dict[str, str]:
    """What a release is, by the heading above it in the listing."""
    members = "1 member" if release.members == 1 else f"{release.members} members"
    skill = ", ".join(f"{flux.upper()} {value:.2f}" for flux, value in release.skill.items())
    limits = ", with an area of applicability" if release.applicability else ""
    return {
        "kind": f"{release.model}, {members}{limits}",
        "needs": ", ".join(name for name in release.needed if name not in DERIVED),
        "may use": ", ".join(release.optional) or "nothing else",
        "skill": f"median R2 at {release.towers} towers left out: {skill}" if skill else "not said",
        "licence": release.licence or "not said",
        "cite": release.citations[0] if release.citations else "not said",
    }
