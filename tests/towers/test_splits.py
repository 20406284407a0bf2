"""Towers are split by cluster, and what is held out spans the classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upscale.towers.splits import climate_group, folds, hold_out, land_cover
from upscale.towers.table import Tower, read_towers

_NONE = np.zeros(0)


def _tower(number: int, cluster: int, igbp: int, suspect: bool = False) -> Tower:
    return Tower(
        f"T{number:03d}", f"C{cluster}", 45.0, 0.0, igbp, 1 + igbp, suspect,
        _NONE, _NONE, _NONE, _NONE, _NONE,
    )  # fmt: skip


def _clusters(towers: Sequence[Tower], sites: Sequence[str]) -> set[str]:
    return {tower.cluster for tower in towers if tower.site in sites}


@st.composite
def _many_towers(draw: st.DrawFn) -> list[Tower]:
    count = draw(st.integers(20, 60))
    row = st.tuples(st.integers(0, 40), st.integers(0, 17), st.booleans())
    rows = draw(st.lists(row, min_size=count, max_size=count))
    return [_tower(i, c, igbp, bad and i % 9 == 0) for i, (c, igbp, bad) in enumerate(rows)]


@settings(max_examples=50, deadline=None)
@given(_many_towers(), st.integers(0, 5))
def test_no_cluster_is_on_both_sides(towers: list[Tower], seed: int) -> None:
    split = hold_out(towers, 0.25, seed)
    seen = _clusters(towers, split.train)
    assert not seen & _clusters(towers, (*split.test, *split.suspect))
    assert sorted((*split.train, *split.test, *split.suspect)) == sorted(t.site for t in towers)


@settings(max_examples=50, deadline=None)
@given(_many_towers(), st.integers(0, 5))
def test_no_cluster_is_in_two_folds(towers: list[Tower], seed: int) -> None:
    if len({tower.cluster for tower in towers}) < 4:
        return
    parts = folds(towers, 4, seed)
    clusters = [_clusters(towers, part) for part in parts]
    assert sum(len(part) for part in clusters) == len(set().union(*clusters))
    assert sorted(site for part in parts for site in part) == sorted(t.site for t in towers)


def test_suspect_towers_are_never_learned_from() -> None:
    towers = [_tower(i, i, 1 + i % 5, suspect=i == 7) for i in range(40)]
    split = hold_out(towers, 0.2, 0)
    assert split.suspect == ("T007",)
    assert split.label("T007") == "suspect"


def test_what_is_held_out_spans_the_classes() -> None:
    towers = [_tower(i, i, 1 + i % 4) for i in range(40)]
    for seed in range(5):
        held = hold_out(towers, 0.25, seed).test
        assert {t.igbp for t in towers if t.site in held} == {1, 2, 3, 4}


def test_a_split_depends_on_its_seed_alone() -> None:
    towers = [_tower(i, i // 2, 1 + i % 4) for i in range(40)]
    assert hold_out(towers, 0.25, 1) == hold_out(towers, 0.25, 1)
    assert hold_out(towers, 0.25, 1) != hold_out(towers, 0.25, 2)


def test_too_few_clusters_for_the_folds_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 clusters"):
        folds([_tower(i, 0, 1) for i in range(9)], 5, 0)


def test_the_real_towers_held_out_span_land_cover_and_climate() -> None:
    data = os.environ.get("UPSCALE_TEST_DATA")
    if not data:
        pytest.skip("UPSCALE_TEST_DATA is not set: no real towers here")
    towers = read_towers(Path(data) / "towers")
    split = hold_out(towers, 0.22, 4)
    held = [tower for tower in towers if tower.site in split.test]
    assert not _clusters(towers, split.train) & {tower.cluster for tower in held}
    assert len({land_cover(tower) for tower in held}) >= 6
    assert {climate_group(tower) for tower in held} >= {"B", "C", "D"}
