"""Towers predicted by models that never saw their clusters: kept in files, and scored.

`upscale.training.crossvalidate` makes these predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upscale.evaluation.skill import SkillRow
from upscale.evaluation.tower_model import Predict, score
from upscale.network.moments import clipped, mean_of
from upscale.towers.table import Tower

Floats = NDArray[np.float32]

#: Split of the rows of a skill table that come from cross-validation.
SPLIT = "cross-validation"


@dataclass(frozen=True, eq=False)
class LeftOut:
    """One tower, predicted by models that never saw its cluster.

    members: `(member, day, 3)` gpp, reco, nee in g m-2 d-1 by model, not clipped, NaN where
    nothing is predicted. embedding: z `(member, latent)` of the tower by its history, None
    where no model has one.
    """

    tower: Tower
    fold: int
    members: dict[str, Floats]
    embedding: Floats | None = None


def skill_of(left_out: Sequence[LeftOut]) -> list[SkillRow]:
    """Skill rows of all models on the good days that all of them predict; the split is
    `cross-validation`, or `suspect` for suspect towers."""
    by_site = {each.tower.site: each for each in left_out}
    suspect = {each.tower.site for each in left_out if each.tower.suspect}

    def from_kept(name: str) -> Predict:
        return lambda tower: ensemble_mean(by_site[tower.site].members[name])

    def label(site: str) -> str:
        return "suspect" if site in suspect else SPLIT

    models = {name: from_kept(name) for name in left_out[0].members}
    return list(score([each.tower for each in left_out], models, label))


def closure_of(left_out: Sequence[LeftOut], model: str) -> dict[str, float]:
    """Mean absolute NEE - (RECO - GPP), g m-2 d-1, mean over towers that are not suspect:
    `predicted` of the ensemble mean after clipping, `measured` of the towers, on good days."""
    kept = [each for each in left_out if not each.tower.suspect and each.tower.good.any()]
    made = [_gap(ensemble_mean(e.members[model])[e.tower.good]) for e in kept]
    measured = [_gap(e.tower.fluxes[e.tower.good]) for e in kept]
    return {"predicted": float(np.nanmean(made)), "measured": float(np.nanmean(measured))}


def ensemble_mean(members: Floats) -> Floats:
    """Mean `(day, 3)` of members `(member, day, 3)`, gpp and reco of each clipped at zero."""
    return mean_of(clipped(members), np.float32)


def write_left_out(folder: str | Path, left_out: Sequence[LeftOut]) -> None:
    """Keep predictions of left-out towers, one file per tower; no pickle."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for each in left_out:
        arrays = {f"members/{name}": values for name, values in each.members.items()}
        if each.embedding is not None:
            arrays["embedding"] = each.embedding
        path = folder / f"{each.tower.site}.npz"
        np.savez(path, fold=np.int64(each.fold), days=each.tower.days, **arrays)  # type: ignore[arg-type]


def read_left_out(folder: str | Path, towers: Sequence[Tower]) -> list[LeftOut]:
    """The kept predictions of `towers`, in their order.

    FileNotFoundError for a tower that was not predicted, ValueError where its days differ.
    """
    return [_read_one(Path(folder) / f"{tower.site}.npz", tower) for tower in towers]


def _read_one(path: Path, tower: Tower) -> LeftOut:
    """The kept predictions of one tower."""
    if not path.is_file():
        raise FileNotFoundError(
            f"expected predictions of {tower.site} in {path}, found none: cross-validate again"
        )
    with np.load(path, allow_pickle=False) as kept:
        if not np.array_equal(kept["days"], tower.days):
            raise ValueError(
                f"{path}: the days are not those of the record of {tower.site}: the towers were "
                "changed since, cross-validate again"
            )
        members = {
            name.removeprefix("members/"): np.asarray(kept[name], np.float32)
            for name in kept.files
            if name.startswith("members/")
        }
        embedding = kept["embedding"] if "embedding" in kept.files else None
        return LeftOut(tower, int(kept["fold"]), members, embedding)


def _gap(fluxes: Floats) -> float:
    gap = np.abs(fluxes[:, 2] - (fluxes[:, 1] - fluxes[:, 0]))
    known = gap[np.isfinite(gap)]
    return float(known.mean()) if known.size else np.nan
