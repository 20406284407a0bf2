"""`upscale seal`: gives a driver cube of an older version its manifest."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from upscale.commands.arguments import Json
from upscale.commands.output import PLAIN, print_json
from upscale.drivers.audit import SealReport, seal_as_it_is

EXAMPLES = ("upscale seal drivers.zarr", "upscale seal drivers.zarr --json")


def seal(
    cube: Annotated[str, typer.Argument(metavar="CUBE", help="Driver cube: a path or URL.")],
    again: Annotated[
        bool, typer.Option("--again", help="Seal a sealed cube anew, as it is now.")
    ] = False,
    json: Json = False,
) -> None:
    """Give a driver cube of version 0.1 its manifest: the digest of every object in it."""
    found = seal_as_it_is(cube, again=again)
    if json:
        print_json(found)
    show(found, Console(stderr=json))


def show(found: SealReport, console: Console) -> None:
    """Print what was sealed, and what that attests."""
    console.print(
        f"{found.url}: sealed {found.chunks:,} chunks of {found.arrays} arrays as they are now",
        **PLAIN,
    )
    console.print(_ATTESTS[found.unchanged], **PLAIN)
    console.print(f"digest {found.digest}", **PLAIN)


_ATTESTS = {
    True: "They are the ones with which the cube was finished.",
    False: "note: they are not the ones with which the cube was finished, so its digest is new; "
    "make the cube again where nobody changed it on purpose.",
    None: "note: whether something was lost or changed before cannot be known.",
}
