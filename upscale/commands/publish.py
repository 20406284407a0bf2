"""`upscale publish`: what others read, made from a flux cube."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from upscale.product.netcdf import export_day, publish_netcdf
from upscale.product.totals import totals, write_totals
from upscale.variables import FLUXES


class What(StrEnum):
    """Kinds of publication."""

    NETCDF = "netcdf"
    TOTALS = "totals"
    DAY = "day"


def publish(
    store: Annotated[str, typer.Argument(help="Flux cube.")],
    what: Annotated[
        What,
        typer.Option(help="NetCDF-4 per variable and month, totals as CSV, or all of one day."),
    ] = What.NETCDF,
    out: Annotated[Path, typer.Option(help="Folder to publish into.")] = Path("published"),
    variable: Annotated[list[str] | None, typer.Option(help="Fluxes; default: all.")] = None,
    product: Annotated[str, typer.Option(help="First word of the file names.")] = "upscale",
    version: Annotated[str, typer.Option(help="Version of the product.")] = "1",
    level: Annotated[int, typer.Option(min=1, max=9, help="Level of zlib.")] = 2,
    date: Annotated[str | None, typer.Option(help="The day of --what day, YYYY-MM-DD.")] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also what is not computed yet, as missing.")
    ] = False,
) -> None:
    """Write files that open anywhere; those that equal the store already are kept."""
    if what is What.TOTALS:
        print(_publish_totals(store, out))
        return
    if what is What.DAY:
        print(_publish_day(store, out, date, unfinished))
        return
    done = publish_netcdf(
        store, out, tuple(variable or FLUXES), product=product, version=version, level=level,
        unfinished=unfinished, say=print,
    )  # fmt: skip
    print(done.describe())


def _publish_day(store: str, out: Path, date: str | None, unfinished: bool) -> str:
    if date is None:
        raise ValueError("--what day needs --date YYYY-MM-DD")
    day = dt.date.fromisoformat(date)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"upscale_{day:%Y%m%d}.nc"
    return f"{export_day(store, day, path, unfinished=unfinished)}: every array of {day}"


def _publish_totals(store: str, out: Path) -> str:
    out.mkdir(parents=True, exist_ok=True)
    rows = totals(store)
    write_totals(out / "totals.csv", rows)
    lines = [row.describe() for row in rows if row.kind == "global"]
    return "\n".join([*lines, f"{len(rows)} totals in {out / 'totals.csv'}"])
