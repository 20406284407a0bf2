"""`upscale run` and its steps, each a command of its own."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from upscale.engine import report as reports
from upscale.engine import run as engine
from upscale.engine.check import check_store
from upscale.engine.config import load_run
from upscale.engine.ledger import RunLedger
from upscale.engine.loop import RunOutcome
from upscale.engine.validate import Checked, in_words, store_bytes, task_bytes
from upscale.engine.validate import validate as validate_run
from upscale.jobs.cluster import TASKS_PER_WORKER
from upscale.jobs.progress import make_progress
from upscale.jobs.settings import ConfigError

Config = Annotated[Path, typer.Argument(help="RUN.yaml")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value, e.g. output.store=x.zarr")]
Store = Annotated[str, typer.Argument(help="Flux cube: a path or URL.")]


def run(
    config: Config,
    overrides: Overrides = None,
    part: Annotated[str, typer.Option(help="Do only part i of n, as i/n.")] = "1/1",
    no_check: Annotated[bool, typer.Option("--no-check", help="Leave out the check.")] = False,
) -> None:
    """Make daily flux maps: plan, init, run, finalise, check. Run it again to go on."""
    console, start = Console(stderr=True), time.monotonic()
    checked = _checked(config, overrides, console)
    chosen = parse_part(part)
    outcome = predict(checked, chosen)
    finish(checked, outcome, start, console, part=chosen, check_values=not no_check)


def predict(checked: Checked, part: tuple[int, int] = (1, 1)) -> RunOutcome:
    """Init and run with progress; what a run and a demo share."""
    progress = make_progress(checked.run.interval)
    try:
        progress.stage("creating store")
        engine.init(checked)
        return engine.execute(checked, progress, part)
    finally:
        progress.close()


def finish(
    checked: Checked,
    outcome: RunOutcome,
    start: float,
    console: Console,
    part: tuple[int, int] = (1, 1),
    check_values: bool = True,
) -> reports.RunReport:
    """Finalise, report and check; exits with 1 where something failed."""
    store = checked.run.output.store
    state = engine.status(store)
    if not state.missing:
        engine.finalise(store)
    report = reports.make_report(store, round(time.monotonic() - start, 1))
    reports.show(report, console)
    _show_failures(outcome, console)
    mine = {item.id for item in checked.plan.items(part)} & set(state.missing)
    if not outcome.failed:
        RunLedger(store).write_object("report.json", report.to_dict())
    if outcome.failed or mine:
        _fail(console, f"{len(mine)} work items are not done; the others are")
    if state.missing:
        console.print(f"{len(state.missing)} work items are left to other parts", highlight=False)
    elif check_values:
        _show_check(store, console)
    return report


def _show_failures(outcome: RunOutcome, console: Console) -> None:
    for entry in outcome.failed:
        text = f"failed {entry.item}: {entry.error}"
        console.print(text, style="red", highlight=False, markup=False, soft_wrap=True)


def validate(config: Config, overrides: Overrides = None) -> None:
    """Refuse a run that cannot succeed, before any work, naming the key and the remedy."""
    console = Console()
    checked = _checked(config, overrides, console)
    console.print(f"{checked.run.output.store}: this run can start", highlight=False, markup=False)


def plan(config: Config, overrides: Overrides = None) -> None:
    """Say what a run consists of and what it takes: tiles, work items, bytes."""
    console = Console()
    _show_plan(_checked(config, overrides, console), console)


def init(config: Config, overrides: Overrides = None) -> None:
    """Create the empty flux cube of a run, unless it is there."""
    console = Console()
    checked = _checked(config, overrides, console)
    engine.init(checked)
    console.print(f"{checked.run.output.store}: ready for `upscale run`", highlight=False)


def finalise(store: Store) -> None:
    """Mark a store complete, once every work item is done."""
    state = engine.finalise(store)
    print(f"{store}: complete, {state.done} work items")


def check(store: Store) -> None:
    """Check the values of a store and that they are the ones that were computed."""
    _show_check(store, Console())


def status(store: Store) -> None:
    """Say how far the run of a store is."""
    state = engine.status(store)
    print(f"{store}: {state.done} of {state.total} work items done")
    for entry in state.failed:
        print(f"  failed {entry.item} at {entry.finished}: {entry.error}")
    if state.missing:
        print("run the same RUN.yaml again to go on")


def parse_part(text: str) -> tuple[int, int]:
    """`2/8` as (2, 8); ConfigError where it is no part."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"--part: expected i/n with 1 <= i <= n, found {text!r}")
    return int(match[1]), int(match[2])


def _checked(config: Path, overrides: list[str] | None, console: Console) -> Checked:
    checked = validate_run(load_run(config, overrides or ()))
    for warning in checked.warnings:
        console.print(f"note: {warning}", highlight=False, markup=False)
    return checked


def _show_plan(checked: Checked, console: Console) -> None:
    layout, tiles = checked.plan.job.layout, checked.plan.tiles
    table = Table(show_header=False, title=f"Plan of {checked.run.output.store}")
    need = TASKS_PER_WORKER * task_bytes(checked.plan, checked.release) / 2**30
    rows = {
        "model": f"{checked.release.manifest.name}, {checked.release.members} members",
        "drivers": str(checked.cube.attributes["title"]),
        "period and grid": layout.describe(),
        "tiles": f"{len(tiles)} of {layout.tile} x {layout.tile} cells",
        "land cells": f"{checked.plan.land:,}",
        "work items": f"{len(tiles) * layout.blocks:,} (tile x block of {layout.block} days)",
        "store": f"about {in_words(store_bytes(checked.plan))}",
        "memory": f"about {need:.1f} GiB for the tiles of a worker",
    }
    for name, text in rows.items():
        table.add_row(name, text)
    console.print(table)


def _show_check(store: str, console: Console) -> None:
    found = check_store(store)
    for line in found.checks:
        if not line.passed:
            console.print(line.describe(), highlight=False, soft_wrap=True, markup=False)
    if not found.passed:
        _fail(console, f"{store}: {len(found.failures)} checks failed")
    console.print(f"{store}: all {len(found.checks)} checks passed", highlight=False)


def _fail(console: Console, text: str) -> None:
    console.print(text, style="red", highlight=False, markup=False)
    raise typer.Exit(1)
