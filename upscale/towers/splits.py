"""Splits of towers into training and evaluation: by cluster, never by row.

Towers of one cluster (single linkage, 50 km) share weather and often the stand, so a cluster
belongs wholly to one side. Clusters are sorted by land cover and climate and then dealt out in
turn, so that the held-out clusters span both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from upscale.towers.table import Tower
from upscale.variables import IGBP, KOPPEN


@dataclass(frozen=True)
class Split:
    """Sites by use.

    train: used to fit or validate; test: used neither for training nor for any choice; suspect:
    suspect towers, which are in no training cluster and are reported separately.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    suspect: tuple[str, ...]

    def label(self, site: str) -> str:
        """`train`, `test` or `suspect`."""
        for name in ("train", "test", "suspect"):
            if site in getattr(self, name):
                return name
        raise KeyError(f"{site} is in no split")


def hold_out(towers: Sequence[Tower], share: float, seed: int) -> Split:
    """Hold out about `share` of the clusters for evaluation.

    A cluster with a suspect tower is held out as well: its suspect towers are reported as
    `suspect`, its other towers as `test`.
    """
    doubtful = {tower.cluster for tower in towers if tower.suspect}
    order = _stratified([t for t in towers if t.cluster not in doubtful], seed)
    count = round(share * len(order))
    rng = np.random.default_rng(seed)
    picks = _spread(len(order), count, float(rng.uniform()))
    held = doubtful | {order[i] for i in picks}
    return Split(
        train=tuple(t.site for t in towers if t.cluster not in held),
        test=tuple(t.site for t in towers if t.cluster in held and not t.suspect),
        suspect=tuple(t.site for t in towers if t.suspect),
    )


def all_but_suspect(towers: Sequence[Tower]) -> Split:
    """Hold out only suspect towers, for a model that is evaluated by cross-validation."""
    return Split(
        train=tuple(t.site for t in towers if not t.suspect),
        test=(),
        suspect=tuple(t.site for t in towers if t.suspect),
    )


def folds(towers: Sequence[Tower], count: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """Deal the clusters of `towers` into `count` folds of sites, each spanning the classes."""
    order = _stratified(towers, seed)
    if count > len(order):
        raise ValueError(
            f"expected at least {count} clusters for {count} folds, found {len(order)}; "
            "ask for fewer folds or give more towers"
        )
    fold_of = {cluster: i % count for i, cluster in enumerate(order)}
    return tuple(
        tuple(t.site for t in towers if fold_of[t.cluster] == fold) for fold in range(count)
    )


def climate_group(tower: Tower) -> str:
    """Main Koeppen-Geiger group (first letter), `?` where unknown."""
    return KOPPEN[tower.koppen - 1][0] if tower.koppen else "?"


def land_cover(tower: Tower) -> str:
    """IGBP label, `?` where unknown."""
    return IGBP[tower.igbp - 1] if tower.igbp else "?"


def _stratified(towers: Sequence[Tower], seed: int) -> list[str]:
    """Clusters sorted so that similar ones are adjacent; ties in a seeded random order.

    A cluster is sorted by the class of its towers that is rarest among all towers.
    """
    rng = np.random.default_rng([seed, 1])
    covers = [land_cover(tower) for tower in towers]
    keys: dict[str, tuple[int, str, str, float]] = {}
    for cluster in sorted({tower.cluster for tower in towers}):
        members = [tower for tower in towers if tower.cluster == cluster]
        rarest = min(members, key=lambda t: (covers.count(land_cover(t)), t.site))
        cover = land_cover(rarest)
        keys[cluster] = (covers.count(cover), cover, climate_group(rarest), float(rng.uniform()))
    return sorted(keys, key=lambda cluster: keys[cluster])


def _spread(length: int, count: int, phase: float) -> list[int]:
    """`count` positions spread evenly over `length`, starting at `phase`."""
    return [int((i + phase) * length / count) for i in range(count)] if count else []
