"""The last step of training: the uncertainty of a release.

Its spread is calibrated on towers predicted by members that never saw their clusters, and its
area of applicability is fitted to the towers that it learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from upscale.drivers.features import classes_of, features_of
from upscale.evaluation.left_out import LeftOut
from upscale.evaluation.tower_model import TowerModel, tower_model
from upscale.network.importance import driver_importance, embedding_importance
from upscale.network.releases.release import Release, save_release
from upscale.network.releases.resolve import CARD, SKILL
from upscale.network.uncertainty.calibration import Calibration, PredictedTower, fit_calibration
from upscale.network.uncertainty.training_points import LearnedTower, fit_applicability
from upscale.towers.table import Tower

Floats = NDArray[np.float32]

#: Windows of each tower by which importance is measured.
WINDOWS = 16


def add_uncertainty(
    release: Release,
    left_out: Sequence[LeftOut],
    towers: Sequence[Tower],
    model: str | None = None,
) -> Release:
    """Give a release its calibration and its area of applicability, write and load it again.

    left_out: towers predicted by cross-validation, by the models' names; model: which of them is
    the release's, by default `release.manifest.model`. towers: with those that the release
    learned from (`learned` in its manifest; all that are not suspect where it names none).
    Card and skill stay as they are. ValueError where the model was not cross-validated, or the
    towers it learned from are not among `towers`.
    """
    calibration = calibrate(left_out, model or release.manifest.model)
    tensors = delimit(release, left_out, towers)
    spec = release.spec.model_copy(update={"calibration": calibration})
    card, skill = ((release.path / name).read_text(encoding="utf-8") for name in (CARD, SKILL))
    return save_release(release.path, spec, release.states, card, skill, tensors)


def calibrate(left_out: Sequence[LeftOut], model: str) -> Calibration:
    """The calibration of one model of a cross-validation, without suspect towers."""
    known = sorted({name for each in left_out for name in each.members})
    if model not in known:
        raise ValueError(
            f"expected predictions of {model} among those that were left out, found "
            f"{', '.join(known) or 'none'}: cross-validate it, too"
        )
    return fit_calibration([_predicted(e, model) for e in left_out if not e.tower.suspect])


def _predicted(each: LeftOut, model: str) -> PredictedTower:
    tower = each.tower
    observed = np.where(tower.good[:, None], tower.fluxes, np.float32(np.nan))
    return PredictedTower(tower.site, tower.cluster, each.members[model], observed)


def delimit(
    release: Release, left_out: Sequence[LeftOut], towers: Sequence[Tower]
) -> dict[str, Tensor]:
    """Tensors of the area of applicability of a release, as `save_release` takes them.

    Importance is measured at its training towers, training points are theirs, and
    the folds that set the threshold are those of the cross-validation.
    """
    runner = tower_model(release)
    learned = learned_towers(release, towers)
    sample = draw_sample(runner, learned)
    scaler = runner.predictor.scaler
    importance = driver_importance(sample.predict, sample.windows, scaler)
    latent = None
    if sample.z is not None:
        latent = embedding_importance(sample.decode, sample.windows, sample.z, scaler)
    folds = _folds(learned, left_out)
    places = [_place(tower, folds[tower.site], runner) for tower in learned]
    return fit_applicability(places, scaler, importance, latent).tensors()


def learned_towers(release: Release, towers: Sequence[Tower]) -> list[Tower]:
    """The towers that a release learned from: those it names, else all that are not suspect and
    in no cluster that it held out. ValueError where there are none, or fewer than it names."""
    manifest = release.manifest
    if not manifest.learned:
        held = set(manifest.held_out)
        found = [t for t in towers if not t.suspect and t.cluster not in held]
    else:
        found = [t for t in towers if t.site in manifest.learned]
    if len(found) < max(1, len(manifest.learned)):
        raise ValueError(
            f"expected the {len(manifest.learned) or 'some'} towers that {manifest.name} learned "
            f"from, found {len(found)} of them: give the data that it was trained on"
        )
    return found


@dataclass(frozen=True, eq=False)
class Sample:
    """Windows of all towers by which the importance of a model is measured.

    windows: `(row, day, feature)`; codes: `(row, 2)`; z: `(member, row, latent)`, None where the
    window itself is the context.
    """

    runner: TowerModel
    windows: Floats
    codes: NDArray[np.int64]
    z: Floats | None

    def predict(self, windows: Floats) -> Floats:
        """Fluxes `(member, row, day, 3)` of other windows at the same places."""
        if self.z is not None:
            return self.decode(windows, self.z)
        here = np.ones((len(windows), 1), bool)
        return self.decode(
            windows, self.runner.predictor.encode(windows[:, None], here, self.codes)
        )

    def decode(self, windows: Floats, z: Floats) -> Floats:
        """Fluxes of the days that each window serves in a run."""
        fluxes = self.runner.predictor.decode(windows, z)
        return np.asarray(fluxes[:, :, -self.runner.window.stride :])


def draw_sample(runner: TowerModel, towers: Sequence[Tower], seed: int = 0) -> Sample:
    """`WINDOWS` random windows of each tower that has whole ones and, where the model asks for
    it, an embedding."""
    rng, scaler, length = np.random.default_rng(seed), runner.predictor.scaler, runner.window.length
    windows, codes, z = [], [], []
    for tower in towers:
        drivers = features_of(tower, scaler.names, scaler.composites)
        whole = ~scaler.missing_required(drivers)
        starts = np.flatnonzero(sliding_window_view(whole, length).all(axis=1))
        embedding = _embedding(runner, tower)
        if not len(starts) or (runner.support is not None and embedding is None):
            continue
        chosen = rng.choice(starts, WINDOWS)
        windows.append(drivers[chosen[:, None] + np.arange(length)])
        codes.append(np.repeat(classes_of(tower)[None], WINDOWS, axis=0))
        if embedding is not None:
            z.append(np.repeat(embedding[:, None], WINDOWS, axis=1))
    joined = np.concatenate(z, axis=1) if z else None
    return Sample(runner, np.concatenate(windows), np.concatenate(codes), joined)


def _embedding(runner: TowerModel, tower: Tower) -> Floats | None:
    """z `(member, latent)`, None where there is none."""
    if runner.support is None:
        return None
    z = runner.embedding(tower)
    return z if np.isfinite(z).all() else None


def _folds(towers: Sequence[Tower], left_out: Sequence[LeftOut]) -> dict[str, int]:
    """The fold of each tower; a cluster that was never left out is a fold of its own."""
    known = {each.tower.site: each.fold for each in left_out}
    last = max(known.values(), default=-1)
    others = sorted({tower.cluster for tower in towers if tower.site not in known})
    own = {cluster: last + 1 + i for i, cluster in enumerate(others)}
    return {t.site: known[t.site] if t.site in known else own[t.cluster] for t in towers}


def _place(tower: Tower, fold: int, runner: TowerModel) -> LearnedTower:
    scaler = runner.predictor.scaler
    drivers = features_of(tower, scaler.names, scaler.composites)
    return LearnedTower(fold, drivers, int(tower.days[0]), tower.good, _embedding(runner, tower))
