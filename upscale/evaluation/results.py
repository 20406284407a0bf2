"""Everything that is known of a release at a set of towers, and which part of it is evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import pandas as pd

from upscale.evaluation.bootstrap import compare
from upscale.evaluation.cases import Case, Quality, pairs
from upscale.evaluation.coverage import calibrated, coverage
from upscale.evaluation.model_names import SEASONAL_CYCLE
from upscale.evaluation.predict import Skipped
from upscale.evaluation.scores import closure, scores
from upscale.evaluation.seasons import anomaly_scores, interannual_scores, season_scores
from upscale.network.uncertainty.calibration import Calibration

#: Splits whose towers stand in the headline, the first that has any is taken. Implausible
#: measurements say less than what a model remembers, so that suspect towers come last.
_EVIDENCE = (("test",), ("near",), ("unknown",), ("train",), ("suspect",))

#: In words, which days are compared.
DAYS = {
    "good": "good days (NEE_QC of at least 0.75, or passed the mask of the product)",
    "best": "best days (NEE_QC = 1, or passed the mask of the product)",
}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was scored.

    release: its name; source: in a sentence, where the predictions come from; models: names,
    the release's own (`main`) first, a mean seasonal cycle last; reference: the model that the
    others are set against, None where there is only one; calibration: of the release, for the
    predictions of `main`; left_out: whether they were made while clusters were left out;
    warnings: sentences that must be read before any figure.
    """

    release: str
    source: str
    main: str
    models: tuple[str, ...]
    reference: str | None
    cases: tuple[Case, ...]
    skipped: tuple[Skipped, ...]
    calibration: Calibration | None
    left_out: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def baselines(self) -> tuple[str, ...]:
        """All models but the release's own."""
        return self.models[1:]

    def sites(self, *splits: str) -> list[str]:
        """Sites of the given splits, in order."""
        return [case.tower.site for case in self.cases if case.split in splits]


@dataclass(frozen=True, eq=False)
class Results:
    """Tidy tables, one row per tower and more, each with a column `split`; see the functions of
    the same names. spread, calibrated: coverage by the members' spread and after calibration, which
    is empty for left-out towers: the calibration of the release was fitted on such."""

    scores: pd.DataFrame
    closure: pd.DataFrame
    seasons: pd.DataFrame
    anomalies: pd.DataFrame
    interannual: pd.DataFrame
    spread: pd.DataFrame
    calibrated: pd.DataFrame

    def only(self, splits: Sequence[str]) -> Results:
        """The towers of some splits."""
        tables = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{n: t[t["split"].isin(splits)] for n, t in tables.items()})


def results(evaluation: Evaluation, quality: Quality) -> Results:
    """All tables of an evaluation on days of one quality."""
    compared = list(pairs(evaluation.cases, quality))
    own = [pair for pair in compared if pair.model == evaluation.main]
    after = calibrated(evaluation.calibration) if evaluation.calibration else None
    return Results(
        scores=scores(compared),
        closure=closure(compared),
        seasons=season_scores(compared),
        anomalies=anomaly_scores(compared),
        interannual=interannual_scores(compared),
        spread=coverage(compared),
        # a calibration fitted on left-out towers would be evaluated on its own fitting data there
        calibrated=coverage(own, after) if after and not evaluation.left_out else coverage([]),
    )


def comparable(evaluation: Evaluation, quality: Quality) -> Evaluation:
    """The towers that have a day of the quality which all models predict; others are skipped.

    Raises ValueError where there is no such tower.
    """
    days = {pair.tower.site: len(pair.days) for pair in pairs(evaluation.cases, quality)}
    kept = tuple(case for case in evaluation.cases if days[case.tower.site])
    gone = [case.tower.site for case in evaluation.cases if not days[case.tower.site]]
    if not kept:
        raise ValueError(
            f"expected towers with {DAYS[quality]} that all models predict, found none among "
            f"{len(gone)} ({', '.join(gone[:3])}); see “What a tower needs” in "
            "docs/how-to/evaluate.md"
        )
    more = tuple(Skipped(site, f"no {quality} day that all models predict") for site in gone)
    return replace(evaluation, cases=kept, skipped=(*evaluation.skipped, *more))


def evidence(evaluation: Evaluation) -> tuple[str, ...]:
    """The splits whose towers stand in the headline: those that say most about other places."""
    there = {case.split for case in evaluation.cases}
    return next(splits for splits in _EVIDENCE if there & set(splits))


def order_models(names: Sequence[str], main: str) -> tuple[str, ...]:
    """The release's own model first, a mean seasonal cycle last, the others as given."""
    rest = [name for name in names if name not in (main, SEASONAL_CYCLE)]
    last = [name for name in names if name == SEASONAL_CYCLE and name != main]
    return (main, *rest, *last)


def choose_reference(models: Sequence[str], wanted: str | None) -> str | None:
    """The baseline that others are compared with: the requested one, else XGBoost, else
    the first one; ValueError where the one asked for is not among them."""
    baselines = models[1:]
    if wanted is not None and wanted not in baselines:
        raise ValueError(
            "expected a reference among the baselines "
            f"({', '.join(baselines) or 'there is none'}), found {wanted!r}; name it with "
            "--baseline as well"
        )
    preferred = [name for name in (wanted, "xgboost") if name in baselines]
    return next(iter([*preferred, *baselines]), None)


def differences(table: pd.DataFrame, main: str, baselines: Sequence[str]) -> pd.DataFrame:
    """The model `main` against each baseline; rows of `bootstrap.compare`, table: of `scores`."""
    parts = [
        compare(table[table["model"].isin([main, baseline])], baseline)
        for baseline in baselines
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else compare(table, main)
