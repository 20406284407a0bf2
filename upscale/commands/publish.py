"""`upscale publish`: makes files for other users from a flux cube."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from upscale.commands.arguments import DryRun, FluxCubeArgument
from upscale.engine.origin import origin_of
from upscale.product.published.netcdf import (
    RevisedMeanwhileError,
    export_day,
    named_files,
    publish_netcdf,
)
from upscale.product.published.origin import untold
from upscale.product.published.part import UnfinishedError
from upscale.product.published.plan import PUBLISHABLE, FileOptions
from upscale.product.reader import open_flux_cube
from upscale.product.totals import totals, write_totals

EXAMPLES = (
    "upscale publish fluxes.zarr --out published",
    "upscale publish fluxes.zarr --variable nee --version 2 --dry-run",
    "upscale publish fluxes.zarr --what totals --out published",
    "upscale publish fluxes.zarr --what day --date 2012-07-01",
)


class What(StrEnum):
    """Kinds of publication."""

    NETCDF = "netcdf"
    TOTALS = "totals"
    DAY = "day"


def publish(
    store: FluxCubeArgument,
    what: Annotated[
        What,
        typer.Option(help="NetCDF-4 per variable and month, totals as CSV, or all of one day."),
    ] = What.NETCDF,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to publish into.")] = Path(
        "published"
    ),
    variable: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"{', '.join(PUBLISHABLE)}; again for more; default: all there are.",
        ),
    ] = None,
    product: Annotated[str, typer.Option(help="First word of the file names.")] = "upscale",
    version: Annotated[str, typer.Option(help="Version of the product.")] = "1",
    level: Annotated[int, typer.Option(min=1, max=9, help="Level of zlib.")] = 2,
    date: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="The day of --what day.")
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also what is not computed yet, as missing.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Write files that open anywhere; those whose sources have not changed are kept."""
    names = tuple(variable) if variable else None
    options = FileOptions(product, version, level, unfinished)
    if dry_run:
        _announce(_files(store, what, out, names, options, date))
    elif what is What.TOTALS:
        print(_publish_totals(store, out, unfinished))
    elif what is What.DAY:
        print(_publish_day(store, out, _day(date), unfinished))
    else:
        done = publish_netcdf(
            store, out, names, options, origin=lambda: origin_of(store), say=print
        )
        print(done.describe())


def _files(
    store: str,
    what: What,
    out: Path,
    names: tuple[str, ...] | None,
    options: FileOptions,
    date: str | None,
) -> list[Path]:
    """The files that a publication consists of."""
    if what is What.NETCDF:
        return named_files(store, out, names, options)
    open_flux_cube(store)
    return [out / "totals.csv" if what is What.TOTALS else _day_file(out, _day(date))]


def _announce(paths: Iterable[Path]) -> None:
    for path in paths:
        print(f"{path}: {'is there, would be compared' if path.exists() else 'would be written'}")


def _day(date: str | None) -> dt.date:
    if date is None:
        raise ValueError("--what day needs --date YYYY-MM-DD")
    return dt.date.fromisoformat(date)


def _day_file(out: Path, day: dt.date) -> Path:
    return out / f"upscale_{day:%Y%m%d}.nc"


def _publish_day(store: str, out: Path, day: dt.date, unfinished: bool) -> str:
    out.mkdir(parents=True, exist_ok=True)
    path = _day_file(out, day)
    export_day(store, day, path, unfinished=unfinished, origin=lambda: origin_of(store))
    return f"{path}: every array of {day}"


def _publish_totals(store: str, out: Path, unfinished: bool) -> str:
    """Write the totals of a store that is not revised meanwhile, and tell those of the globe."""
    path, before = out / "totals.csv", origin_of(store)
    why = untold(before, open_flux_cube(store).attributes)
    if before and before.waiting:
        why = f"{len(before.waiting)} work items are not computed yet"
    if why and not unfinished:
        raise UnfinishedError(
            f"{store}: {why}; finish the run first, or say --unfinished for the totals of what is "
            "there"
        )
    rows = totals(store)
    if origin_of(store) != before:
        raise RevisedMeanwhileError(f"{store}: was revised while totals were made; try again")
    out.mkdir(parents=True, exist_ok=True)
    said = "" if write_totals(path, rows) else ", kept: they are the same"
    lines = [row.describe() for row in rows if row.kind == "global"]
    return "\n".join([*lines, f"{len(rows)} totals in {path}{said}"])
