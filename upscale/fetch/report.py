"""What a fetch tells a person: what is due, there and missing, what came and what did not."""

from __future__ import annotations

from collections import Counter

from rich.console import Console

from upscale.fetch.plan import Plan
from upscale.fetch.run import Outcome
from upscale.ingest.report import PLAIN
from upscale.remote.locations import shown


def show_plan(plan: Plan, console: Console) -> None:
    """Print what each entry needs, has and lacks."""
    for errand in plan.errands:
        lacks = f"{errand.missing:,} missing, {errand.requests:,} files to ask for"
        console.print(
            f"{errand.title}: {errand.due:,} {errand.unit} due, "
            f"{lacks if errand.missing else 'all there'} ({errand.folder})",
            **PLAIN,
        )
    for errand in plan.errands:
        for fault in errand.damaged:
            console.print(f"not whole: {fault.file}: {shown(fault.reason)}", style="red", **PLAIN)
    if not plan.missing:
        console.print("nothing to do: all that is due is there", **PLAIN)


def show_outcome(outcome: Outcome, console: Console) -> None:
    """Print what came, what no catalogue has, and what failed."""
    size = sum(record.size for record in outcome.fetched)
    if outcome.fetched:
        console.print(f"{len(outcome.fetched):,} files fetched, {size / 1e6:,.1f} MB", **PLAIN)
    for product, count in sorted(Counter(place.product for place in outcome.absent).items()):
        console.print(f"{product}: {count:,} granules are in no catalogue", **PLAIN)
    if not outcome.fetched and not outcome.failed:
        console.print("nothing to do: the sources have nothing that is missing", **PLAIN)
    for failure in outcome.failed:
        console.print(f"failed: {failure.name}: {failure.reason}", style="red", **PLAIN)
