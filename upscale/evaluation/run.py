"""From a release and a folder of towers to an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from upscale.evaluation.cases import left_out_cases, models_of
from upscale.evaluation.learned import splits_of
from upscale.evaluation.left_out import LeftOut, read_left_out
from upscale.evaluation.model_names import title_of
from upscale.evaluation.predict import (
    FitBaseline,
    baseline_predictors,
    predict_towers,
    release_members,
)
from upscale.evaluation.results import Evaluation, choose_reference, order_models
from upscale.jobs.progress import Say
from upscale.network.releases.release import Release, load_release
from upscale.towers.table import Tower, read_towers


@dataclass(frozen=True)
class EvaluationRequest:
    """What is asked for.

    towers: folder; baselines: names, see `predict.baseline_predictors`; training: folder with
    the towers that baselines learn from, None = `towers`; sites: only these, if given;
    reference: the model that others are compared with; table: of sites, where `towers` has none.
    Raises ValueError for a device that is not there.
    """

    towers: Path
    baselines: tuple[str, ...] = ()
    training: Path | None = None
    sites: tuple[str, ...] = ()
    reference: str | None = None
    device: str = "auto"
    table: Path | None = None

    def __post_init__(self) -> None:
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("expected a GPU for --device cuda, found none; use auto or cpu")


def _no_watch(towers: Sequence[Tower]) -> Iterable[Tower]:
    return towers


def evaluate(
    release: Release,
    request: EvaluationRequest,
    fitters: Mapping[str, FitBaseline],
    say: Say = print,
    watch: Callable[[Sequence[Tower]], Iterable[Tower]] = _no_watch,
) -> Evaluation:
    """Run a release and its baselines at towers.

    fitters: by name, the baselines that can be fitted on the towers that the release learned
    from (`upscale.training.baselines.FITTERS`); any other name in `request.baselines` is that of
    a release. say: called with one line at a time. watch: wraps the towers while they are worked
    through, for a progress bar. Raises ValueError or OSError that say what to do.
    """
    towers = read_towers(request.towers, table=request.table)
    splits = splits_of(release, towers, request.towers)
    chosen = choose_towers(towers, request.sites)
    main = release.manifest.name
    learning = _learning(release, request, towers, splits) if request.baselines else []
    for warning in _unfair(release, request, fitters, learning):
        say(f"WARNING: {warning}")
    models = {main: release_members(release, request.device)}
    models |= baseline_predictors(
        request.baselines, fitters, release, learning, request.device, say
    )
    cases, skipped = predict_towers(models, watch(chosen), splits)
    known = _known_to_baselines(request, fitters, chosen, splits)
    names = order_models(list(models), main)
    return Evaluation(
        release=main,
        source=f"{_describe(release)}, run at {len(chosen)} towers of {request.towers}.{known}",
        main=main,
        models=names,
        reference=choose_reference(names, request.reference),
        cases=tuple(cases),
        skipped=tuple(skipped),
        calibration=release.manifest.calibration,
        warnings=_unfair(release, request, fitters, learning),
    )


def evaluate_left_out(release: Release, request: EvaluationRequest, folder: Path) -> Evaluation:
    """Score left-out predictions that were made before and lie in a folder."""
    towers = choose_towers(read_towers(request.towers, table=request.table), request.sites)
    scored = score_left_out(release, read_left_out(folder, towers), request, str(folder))
    warning = (
        f"{folder} keeps the kind of model ({scored.main}) and not the release that it was made "
        f"for: that these are predictions of the settings of {scored.release} is taken on trust."
    )
    return replace(scored, warnings=(*scored.warnings, warning))


def score_left_out(
    release: Release, left_out: Sequence[LeftOut], request: EvaluationRequest, where: str
) -> Evaluation:
    """Score predictions that were made while each tower's cluster was left out.

    where: in words, where they come from. The model that counts is the release's kind.
    """
    cases = left_out_cases(left_out)
    found = models_of(cases)
    main = release.manifest.model
    if main not in found:
        raise ValueError(
            f"expected left-out predictions of {main}, which {release.manifest.name} is, in "
            f"{where}, found {', '.join(found)}: they belong to another release; name its folder "
            "or cross-validate this one"
        )
    _require_known(request.baselines, found, where)
    kept = [name for name in found if not request.baselines or name in request.baselines]
    names = order_models(kept, main)
    return Evaluation(
        release=release.manifest.name,
        source=(
            f"Predictions by leave-cluster-out ({where}): for every fold of clusters the models "
            f"learned from all others, so that no tower was seen. {_describe(release)} is made "
            "like them; its own weights may have learned from these towers."
        ),
        main=main,
        models=names,
        reference=choose_reference(names, request.reference),
        cases=tuple(cases),
        skipped=(),
        calibration=release.manifest.calibration,
        left_out=True,
    )


def _require_known(wanted: Sequence[str], found: Sequence[str], where: str) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(
            f"expected left-out predictions of {', '.join(missing)} in {where}, found "
            f"{', '.join(found)}; cross-validate with these baselines"
        )


def _describe(release: Release) -> str:
    members = f"{release.members} member{'' if release.members == 1 else 's'}"
    return f"{release.manifest.name} ({members}, sha256 {release.digest[:12]})"


def _unfair(
    release: Release,
    request: EvaluationRequest,
    fitters: Mapping[str, FitBaseline],
    learning: Sequence[Tower],
) -> tuple[str, ...]:
    """A warning where baselines are fitted on fewer towers than the release learned from."""
    fitted = [name for name in request.baselines if name in fitters]
    listed = release.manifest.learned
    missing = sorted(set(listed) - {tower.site for tower in learning})
    if not fitted or not missing or not learning:
        return ()
    few = f"{', '.join(missing[:5])}{' and others' if len(missing) > 5 else ''}"
    return (
        f"{', '.join(map(title_of, fitted))} learned from {len(learning)} of the {len(listed)} "
        f"towers that {release.manifest.name} learned from: not a fair baseline. Not in "
        f"{request.training or request.towers}: {few}; name a folder that holds all with "
        "--training.",
    )


def _known_to_baselines(
    request: EvaluationRequest,
    fitters: Mapping[str, FitBaseline],
    towers: Sequence[Tower],
    splits: dict[str, str],
) -> str:
    """A sentence on baseline releases that know towers which the release does not."""
    told = ""
    for name in request.baselines:
        if name not in fitters:
            theirs = splits_of(load_release(name), towers, request.towers)
            known = [s for s, split in theirs.items() if split == "train" and splits[s] != "train"]
            if known:
                told += (
                    f" The baseline {name} has learned from {len(known)} towers that the release "
                    f"has not learned from, which flatters it there: {', '.join(known)}."
                )
    return told


def choose_towers(towers: Sequence[Tower], sites: Sequence[str]) -> list[Tower]:
    """The towers of some sites, all where none is named; ValueError for a site not among them."""
    missing = sorted(set(sites) - {tower.site for tower in towers})
    if missing:
        raise ValueError(
            f"expected the sites {', '.join(missing)} among the towers, found "
            f"{', '.join(tower.site for tower in towers)}; correct --site"
        )
    return [tower for tower in towers if not sites or tower.site in sites]


def _learning(
    release: Release, request: EvaluationRequest, towers: Sequence[Tower], splits: dict[str, str]
) -> list[Tower]:
    """The towers that the release learned from, as far as they are in the folder."""
    if request.training is not None:
        towers = read_towers(request.training)
        splits = splits_of(release, towers, request.training)
    return [tower for tower in towers if splits[tower.site] == "train"]
