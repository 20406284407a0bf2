"""`upscale evaluate`: compares a release with tower measurements."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import track

from upscale.commands.arguments import FileAfterJson, Json, JsonFile, model_names, out_of
from upscale.commands.output import note_old
from upscale.evaluation.cases import pairs
from upscale.evaluation.report.show import show
from upscale.evaluation.report.write import REPORT_HTML, write_report
from upscale.evaluation.results import Evaluation, comparable
from upscale.evaluation.run import EvaluationRequest, evaluate_left_out
from upscale.evaluation.run import evaluate as run_at_towers
from upscale.evaluation.scores import scores
from upscale.evaluation.skill import skill_json
from upscale.network.releases.release import load_release
from upscale.towers.table import Tower
from upscale.training.baselines import FITTERS
from upscale.training.crossvalidate import leave_clusters_out

PARSER = FileAfterJson
EXAMPLES = (
    "upscale evaluate tamrl-v2 --towers TOWERS",
    "upscale evaluate tamrl-v2 --towers TOWERS --baseline xgboost --out report",
    "upscale evaluate models/mine --towers TOWERS --quality best --json",
)

#: Columns that the tables need, also where output goes to a file.
_WIDTH = 100


def evaluate(
    release: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Release: path, name or URL.", autocompletion=model_names
        ),
    ],
    towers: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of towers.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder for report.html, report.md, figures, tables."),
    ] = None,
    json: Json = False,
    baseline: Annotated[
        list[str] | None,
        typer.Option(help="Another release, xgboost, lightgbm or seasonal-cycle; again for more."),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Baseline of the heat map and the scatter.")
    ] = None,
    quality: Annotated[
        Literal["good", "best"],
        typer.Option(help="Days: NEE_QC >= 0.75, or = 1; masked days are in both."),
    ] = "good",
    site: Annotated[list[str] | None, typer.Option(help="Only this site; again for more.")] = None,
    training: Annotated[
        Path | None, typer.Option(help="Folder of the towers that baselines learn from.")
    ] = None,
    cross_validate: Annotated[
        bool, typer.Option("--cross-validate", help="Train without each cluster; takes hours.")
    ] = False,
    left_out: Annotated[
        Path | None,
        typer.Option(help="Folder of left-out predictions, kept or read."),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Folds of clusters.")] = 5,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where networks run.")
    ] = "auto",
    sites: Annotated[
        Path | None, typer.Option(help="Table of sites (Parquet, CSV), if not in the folder.")
    ] = None,
    json_file: JsonFile = None,
    old_out: Annotated[Path | None, typer.Option("--report", hidden=True)] = None,
) -> None:
    """Evaluate a release at towers, seen or not: skill, where it holds, how sure that is."""
    report = out_of(out, old_out, "--report")
    if json_file is not None:
        note_old("--json FILE", "--json > FILE")
    console = Console(stderr=json, width=max(Console().width, _WIDTH))
    request = EvaluationRequest(
        towers, tuple(baseline or ()), training, tuple(site or ()), reference, device, sites
    )  # fmt: skip
    chosen = load_release(release)
    _require_room(json_file, report)
    if cross_validate:
        found = leave_clusters_out(chosen, request, folds, left_out, console.print)
    elif left_out is not None:
        found = evaluate_left_out(chosen, request, left_out)
    else:
        found = run_at_towers(chosen, request, FITTERS, console.print, _progress)
    found = comparable(found, quality)
    table = scores(pairs(found.cases, quality))
    if json_file is not None:
        json_file.write_text(skill_json(table), encoding="utf-8")
    show(found, table, quality, console)
    if report is not None:
        write_report(found, quality, report)
        console.print(f"wrote {report / REPORT_HTML}", highlight=False, soft_wrap=True)
    if json:
        print(skill_json(table), end="")
    raise typer.Exit(_exit_code(found))


def _require_room(json: Path | None, report: Path | None) -> None:
    """Make the folders of what will be written; OSError before hours of work."""
    if json is not None and json.is_dir():
        raise IsADirectoryError(f"expected a file to write for --json, found the folder {json}")
    for folder in (json and json.parent, report):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK):
                raise PermissionError(f"{folder}: cannot be written to; name another folder")


def _progress(towers: Sequence[Tower]) -> Iterable[Tower]:
    return track(towers, "towers", console=Console(stderr=True), transient=True)


def _exit_code(found: Evaluation) -> int:
    """1 where a model failed at a tower, as for a run with failed tiles."""
    return int(any(one.failed for one in found.skipped))
