"""Which towers a model learned from, as far as this is known, and what they show of its skill."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from upscale.evaluation.skill import read_skill
from upscale.network.releases.resolve import SKILL
from upscale.towers.clusters import linked
from upscale.towers.digest import data_digest
from upscale.towers.tower import Tower

if TYPE_CHECKING:  # flux cubes are compared without torch
    from upscale.network.releases.release import Release

#: What a split means, best evidence first.
SPLITS = {
    "test": "never seen by the model",
    "near": "not learned from, but in one cluster (50 km) with a tower that was",
    "suspect": "with an implausible measured carbon balance (suspect), not learned from",
    "unknown": "of which it cannot be told whether the model learned from them",
    "train": "that the model learned from",
}


_NETWORK = re.compile(r"^[A-Za-z0-9]+_(?=[A-Za-z]{2}-)")


def splits_of(release: Release, towers: Sequence[Tower], folder: str | Path) -> dict[str, str]:
    """Split of every tower by site, one of `SPLITS`.

    A release that lists what it learned from is believed, and so is its own `skill.csv` as to
    which towers are suspect. An older release knows only the clusters and sites that it held
    out; all others are `train` where `folder` holds the data of its training, else `unknown`.
    """
    manifest, scored = release.manifest, _scored_sites(release)
    doubtful = {site for site, split in scored.items() if split == "suspect"}
    if manifest.learned:
        places = [(place.lat, place.lon) for place in manifest.learned_places]
        return splits_by_list(towers, manifest.learned, places, doubtful)
    rest = "train" if _same_data(release, folder) else "unknown"

    def split(tower: Tower) -> str:
        site = plain_site(tower.site)
        if tower.suspect or site in doubtful:
            return "suspect"
        return "test" if tower.cluster in manifest.held_out or site in scored else rest

    return {tower.site: split(tower) for tower in towers}


def splits_by_list(
    towers: Sequence[Tower],
    learned: Collection[str],
    places: Sequence[tuple[float, float]] = (),
    suspect: Collection[str] = (),
) -> dict[str, str]:
    """`train`, `near`, `suspect` or `test` by site.

    learned: names of sites that the model learned from; places: their latitudes and
    longitudes, degrees; suspect: sites that count as suspect whatever the towers say.
    A tower is `near` where it shares a cluster with a training tower, or is linked to
    one by a chain of steps of at most 50 km; that one need not be among `towers`.
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


def plain_site(name: str) -> str:
    """The name of a site without its network and blanks: `FLX_AT-Neu ` is `AT-Neu`."""
    return _NETWORK.sub("", name.strip())


def _scored_sites(release: Release) -> dict[str, str]:
    """Split by site that the release's own `skill.csv` gives as left out; empty without one."""
    try:
        table = read_skill(release.path / SKILL)
    except (OSError, ValueError):
        return {}
    table = table[table["split"].isin(["test", "suspect"])]
    return {plain_site(str(s)): str(x) for s, x in zip(table["tower"], table["split"], strict=True)}


def _same_data(release: Release, folder: str | Path) -> bool:
    """Whether a folder holds the files that the release was trained with."""
    try:
        return data_digest(folder) == release.manifest.training_digest
    except OSError:  # another layout
        return False


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
