"""`upscale inspect`: what a file of an archive holds."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from upscale.archives.inspect import FileReport, Statistics
from upscale.archives.inspect import inspect as read_report
from upscale.commands.output import PLAIN, print_json

EXAMPLES = (
    "upscale inspect GRANULE.hdf",
    "upscale inspect MCD43C4.hdf ERA5-Land.nc",
    "upscale inspect --json https://host/VNP09GA.A2023060.h18v04.002.h5",
)


def inspect(
    files: Annotated[list[str], typer.Argument(metavar="FILE|URL", help="Files to inspect.")],
    json: Annotated[
        bool, typer.Option("--json", help="JSON on standard output: an object, a list for several.")
    ] = False,
) -> None:
    """Show what files of an archive hold: product, grid, date, and every variable in numbers."""
    out, errors = Console(), Console(stderr=True)
    reports, broken = [], 0
    for file in files:
        try:
            reports.append(read_report(file))
        except (ValueError, OSError) as error:
            broken += 1
            errors.print(f"error: {error}", **PLAIN)
            continue
        if not json:
            show(reports[-1], out)
    if json:
        _print_json(reports, alone=len(files) == 1)
    if broken:
        raise typer.Exit(1)


def _print_json(reports: list[FileReport], alone: bool) -> None:
    rows = [report.to_dict() for report in reports]
    if rows or not alone:
        print_json(rows[0] if alone else rows)


def show(report: FileReport, console: Console) -> None:
    """Print one file as a table of its variables."""
    head = report.description
    console.print(head.file, style="bold", **PLAIN)
    about = f"{head.product} collection {head.collection or '-'}, {head.date or 'no date'}"
    console.print(f"{about}; {head.grid}", **PLAIN)
    for belief in head.believes:
        console.print(belief, **PLAIN)
    table = Table("variable", "units", box=SIMPLE)
    for column in ("valid %", "min", "mean", "max"):
        table.add_column(column, justify="right", no_wrap=True)
    for layer in report.layers:
        table.add_row(layer.name, layer.units, *_cells(layer.values))
        if layer.qa is not None:
            table.add_row("  after QA", "", *_cells(layer.qa), style="dim")
        if layer.codes is not None:
            table.add_row(f"  codes {_often(layer.codes)}", style="dim")
    console.print(table)


def _often(codes: tuple[tuple[int, float], ...]) -> str:
    """The three most frequent codes of a layer with their shares."""
    often = sorted(codes, key=lambda row: -row[1])[:3]
    return ", ".join(f"{code}: {100 * share:.3g} %" for code, share in often)


def _cells(found: Statistics) -> list[str]:
    ends = (found.min, found.mean, found.max)
    shown = ("-" if value is None else f"{value:.5g}" for value in ends)
    return [f"{100 * found.valid_share:.2f}", *shown]
