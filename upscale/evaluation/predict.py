"""A release and its baselines, run at towers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from upscale.evaluation.cases import Case, Estimate, estimate
from upscale.evaluation.tower_model import tower_model
from upscale.jobs.progress import Say
from upscale.network.releases.release import Release, load_release
from upscale.network.releases.resolve import ReleaseError
from upscale.network.windows import WindowRule
from upscale.towers.table import Tower
from upscale.variables import FLUXES

Floats = NDArray[np.float32]

#: Fluxes `(member, day, 3)` of a tower, g m-2 d-1, not clipped, NaN where nothing is predicted.
Members = Callable[[Tower], Floats]


class FitBaseline(Protocol):
    """Fits a baseline on the towers that a release learned from, to its features."""

    def __call__(self, learning: Sequence[Tower], release: Release) -> Members: ...


#: Consecutive days that a network sees together; trees see single days.
WINDOW = WindowRule().length


@dataclass(frozen=True)
class Skipped:
    """A tower that could not be scored; failed: an error, not a lack of data."""

    site: str
    reason: str
    failed: bool = False


def release_members(release: Release, device: str = "auto") -> Members:
    """The members of a release of any kind."""
    return tower_model(release, device).members


def baseline_predictors(
    names: Sequence[str],
    fitters: Mapping[str, FitBaseline],
    release: Release,
    learning: Sequence[Tower],
    device: str,
    say: Say,
) -> dict[str, Members]:
    """The models that the release is compared with, by name.

    names: of `fitters` (fitted on the towers `learning`, which should be those that the release
    learned from), or of releases, by name, path or URL. Where two releases have the same name,
    the second is called by the text of the request. Raises ValueError where a name is
    neither, or where there is no tower to fit on.
    """
    found: dict[str, Members] = {}
    for name in names:
        if name in fitters:
            _require_towers(name, learning)
            say(f"fitting {name} on {len(learning)} towers")
            found[name] = fitters[name](learning, release)
        else:
            other = _baseline_release(name, fitters)
            own = other.manifest.name
            shown = name if own in (release.manifest.name, *found) else own
            found[shown] = release_members(other, device)
    return found


def predict_towers(
    models: Mapping[str, Members], towers: Iterable[Tower], splits: Mapping[str, str]
) -> tuple[list[Case], list[Skipped]]:
    """Every model at every tower that has good flux days; splits: by site.

    A tower at which a model fails is left out with its reason, and so is one where a model
    predicts none of the good days. Raises ValueError where every tower failed.
    """
    cases: list[Case] = []
    skipped: list[Skipped] = []
    for tower in towers:
        made = _predict(models, tower)
        if isinstance(made, Skipped):
            skipped.append(made)
        else:
            cases.append(Case(tower, splits[tower.site], made))
    if not cases:
        reasons = "; ".join(f"{one.site}: {one.reason}" for one in skipped[:3])
        raise ValueError(
            f"expected towers with good flux days that the model can be run at, found none "
            f"among {len(skipped)} ({reasons}); see “What a tower needs” in docs/how-to/evaluate.md"
        )
    return cases, skipped


def _predict(models: Mapping[str, Members], tower: Tower) -> dict[str, Estimate] | Skipped:
    """What every model gives for a tower, or why the tower is left out."""
    if not tower.good.any():
        return Skipped(tower.site, _no_good_day(tower))
    try:
        made = {name: estimate(members(tower)) for name, members in models.items()}
    except (ValueError, KeyError, IndexError) as error:
        return Skipped(tower.site, f"{type(error).__name__}: {error}", failed=True)
    for name, one in made.items():
        if not (np.isfinite(one.mean).all(axis=1) & tower.good).any():
            return Skipped(tower.site, _no_prediction(tower, name))
    return made


def _no_good_day(tower: Tower) -> str:
    """Why a tower has no good flux day."""
    missing = np.asarray(np.isnan(tower.fluxes).all(axis=0))
    if missing.all():
        return "no flux on any day"
    if missing.any():
        names = " and ".join(
            name.upper() for name, gone in zip(FLUXES, missing, strict=True) if gone
        )
        return f"no {names} on any day; a good flux day needs GPP, RECO and NEE"
    if np.isnan(tower.fluxes).any(axis=1).all():
        return "no day that has GPP, RECO and NEE all together"
    return "no good flux day: NEE_QC is below 0.75, or missing, on all days with fluxes"


def _no_prediction(tower: Tower, name: str) -> str:
    """Why a model predicts none of a tower's good days."""
    if len(tower.days) < WINDOW:
        return (
            f"its record of {len(tower.days)} days is shorter than the window of {WINDOW} days "
            "that a model sees"
        )
    return (
        f"{name} predicts none of its good flux days: it needs {WINDOW} days one after the other "
        "with all drivers, if it sees windows"
    )


def _baseline_release(name: str, fitters: Mapping[str, FitBaseline]) -> Release:
    try:
        return load_release(name)
    except ReleaseError as error:
        raise ValueError(
            f"baseline {name!r} is neither one that is fitted here ({', '.join(fitters)}) nor a "
            f"release: {error}"
        ) from None


def _require_towers(name: str, learning: Sequence[Tower]) -> None:
    if not learning:
        raise ValueError(
            f"expected towers that the release learned from, to fit {name} on the same ones, "
            "found none; name a folder that holds them with --training, or a release instead"
        )
