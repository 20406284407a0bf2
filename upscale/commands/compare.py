"""`upscale compare`: compares the fluxes of a flux cube with measured ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from upscale.commands.arguments import (
    FileAfterJson,
    FluxCubeArgument,
    Json,
    JsonFile,
    TowersArgument,
    out_of,
)
from upscale.commands.output import print_json
from upscale.evaluation import compare as product
from upscale.variables import variable

PARSER = FileAfterJson
EXAMPLES = (
    "upscale compare fluxes.zarr TOWERS",
    "upscale compare fluxes.zarr TOWERS --out skill.json",
    "upscale compare fluxes.zarr TOWERS --json",
)


def compare(
    store: FluxCubeArgument,
    towers: TowersArgument,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File for the rows, one for each tower and flux; JSON."),
    ] = None,
    json: Json = False,
    json_file: JsonFile = None,
) -> None:
    """Set the fluxes of a flux cube beside the ones that towers measured."""
    out = out_of(out, json_file, "--json FILE")
    comparison = product.compare(store, towers)
    if out is not None:
        product.write_json(comparison.rows, out)
    show(comparison, Console(stderr=json))
    if json:
        print_json(comparison.rows)


def show(comparison: product.Comparison, console: Console) -> None:
    """Print quartiles over towers, and every tower that was not compared."""
    units = variable("nee").units
    table = Table(
        "group", "flux", "towers", "days", title=f"Median (quartiles); rmse, bias: {units}"
    )
    for score in ("rmse", "r2", "bias"):
        table.add_column(score)
    for row in product.quartiles(comparison).to_dict("records"):
        scores = [
            f"{row[f'{s}_median']:.2f} ({row[f'{s}_q25']:.2f} .. {row[f'{s}_q75']:.2f})"
            for s in ("rmse", "r2", "bias")
        ]
        counts = str(row["towers"]), str(row["days"])
        table.add_row(row["group"], row["flux"], *counts, *scores)
    console.print(table)
    console.print(f"good flux days without a value in the cube: {comparison.unmatched}")
    for left in comparison.left_out:
        console.print(f"not compared: {left.site}: {left.reason}", highlight=False, soft_wrap=True)
