"""A release set beside what towers measured.

Windows, support sets, clipping and the mean over members are those of a run, so that a map
made at a tower's cell from the tower's drivers holds the numbers that are scored here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upscale.drivers.features import classes_of, features_of
from upscale.evaluation.skill import SkillRow, skill_rows
from upscale.network.predictor import Predictor, load_predictor
from upscale.network.releases.release import Release
from upscale.network.support import SupportRule, choose
from upscale.network.windows import Rows, WindowRule, assign, rows_of
from upscale.towers.table import Tower

Floats = NDArray[np.float32]

#: Fluxes `(day, 3)` of a tower, g m-2 d-1, NaN where the model predicts nothing.
Predict = Callable[[Tower], NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class TowerModel:
    """A model with the rules by which it is run; support None = the query window itself."""

    predictor: Predictor
    window: WindowRule
    support: SupportRule | None

    def predict(self, tower: Tower) -> Floats:
        """Ensemble mean `(day, 3)` gpp, reco, nee, g m-2 d-1; gpp and reco of each member >= 0.

        NaN where no window of unbroken drivers reaches.
        """
        return np.asarray(clipped(self.members(tower)).mean(axis=0), np.float32)

    def members(self, tower: Tower) -> Floats:
        """Fluxes `(member, day, 3)`, not clipped, NaN where no window reaches."""
        drivers, valid = self._drivers(tower)
        rows = rows_of(assign(valid, int(tower.days[0]), self.window).start, slice(None))
        fluxes = np.full((self.predictor.members, len(drivers), 3), np.nan, np.float32)
        if len(rows):
            windows = _windows(drivers, rows.start, self.window.length)
            z = self._context(tower, drivers, valid, windows)
            _place(fluxes, self.predictor.decode(windows, z), rows)
        return fluxes

    def _context(
        self, tower: Tower, drivers: Floats, valid: NDArray[np.bool_], windows: Floats
    ) -> Floats:
        """z `(member, row, latent)`."""
        if self.support is None:
            here, classes = np.ones((len(windows), 1), bool), classes_of(tower)[None]
            return self.predictor.encode(windows[:, None], here, classes.repeat(len(windows), 0))
        return np.repeat(self._embed(tower, drivers, valid, self.support), len(windows), axis=1)

    def embedding(self, tower: Tower) -> Floats:
        """z `(member, latent)` of a tower by its history, NaN where that is too short.

        ValueError for a model whose context is the query window.
        """
        if self.support is None:
            raise ValueError("expected a model with support years: this one has no z of a place")
        drivers, valid = self._drivers(tower)
        return self._embed(tower, drivers, valid, self.support)[:, 0]

    def _drivers(self, tower: Tower) -> tuple[Floats, NDArray[np.bool_]]:
        """Features `(day, feature)` and where none that is required is missing `(1, day)`."""
        scaler = self.predictor.scaler
        drivers = features_of(tower, scaler.names, scaler.composites)
        return drivers, ~scaler.missing_required(drivers)[None]

    def _embed(
        self, tower: Tower, drivers: Floats, valid: NDArray[np.bool_], rule: SupportRule
    ) -> Floats:
        """z `(member, 1, latent)`."""
        chosen = choose(valid, tower.days, rule)
        support = _windows(drivers, chosen.start[0].clip(0), rule.window)
        return self.predictor.encode(support[None], chosen.present, classes_of(tower)[None])


def tower_model(release: Release, device: str = "cpu") -> TowerModel:
    """A release ready to be run at towers."""
    by_years = release.manifest.context.rule == "support-years"
    support = release.support_rule if by_years else None
    return TowerModel(load_predictor(release, device), release.window_rule, support)


def clipped(fluxes: NDArray[np.floating]) -> NDArray[np.floating]:
    """Fluxes `(..., 3)` with gpp and reco at least 0; NaN stays NaN."""
    return np.asarray(np.maximum(fluxes, np.array([0, 0, -np.inf], fluxes.dtype)))


def score(
    towers: Sequence[Tower],
    models: dict[str, Predict],
    label: Callable[[str], str],
) -> Iterable[SkillRow]:
    """Skill rows of all models at each tower, on the good days that all of them predict.

    models: {name: predict}; label: the split of a site.
    """
    for tower in towers:
        made = {name: predict(tower) for name, predict in models.items()}
        shared = np.all([np.isfinite(p).all(axis=1) for p in made.values()], axis=0)
        observed = np.where((tower.good & shared)[:, None], tower.fluxes, np.nan)
        for name, predicted in made.items():
            yield from skill_rows(
                observed, predicted, tower.site, tower.cluster, name, label(tower.site)
            )


def _windows(drivers: Floats, start: NDArray[np.integer], length: int) -> Floats:
    """Windows `(window, day, feature)` that begin at `start` `(window,)`."""
    return np.asarray(drivers[start[:, None] + np.arange(length)])


def _place(fluxes: Floats, predicted: Floats, rows: Rows) -> None:
    """Put the days that each window serves into `(member, day, 3)`."""
    for row, (start, first, last) in enumerate(zip(rows.start, rows.first, rows.last, strict=True)):
        fluxes[:, first : last + 1] = predicted[:, row, first - start : last - start + 1]
