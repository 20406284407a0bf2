"""Which towers a release has learned from, as far as it can be known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upscale.network.release import SKILL, Release
from upscale.towers.skill import read_skill
from upscale.towers.table import Tower
from upscale.training.material import data_digest

#: What a split means, best evidence first.
SPLITS = {
    "test": "never seen by the model",
    "near": "not learned from, but in one cluster with a tower that was",
    "suspect": "with an implausible measured carbon balance (suspect), not learned from",
    "unknown": "of which it cannot be told whether the model learned from them",
    "train": "that the model learned from",
}


def splits_of(release: Release, towers: Sequence[Tower], folder: str | Path) -> dict[str, str]:
    """Split of every tower by site, one of `SPLITS`.

    A release that lists what it learned from is taken at its word. An older one knows the
    clusters and sites that it held out; everything else is `train` where `folder` holds the
    very data of its training, and `unknown` elsewhere.
    """
    learned = frozenset(release.manifest.learned)
    if learned:
        near = {tower.cluster for tower in towers if tower.site in learned}
        return {tower.site: _by_list(tower, learned, near) for tower in towers}
    held_out = frozenset(release.manifest.held_out)
    judged = _judged_sites(release)
    rest = "train" if _same_data(release, folder) else "unknown"
    return {
        tower.site: _unseen(tower)
        if tower.cluster in held_out or tower.site in judged
        else ("suspect" if tower.suspect else rest)
        for tower in towers
    }


def _by_list(tower: Tower, learned: frozenset[str], near: set[str]) -> str:
    if tower.site in learned:
        return "train"
    if not tower.suspect and tower.cluster in near:
        return "near"
    return _unseen(tower)


def _unseen(tower: Tower) -> str:
    return "suspect" if tower.suspect else "test"


def _judged_sites(release: Release) -> frozenset[str]:
    """Sites that the release's own `skill.csv` gives as left out; none where it has no such."""
    try:
        table = read_skill(release.path / SKILL)
    except (OSError, ValueError):
        return frozenset()
    return frozenset(table.loc[table["split"].isin(["test", "suspect"]), "tower"])


def _same_data(release: Release, folder: str | Path) -> bool:
    """Whether a folder holds the files that the release was trained with."""
    try:
        return data_digest(folder) == release.manifest.training_digest
    except OSError:  # another layout
        return False
