"""`upscale towers-on-grid`: a driver cube from the drivers of flux towers."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from upscale.drivers import from_towers


def towers_on_grid(
    towers: Annotated[Path, typer.Argument(help="Folder of flux towers: table, ONEFlux files.")],
    output: Annotated[str, typer.Argument(help="Driver cube to write: a path or URL, .zarr.")],
    start: Annotated[str, typer.Option(help="First year, or first day (YYYY-MM-DD).")],
    end: Annotated[str, typer.Option(help="Last year, or last day (YYYY-MM-DD).")],
    overwrite: Annotated[bool, typer.Option(help="Replace a driver cube that is there.")] = False,
) -> None:
    """Write a driver cube whose valid cells are the flux towers of a folder."""
    report = from_towers.towers_on_grid(
        towers, output, year_or_date(start), year_or_date(end), overwrite=overwrite
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
