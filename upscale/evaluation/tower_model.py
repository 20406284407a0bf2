"""A release set beside what towers measured.

A tower is one cell of `upscale.network.inference`, which a run uses, too: a map made at a tower's
cell from the tower's drivers holds the numbers that are scored here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upscale.drivers.features import classes_of, features_of
from upscale.evaluation.skill import SkillRow, skill_rows
from upscale.network.inference import embed_series, lay_windows, predict_series
from upscale.network.moments import clipped, mean_of
from upscale.network.predictor import Predictor, load_predictor
from upscale.network.releases.release import Release
from upscale.network.support import SupportRule
from upscale.network.windows import WindowRule
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
        return mean_of(clipped(self.members(tower)), np.float32)

    def members(self, tower: Tower) -> Floats:
        """Fluxes `(member, day, 3)`, not clipped, NaN where no window reaches."""
        drivers, first, codes = self._record(tower)
        windows = lay_windows(self.predictor, drivers, first, codes, self.window)
        known = None
        if self.support is not None:
            known = embed_series(self.predictor, drivers, first, codes, self.support)
        return predict_series(self.predictor, windows, known)[:, 0]

    def embedding(self, tower: Tower) -> Floats:
        """z `(member, latent)` of a tower by its history, NaN where that is too short.

        ValueError for a model whose context is the query window.
        """
        if self.support is None:
            raise ValueError("expected a model with support years: this one has no z of a place")
        return embed_series(self.predictor, *self._record(tower), self.support).z[:, 0]

    def _record(self, tower: Tower) -> tuple[Floats, int, NDArray[np.int64]]:
        """A tower as one cell: features `(1, day, feature)`, first day number, codes `(1, 2)`."""
        scaler = self.predictor.scaler
        drivers = features_of(tower, scaler.names, scaler.composites)
        return drivers[None], int(tower.days[0]), classes_of(tower)[None]


def tower_model(release: Release, device: str = "cpu") -> TowerModel:
    """A release ready to be run at towers."""
    by_years = release.manifest.context.rule == "support-years"
    support = release.support_rule if by_years else None
    return TowerModel(load_predictor(release, device), release.window_rule, support)


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
