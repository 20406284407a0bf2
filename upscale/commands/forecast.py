"""What a run will take, as its plan shows it: work, files, bytes, memory and time."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from upscale.engine.devices import visible_gpus
from upscale.engine.validate import Checked, domain_of, in_words, store_size, worker_bytes
from upscale.engine.work.context import context_size
from upscale.jobs.cluster import worker_count
from upscale.product.size import PACKED, StoreSize

#: Objects of the ledgers of a store and its embeddings once they are compacted: two of entries
#: each, the plan, the report.
_COMPACTED = 6

_NO_RATE = "give --rate N; `upscale status` of a finished run of this model prints it"


def plan_facts(
    checked: Checked, part: tuple[int, int] = (1, 1), rate: float | None = None
) -> dict[str, Any]:
    """What a run consists of, as plain values; bytes, memory and seconds are estimates.

    done, cell_days_left: of the work items of the part, by the ledger; files: those of a finished
    run, and of its ledger while it works; rate: cell-days per second of a worker, None where it
    is not known; workers: None where they stand elsewhere.
    """
    layout, tiles, cluster = checked.plan.job.layout, checked.plan.tiles, checked.run.cluster
    items = list(checked.plan.items(part))
    left = [item for item in items if item.id not in checked.standing.done]
    workers = None if cluster.address else worker_count(cluster, visible_gpus(cluster.device))
    each = worker_bytes(checked.plan, checked.release)
    store, embeddings = _sizes(checked)
    days_left = _cell_days(checked, left)
    return {
        "store": checked.run.output.store,
        "model": checked.release.manifest.name,
        "members": checked.release.members,
        "drivers": str(checked.cube.attributes["title"]),
        "start": checked.run.period.start,
        "end": checked.run.period.end,
        "grid": layout.grid.to_dict(),
        "tile_cells": layout.tile,
        "tiles": len(tiles),
        "land_cells": checked.plan.land,
        "block_days": layout.block,
        "work_items": len(items),
        "done": len(items) - len(left),
        "cell_days_left": days_left,
        "files": {
            "store": store.objects,
            "embeddings": embeddings.objects,
            "ledger": _COMPACTED,
            "ledger_at_work": _COMPACTED + len(items) + _embeddings(checked),
        },
        "store_bytes": round(PACKED * store.values),
        "embedding_bytes": embeddings.values,
        "workers": workers,
        "worker_bytes": each,
        "memory_bytes": None if workers is None else workers * each,
        "rate": rate,
        "worker_seconds": None if rate is None else round(days_left / rate),
        "notes": checked.warnings,
    }


def _embeddings(checked: Checked) -> int:
    """How many embeddings of tiles are entered into the ledger of the context cube."""
    job = checked.plan.job
    return 0 if job.query_context else domain_of(checked.plan).land_tiles * job.context_blocks


def _sizes(checked: Checked) -> tuple[StoreSize, StoreSize]:
    """The sizes of the store and of the embeddings."""
    plan, release = checked.plan, checked.release
    latent = 0 if plan.job.query_context else release.manifest.architecture.latent
    return store_size(plan, release), context_size(plan.job, latent, domain_of(plan))


def _cell_days(checked: Checked, items: list[Any]) -> int:
    """Cells to be predicted times days of work items."""
    land = {plan.tile: plan.land for plan in checked.plan.tiles}
    layout = checked.plan.job.layout
    return sum(land[item.tile] * layout.span(item.block)[1] for item in items)


def show_plan(
    checked: Checked,
    console: Console,
    part: tuple[int, int] = (1, 1),
    rate: float | None = None,
) -> None:
    """Print what a run consists of and what it takes."""
    facts, layout = plan_facts(checked, part, rate), checked.plan.job.layout
    table = Table(show_header=False, title=f"Plan of {facts['store']}", title_justify="left")
    rows = {
        "model": f"{facts['model']}, {facts['members']} members",
        "drivers": facts["drivers"],
        "period and grid": layout.describe(),
        "tiles": f"{facts['tiles']:,} of {layout.tile} x {layout.tile} cells",
        "land cells": f"{facts['land_cells']:,}",
        "work items": f"{facts['work_items']:,} (tile x block of {layout.block} days)\n"
        f"{facts['done']:>{len(format(facts['work_items'], ','))},} of them done",
        "files (or objects)": _files(facts["files"]),
        "bytes, about": _bytes(facts),
        "memory, about": _memory(facts, checked.run.cluster.address),
        "time, about": _time(facts),
    }
    for name, text in rows.items():
        table.add_row(name, text)
    console.print(table)


def _files(files: dict[str, int]) -> str:
    """Files of a disk, or objects of a bucket, by what they belong to."""
    counts = {name: files[name] for name in ("store", "embeddings", "ledger")}
    whole = f"{sum(counts.values()):,}"
    rows = [f"{whole} in all"]
    rows += [f"{count:>{len(whole)},} {name}" for name, count in counts.items() if count]
    return "\n".join(rows) + f", {files['ledger_at_work']:,} until it is compacted"


def _bytes(facts: dict[str, Any]) -> str:
    sizes = {"store": facts["store_bytes"], "embeddings": facts["embedding_bytes"]}
    words = {name: in_words(size) for name, size in sizes.items() if size}
    width = max(map(len, words.values()))
    return "\n".join(f"{text:>{width}} {name}" for name, text in words.items())


def _memory(facts: dict[str, Any], address: str | None) -> str:
    """Of a worker and of all, the processes themselves included."""
    each = f"{facts['worker_bytes'] / 2**30:.1f} GiB for each worker"
    if facts["workers"] is None:
        return f"{each}; the cluster at {address} knows how many there are"
    return f"{each}\n{facts['memory_bytes'] / 2**30:.1f} GiB for {_count(facts['workers'])}"


def _time(facts: dict[str, Any]) -> str:
    left = f"{facts['cell_days_left']:,} cell-days left"
    if not facts["cell_days_left"]:
        return "nothing is left to predict"
    if facts["rate"] is None:
        return f"{left}\nhow long: {_NO_RATE}"
    spent, workers = facts["worker_seconds"], facts["workers"]
    text = f"{left}\n{_span(spent)} of one worker"
    return text if workers in (None, 1) else f"{text}, {_span(spent / workers)} of {workers:,}"


def _count(workers: int) -> str:
    return f"{workers:,} worker{'s' * (workers != 1)}"


def _span(seconds: float) -> str:
    """A stretch of time for people."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.0f} seconds"
