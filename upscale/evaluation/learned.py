"""Which towers a release has learned from, as far as it can be known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upscale.evaluation.skill import read_skill
from upscale.network.releases.release import SKILL, Release
from upscale.towers.learned import plain_site, splits_by_list
from upscale.towers.table import Tower
from upscale.training.material import data_digest

#: What a split means, best evidence first.
SPLITS = {
    "test": "never seen by the model",
    "near": "not learned from, but in one cluster (50 km) with a tower that was",
    "suspect": "with an implausible measured carbon balance (suspect), not learned from",
    "unknown": "of which it cannot be told whether the model learned from them",
    "train": "that the model learned from",
}


def splits_of(release: Release, towers: Sequence[Tower], folder: str | Path) -> dict[str, str]:
    """Split of every tower by site, one of `SPLITS`.

    A release that lists what it learned from is taken at its word, and as to suspect towers its
    own `skill.csv` is. An older one knows the clusters and sites that it held out; everything
    else is `train` where `folder` holds the very data of its training, and `unknown` elsewhere.
    """
    manifest, judged = release.manifest, _judged_sites(release)
    doubtful = {site for site, split in judged.items() if split == "suspect"}
    if manifest.learned:
        places = [(place.lat, place.lon) for place in manifest.learned_places]
        return splits_by_list(towers, manifest.learned, places, doubtful)
    rest = "train" if _same_data(release, folder) else "unknown"

    def split(tower: Tower) -> str:
        site = plain_site(tower.site)
        if tower.suspect or site in doubtful:
            return "suspect"
        return "test" if tower.cluster in manifest.held_out or site in judged else rest

    return {tower.site: split(tower) for tower in towers}


def _judged_sites(release: Release) -> dict[str, str]:
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
