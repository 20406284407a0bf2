"""The chapters of the report: each turns tables into blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from upscale.evaluation.bootstrap import DRAWS, LEAST_CLUSTERS, NO_DIFFERENCE
from upscale.evaluation.cases import Quality
from upscale.evaluation.coverage import covered, stored_coverage
from upscale.evaluation.figures.style import CLIMATES, classes_in_order
from upscale.evaluation.learned import SPLITS
from upscale.evaluation.model_names import title_of
from upscale.evaluation.report.document import Block, Bullets, Heading, TableBlock, Text
from upscale.evaluation.report.words import (
    UNITS,
    calibration_words,
    difference_sentence,
    headline_warning,
    skill_sentence,
    small_numbers,
)
from upscale.evaluation.results import DAYS, Evaluation, Results, differences
from upscale.evaluation.scores import overall, tails
from upscale.evaluation.seasons import FULL_YEAR, LEAST_DAYS, LEAST_YEARS, typical
from upscale.figures.numbers import number, percent
from upscale.variables import FLUXES

_two, _signed, _whole = number(2), number(2, signed=True), number(0)

#: Columns of a table of skill: heading and format, by name in `overall`.
_SKILL = {
    "towers": ("towers", _whole),
    "rmse": ("mean RMSE", _two),
    "mae": ("mean MAE", _two),
    "bias": ("mean bias", _signed),
    "r2_mean": ("mean R2", _two),
    "r2_q25": ("R2 lower quartile", _two),
    "r2_median": ("R2 median", _two),
    "r2_q75": ("R2 upper quartile", _two),
    "negative": ("R2 below 0", percent),
}


def summary(evaluation: Evaluation, part: Results, splits: Sequence[str]) -> list[Block]:
    """The findings in a few sentences, on the towers that count."""
    table = overall(part.scores)
    own = table[table["model"] == evaluation.main]
    found = differences(part.scores, evaluation.main, evaluation.baselines)
    blocks: list[Block] = [
        Heading("In short"),
        Text(_who(evaluation, splits)),
        Bullets(tuple(skill_sentence(row) for _, row in own.iterrows())),
    ]
    warnings = [*evaluation.warnings, headline_warning(splits)]
    blocks[1:1] = [Text(each, warning=True) for each in warnings if each]
    if len(found):
        blocks.append(Bullets(tuple(difference_sentence(row) for _, row in found.iterrows())))
    return blocks


def towers_chapter(evaluation: Evaluation) -> list[Block]:
    """Which towers there are and what the release knows of them."""
    rows = [
        {
            "split": split,
            "what it means": words,
            "towers": len(evaluation.sites(split)),
            "sites": ", ".join(evaluation.sites(split)),
        }
        for split, words in SPLITS.items()
        if evaluation.sites(split)
    ]
    blocks: list[Block] = [
        Heading("Towers"),
        Text(evaluation.source),
        TableBlock(
            pd.DataFrame(rows), "Towers by what the model knows of them.", {"towers": _whole}
        ),
    ]
    if evaluation.skipped:
        blocks.append(Text("Not evaluated:"))
        blocks.append(Bullets(tuple(f"{one.site}: {one.reason}" for one in evaluation.skipped)))
    return blocks


def skill_chapter(
    evaluation: Evaluation, by_quality: Mapping[Quality, Results], splits: Sequence[str]
) -> list[Block]:
    """Table 1 of the paper, for these towers, with and without suspect ones, and all splits."""
    blocks: list[Block] = [Heading("Skill over towers")]
    for quality, found in by_quality.items():
        table = overall(found.only(splits).scores)
        caption = (
            f"Towers {_population(splits)}; {DAYS[quality]}; RMSE, MAE and bias in {UNITS}. "
            "After Table 1 of Rozanov et al. (2026), who give mean RMSE and mean R2."
        )
        blocks.append(_skill_grid(table, caption) if len(table) else _nothing(DAYS[quality]))
    first = next(iter(by_quality.values()))
    if "suspect" not in splits and evaluation.sites("suspect"):
        table = overall(first.only([*splits, "suspect"]).scores)
        blocks.append(_skill_grid(
            table, f"The first table again, with the {len(evaluation.sites('suspect'))} suspect "
            "towers, whose measured carbon balance is implausible."))  # fmt: skip
    if len({case.split for case in evaluation.cases}) > 1:
        own = first.scores[first.scores["model"] == evaluation.main]
        table = overall(own, ["split"])
        blocks.append(_skill_grid(
            table, f"{title_of(evaluation.main)} by what it knows of the towers. Figures at towers "
            "that it learned from are no evidence of skill elsewhere."))  # fmt: skip
    return blocks


def tower_table(evaluation: Evaluation, part: Results) -> TableBlock:
    """Every tower, worst NEE first."""
    own = part.scores[part.scores["model"] == evaluation.main]
    wide = own.pivot(index=["tower", "igbp", "koppen"], columns="flux", values=["n", "rmse", "r2"])
    wide = wide.sort_values(("rmse", "nee"), ascending=False)
    table = pd.DataFrame({
        "tower": wide.index.get_level_values("tower"), "IGBP": wide.index.get_level_values("igbp"),
        "climate": wide.index.get_level_values("koppen"), "days": wide[("n", "nee")].to_numpy(),
        **{f"{flux.upper()} {head}": wide[(score, flux)].to_numpy()
           for score, head in (("rmse", "RMSE"), ("r2", "R2")) for flux in FLUXES},
    })  # fmt: skip
    formats = {"days": _whole} | {
        f"{flux.upper()} {head}": _two for flux in FLUXES for head in ("RMSE", "R2")
    }
    caption = f"{title_of(evaluation.main)} at every tower, worst NEE first; RMSE in {UNITS}."
    return TableBlock(table, caption, formats)


def differences_chapter(evaluation: Evaluation, part: Results) -> list[Block]:
    """Every difference to a baseline, with its interval."""
    found = differences(part.scores, evaluation.main, evaluation.baselines)
    if not len(found):
        return []
    table = pd.DataFrame({
        "flux": found["flux"].str.upper(),
        "statistic": found["statistic"].str.replace("r2", "R2").str.replace("rmse", "RMSE"),
        "against": found["reference"].map(title_of),
        title_of(evaluation.main): found["model_value"],
        "rival": found["reference_value"],
        "difference": found["difference"],
        "95 % interval": [f"{_signed(a)} to {_signed(b)}" if a == a else "–"
                          for a, b in zip(found["low"], found["high"], strict=True)],
        "%": found["percent"],
        "95 % interval of %": [f"{number(1, True)(a)} to {number(1, True)(b)}" if a == a else "–"
                 for a, b in zip(found["percent_low"], found["percent_high"], strict=True)],
        "verdict": found["verdict"],
    })  # fmt: skip
    formats = {title_of(evaluation.main): _two, "rival": _two, "difference": _signed,
               "%": number(1, signed=True)}  # fmt: skip
    caption = (
        f"{title_of(evaluation.main)} against its rivals at the same towers and days: "
        f"{found['towers'].max()} towers of {found['clusters'].max()} clusters. Intervals: "
        f"{DRAWS} draws of clusters with replacement, both models together. "
        f"“{NO_DIFFERENCE}”: the interval holds zero. Fewer than {LEAST_CLUSTERS} clusters give "
        "no interval. Intervals are not corrected for their number."
    )
    return [Heading("Differences, and how sure they are"), TableBlock(table, caption, formats)]


def classes_chapter(part: Results) -> list[Block]:
    """Skill by IGBP class, climate group and Koeppen-Geiger class."""
    table = part.scores
    blocks: list[Block] = []
    for column, name in (
        ("igbp", "IGBP land cover"),
        ("climate", "main Köppen–Geiger group"),
        ("koppen", "Köppen–Geiger class"),
    ):
        caption = f"Skill by {name}. {small_numbers(table, column)}".strip()
        blocks.append(_class_grid(overall(table, [column]), column, caption))
    return blocks


def seasons_chapter(part: Results) -> list[Block]:
    """Skill by season, of anomalies and between years."""
    caption = (
        "Skill by season of the place: winter is December to February in the north, June to "
        f"August in the south; towers with at least {LEAST_DAYS} compared days in the season. "
        "R2 refers to the variance within the season."
    )
    table = overall(part.seasons, ["season"])
    least = f"{LEAST_DAYS} compared days in one season"
    blocks: list[Block] = [_class_grid(table, "season", caption) if len(table) else _nothing(least)]
    for name, found, unit in (
        ("Daily anomalies", part.anomalies, "days"),
        ("Annual anomalies", part.interannual, "years"),
    ):
        least = f"{LEAST_YEARS} years of which {100 * FULL_YEAR:.0f} % of the days are compared"
        grid = _typical_grid(name, typical(found), unit)
        blocks.append(grid if len(found) else _nothing(least, f"{name}: "))
    return blocks


def tails_chapter(part: Results) -> list[Block]:
    """The worst towers."""
    found = tails(part.scores)
    table = pd.DataFrame({
        "model": found["model"].map(title_of), "flux": found["flux"].str.upper(),
        "towers": found["towers"], "mean RMSE": found["rmse"], "RMSE from": found["rmse_from"],
        "times the mean": found["excess"], "median R2": found["r2_median"],
        "mean bias": found["bias"], "worst first": found["worst"],
    })  # fmt: skip
    formats = {"towers": _whole, "mean RMSE": _two, "RMSE from": _two, "times the mean": _two,
               "median R2": _two, "mean bias": _signed}  # fmt: skip
    caption = f"The worst 10 % of the towers by RMSE (at least one), of each model; {UNITS}."
    return [Heading("The worst towers"), TableBlock(table, caption, formats)]


def closure_chapter(part: Results) -> list[Block]:
    """Whether NEE = RECO - GPP."""
    groups = part.closure.dropna(subset=["predicted"]).groupby("model", sort=False)
    means = groups[["predicted", "observed", "predicted_bias", "observed_bias"]].mean()
    table = means.reset_index().assign(model=lambda t: t["model"].map(title_of))
    table.columns = pd.Index(["model", "predicted", "measured", "predicted, mean",
                              "measured, mean"])  # fmt: skip
    three = number(3)
    formats = {"predicted": three, "measured": three, "predicted, mean": number(3, signed=True),
               "measured, mean": number(3, signed=True)}  # fmt: skip
    caption = (
        f"Mean absolute NEE - (RECO - GPP) of the ensemble mean, {UNITS}, after GPP and RECO of "
        "each member were clipped at zero, beside that of the measurements; and the mean with its "
        "sign. Means over days, then over towers."
    )
    return [Heading("Carbon balance"), TableBlock(table, caption, formats)]


def coverage_chapter(evaluation: Evaluation, part: Results, splits: Sequence[str]) -> list[Block]:
    """How many days the intervals hold."""
    if not len(part.spread):
        return []
    tables = [("spread of the members", part.spread), ("after calibration", part.calibrated)]
    parts = [covered(table).assign(interval=name) for name, table in tables if len(table)]
    if evaluation.left_out and evaluation.calibration:
        stored = stored_coverage(evaluation.calibration, evaluation.main)
        parts.append(stored.assign(interval="after calibration, cross-validated"))
    found = pd.concat(parts)
    table = pd.DataFrame({
        "model": found["model"].map(title_of), "flux": found["flux"].str.upper(),
        "interval": found["interval"], "should hold": found["level"], "holds": found["inside"],
        "lower quartile": found["inside_q25"], "upper quartile": found["inside_q75"],
        "mean width": found["width"],
    })  # fmt: skip
    formats = dict.fromkeys(("should hold", "holds", "lower quartile", "upper quartile"), percent)
    caption = (
        "Share of days whose measured flux lies inside the interval, means and quartiles over "
        f"towers; width in {UNITS}. The spread of an ensemble is what its members disagree on, not "
        f"their common error. {calibration_words(evaluation, splits)}"
    )
    return [Heading("Uncertainty"), TableBlock(table, caption, {**formats, "mean width": _two})]


def method_chapter() -> list[Block]:
    """How it was computed."""
    return [Heading("How it was computed"), Bullets((
        "Every tower counts the same, whatever its length. Means and quartiles are over towers.",
        "Models are compared on the same days: those on which GPP, RECO and NEE are measured well "
        "enough and all models predict.",
        "R2 = 1 - SSE / SST of the days of a tower, unclipped: below zero where the mean of the "
        "measurements would have been better. A tower whose flux hardly varies can be far below.",
        "GPP and RECO of each member are clipped at zero, then members are averaged, as on a map.",
        "Anomalies: each series loses its own mean seasonal cycle (mean of all years within 15 "
        f"days of the day of the year), at towers with at least {LEAST_YEARS} years of which "
        f"{100 * FULL_YEAR:.0f} % of the days are compared. Annual anomalies are the means of the "
        "daily ones over such a year, so that a gap in one season does not pass for a strange "
        "year.",
        "Towers of one cluster share weather and often the stand; the bootstrap draws clusters, "
        "not towers.",
    ))]  # fmt: skip


def _nothing(what: str, of: str = "") -> Text:
    """Text that replaces a table without rows."""
    return Text(f"{of}No table, because none of these towers has {what}.")


def _who(evaluation: Evaluation, splits: Sequence[str]) -> str:
    sites = evaluation.sites(*splits)
    clusters = {case.tower.cluster for case in evaluation.cases if case.tower.site in sites}
    return (
        f"{title_of(evaluation.main)} at {len(sites)} towers of {len(clusters)} clusters; towers "
        f"{_population(splits)}. Fluxes are grams of carbon ({UNITS}); NEE is positive where "
        "carbon is released."
    )


def _population(splits: Sequence[str]) -> str:
    return "; ".join(SPLITS[split] for split in splits)


def _skill_grid(table: pd.DataFrame, caption: str) -> TableBlock:
    kept = {*_SKILL, "model", "flux", "season", "split"}
    names = [name for name in table.columns if name in kept]
    shown = table[names].assign(model=table["model"].map(title_of), flux=table["flux"].str.upper())
    formats = dict(_SKILL.values())
    return TableBlock(
        shown.rename(columns={n: h for n, (h, _) in _SKILL.items()}), caption, formats
    )


def _class_grid(table: pd.DataFrame, column: str, caption: str) -> TableBlock:
    """One row per class and model; RMSE and median R2 of the three fluxes side by side."""
    scores = ["rmse", "r2_median", "bias"]
    wide = table.pivot(index=[column, "model"], columns="flux", values=scores)
    towers = table.groupby([column, "model"])["towers"].max()
    rows = []
    for name in classes_in_order(column, list(table[column].unique())):
        for model in table["model"].unique():
            if (name, model) in wide.index:
                values = wide.loc[(name, model)]
                rows.append({
                    "class": f"{name} ({CLIMATES[name][0]})" if column == "climate" else name,
                    "model": title_of(model), "towers": towers[(name, model)],
                    **{f"{flux.upper()} {head}": values[(score, flux)]
                       for score, head in (("rmse", "RMSE"), ("r2_median", "R2"), ("bias", "bias"))
                       for flux in FLUXES},
                })  # fmt: skip
    formats = {"towers": _whole} | {
        f"{flux.upper()} {head}": form
        for flux in FLUXES
        for head, form in (("RMSE", _two), ("R2", _two), ("bias", _signed))
    }
    return TableBlock(
        pd.DataFrame(rows), f"{caption} Mean RMSE and bias in {UNITS}, median R2.", formats
    )


def _typical_grid(name: str, found: pd.DataFrame, unit: str) -> TableBlock:
    """Medians over towers of the skill of anomalies."""
    table = pd.DataFrame({
        "model": found["model"].map(title_of), "flux": found["flux"].str.upper(),
        "towers": found["towers"], f"median {unit}": found["n"], "mean RMSE": found["rmse"],
        "median R2": found["r2"], "median r": found["r"], "sd, predicted / measured":
        found["sd_ratio"],
    })  # fmt: skip
    formats = {"towers": _whole, f"median {unit}": _whole, "mean RMSE": _two, "median R2": _two,
               "median r": _two, "sd, predicted / measured": _two}  # fmt: skip
    caption = (
        f"{name} from the mean seasonal cycle, {UNITS}. A ratio of standard deviations below 1 "
        "means that the model varies too little; no correlation is given for a series that does "
        "not vary."
    )
    return TableBlock(table, caption, formats)
