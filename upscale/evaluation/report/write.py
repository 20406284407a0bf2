"""The report of an evaluation: Markdown, one HTML file, figures and tables in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from upscale.evaluation.bootstrap import LEAST_CLUSTERS
from upscale.evaluation.cases import Quality
from upscale.evaluation.figures.bars import bars_by_class, bars_by_season
from upscale.evaluation.figures.heatmap import heat_map, relative_rmse
from upscale.evaluation.figures.scatter import scatter_by_tower
from upscale.evaluation.model_names import title_of
from upscale.evaluation.report import chapters
from upscale.evaluation.report.document import (
    Block,
    Heading,
    Picture,
    Text,
    write_html,
    write_markdown,
)
from upscale.evaluation.report.words import season_sentence, small_numbers
from upscale.evaluation.results import (
    DAYS,
    Evaluation,
    Results,
    comparable,
    evidence,
    results,
)
from upscale.figures.style import save

REPORT_MD, REPORT_HTML = "report.md", "report.html"


def write_report(evaluation: Evaluation, quality: Quality, folder: Path) -> list[Path]:
    """Write the whole report; returns the paths of Markdown, HTML and figures.

    `report.md` and `report.html` (which needs no other file), `figures/*.png`, and the tables
    behind them as `tables/*.csv`. quality: of the days of all figures and of all tables but
    that of the skill over towers, which is given for both. A table or a figure without rows is
    left out, which the report says. Raises ValueError where no tower has a day to compare.
    """
    evaluation = comparable(evaluation, quality)
    folder.mkdir(parents=True, exist_ok=True)
    other: Quality = "best" if quality == "good" else "good"
    qualities: tuple[Quality, ...] = (quality, other)
    by_quality = {name: results(evaluation, name) for name in qualities}
    splits = evidence(evaluation)
    part = by_quality[quality].only(splits)
    _write_tables(by_quality[quality], folder / "tables")
    pictures = _pictures(evaluation, part, quality, splits, folder / "figures")
    blocks = _blocks(evaluation, by_quality, part, splits, pictures)
    written = [write_markdown(blocks, folder / REPORT_MD), write_html(blocks, folder / REPORT_HTML)]
    return [*written, *(picture.path for picture in pictures.values())]


def _blocks(
    evaluation: Evaluation,
    by_quality: Mapping[Quality, Results],
    part: Results,
    splits: Sequence[str],
    pictures: dict[str, Picture],
) -> list[Block]:
    """The whole report, chapter by chapter."""
    alone = Text(
        "There is no second model to compare it with, so the heat map and the scatter of towers "
        "are left out: name one with --baseline."
    )
    of_two = [pictures[name] for name in ("relative_rmse", "towers") if name in pictures]
    return [
        Heading(f"Evaluation of {evaluation.release}", 1),
        *chapters.summary(evaluation, part, splits),
        *chapters.towers_chapter(evaluation),
        *chapters.skill_chapter(evaluation, by_quality, splits),
        *chapters.differences_chapter(evaluation, part),
        Heading("Land cover and climate"),
        pictures["classes"],
        *chapters.classes_chapter(part),
        Heading("Tower by tower, and against the baseline"),
        *(of_two if of_two else [alone]),
        chapters.tower_table(evaluation, part),
        Heading("Seasons, anomalies, years"),
        *([pictures["seasons"]] if "seasons" in pictures else []),
        *chapters.seasons_chapter(part),
        *chapters.tails_chapter(part),
        *chapters.closure_chapter(part),
        *chapters.coverage_chapter(evaluation, part, splits),
        *chapters.method_chapter(),
    ]


def _pictures(
    evaluation: Evaluation, part: Results, quality: Quality, splits: Sequence[str], folder: Path
) -> dict[str, Picture]:
    """Figures by name; those that need a second model only where there is one."""
    count = len(evaluation.sites(*splits))
    kind = {"test": "never seen", "train": "learned from"}.get(splits[0], splits[0])
    note = f"{evaluation.release}; {count} towers ({kind}); {DAYS[quality]}"
    table, models = part.scores, evaluation.models
    few = small_numbers(table, "igbp")
    found = {
        "classes": Picture(
            save(bars_by_class(table, models, note), folder / "classes.png"),
            "Mean RMSE by IGBP land cover and by main Köppen–Geiger group. Every tower counts the "
            "same; lines are one standard deviation over towers and are missing where there is "
            f"one tower. After Figure 3 of Rozanov et al. (2026). {few}",
        ),
    }
    if len(part.seasons):
        found["seasons"] = Picture(
            save(bars_by_season(part.seasons, models, note), folder / "seasons.png"),
            "Mean RMSE by season of the place. Winter is December to February in the north, June "
            f"to August in the south. {season_sentence(part.seasons, evaluation.main)}",
        )
    if evaluation.reference:
        found |= _pictures_of_two(evaluation, part, evaluation.reference, note, folder)
    return found


def _pictures_of_two(
    evaluation: Evaluation, part: Results, reference: str, note: str, folder: Path
) -> dict[str, Picture]:
    """The figures that set the model against the reference."""
    table, main = part.scores, evaluation.main
    relative = relative_rmse(table, reference)
    figure = heat_map(relative, reference, evaluation.models, note)
    scatter = scatter_by_tower(table, main, reference, note)
    return {
        "relative_rmse": Picture(
            save(figure, folder / "relative_rmse.png"),
            f"How much smaller the RMSE is than that of {title_of(reference)}, per cent of the "
            f"latter. Teal: better than {title_of(reference)}; brown: worse. Bold: the 95 % "
            "interval over clusters leaves zero out; otherwise there is no difference. Small "
            f"cells: fewer than {LEAST_CLUSTERS} clusters, which say nothing. After Figure 4 of "
            "Rozanov et al. (2026).",
        ),
        "towers": Picture(
            save(scatter, folder / "towers.png"),
            f"{title_of(main)} and {title_of(reference)} at every tower. RMSE above the line and "
            f"R2 below it mean that {title_of(main)} is better. Points at the edge have an R2 "
            "beyond it. After Figure 5 of Rozanov et al. (2026).",
        ),
    }


def _write_tables(found: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for one in fields(found):
        table = getattr(found, one.name)
        table.to_csv(folder / f"{one.name}.csv", index=False, float_format="%.5g")
