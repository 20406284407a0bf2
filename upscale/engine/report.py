"""The report at the end of a run, made from the ledger alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from upscale.calendar import date_of
from upscale.engine.ledger import RunEntry, RunLedger
from upscale.jobs.compact import LedgerError
from upscale.jobs.progress import made_values
from upscale.product.cube import layout_of, open_flux_group
from upscale.product.layout import FluxLayout
from upscale.stores.broken import refusing
from upscale.variables import FLUXES

_PETAGRAM = 1e15


@dataclass(frozen=True)
class YearTotal:
    """Total of one flux over the cells of the store and the days of one calendar year that it
    holds, Pg of carbon; spread: sample standard deviation over the members."""

    year: int
    flux: str
    days: int
    total: float
    spread: float


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    cell_days: values of the store; kept: those of them that stand as a session left them that came
    before the one that wrote their work item; seconds: by stage, summed over workers; rates:
    cell-days predicted per second of a stage and worker; rate: cell-days predicted per second of a
    worker in the last session that predicted any, all stages and the start of the cluster
    included, 0 where that is not known; memory: peak of a worker, bytes; wall: seconds of this
    session; totals: see `YearTotal`; failed: item and reason.
    """

    store: str
    title: str
    model: str
    synthetic: bool
    items: int
    done: int
    land_cells: int
    cell_days: int
    kept: int
    seconds: Mapping[str, float]
    rates: Mapping[str, float]
    rate: float
    memory: int
    wall: float
    workers: int
    flags: Mapping[str, int]
    totals: tuple[YearTotal, ...]
    failed: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def make_report(store: str, wall: float, session: Sequence[RunEntry] = ()) -> RunReport:
    """Sum up the ledger of a store; wall: seconds that this session took; session: what it did.

    ValueError where its attributes or its ledger are not those of a run.
    """
    expected = "the attributes and the ledger of a run"
    with refusing(store, expected, ValueError, passing=(LedgerError,)):
        return _report(store, wall, session)


def _report(store: str, wall: float, session: Sequence[RunEntry]) -> RunReport:
    """As `make_report`; what a wrong ledger raises is not caught."""
    attributes = dict(open_flux_group(store).attrs)
    layout, ledger = layout_of(attributes), RunLedger(store)
    digest = str(attributes["run_digest"])
    entries, failed = ledger.entries(digest), ledger.entries(digest, "failed")
    plan = ledger.plan()
    seconds = _sum(entry.seconds for entry in entries.values())
    counts = _sum(entry.counts for entry in entries.values())
    cell_days, kept = int(counts.pop("values", 0)), int(counts.pop("kept", 0))
    known = {"land", "cells"}
    return RunReport(
        store=store,
        title=str(attributes["title"]),
        model=str(attributes["model_name"]),
        synthetic=bool(attributes["synthetic"]),
        items=len(plan["items"]),
        done=len(entries),
        land_cells=int(plan["land"]),
        cell_days=cell_days,
        kept=kept,
        seconds={name: round(spent, 1) for name, spent in seconds.items()},
        rates={name: round((cell_days - kept) / max(s, 1e-3)) for name, s in seconds.items()},
        rate=_rate(session, wall) or last_rate(store),
        memory=max((entry.memory for entry in entries.values()), default=0),
        wall=wall,
        workers=len({entry.worker for entry in entries.values()}),
        flags={name: int(n) for name, n in sorted(counts.items()) if name not in known},
        totals=_totals(layout, entries),
        failed=tuple((name, entry.error) for name, entry in failed.items() if name not in entries),
    )


def _rate(session: Sequence[RunEntry], wall: float) -> float:
    """Cell-days per second of a worker, from the entries of a session of `wall` seconds."""
    workers = len({entry.worker for entry in session})
    cell_days = sum(made_values(entry) for entry in session)
    return round(cell_days / max(wall, 1e-3) / workers, 1) if workers else 0.0


def last_rate(store: str) -> float:
    """The rate of the last session of a run, as its report has it; 0 where there is none."""
    report = RunLedger(store).read_object("report.json")
    rate = report.get("rate", 0) if isinstance(report, dict) else 0
    return float(rate) if isinstance(rate, int | float) else 0.0


def _sum(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = defaultdict(float)
    for row in rows:
        for name, value in row.items():
            total[name] += value
    return dict(total)


def _totals(layout: FluxLayout, entries: Mapping[str, RunEntry]) -> tuple[YearTotal, ...]:
    """Totals of each calendar year and flux, from the members' totals of every item."""
    years: dict[tuple[int, str], NDArray[np.float64]] = {}
    for name in sorted(entries):
        entry = entries[name]
        segments = layout.segments[layout.segments_of(int(name.rsplit("-b", 1)[1]))]
        for flux, totals in entry.totals.items():
            for segment, members in zip(segments, totals, strict=True):
                key = date_of(segment.first).year, flux
                years[key] = years.get(key, np.zeros(len(members))) + members
    days: dict[int, int] = defaultdict(int)
    for segment in layout.segments:
        days[date_of(segment.first).year] += segment.count
    return tuple(
        YearTotal(year, flux, days[year], float(sums.mean()) / _PETAGRAM, _spread(sums))
        for (year, flux), sums in sorted(years.items(), key=_in_order)
    )


def _in_order(pair: tuple[tuple[int, str], object]) -> tuple[int, int]:
    (year, flux), _ = pair
    return year, FLUXES.index(flux)


def _spread(members: NDArray[np.float64]) -> float:
    return float(members.std(ddof=1)) / _PETAGRAM if len(members) > 1 else 0.0


def show(report: RunReport, console: Console) -> None:
    """Print a report for people."""
    console.print(f"\n{report.title}", style="bold", highlight=False, markup=False)
    console.print(f"store {report.store}, model {report.model}", highlight=False, markup=False)
    _show_work(report, console)
    if report.totals:
        _show_totals(report, console)


def _show_work(report: RunReport, console: Console) -> None:
    """Print how much was done, in what time, and in which stages."""
    state = "" if report.done == report.items else f" of {report.items}"
    kept = f" ({report.kept:,} kept from earlier)" if report.kept else ""
    console.print(
        f"{report.done}{state} work items, {report.land_cells:,} land cells, "
        f"{report.cell_days:,} cell-days{kept}, {report.wall:.0f} s, "
        f"peak memory of a worker {report.memory / 2**30:.1f} GiB",
        highlight=False,
    )
    table = Table("stage", "worker seconds", "cell-days per second", title="Where the time went")
    for name, spent in report.seconds.items():
        table.add_row(name, f"{spent:,.1f}", f"{report.rates[name]:,.0f}")
    console.print(table)
    if report.rate:
        console.print(rate_in_words(report.rate), highlight=False, soft_wrap=True)


def rate_in_words(rate: float) -> str:
    """What a rate is, and what it is good for."""
    return f"{rate:,.0f} cell-days per second and worker; plan with: upscale plan --rate {rate:.0f}"


def _show_totals(report: RunReport, console: Console) -> None:
    what = "synthetic planet, not Earth" if report.synthetic else "cells of this store"
    columns = (*FLUXES, "nee - (reco - gpp)")
    table = Table("year", "days", *columns, title=f"Totals, Pg of carbon ({what}); +- spread")
    for year in sorted({row.year for row in report.totals}):
        rows = {row.flux: row for row in report.totals if row.year == year}
        cells = [f"{rows[flux].total:.4g} +- {rows[flux].spread:.2g}" for flux in FLUXES]
        gpp, reco, nee = (rows[flux].total for flux in FLUXES)
        table.add_row(str(year), str(rows["gpp"].days), *cells, f"{nee - (reco - gpp):.2g}")
    console.print(table)
