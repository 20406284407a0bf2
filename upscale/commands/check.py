"""`upscale check`: checks the values of a store, or the objects of a driver cube."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from upscale.commands.arguments import Json
from upscale.commands.output import PLAIN, print_json
from upscale.drivers.audit import CubeReport, check_drivers, is_driver_cube

EXAMPLES = (
    "upscale check fluxes.zarr",
    "upscale check fluxes.zarr --json",
    "upscale check drivers.zarr",
)

#: What mends a driver cube, by whether an ingest made it.
_AGAIN = {
    True: "remove the chunks among them and run the same INGEST.yaml again, which makes them anew",
    False: "make the cube again",
}

#: Faults of a driver cube that are printed; JSON has all.
_SHOWN = 20


def check(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Flux cube or driver cube: a path or URL.")
    ],
    json: Json = False,
) -> None:
    """Check a store: its values, and that they are what was computed; or a driver cube."""
    console = Console(stderr=json)
    if is_driver_cube(store):
        show_drivers(check_drivers(store), console, json)
        return
    from upscale.commands import steps  # torch and dask load when the command is called

    steps.show_check(store, console, json)


def show_drivers(found: CubeReport, console: Console, json: bool = False) -> None:
    """Print what is wrong with a driver cube; exits with 1 where something is."""
    if json:
        print_json({"passed": found.passed, **vars(found)})
    for fault in found.faults[:_SHOWN]:
        console.print(f"FAILED {fault}", **PLAIN)
    if len(found.faults) > _SHOWN:
        console.print(f"... and {len(found.faults) - _SHOWN:,} others; --json lists all", **PLAIN)
    if not found.sealed:
        console.print(
            f"note: {found.url} has no manifest, so that what was lost or changed is not seen; "
            f"`upscale seal {found.url}` makes one",
            **PLAIN,
        )
    if not found.passed:
        console.print(
            f"{found.url}: {len(found.faults):,} faults; restore these objects from a copy, or "
            f"{_AGAIN[found.ingested]}",
            style="red", **PLAIN,
        )  # fmt: skip
        raise typer.Exit(1)
    state = "are as they were sealed" if found.sealed else "decode"
    console.print(f"{found.url}: all {found.chunks:,} chunks {state}", **PLAIN)
