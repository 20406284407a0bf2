"""`upscale towers-on-grid`: a driver cube from the drivers of flux towers."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from upscale.commands.arguments import DryRun, HiddenArguments, TowersArgument, out_of
from upscale.drivers import from_towers

PARSER = HiddenArguments
EXAMPLES = (
    "upscale towers-on-grid TOWERS --out towers.zarr --start 2001 --end 2019",
    "upscale towers-on-grid TOWERS --out t.zarr --start 2004-05-01 --end 2005",
)


def towers_on_grid(
    towers: TowersArgument,
    start: Annotated[
        str, typer.Option(metavar="DATE", help="First year, or first day (YYYY-MM-DD).")
    ],
    end: Annotated[str, typer.Option(metavar="DATE", help="Last year, or last day (YYYY-MM-DD).")],
    old_out: Annotated[str | None, typer.Argument(hidden=True)] = None,
    out: Annotated[
        str | None, typer.Option(metavar="CUBE", help="Driver cube to write: a path or URL, .zarr.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a driver cube that is there.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Write a driver cube whose valid cells are the flux towers of a folder."""
    cube = out_of(out, old_out, "TOWERS CUBE")
    if cube is None:
        raise typer.BadParameter("expected a driver cube to write, found none: add --out CUBE")
    report = from_towers.towers_on_grid(
        towers, cube, year_or_date(start), year_or_date(end), overwrite=overwrite, dry_run=dry_run
    )
    show(report, Console())


def year_or_date(text: str) -> int | dt.date:
    """`2001` as a year, `2001-05-17` as a date."""
    try:
        return int(text) if text.isdecimal() and len(text) == 4 else dt.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"expected a year or a date like 2001-05-17, found {text!r}") from None


def show(report: from_towers.TowersOnGrid, console: Console) -> None:
    """Print which towers became cells and which did not."""
    title = f"{report.url}: {len(report.kept)} towers, {report.first} to {report.last}"
    kept = Table("tower", "cell", "lat", "lon", "days with TA and SW_IN", title=title)
    for tower in report.kept:
        cell = f"{tower.row}, {tower.col}"
        kept.add_row(tower.site, cell, f"{tower.lat:.3f}", f"{tower.lon:.3f}", str(tower.days))
    console.print(kept)
    if report.left_out:
        rest = Table("tower", "reason", title=f"{len(report.left_out)} towers left out")
        for left in report.left_out:
            rest.add_row(left.site, left.reason)
        console.print(rest)
