"""What a fetch prints: what is due, there and missing, what was fetched and what was not."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Console

from upscale.fetch.plan import FetchPlan
from upscale.fetch.run import FetchOutcome
from upscale.ingest.report import PLAIN
from upscale.remote.redaction import redact


def show_plan(plan: FetchPlan, console: Console) -> None:
    """Print what each entry needs and what it lacks."""
    for request in plan.requests:
        lacks = f"{request.missing:,} missing, {request.requests:,} files to ask for"
        console.print(
            f"{request.title}: {request.due:,} {request.unit} due, "
            f"{lacks if request.missing else 'all there'} ({request.folder})",
            **PLAIN,
        )
    for request in plan.requests:
        for fault in request.damaged:
            console.print(f"not whole: {fault.file}: {redact(fault.reason)}", style="red", **PLAIN)
    if not plan.missing:
        console.print("nothing to do: all that is due is there", **PLAIN)


def show_outcome(outcome: FetchOutcome, console: Console) -> None:
    """Print what was fetched, what no catalogue has, and what failed."""
    size = sum(record.size for record in outcome.fetched)
    if outcome.fetched:
        console.print(f"{len(outcome.fetched):,} files fetched, {size / 1e6:,.1f} MB", **PLAIN)
    for product, count in sorted(Counter(place.product for place in outcome.absent).items()):
        console.print(f"{product}: {count:,} granules are in no catalogue", **PLAIN)
    if not outcome.fetched and not outcome.failed:
        console.print("nothing to do: the sources have nothing that is missing", **PLAIN)
    for failure in outcome.failed:
        console.print(f"failed: {failure.name}: {failure.reason}", style="red", **PLAIN)


def plan_facts(plan: FetchPlan) -> dict[str, Any]:
    """What each entry needs, has and lacks, as plain values."""
    entries = [
        {
            "title": request.title,
            "folder": str(request.folder),
            "unit": request.unit,
            "due": request.due,
            "missing": request.missing,
            "files": request.requests,
            "damaged": [
                {"file": fault.file, "reason": redact(fault.reason)} for fault in request.damaged
            ],
        }
        for request in plan.requests
    ]
    return {"missing": plan.missing, "entries": entries}


def outcome_facts(outcome: FetchOutcome) -> dict[str, Any]:
    """What came, what no catalogue has and what failed, as plain values."""
    return {
        "fetched": len(outcome.fetched),
        "bytes": sum(record.size for record in outcome.fetched),
        "absent": dict(sorted(Counter(place.product for place in outcome.absent).items())),
        "failed": [{"file": each.name, "reason": each.reason} for each in outcome.failed],
    }
