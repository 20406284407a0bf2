"""What a tower proves of a model that names the sites which it learned from."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import numpy as np

from upscale.towers.clusters import linked
from upscale.towers.tower import Tower

_NETWORK = re.compile(r"^[A-Za-z0-9]+_(?=[A-Za-z]{2}-)")


def plain_site(name: str) -> str:
    """The name of a site without its network and blanks: `FLX_AT-Neu ` is `AT-Neu`."""
    return _NETWORK.sub("", name.strip())


def splits_by_list(
    towers: Sequence[Tower],
    learned: Collection[str],
    places: Sequence[tuple[float, float]] = (),
    suspect: Collection[str] = (),
) -> dict[str, str]:
    """`train`, `near`, `suspect` or `test` by site.

    learned: names of sites that the model learned from; places: their latitudes and
    longitudes, degrees; suspect: sites that count as suspect whatever the towers say.
    `near` is who shares a cluster, or a chain of steps of at most 50 km, with one that was
    learned from, be it among `towers` or not.
    """
    seen, doubtful = ({plain_site(name) for name in names} for names in (learned, suspect))
    near = _near_clusters(towers, seen, places)

    def split(tower: Tower) -> str:
        name = plain_site(tower.site)
        if name in seen:
            return "train"
        if tower.suspect or name in doubtful:
            return "suspect"
        return "near" if tower.cluster in near else "test"

    return {tower.site: split(tower) for tower in towers}


def _near_clusters(
    towers: Sequence[Tower], seen: Collection[str], places: Sequence[tuple[float, float]]
) -> set[str]:
    """Clusters with a tower that was learned from, or that is linked with one."""
    known = np.array([plain_site(tower.site) in seen for tower in towers], bool)
    points = np.array([*((t.lat, t.lon) for t in towers), *places], float).reshape(-1, 2)
    group = linked(points[:, 0], points[:, 1])
    there = np.concatenate([known, np.ones(len(places), bool)])
    touched = np.isin(group[: len(towers)], group[there])
    return {tower.cluster for tower, is_near in zip(towers, touched, strict=True) if is_near}
