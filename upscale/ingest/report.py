"""What an ingest tells a person: what was found, what is missing, what was done, what was not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from upscale.ingest.archive import Holdings, Missing, due_dates
from upscale.ingest.hourly import Gap
from upscale.ingest.plan import fill_bytes
from upscale.ingest.run import IngestOutcome
from upscale.ingest.scan import Scan
from upscale.jobs.cluster import worker_memory
from upscale.remote.locations import name_of
from upscale.remote.redaction import redact

#: Text that is shown as it is: names of files are no markup.
PLAIN: Any = {"highlight": False, "soft_wrap": True, "markup": False, "emoji": False}

#: How many of a kind are named before "and more".
_SOME = 5


def show_scan(scan: Scan, console: Console) -> None:
    """Print what the archive holds and lacks."""
    ingest, job = scan.ingest, scan.job
    title = f"{ingest.cube}: {ingest.period.start} to {ingest.period.end}, {job.grid.name}"
    console.print(title, style="bold", **PLAIN)
    table = Table("product", "variables", "files", "GB", "missing", box=SIMPLE)
    table.add_row(*_weather_row(scan))
    for held in scan.holdings:
        for product in held.products:
            table.add_row(*_product_row(scan, held, product))
    console.print(table)
    for text in _gaps(scan.weather.missing):
        console.print(f"missing: {text}", **PLAIN)
    for held in scan.holdings:
        for missing in held.missing:
            console.print(f"missing: {_missing(missing)}", **PLAIN)
        for file in held.older:
            console.print(f"replaced by a newer version: {_name(file.found.url)}", **PLAIN)
    if scan.uncovered:
        console.print(f"missing: land cover of {_tiles(scan.uncovered)}", **PLAIN)
    for note in notes(scan):
        console.print(f"note: {note}", **PLAIN)
    show_faults(((fault.file, fault.reason) for fault in scan.faults), console)


def notes(scan: Scan) -> list[str]:
    """What may go wrong: work items that take more memory than a worker of this machine has."""
    cluster = scan.ingest.cluster
    if cluster.address is not None:
        return []
    has, gib = worker_memory(cluster), 2**30
    found = []
    if scan.ingest.memory * gib > has:
        found.append(
            f"a work item may take {scan.ingest.memory:g} GiB, a worker has {has / gib:.1f}; "
            "lower memory, or cluster.workers"
        )
    if scan.holdings and fill_bytes(scan.job) > has:
        found.append(
            f"filling gaps takes {fill_bytes(scan.job) / gib:.1f} GiB, a worker has "
            f"{has / gib:.1f}; lower cluster.workers, or tile for a new cube"
        )
    return found


def _weather_row(scan: Scan) -> tuple[str, ...]:
    weather = scan.weather
    days = sum(gap.count for gap in weather.missing)
    return (
        weather.product, " ".join(weather.drivers), f"{len(weather.files):,}",
        _gigabytes(f.found.size for f in weather.files), f"{days} driver-days" if days else "-",
    )  # fmt: skip


def _product_row(scan: Scan, held: Holdings, product: str) -> tuple[str, ...]:
    mine = [file for file in held.files if file.named.product == product]
    period = scan.ingest.period
    due = len(due_dates(product, period.start, period.end))
    lacks = next((m for m in held.missing if m.product == product), None)
    missing = "-"
    if lacks is not None:
        missing = f"{len(lacks.days)} of {due} dates, {len(lacks.tiles)} tiles of others"
    size = _gigabytes(file.found.size for file in mine)
    return product, " ".join(held.variables), f"{len(mine):,}", size, missing


def _gigabytes(sizes: Iterable[int]) -> str:
    return f"{sum(sizes) / 1e9:.2f}"


def _gaps(gaps: Sequence[Gap]) -> list[str]:
    """Stretches of days, and the drivers that lack hours of them."""
    drivers: dict[tuple[dt.date, dt.date], list[str]] = {}
    for gap in gaps:
        drivers.setdefault((gap.first, gap.last), []).append(gap.driver)
    return [
        f"hours of {first if first == last else f'{first} to {last}'} for {', '.join(names)}"
        for (first, last), names in sorted(drivers.items())
    ]


def _missing(missing: Missing) -> str:
    parts = []
    if missing.days:
        parts.append(f"{len(missing.days)} dates ({in_words(missing.days)})")
    if missing.tiles:
        named = [f"{date} h{h:02d}v{v:02d}" for date, (h, v) in missing.tiles[:_SOME]]
        more = f" and {len(missing.tiles) - _SOME} more" if len(missing.tiles) > _SOME else ""
        parts.append(f"{len(missing.tiles)} tiles ({', '.join(named)}{more})")
    return f"{missing.product}: {'; '.join(parts)}"


def in_words(days: Sequence[dt.date]) -> str:
    """The first few of some dates."""
    named = ", ".join(map(str, days[:_SOME]))
    return named + (f" and {len(days) - _SOME} more" if len(days) > _SOME else "")


def _tiles(tiles: Sequence[tuple[int, int]]) -> str:
    """How many tiles, and the first few of them; those of the sea are not published."""
    named = ", ".join(f"h{h:02d}v{v:02d}" for h, v in tiles[:_SOME])
    more = f" and {len(tiles) - _SOME} more" if len(tiles) > _SOME else ""
    return f"{len(tiles)} tiles ({named}{more})"


def _name(url: str) -> str:
    return redact(name_of(url))


def show_faults(faults: Iterable[tuple[str, str]], console: Console) -> None:
    """Print files that are left out, each once."""
    for file, reason in dict.fromkeys(faults):
        console.print(f"left out: {_name(file)}: {redact(reason)}", style="red", **PLAIN)


def show_outcome(scan: Scan, outcome: IngestOutcome, console: Console) -> None:
    """Print what was done, what was not, and what the cube is now."""
    for entry in outcome.failed:
        console.print(f"failed {entry.item}: {redact(entry.error)}", style="red", **PLAIN)
    show_faults(outcome.faults, console)
    if outcome.failed:
        return
    cube = scan.ingest.cube
    if not outcome.changed:
        text = f"nothing to do: {cube} holds all that the archive gives ({outcome.kept} work items)"
        console.print(text, **PLAIN)
        return
    early = sum(entry.counts.get("preliminary", 0) > 0 for entry in outcome.done)
    if early:
        text = f"note: {early} work items have preliminary hours (ERA5T); ingest again in 3 months"
        console.print(text, **PLAIN)
    files = sum(entry.counts.get("files", 0) for entry in outcome.done)
    peak = max((entry.memory for entry in outcome.done), default=0) / 2**30
    console.print(
        f"{cube}: {len(outcome.done)} work items done, {outcome.kept} were there; {files:,} reads "
        f"of files; at most {peak:.1f} GiB in a worker; digest {outcome.digest[:12]}",
        **PLAIN,
    )


def scan_facts(scan: Scan) -> dict[str, Any]:
    """What the archive holds and lacks, as plain values and dates."""
    weather, faults = scan.weather, [(fault.file, fault.reason) for fault in scan.faults]
    return {
        "cube": scan.ingest.cube,
        "start": scan.ingest.period.start,
        "end": scan.ingest.period.end,
        "grid": scan.job.grid.to_dict(),
        "weather": {
            "product": weather.product,
            "variables": weather.drivers,
            "statistics": {name: str(verdict) for name, verdict in weather.verdicts},
            "files": len(weather.files),
            "bytes": sum(file.found.size for file in weather.files),
            "missing": [
                {"variable": gap.driver, "start": gap.first, "end": gap.last}
                for gap in weather.missing
            ],
        },
        "satellite": [_holdings_facts(held) for held in scan.holdings],
        "uncovered": [f"h{h:02d}v{v:02d}" for h, v in scan.uncovered],
        "notes": notes(scan),
        "left_out": _faults_facts(faults),
    }


def _holdings_facts(held: Holdings) -> dict[str, Any]:
    """Files of one satellite entry and what they lack, as plain values."""
    return {
        "products": held.products,
        "variables": held.variables,
        "files": len(held.files),
        "bytes": sum(file.found.size for file in held.files),
        "replaced": [_name(file.found.url) for file in held.older],
        "missing": [
            {
                "product": missing.product,
                "days": missing.days,
                "tiles": [f"{date} h{h:02d}v{v:02d}" for date, (h, v) in missing.tiles],
            }
            for missing in held.missing
        ],
    }


def _faults_facts(faults: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [
        {"file": _name(file), "reason": redact(reason)} for file, reason in dict.fromkeys(faults)
    ]


def outcome_facts(outcome: IngestOutcome) -> dict[str, Any]:
    """What an ingest did, as plain values."""
    failed = [{"item": entry.item, "error": redact(entry.error)} for entry in outcome.failed]
    return {
        "done": len(outcome.done),
        "kept": outcome.kept,
        "failed": failed,
        "left_out": _faults_facts(outcome.faults),
        "digest": outcome.digest,
    }
