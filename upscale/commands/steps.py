"""The steps of a run as its commands show them."""

from __future__ import annotations

import time
from pathlib import Path

import typer
from rich.console import Console

from upscale.commands.output import print_json
from upscale.engine import report as reports
from upscale.engine import run as engine
from upscale.engine.check import check_store
from upscale.engine.config import load_run
from upscale.engine.ledger import RunLedger
from upscale.engine.loop import RunOutcome
from upscale.engine.repair import checked_repair, mend, needs_mending
from upscale.engine.revisions import NO_REASON
from upscale.engine.validate import Checked
from upscale.engine.validate import validate as validate_run
from upscale.jobs.progress import make_progress


def checked_run(
    config: Path, overrides: list[str], console: Console, why: str | None = None
) -> Checked:
    """A run that may start, with its notes shown; ConfigError names every fault."""
    checked = validate_run(load_run(config, overrides), why or NO_REASON)
    for warning in checked.warnings:
        console.print(f"note: {warning}", highlight=False, markup=False)
    return checked


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
    json: bool = False,
) -> reports.RunReport:
    """Finalise, report and check; exits with 1 where something failed."""
    store = checked.run.output.store
    state = engine.status(store)
    if not state.missing:
        engine.finalise(store, state)
    report = reports.make_report(store, round(time.monotonic() - start, 1), outcome.done)
    reports.show(report, console)
    if json:
        print_json(report.to_dict())
    _show_failures(outcome, console)
    mine = {item.id for item in checked.plan.items(part)} & set(state.missing)
    if not outcome.failed:
        RunLedger(store).write_object("report.json", report.to_dict())
    if outcome.failed or mine:
        _fail(console, f"{len(mine)} work items are not done; the others are")
    if state.missing:
        console.print(f"{len(state.missing)} work items are left to other parts", highlight=False)
    elif check_values:
        show_check(store, console)
    return report


def _show_failures(outcome: RunOutcome, console: Console) -> None:
    for entry in outcome.failed:
        text = f"failed {entry.item}: {entry.error}"
        console.print(text, style="red", highlight=False, markup=False, soft_wrap=True)


def show_check(store: str, console: Console, json: bool = False) -> None:
    """Check a store and print what did not pass; exits with 1 where something did not."""
    found = check_store(store)
    if json:
        print_json(found.to_dict())
    for line in found.checks:
        if not line.passed or line.told:
            console.print(line.describe(), highlight=False, soft_wrap=True, markup=False)
    if not found.passed:
        _fail(console, f"{store}: {len(found.failures)} checks failed")
    console.print(f"{store}: all {len(found.checks)} checks passed", highlight=False)


def _fail(console: Console, text: str) -> None:
    console.print(text, style="red", highlight=False, markup=False)
    raise typer.Exit(1)


def repair(store: str, overrides: list[str], console: Console, json: bool = False) -> None:
    """Check a store, make again what is bad in it, and check it again."""
    checked = checked_repair(store, overrides)
    progress = make_progress(checked.run.interval)
    try:
        progress.stage("checking")
        report = check_store(store)
        done = mend(checked, report, progress) if needs_mending(store, report) else None
    finally:
        progress.close()
    if done is None:
        console.print(f"{store}: nothing is bad, and nothing was written", highlight=False)
    else:
        _show_failures(done.outcome, console)
        made = f"{len(done.items)} work items, {', '.join(done.arrays) or 'no array beside them'}"
        console.print(f"made again: {made}", highlight=False, soft_wrap=True)
    show_check(store, console, json)
