"""Findings in sentences: the result, its uncertainty, and when there are too few towers."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from upscale.evaluation.bootstrap import LEAST_CLUSTERS, NO_DIFFERENCE, TOO_FEW
from upscale.evaluation.model_names import title_of
from upscale.evaluation.results import Evaluation
from upscale.figures.numbers import number
from upscale.variables import variable

_two, _signed, _whole = number(2), number(2, signed=True), number(0)

#: Unit of a flux, as written in text.
UNITS = variable("nee").units


def skill_sentence(row: pd.Series) -> str:
    """One row of `scores.overall` in words."""
    return (
        f"{row['flux'].upper()}: mean RMSE {_two(row['rmse'])} {UNITS}, median R2 "
        f"{_two(row['r2_median'])} (quartiles {_two(row['r2_q25'])} and {_two(row['r2_q75'])}), "
        f"below zero at {100 * row['negative']:.0f} % of {_count(row['towers'], 'tower')}, "
        f"mean bias {_signed(row['bias'])} {UNITS}."
    )


def difference_sentence(row: pd.Series) -> str:
    """One row of `bootstrap.compare` in words."""
    other = title_of(row["reference"])
    head = f"{row['flux'].upper()}, {row['statistic'].replace('r2', 'R2').replace('rmse', 'RMSE')}"
    values = f"{_two(row['model_value'])} against {_two(row['reference_value'])} of {other}"
    return f"{head}: {values}: {verdict_words(row)}."


def verdict_words(row: pd.Series) -> str:
    """The verdict with its interval."""
    if row["verdict"] == TOO_FEW:
        return (
            f"{_count(row['clusters'], 'cluster')}, fewer than {LEAST_CLUSTERS}, say nothing "
            "about a difference"
        )
    interval = f"95 % interval {_signed(row['low'])} to {_signed(row['high'])}"
    if row["verdict"] == NO_DIFFERENCE:
        return f"no difference ({interval})"
    share = f", {_whole(abs(row['percent']))} %" if pd.notna(row["percent"]) else ""
    return f"{row['verdict']}{share} ({interval})"


def season_sentence(table: pd.DataFrame, model: str) -> str:
    """In which season the errors of a model are largest; table: of `season_scores`."""
    means = table[table["model"] == model].groupby(["flux", "season"], sort=False)["rmse"].mean()
    found = [
        f"{flux.upper()} in {means[flux].idxmax()} ({_two(means[flux].max())})"
        for flux in means.index.get_level_values("flux").unique()
    ]
    return f"{title_of(model)} errs most for {', '.join(found)}." if found else ""


def headline_warning(splits: Sequence[str]) -> str:
    """Warning for a headline on towers that are no evidence of skill; empty for other towers."""
    if tuple(splits) == ("train",):
        return (
            "The model learned from every one of these towers: the figures below say how well it "
            "remembers them and nothing about places without a tower. Cross-validation is what "
            "tells of those: --cross-validate, or --left-out with predictions made before."
        )
    if tuple(splits) == ("suspect",):
        return (
            "The measured carbon balance of every one of these towers is implausible: a "
            "difference to them is no measure of the model."
        )
    return ""


def calibration_words(evaluation: Evaluation, splits: Sequence[str]) -> str:
    """Where the coverage after calibration comes from, and how reliable it is."""
    found = evaluation.calibration
    if found is None:
        return "The release holds no calibration, so its spread must not be read as an error."
    told = (
        f"The calibration is that of the release, fitted on {found.towers} towers of "
        f"{found.clusters} clusters that were left out in turn."
    )
    if evaluation.left_out:
        return (
            f"{told} Coverage after it is the one that the release stores: of {found.folds} folds "
            "of those clusters, each judged by a calibration fitted on the others."
        )
    if "train" in splits:
        return (
            f"{told} The model learned from these towers and the calibration was fitted on "
            "its errors there: coverage here tells nothing of places without a tower."
        )
    return told


def small_numbers(table: pd.DataFrame, column: str) -> str:
    """A sentence on classes with few towers; table: of `scores`."""
    towers = table.dropna(subset=["rmse"]).groupby(column)["tower"].nunique()
    few = sorted(str(name) for name, count in towers.items() if count < LEAST_CLUSTERS)
    if not few:
        return ""
    listed = ", ".join(few)
    return (
        f"{'One class has' if len(few) == 1 else f'{len(few)} classes have'} fewer than "
        f"{LEAST_CLUSTERS} towers ({listed}): what is seen there is these towers, not the class."
    )


def _count(count: float, what: str) -> str:
    return f"{count:.0f} {what}{'' if count == 1 else 's'}"
