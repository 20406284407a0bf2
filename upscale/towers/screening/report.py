"""The screening of a table or folder of towers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from upscale.towers.layouts import carbonfluxbench, harmonised, oneflux_folder
from upscale.towers.screening.finding import Finding
from upscale.towers.screening.refusal import accepted_findings
from upscale.towers.screening.screens import screen_towers
from upscale.towers.sites import known_sites
from upscale.towers.table import read_unscreened


@dataclass(frozen=True)
class AcceptedFinding:
    """A finding that the table of sites accepts, and why."""

    finding: Finding
    reason: str


@dataclass(frozen=True)
class ScreeningReport:
    """What the screening found: sites of all towers, open findings, accepted ones."""

    sites: tuple[str, ...]
    findings: tuple[Finding, ...]
    accepted: tuple[AcceptedFinding, ...]

    @property
    def passed(self) -> bool:
        """Whether `read_towers` reads these towers."""
        return not any(finding.verdict == "certain" for finding in self.findings)

    def counts(self) -> Counter[str]:
        """Number of open findings by verdict."""
        return Counter(finding.verdict for finding in self.findings)


def check_towers(place: str | Path, table: str | Path | None = None) -> ScreeningReport:
    """Screen the towers of a folder, or of one table or daily file in it.

    table: of sites, instead of that of the folder. Raises what `read_towers` raises, except for
    findings.
    """
    folder, sites = _folder(Path(place))
    meta = Path(table) if table else None
    towers = read_unscreened(folder, sites, table=meta)
    reasons = accepted_findings(known_sites(folder, meta), folder)
    found = screen_towers(towers)
    excused = [f for f in found if f.screen in reasons.get(f.site, {})]
    return ScreeningReport(
        tuple(tower.site for tower in towers),
        tuple(f for f in found if f not in excused),
        tuple(AcceptedFinding(f, reasons[f.site][f.screen]) for f in excused),
    )


def _folder(place: Path) -> tuple[Path, list[str] | None]:
    """The folder to read, and the sites of it; None stands for all."""
    if not place.is_file():
        return place, None
    if place.name in (harmonised.FILE, *carbonfluxbench.FILES):
        return place.parent, None
    sites = {file.site for file in oneflux_folder.find(place.parent) if file.source.path == place}
    if not sites:
        raise ValueError(
            f"expected a folder of towers, {harmonised.FILE}, {carbonfluxbench.FILE} or a daily "
            f"ONEFlux file, found {place}"
        )
    return place.parent, sorted(sites)
