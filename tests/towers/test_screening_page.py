"""The reference names every screen, and how each of them judges."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from upscale.testing.towers import write_towers
from upscale.towers.screening.screens import NAMES, SCREENS
from upscale.towers.table import read_unscreened

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "tower-screening.md"


def test_the_table_names_every_finding_once_and_no_other() -> None:
    screens = PAGE.read_text().split("## Where the bounds come from")[0]
    lines = [line for line in screens.splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    names = [name for first, *_ in rows for name in re.findall(r"`(\w+)`", first)]
    assert sorted(names) == sorted(NAMES)
    assert len(rows) == len(SCREENS)  # the row of signs is that of `below_zero`, and of `balance`
    assert [first for first, certain, odd in rows if not certain + odd] == []


def test_the_page_shows_real_towers_of_which_none_is_called_wrong() -> None:
    text = PAGE.read_text()
    found = re.search(r"<!-- findings -->(.*)<!-- end of findings -->", text, re.DOTALL)
    assert found
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) \| (\d+) \| `(\w+)` \|", found[1], re.MULTILINE)
    assert {name for name, *_ in rows} == {"towers", "towers-fluxnet2015"}
    assert {int(certain) for _, _, certain, _ in rows} == {0}
    assert {name for *_, name in rows} <= set(NAMES)


def test_the_script_that_makes_the_tables_counts_every_tower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(PAGE.parents[2] / "benchmarks")
    tower_screening = import_module("tower_screening")
    towers = read_unscreened(write_towers(tmp_path, count=3))
    chosen = [fault for fault in tower_screening.FAULTS if fault.what in ("TA in K", "NEE turned")]
    assert [tower_screening.seen(fault, towers) for fault in chosen] == [(3, 0, 0)] * 2
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- faults -->\nold\n<!-- end of faults -->\nafter\n")
    tower_screening.put(page, "faults", ["| new |"])
    assert page.read_text() == (
        "before\n<!-- faults -->\n\n| new |\n\n<!-- end of faults -->\nafter\n"
    )
