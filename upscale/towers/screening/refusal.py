"""What a reader does with findings: it refuses, tells, or accepts what a table of sites accepts.

A column `accepted` of the table of sites names findings and why they are right, `season: the
sensor was tilted in 2011; constant: a gap filled by hand`. Accepted findings are told.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from upscale.towers.screening.finding import Finding
from upscale.towers.screening.screens import NAMES, screen_towers
from upscale.towers.tower import Tower, TowerWarning

#: The column of the table of sites.
COLUMN = "accepted"

#: Findings that are told in full; of more, only their names.
_FEW = 2

#: Certain findings that a refusal tells.
_MOST = 8


def screened(
    towers: Sequence[Tower], accepted: Mapping[str, Mapping[str, str]], folder: Path
) -> tuple[Tower, ...]:
    """The towers, if nothing about them is certain to be wrong.

    accepted: by site, the findings that are accepted and why. ValueError names tower, variable and
    numbers of every certain finding; a TowerWarning tells suspect and accepted ones in a line
    each. `Tower.origin` of a tower with an accepted finding says so.
    """
    found = screen_towers(towers)
    excused = [f for f in found if f.screen in accepted.get(f.site, {})]
    certain = [f for f in found if f.verdict == "certain" and f not in excused]
    if certain:
        raise ValueError(_refusal(certain, folder))
    known = {tower.site for tower in towers if tower.suspect}
    doubts = [f for f in found if f not in excused and f.site not in known]
    _tell(doubts, excused, accepted, folder)
    words = {f.site: f"{f.screen}: {accepted[f.site][f.screen]}" for f in excused}
    return tuple(
        replace(t, origin=f"{t.origin}; accepted {words[t.site]}") if t.site in words else t
        for t in towers
    )


def accepted_findings(sites: pd.DataFrame, folder: Path) -> dict[str, dict[str, str]]:
    """By site, the findings of the column `accepted` and why they are accepted.

    ValueError where the column names no finding, or gives no reason.
    """
    if COLUMN not in sites:
        return {}
    texts = sites.set_index("site")[COLUMN].dropna().astype(str)
    return {
        str(site): dict(_excuse(part, f"{folder}: {COLUMN} of {site}") for part in text.split(";"))
        for site, text in texts.items()
        if text.strip()
    }


def _excuse(part: str, where: str) -> tuple[str, str]:
    name, _, reason = (word.strip() for word in part.partition(":"))
    if name not in NAMES or not reason:
        raise ValueError(
            f"{where}: expected a finding and why it is right, such as 'season: the sensor was "
            f"tilted', found {part.strip()!r}; findings: {', '.join(NAMES)}"
        )
    return name, reason


def _refusal(certain: Sequence[Finding], folder: Path) -> str:
    """What is wrong, and the three ways out."""
    lines = [f"{finding.site}: {finding.text}" for finding in certain[:_MOST]]
    if len(certain) > _MOST:
        lines.append(f"and {len(certain) - _MOST} more")
    names = " ".join(dict.fromkeys(finding.screen for finding in certain))
    return (
        f"{folder}: {'; '.join(lines)}. Correct the record or leave the tower out (upscale towers "
        f"check {folder}); if it is right, say why in the column {COLUMN} of the table of sites: "
        f"'{names.split()[0]}: why'"
    )


def _tell(
    doubts: Sequence[Finding],
    excused: Sequence[Finding],
    accepted: Mapping[str, Mapping[str, str]],
    folder: Path,
) -> None:
    """Warn of suspect findings in one line, and of accepted ones in one line."""
    if doubts:
        told = "; ".join(f"{f.site}: {f.text}" for f in doubts)
        if len(doubts) > _FEW:
            told = ", ".join(dict.fromkeys(f"{f.site} ({f.screen})" for f in doubts))
            told += f"; upscale towers check {folder} tells more"
        warnings.warn(f"{folder}: suspect: {told}", TowerWarning, stacklevel=4)
    if excused:
        told = ", ".join(
            dict.fromkeys(f"{f.site} ({f.screen}: {accepted[f.site][f.screen]})" for f in excused)
        )
        warnings.warn(f"{folder}: accepted: {told}", TowerWarning, stacklevel=4)
