"""`upscale grids`: lists the available grids."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from upscale.commands.arguments import Json
from upscale.commands.output import print_json, read_each
from upscale.grid.catalogue import GridSummary, grid_files, read_summary

EXAMPLES = ("upscale grids", "upscale grids grids --json")


def grids(
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Folder of grids, *.yaml.")
    ] = None,
    json: Json = False,
) -> None:
    """List the grids that are shipped, or those of a folder."""
    found, broken = read_each(grid_files(folder), read_summary)
    if json:
        print_json([each.to_dict() for each in found])
    else:
        show(found, Console())
    if broken:
        raise typer.Exit(1)


def show(found: Iterable[GridSummary], console: Console) -> None:
    """Print the grids as a table."""
    table = Table("name", "rows x cols", "degrees", "latitudes", "longitudes", box=SIMPLE)
    for each in found:
        grid, (south, north, west, east) = each.grid, each.extent
        table.add_row(
            grid.name, f"{grid.rows} x {grid.cols}", f"{grid.resolution:g}",
            f"{south:g} .. {north:g}", f"{west:g} .. {east:g}",
        )  # fmt: skip
    console.print(table, highlight=False)
