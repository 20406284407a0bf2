"""`upscale towers`: what can be told of a folder of flux towers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import typer
from rich.console import Console

from upscale.commands.arguments import Json
from upscale.commands.output import PLAIN, print_json
from upscale.evaluation.report.document import Block, Heading, TableBlock, Text, write_html
from upscale.towers.screening.finding import Finding
from upscale.towers.screening.report import ScreeningReport, check_towers

EXAMPLES = (
    "upscale towers check TOWERS",
    "upscale towers check TOWERS --out screening.html",
    "upscale towers check TOWERS/towers.parquet --json",
    "upscale towers check TOWERS --sites sites.csv",
)


def towers(
    action: Annotated[Literal["check"], typer.Argument(help="check: screen every tower.")],
    place: Annotated[
        Path, typer.Argument(metavar="TOWERS", help="Folder of flux towers, or a table in it.")
    ],
    sites: Annotated[
        Path | None, typer.Option(help="Table of sites (Parquet, CSV), if not in the folder.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File for the findings, one HTML page.")
    ] = None,
    json: Json = False,
) -> None:
    """Screen flux towers: signs, units, seasons, gaps and places that cannot be right."""
    found = check_towers(place, sites)
    if out is not None:
        write_html(page(found, place), out)
    if json:
        print_json({"passed": found.passed, **vars(found)})
    show(found, Console(stderr=json))
    if not found.passed:
        raise typer.Exit(1)


def show(found: ScreeningReport, console: Console) -> None:
    """Print every finding in a line: what is certain to be wrong is called WRONG."""
    for word, finding, reason in _rows(found):
        why = f" ({reason})" if reason else ""
        console.print(f"{word} {finding.site} {finding.screen}: {finding.text}{why}", **PLAIN)
    console.print(_summary(found), **PLAIN)


def page(found: ScreeningReport, place: Path) -> list[Block]:
    """The findings as a document: a summary and a table."""
    rows = [
        (word, one.site, one.variable, one.screen, f"{one.text} ({why})" if why else one.text)
        for word, one, why in _rows(found)
    ]
    columns = ["verdict", "tower", "variable", "finding", "what"]
    return [
        Heading(f"Screening of {place.name}", 1),
        Text(_summary(found), warning=not found.passed),
        TableBlock(pd.DataFrame(rows, columns=columns), "Every finding, with its numbers."),
        Text(f"Towers: {', '.join(found.sites)}."),
    ]


def _rows(found: ScreeningReport) -> list[tuple[str, Finding, str]]:
    """Each finding with a word for its verdict, and why it is accepted where it is."""
    words = {"certain": "WRONG", "suspect": "odd"}
    rows = [(words[finding.verdict], finding, "") for finding in found.findings]
    return [*rows, *(("accepted", one.finding, one.reason) for one in found.accepted)]


def _summary(found: ScreeningReport) -> str:
    count = found.counts()
    return (
        f"{len(found.sites)} towers: {count['certain']} findings certain, {count['suspect']} "
        f"suspect, {len(found.accepted)} accepted"
    )
