"""What the screening of towers says of real towers, and which planted faults it sees.

    python benchmarks/tower_screening.py [TOWERS ...] [--write PAGE]

Screens every tower of the folders as it is, then with one fault at a time. Without folders, those
below UPSCALE_TEST_DATA are taken. --write puts the tables into a page, between its marks.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upscale.towers.screening.finding import Finding
from upscale.towers.screening.screens import SCREENS, screen_towers
from upscale.towers.table import Tower, read_unscreened
from upscale.towers.tower import DRIVERS

Column = NDArray[np.float32]

#: 1 umol m-2 s-1 of carbon for a day, in g.
_UMOL = 86_400e-6 * 12.011

#: Photons of visible light in 1 J of sunlight, umol: 4.57 in 1 J of visible light (McCree 1972,
#: Agric. Meteorol. 10, 443), which is 45 % of it.
_PHOTONS = 4.57 * 0.45

_WEATHER = ("temperature", "radiation", "humidity", "rain")
_CARBON = ("balance", "below_zero", "uptake", "carbon_unit")
_DATES = ("season", "latitude")


@dataclass(frozen=True)
class PlantedFault:
    """A fault in words, how it is made, and the screens that are asked."""

    what: str
    make: Callable[[Tower], Tower]
    screens: Sequence[str]


def of_driver(name: str, change: Callable[[Column], Column]) -> Callable[[Tower], Tower]:
    """A fault of one driver."""

    def make(tower: Tower) -> Tower:
        drivers = tower.drivers.copy()
        column = DRIVERS.index(name)
        drivers[:, column] = change(drivers[:, column])
        return replace(tower, drivers=drivers)

    return make


def of_fluxes(
    change: Callable[[Column, Column, Column], tuple[Column, Column, Column]],
) -> Callable[[Tower], Tower]:
    """A fault of GPP, RECO and NEE."""
    return lambda tower: replace(tower, fluxes=np.column_stack(change(*tower.fluxes.T)))


def scaled(*factors: float) -> Callable[[Tower], Tower]:
    """GPP, RECO and NEE times factors."""
    return of_fluxes(lambda g, r, n: (g * factors[0], r * factors[1], n * factors[2]))


FAULTS = (
    PlantedFault("TA in K", of_driver("ta", lambda v: v + 273.15), _WEATHER),
    PlantedFault("TA in degF", of_driver("ta", lambda v: v * 1.8 + 32), _WEATHER),
    PlantedFault("SW_IN in MJ m-2 d-1", of_driver("sw_in", lambda v: v * 0.0864), _WEATHER),
    PlantedFault(
        "SW_IN as photons, umol m-2 s-1", of_driver("sw_in", lambda v: v * _PHOTONS), _WEATHER
    ),
    PlantedFault("VPD in kPa", of_driver("vpd", lambda v: v / 10), _WEATHER),
    PlantedFault("VPD in Pa", of_driver("vpd", lambda v: v * 100), _WEATHER),
    PlantedFault("P in m d-1", of_driver("p", lambda v: v / 1000), _WEATHER),
    PlantedFault("P in mm s-1", of_driver("p", lambda v: v / 86_400), _WEATHER),
    PlantedFault("P in mm h-1", of_driver("p", lambda v: v / 24), _WEATHER),
    PlantedFault("NEE turned", scaled(1, 1, -1), _CARBON),
    PlantedFault("GPP turned", scaled(-1, 1, 1), _CARBON),
    PlantedFault("RECO turned", scaled(1, -1, 1), _CARBON),
    PlantedFault("GPP and NEE turned", scaled(-1, 1, -1), _CARBON),
    PlantedFault("all three turned", scaled(-1, -1, -1), _CARBON),
    PlantedFault(
        "GPP and RECO swapped", of_fluxes(lambda g, r, n: (r, g, n)), _CARBON
    ),
    PlantedFault(
        "NEE turned, RECO made of it", of_fluxes(lambda g, r, n: (g, g - n, -n)), _CARBON
    ),
    PlantedFault(
        "NEE turned, GPP made of it", of_fluxes(lambda g, r, n: (r + n, r, -n)), _CARBON
    ),
    PlantedFault("NEE in umol m-2 s-1", scaled(1, 1, 1 / _UMOL), _CARBON),
    PlantedFault("all three in umol m-2 s-1", scaled(*[1 / _UMOL] * 3), _CARBON),
    PlantedFault("all three in kg", scaled(1e-3, 1e-3, 1e-3), _CARBON),
    PlantedFault("all three in mmol", scaled(*[1000 / 12.011] * 3), _CARBON),
    PlantedFault("sign of lat turned", lambda t: replace(t, lat=-t.lat), _DATES),
    PlantedFault("91 days late", lambda t: replace(t, days=t.days + 91), _DATES),
    PlantedFault("183 days late", lambda t: replace(t, days=t.days + 183), _DATES),
)  # fmt: skip


def seen(fault: PlantedFault, towers: Iterable[Tower]) -> tuple[int, int, int]:
    """Towers that are refused, told, and not seen with a fault; those without the data are none."""
    looks = [screen.look for screen in SCREENS if screen.name in fault.screens]
    counts = [0, 0, 0]
    for tower in towers:
        if fault.what.startswith("P ") and not np.isfinite(tower.driver("p")).any():
            continue
        before = {(f.screen, f.variable) for look in looks for f in look(tower)}
        found = [f for look in looks for f in look(fault.make(tower))]
        verdicts = {f.verdict for f in found if (f.screen, f.variable) not in before}
        verdicts |= {f.verdict for f in found if f.verdict == "certain"}
        counts[0 if "certain" in verdicts else 1 if verdicts else 2] += 1
    return counts[0], counts[1], counts[2]


def findings_table(folders: dict[str, tuple[Tower, ...]]) -> list[str]:
    """A row for each screen and folder with findings: how many towers, and which."""
    lines = [
        "| folder | towers | certain | finding | suspect at |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, towers in folders.items():
        found = screen_towers(towers)
        sure = len({f.site for f in found if f.verdict == "certain"})
        for screen in dict.fromkeys(f.screen for f in found):
            sites = ", ".join(dict.fromkeys(_site(f, towers) for f in found if f.screen == screen))
            lines.append(f"| `{name}` | {len(towers)} | {sure} | `{screen}` | {sites} |")
    return lines


def _site(finding: Finding, towers: Sequence[Tower]) -> str:
    called = any(tower.suspect for tower in towers if tower.site == finding.site)
    return f"{finding.site}*" if called else finding.site


def faults_table(towers: Sequence[Tower]) -> list[str]:
    """A row for each planted fault: towers refused, told and not seen."""
    lines = [
        "| planted fault | towers | refused | told | not seen |",
        "| --- | --- | --- | --- | --- |",
    ]
    for fault in FAULTS:
        counts = seen(fault, towers)
        lines.append(f"| {fault.what} | {sum(counts)} | " + " | ".join(map(str, counts)) + " |")
        print(lines[-1], flush=True)
    return lines


def real_towers() -> list[Path]:
    """The folders of real towers, where there are any."""
    data = os.environ.get("UPSCALE_TEST_DATA")
    return sorted(path.parent for path in Path(data).glob("*/towers.parquet")) if data else []


def main() -> None:
    """Print both tables, and write them into a page."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("folders", nargs="*", type=Path)
    words.add_argument("--write", type=Path, metavar="PAGE")
    choice = words.parse_args()
    folders = {path.name: read_unscreened(path) for path in choice.folders or real_towers()}
    if not folders:
        print("no folder of towers is named, and UPSCALE_TEST_DATA is not set: nothing to screen")
        return
    tables = {
        "findings": findings_table(folders),
        "faults": faults_table([tower for towers in folders.values() for tower in towers]),
    }
    for name, lines in tables.items():
        print("\n".join(lines))
        if choice.write:
            put(choice.write, name, lines)


def put(page: Path, name: str, lines: Sequence[str]) -> None:
    """Put lines into a page, between the marks of a name."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(start)
    after = rest.partition(end)[2]
    body = "\n".join([start, "", *lines, "", end])
    page.write_text(before + body + after, encoding="utf-8")


if __name__ == "__main__":
    main()
