"""An evaluation in the terminal."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from upscale.evaluation.cases import Quality
from upscale.evaluation.learned import SPLITS
from upscale.evaluation.model_names import title_of
from upscale.evaluation.report.words import UNITS, difference_sentence, headline_warning
from upscale.evaluation.results import DAYS, Evaluation, differences, evidence
from upscale.evaluation.scores import overall
from upscale.figures.numbers import number, percent

_two, _signed = number(2), number(2, signed=True)


def show(evaluation: Evaluation, scores: pd.DataFrame, quality: Quality, console: Console) -> None:
    """Print skill by what the model knows of the towers, the differences to baselines, the towers.

    scores: of `upscale.evaluation.scores.scores`.
    """
    _say(console, evaluation.source)
    _say(console, f"Days compared: {DAYS[quality]}. Every tower counts the same.")
    for split, words in SPLITS.items():
        if evaluation.sites(split):
            console.print(_skill_table(evaluation, scores[scores["split"] == split], words))
            _say(console, f"{split}: {', '.join(evaluation.sites(split))}\n")
    for warning in (*evaluation.warnings, headline_warning(evidence(evaluation))):
        if warning:
            _say(console, f"WARNING: {warning}")
    _tell_differences(evaluation, scores, console)
    for one in evaluation.skipped:
        _say(console, f"not evaluated: {one.site}: {one.reason}")


def _skill_table(evaluation: Evaluation, scores: pd.DataFrame, words: str) -> Table:
    """Skill over the towers of one split, a section per model."""
    table = Table(
        "model", "flux", box=SIMPLE_HEAD, title_justify="left", padding=(0, 1),
        title=f"{scores['tower'].nunique()} towers {words} ({UNITS})",
    )  # fmt: skip
    for name in ("RMSE", "MAE", "bias", "R2 median", "quartiles", "R2 < 0", "towers"):
        table.add_column(name, justify="right", no_wrap=True)
    found = overall(scores)
    for model in evaluation.models:
        for row in found[found["model"] == model].to_dict("records"):
            table.add_row(title_of(model), *_cells(row))
        table.add_section()
    return table


def _cells(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    """One row of the table as text."""
    return (
        str(row["flux"]).upper(),
        _two(row["rmse"]),
        _two(row["mae"]),
        _signed(row["bias"]),
        _two(row["r2_median"]),
        f"{_two(row['r2_q25'])} .. {_two(row['r2_q75'])}",
        percent(row["negative"]),
        f"{row['towers']:.0f}",
    )


def _tell_differences(evaluation: Evaluation, scores: pd.DataFrame, console: Console) -> None:
    if not evaluation.baselines:
        return
    splits = evidence(evaluation)
    part = scores[scores["split"].isin(splits)]
    _say(console, f"{title_of(evaluation.main)} against its rivals, towers: {', '.join(splits)}")
    for _, row in differences(part, evaluation.main, evaluation.baselines).iterrows():
        _say(console, f"  {difference_sentence(row)}")


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)
