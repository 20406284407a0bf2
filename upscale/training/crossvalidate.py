"""Every tower predicted by models that never saw its cluster.

The clusters of all towers are dealt into folds; for each fold the models learn from the towers
of the others, members of networks stopping by clusters of those others, and predict what was
left out. Suspect towers are predicted, too, and never learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from upscale.evaluation.left_out import LeftOut, write_left_out
from upscale.evaluation.model_names import SEASONAL_CYCLE
from upscale.evaluation.results import Evaluation, choose_reference, order_models
from upscale.evaluation.run import EvaluationRequest, choose_towers, score_left_out
from upscale.jobs.progress import Say
from upscale.network.boosting.trees import TREES
from upscale.network.releases.release import Release
from upscale.towers.splits import folds as deal
from upscale.towers.table import Tower, read_towers
from upscale.training.baselines import fit_seasonal_cycle, fit_trees
from upscale.training.config import Model, TrainConfig, with_model
from upscale.training.material import material_of, with_good_days
from upscale.training.trained import tower_model_of, train_model

Floats = NDArray[np.float32]

#: The seed by which clusters are dealt into folds, whatever is trained.
_DEAL = 11

#: Seeds of one fold are this far from those of the next, so that no member comes twice.
_APART = 100


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


def leave_clusters_out(
    release: Release, request: EvaluationRequest, folds: int, keep: Path | None, say: Say = print
) -> Evaluation:
    """Train models like the release's without each fold of clusters, and score those.

    The settings are those that the release was trained with; models learn from all towers of
    the folder, and `request.sites` are the ones that are scored. keep: folder for the
    predictions and for what a killed run needs to go on, by default `NAME.left-out`. Raises
    ValueError or OSError before anything is trained.
    """
    config = settings_of(release, request.towers)
    models = models_to_train(release.manifest.model, request.baselines)
    choose_reference(order_models(models, models[0]), request.reference)
    towers = read_towers(request.towers, table=request.table)
    scored = {tower.site for tower in choose_towers(towers, request.sites)}
    require_folds(towers, folds)
    keep = keep or Path(f"{release.manifest.name}.left-out")
    keep.mkdir(parents=True, exist_ok=True)
    say(f"predictions, and what a killed run needs to go on, are kept in {keep}")
    left_out = cross_validate(config, towers, models, folds, say, keep / "work")
    write_left_out(keep, left_out)
    chosen = [each for each in left_out if each.tower.site in scored]
    return score_left_out(release, chosen, request, f"{folds} folds")


def settings_of(release: Release, towers: Path) -> TrainConfig:
    """The settings that a release was trained with; ValueError where it does not hold them."""
    known = {"data": towers, "out": Path(release.manifest.name)}
    try:
        return TrainConfig.model_validate(release.manifest.training_settings | known)
    except ValidationError as error:
        raise ValueError(
            f"expected the settings of a training in {release.path / 'release.yaml'}, to train "
            f"the same without each cluster, found others ({error.error_count()} faults, the "
            f"first: {error.errors()[0]['msg']}); use --left-out with predictions made before"
        ) from None


def models_to_train(own: str, baselines: Sequence[str]) -> tuple[str, ...]:
    """The models of a cross-validation, the release's kind first; ValueError for a baseline
    that cannot be trained, such as a release."""
    known = (*get_args(Model), SEASONAL_CYCLE)
    strange = [name for name in baselines if name not in known]
    if strange:
        raise ValueError(
            f"expected baselines that can be trained without each cluster ({', '.join(known)}), "
            f"found {', '.join(strange)}; a release has learned already: set it against this "
            "one without --cross-validate"
        )
    return tuple(dict.fromkeys([own, *baselines]))


def require_folds(towers: Sequence[Tower], folds: int) -> None:
    """ValueError where the towers that can be learned from have fewer clusters than folds."""
    clusters = {tower.cluster for tower in towers if not tower.suspect}
    if not 2 <= folds <= len(clusters):
        raise ValueError(
            f"expected 2 to {len(clusters)} folds, one cluster in each at least, found {folds}; "
            "ask for fewer with --folds or give more towers"
        )


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
    """Fit one model of one fold, of whatever kind."""
    if name == SEASONAL_CYCLE:
        cycle = fit_seasonal_cycle(learning)
        return _Fitted(lambda tower: cycle.predict(tower)[None].astype(np.float32))
    if name in TREES:
        # a baseline is fitted once, as published; a release of trees as often as it will be
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
    """Train the networks of one fold, with seeds of their own."""
    own = config if name == config.model else with_model(config, name)
    own = own.model_copy(update={"seed": own.seed + _APART * (fold + 1)})
    trained = train_model(own, material_of(own, learning), say, work=work / name if work else None)
    model = tower_model_of(own, trained)
    return _Fitted(model.members, model.embedding if model.support else None)
