"""Every tower predicted by models that never saw its cluster.

The clusters of all towers are dealt into folds; for each fold the models learn from the towers
of the others, members of networks stopping by clusters of those others, and predict what was
left out. Suspect towers are predicted, too, and never learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from upscale.evaluation.skill import SkillRow
from upscale.evaluation.tower_model import Predict, clipped, score
from upscale.network.boosting.trees import TREES
from upscale.towers.splits import folds as deal
from upscale.towers.table import Tower
from upscale.training.baselines import fit_seasonal_cycle, fit_trees
from upscale.training.config import Model, TrainConfig, with_model
from upscale.training.material import material_of, with_good_days
from upscale.training.networks.progress import Say
from upscale.training.trained import tower_model_of, train_model

Floats = NDArray[np.float32]

#: Name of the mean seasonal cycle among the models.
SEASONAL_CYCLE = "seasonal-cycle"

#: Split of the rows of a skill table that come from cross-validation.
SPLIT = "cross-validation"

#: The seed by which clusters are dealt into folds, whatever is trained.
_DEAL = 11

#: Seeds of one fold are this far from those of the next, so that no member comes twice.
_APART = 100


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


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A model of one fold: fluxes `(member, day, 3)` of a tower, and its z where it has one."""

    members: Callable[[Tower], Floats]
    embedding: Callable[[Tower], Floats] | None = None


def cross_validate(
    config: TrainConfig,
    towers: Sequence[Tower],
    models: Sequence[str],
    folds: int = 5,
    say: Say = print,
    work: Path | None = None,
) -> list[LeftOut]:
    """Predict every tower by models that learned from other clusters, in the order of `towers`.

    models: names of `TrainConfig.model`, or `seasonal-cycle`. Trees that are not `config.model` are
    fitted once, as they are published: their settings leave nothing to a seed. work: folder that
    keeps trained members, so that a killed cross-validation goes on. Towers without a good flux
    day are predicted, but nothing is learned from them.
    """
    dealt = deal(towers, folds, _DEAL)
    able = [tower for tower in with_good_days(towers) if not tower.suspect]
    found: dict[str, LeftOut] = {}
    for fold, sites in enumerate(dealt):
        learning = [t for t in able if t.site not in sites]
        say(f"fold {fold + 1} of {folds}: {len(learning)} towers to learn from")
        fitted = {
            name: _fit(name, config, learning, fold, say, work / f"fold-{fold}" if work else None)
            for name in models
        }
        found |= {t.site: _predict(t, fold, fitted) for t in towers if t.site in sites}
    return [found[tower.site] for tower in towers]


def skill_of(left_out: Sequence[LeftOut]) -> list[SkillRow]:
    """Skill rows of all models on the good days that all of them predict; the split is
    `cross-validation`, or `suspect` for suspect towers."""
    by_site = {each.tower.site: each for each in left_out}
    suspect = {each.tower.site for each in left_out if each.tower.suspect}

    def mean_of(name: str) -> Predict:
        return lambda tower: ensemble_mean(by_site[tower.site].members[name])

    def label(site: str) -> str:
        return "suspect" if site in suspect else SPLIT

    models = {name: mean_of(name) for name in left_out[0].members}
    return list(score([each.tower for each in left_out], models, label))


def closure_of(left_out: Sequence[LeftOut], model: str) -> dict[str, float]:
    """Mean absolute NEE - (RECO - GPP), g m-2 d-1, mean over towers that are not suspect:
    `predicted` of the ensemble mean after clipping, `measured` of the towers, on good days."""
    kept = [each for each in left_out if not each.tower.suspect and each.tower.good.any()]
    made = [_gap(ensemble_mean(e.members[model])[e.tower.good]) for e in kept]
    measured = [_gap(e.tower.fluxes[e.tower.good]) for e in kept]
    return {"predicted": float(np.nanmean(made)), "measured": float(np.nanmean(measured))}


def _gap(fluxes: Floats) -> float:
    gap = np.abs(fluxes[:, 2] - (fluxes[:, 1] - fluxes[:, 0]))
    known = gap[np.isfinite(gap)]
    return float(known.mean()) if known.size else np.nan


def ensemble_mean(members: Floats) -> Floats:
    """Mean `(day, 3)` of members `(member, day, 3)`, gpp and reco of each clipped at zero."""
    return np.asarray(clipped(members).mean(axis=0), np.float32)


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


def _predict(tower: Tower, fold: int, fitted: Mapping[str, _Fitted]) -> LeftOut:
    embeddings = [each.embedding for each in fitted.values() if each.embedding is not None]
    return LeftOut(
        tower=tower,
        fold=fold,
        members={name: each.members(tower) for name, each in fitted.items()},
        embedding=embeddings[0](tower) if embeddings else None,
    )


def _fit(
    name: str,
    config: TrainConfig,
    learning: Sequence[Tower],
    fold: int,
    say: Say,
    work: Path | None,
) -> _Fitted:
    if name == SEASONAL_CYCLE:
        cycle = fit_seasonal_cycle(learning)
        return _Fitted(lambda tower: cycle.predict(tower)[None].astype(np.float32))
    if name in TREES:
        # a rival is fitted once, as it is published; a release of trees as many times as it will be
        draws = config.members if name == config.model else 1
        trees = fit_trees(
            name, learning, config.features, config.seed, config.boosting_rounds, draws,
            config.workers,
        )  # fmt: skip
        return _Fitted(trees.members)
    return _fit_networks(name, config, learning, fold, say, work)  # type: ignore[arg-type]


def _fit_networks(
    name: Model,
    config: TrainConfig,
    learning: Sequence[Tower],
    fold: int,
    say: Say,
    work: Path | None,
) -> _Fitted:
    own = config if name == config.model else with_model(config, name)
    own = own.model_copy(update={"seed": own.seed + _APART * (fold + 1)})
    trained = train_model(own, material_of(own, learning), say, work=work / name if work else None)
    model = tower_model_of(own, trained)
    return _Fitted(model.members, model.embedding if model.support else None)
